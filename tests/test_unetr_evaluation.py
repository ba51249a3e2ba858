"""An evaluation is read as it was written; anything else is refused in a sentence."""

import json
from pathlib import Path

import pytest

from unetr.bundle import read_bundle
from unetr.evaluation import Evaluation, EvaluationError, identity, read_evaluation
from unetr.metrics import Score, ScoredLesion

NAN = float("nan")
SCORES = [
    Score(
        "ill",
        0.8,
        (ScoredLesion(4.0, True, 0.7), ScoredLesion(9.0, False, 0.0)),
        (3.0,),
        0.1,
        1.0,
        0.9,
        (2.5, NAN),
        7.0,
    ),
    Score("healthy", NAN, (), (), 0.0, 0.0, 0.0, (), 8.0),
]


@pytest.fixture
def written(tmp_path, tiny_model) -> Path:
    path = tmp_path / "scores.json"
    software = {"commit": None, "engine": "torch-cpu"}
    Evaluation(identity(read_bundle(tiny_model)), software, {"synthetic": None}, SCORES).write(path)
    return path


def test_it_is_read_as_it_was_written(written):
    found = read_evaluation(written)
    assert repr(found.scores) == repr(SCORES)  # nan equals nothing
    assert found.software == {"commit": None, "engine": "torch-cpu"}


def test_every_number_has_a_name(written, tiny_model):
    content = json.loads(written.read_text("utf-8"))
    info = read_bundle(tiny_model)
    assert (content["model"]["name"], content["model"]["sha256"]) == (info.name, info.sha256)
    assert content["model"]["postprocessing"]["threshold"] == info.postprocessing.threshold
    ill, healthy = content["volumes"]
    assert ill["lesions"][0] == {"diameter_mm": 4.0, "found": True, "dice": 0.7, "contrast_to_noise": 2.5}
    assert ill["lesions"][1]["contrast_to_noise"] is healthy["dice"] is None
    small = content["figures"]["sensitivity, 3-5 mm"]
    assert small == {"estimate": 1.0, "low": pytest.approx(0.025), "high": 1.0, "count": 1}
    assert content["figures"]["sensitivity, over 20 mm"]["estimate"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is no JSON"),
        ('[{"name": "a"}]', "does not say which model it is of: .* evaluate again"),
        ('{"format": "other"}', "was not written by python -m unetr evaluate --json"),
        ('{"format": "MetIA evaluation 1", "model": {}}', "is incomplete or was changed: 'volumes'"),
    ],
)
def test_what_is_no_evaluation_is_refused_in_a_sentence(tmp_path, text, said):
    path = tmp_path / "scores.json"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(EvaluationError, match=said):
        read_evaluation(path)


def test_a_volume_that_was_changed_is_refused(written):
    content = json.loads(written.read_text("utf-8"))
    del content["volumes"][0]["lesions"][0]["found"]
    written.write_text(json.dumps(content), "utf-8")
    with pytest.raises(EvaluationError, match="is incomplete or was changed: 'found'"):
        read_evaluation(written)
