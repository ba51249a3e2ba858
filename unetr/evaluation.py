"""An evaluation on disk: which model was measured on what, by which software, and every volume's score, all by name."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

from unetr.bundle import BundleInfo
from unetr.figures import figures
from unetr.metrics import Score, ScoredLesion
from unetr.volume_error import VolumeError

_FORMAT = "MetIA evaluation 1"


class EvaluationError(VolumeError):
    """A file that holds no evaluation."""


@dataclass(frozen=True)
class Evaluation:
    """What one model was measured to do.

    Attributes
    ----------
    model
        ``name``, ``version``, ``sha256`` of the weights, ``postprocessing`` with the thresholds.
    software
        See :func:`unetr.software.versions`; ``engine`` is what ran the network.
    evaluated
        Which volumes were asked for, in the words of the command's options, and which of them were left out.
    """

    model: dict[str, Any]
    software: dict[str, Any]
    evaluated: dict[str, Any]
    scores: Sequence[Score]

    def write(self, path: Path) -> None:
        content = {
            "format": _FORMAT,
            "model": self.model,
            "software": self.software,
            "evaluated": self.evaluated,
            "figures": {
                figure.name: _figure(*figure.interval, figure.estimate, figure.count) for figure in figures(self.scores)
            },
            "volumes": [_volume(score) for score in self.scores],
        }
        path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")


def identity(model: BundleInfo) -> dict[str, Any]:
    """Which model it is, and how its answer is read."""
    return {
        "name": model.name,
        "version": model.version,
        "sha256": model.sha256,
        "postprocessing": asdict(model.postprocessing),
    }


def read_evaluation(path: Path) -> Evaluation:
    """Read what :meth:`Evaluation.write` wrote.

    Raises
    ------
    EvaluationError
        When the file is missing, or holds something else.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{path} is no JSON: {error}") from error
    if isinstance(content, list):
        raise EvaluationError(f"{path} does not say which model it is of: it is of an earlier version, evaluate again")
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise EvaluationError(f"{path} was not written by python -m unetr evaluate --json")
    try:
        scores = [_score(volume) for volume in content["volumes"]]
        return Evaluation(content["model"], content["software"], content["evaluated"], scores)
    except (KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path} is incomplete or was changed: {error}") from error


def _figure(low: float, high: float, estimate: float, count: int) -> dict[str, float | None]:
    return {"estimate": _or_null(estimate), "low": _or_null(low), "high": _or_null(high), "count": count}


def _volume(score: Score) -> dict[str, Any]:
    lesions: list[dict[str, Any]] = [lesion._asdict() for lesion in score.lesions]
    for lesion, contrast in zip(lesions, score.contrasts, strict=False):  # of none where it was not measured
        lesion["contrast_to_noise"] = _or_null(contrast)
    own = {key: value for key, value in asdict(score).items() if key != "contrasts"}
    return own | {"dice": _or_null(score.dice), "image_mean": _or_null(score.image_mean), "lesions": lesions}


def _score(volume: dict[str, Any]) -> Score:
    lesions = volume["lesions"]
    contrasts = [_or_nan(lesion["contrast_to_noise"]) for lesion in lesions if "contrast_to_noise" in lesion]
    numbers = {
        "lesions": tuple(ScoredLesion(one["diameter_mm"], one["found"], one["dice"]) for one in lesions),
        "contrasts": tuple(contrasts),
        "false_lesions_mm": tuple(volume["false_lesions_mm"]),
        "dice": _or_nan(volume["dice"]),
        "image_mean": _or_nan(volume["image_mean"]),
    }
    return Score(**(volume | numbers))


def _or_null(value: float) -> float | None:
    """JSON has no word for what is no number."""
    return None if isnan(value) else value


def _or_nan(value: float | None) -> float:
    return nan if value is None else value
