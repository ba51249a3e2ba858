"""All that a job writes, built together: each as if it were built alone, and nothing referred to that is not named."""

import pytest

from results.context import ResultContext
from results.objects import WRITTEN, build_objects
from tests import results_cases as cases
from tests import results_report_cases as reports
from tests.results_report_cases import Case


def build(case: Case, context: ResultContext = cases.CONTEXT) -> dict[str, bytes]:
    objects = build_objects(*case.arguments(), context, list(WRITTEN), lambda: None)
    return {role: cases.written(dataset) for role, dataset in objects}


@pytest.mark.parametrize("source", [reports.case, reports.multi_frame])
def test_what_is_built_first_does_not_change_what_is_built_from_the_same_series_later(source) -> None:
    case = source()
    first = build(case)
    assert list(first) == [role for roles in WRITTEN.values() for role in roles]
    assert build(case) == first == build(source())


def test_what_a_report_refers_to_is_among_its_evidence() -> None:
    case = reports.case()
    objects = dict(build_objects(*case.arguments(), cases.CONTEXT, ["SEG", "SR"], lambda: None))
    for report in (objects["SR_BIDIRECTIONAL"], objects["SR_VOLUMETRIC"]):
        named = {uid for uids in reports.evidence(report).values() for uid in uids}
        referred = {
            str(one.ReferencedSOPInstanceUID)
            for node in reports.walk(report)
            for one in node.get("ReferencedSOPSequence", [])
        }
        assert referred
        assert referred <= named
