"""Which exception means which problem: every name of the table is a real exception, and nothing leaks."""

import errno
import importlib

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from BDD import problems
from BDD.problems import problem_of


def every_exception() -> dict[str, type[BaseException]]:
    for module in (
        "BDD.store",
        "imaging.errors",
        "imaging.selection",
        "Orthanc.archive",
        "unetr.errors",
        "unetr.preprocessing.prepared",
    ):
        importlib.import_module(module)
    found: dict[str, type[BaseException]] = {}

    def walk(kind: type[BaseException]) -> None:
        found[kind.__name__] = kind
        for below in kind.__subclasses__():
            walk(below)

    walk(Exception)
    return found


@pytest.mark.parametrize("name", sorted(problems._PROBLEMS))
def test_every_name_is_an_exception_of_the_house(name):
    assert name in every_exception()


@pytest.mark.parametrize(
    "module", ["Orthanc.archive", "imaging.errors", "unetr.errors", "unetr.preprocessing.prepared"]
)
def test_every_exception_of_the_rooms_has_a_problem(module):
    kinds = [kind for kind in every_exception().values() if kind.__module__ == module]
    assert kinds
    for kind in kinds:
        assert problem_of(kind("it was 3.2 mm")).type != "urn:metia:problem:internal", kind


def test_the_nearest_class_counts():
    from imaging.errors import MissingSliceError, NotMRError
    from Orthanc.archive import ArchiveTimeoutError, ArchiveUnavailableError

    assert problem_of(MissingSliceError("gap of 6.00 mm")).status == 422
    assert problem_of(MissingSliceError("gap of 6.00 mm")).detail == "gap of 6.00 mm"
    assert problem_of(NotMRError("CT")).type.endswith(":not-mr")
    assert (problem_of(ArchiveUnavailableError("x")).status, problem_of(ArchiveTimeoutError("x")).status) == (502, 504)


def test_candidates_are_passed_on():
    from imaging.selection import Candidate, NoCandidateError

    candidate = Candidate("1.2", "T2", "MR", 20, 0.0, ("no contrast",), "T2-weighted")
    document = problem_of(NoCandidateError("none", [candidate])).to_json()
    assert document["status"] == 409
    assert document["candidates"] == [candidate.to_json()]


@pytest.mark.parametrize(
    "error", [ValueError("Doe^Jane"), IntegrityError("INSERT", {}, Exception("Key (patient_id)=(Doe^Jane)"))]
)
def test_nothing_of_the_inside_is_shown(error):
    assert "Doe" not in str(problem_of(error).to_json())


class _RefusedError(Exception):
    """What a driver of PostgreSQL raises."""

    sqlstate = "53100"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OperationalError("INSERT", {}, _RefusedError("Doe^Jane")),
    ],
)
def test_a_full_disk_is_said_whoever_meets_it(error):
    problem = problem_of(error)
    assert (problem.status, problem.type) == (507, "urn:metia:problem:disk-full")
    assert "Make room" in problem.what_to_do
    assert "Doe" not in str(problem.to_json())


def test_another_error_of_the_system_is_no_full_disk():
    assert problem_of(OSError(errno.EACCES, "Permission denied")).status == 500
