"""What a request says is read strictly, and what is wrong with it told in the words of what was sent."""

import pytest
from flask import Flask

from routes.problems import ProblemError
from routes.reading import json_object


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
