"""What a request says is read strictly, and what is wrong with it told in the words of what was sent."""

import pytest
from flask import Flask

from routes.problems import ProblemError
from routes.reading import Number, json_object, limit, uid


@pytest.mark.parametrize(
    ("body", "kind"), [("null", "null"), ('"x"', "a string"), ("[]", "an array"), ("1.5", "a num")]
)
def test_a_body_that_is_no_object_is_called_as_json_calls_it(body: str, kind: str) -> None:
    with (
        Flask("reading").test_request_context(method="POST", data=body, content_type="application/json"),
        pytest.raises(ProblemError) as refused,
    ):
        json_object({"model"})
    assert f"The body is {kind}" in str(refused.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "UID is missing"),
        (12, "UID is a number; expected a string, in quotes"),
        ({}, "UID is an object"),
        ("", "UID = '' is no DICOM UID"),
        ("1.02", None),
        ("1.x", "UID = '1.x' is no DICOM UID"),
    ],
)
def test_a_uid_is_told_as_what_it_is(value: object, words: str | None) -> None:
    if words is None:
        assert uid(value, "UID") == value
        return
    with pytest.raises(ProblemError, match=words):
        uid(value, "UID")


@pytest.mark.parametrize(("asked", "given"), [("", 10), ("?limit=3", 3), ("?limit=3.0", 3), ("?limit=1e9", 20)])
def test_a_limit_is_a_whole_number_up_to_the_most(asked: str, given: int) -> None:
    with Flask("reading").test_request_context(f"/{asked}"):
        assert limit(10, 20).asked() == given


@pytest.mark.parametrize("asked", ["1.5", "0", "nan", "-1", "x"])
def test_a_limit_that_is_none_is_refused(asked: str) -> None:
    with Flask("reading").test_request_context(f"/?limit={asked}"), pytest.raises(ProblemError, match="limit"):
        limit(10, 20).asked()


@pytest.mark.parametrize(
    ("asked", "given"), [("", 1), ("?wait=0.5", 0.5), ("?wait=30.5", 30), ("?wait=1e9", 30), ("?wait=inf", 30)]
)
def test_a_number_goes_by_the_bounds_that_are_described(asked: str, given: float) -> None:
    wait = Number("wait", "Wait so long", unless_said=1, least=0.5, most=lambda: 30)
    with Flask("reading").test_request_context(f"/{asked}"):
        assert wait.asked() == given
    with Flask("reading").test_request_context("/?wait=0.4"), pytest.raises(ProblemError, match=r"at least 0\.5"):
        wait.asked()
    (described,) = (schema() for schema in wait.query.values() if callable(schema))
    assert (described["minimum"], described["default"]) == (0.5, 1)
    assert described["description"].endswith("what is more than 30 is cut to it")
