"""Which threshold and which peak serve a model best: each pair is scored on volumes kept for that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from unetr.components import label, only
from unetr.metrics import Score, score_labels
from unetr.predictor import Answer

THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
PEAKS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


class NothingFoundError(ValueError):
    """A model that sees no lesion, however it is read."""


@dataclass(frozen=True)
class OperatingPoint:
    """What one threshold with one peak gives over all volumes.

    Attributes
    ----------
    sensitivity, sensitivity_small
        Share of the lesions of 5 mm or more, and of those of 3-5 mm, that are found; nan where there are none.
    false_lesions
        A volume.
    dice
        Mean over the volumes that have lesions.
    """

    threshold: float
    peak: float
    sensitivity: float
    sensitivity_small: float
    false_lesions: float
    dice: float


def try_points(
    answer: Answer, reference: np.ndarray, voxel_mm3: float, minimum_volume_mm3: float
) -> Iterator[tuple[tuple[float, float], Score]]:
    """Score one volume for every pair of threshold and peak, each read as the model would read it.

    ``reference`` is bool, on the volume's own grid.
    """
    truth = label(reference)
    for threshold, peak in product(THRESHOLDS, PEAKS):
        copy = replace(answer, probability=answer.probability.clone())
        prediction = copy.read(threshold, peak, minimum_volume_mm3)
        labels = label(prediction.mask)
        large = np.bincount(labels.ravel()) * voxel_mm3 >= prediction.minimum_volume_mm3
        yield (threshold, peak), score_labels("", truth, only(labels, large), voxel_mm3)


def operating_points(scores: Sequence[dict[tuple[float, float], Score]]) -> list[OperatingPoint]:
    """Put the volumes together, pair by pair."""
    points = []
    for threshold, peak in product(THRESHOLDS, PEAKS):
        mine = [volume[threshold, peak] for volume in scores]
        lesions = [lesion for one in mine for lesion in one.lesions]
        points.append(
            OperatingPoint(
                threshold,
                peak,
                sensitivity=_mean([found for diameter, found, _ in lesions if diameter >= 5]),
                sensitivity_small=_mean([found for diameter, found, _ in lesions if 3 <= diameter < 5]),
                false_lesions=_mean([len(one.false_lesions_mm) for one in mine]),
                dice=_mean([one.dice for one in mine if one.reference_volume_ml > 0]),
            )
        )
    return points


def choose(points: Sequence[OperatingPoint], most_false: float) -> OperatingPoint:
    """Choose the most sensitive from 5 mm on, then by Dice, of those with at most so many false lesions a volume.

    Where none has so few, the one with the fewest is chosen.

    Raises
    ------
    NothingFoundError
        When there are lesions, and no pair finds any of them: all are alike then.
    """
    figures = [figure for p in points for figure in (p.sensitivity, p.sensitivity_small, p.dice)]
    if not np.isnan(figures).all() and not np.nansum(figures):
        raise NothingFoundError("no pair finds a lesion: nothing to choose")
    allowed = [point for point in points if point.false_lesions <= most_false]
    if not allowed:
        fewest = min(point.false_lesions for point in points)
        allowed = [point for point in points if point.false_lesions == fewest]
    return max(allowed, key=lambda point: (np.nan_to_num(point.sensitivity), np.nan_to_num(point.dice)))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
