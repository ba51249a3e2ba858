"""Lesion by lesion: which of the reference's lesions were found, what was found beside them, and how well they overlap.

A reference lesion counts as found when any predicted voxel lies in it, a predicted lesion as false when it shares no
voxel with a reference lesion, however close it lies.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from unetr.components import label


class ScoredLesion(NamedTuple):
    """What became of one lesion of the reference.

    Attributes
    ----------
    diameter_mm
        Of the sphere with its volume.
    found
        Whether any predicted voxel lies in it.
    dice
        Of it with the predicted lesions that share a voxel with it.
    """

    diameter_mm: float
    found: bool
    dice: float


@dataclass(frozen=True)
class Score:
    """How one volume was segmented.

    Attributes
    ----------
    dice
        Of all lesion voxels together; nan when neither side has any.
    lesions
        Each lesion of the reference.
    false_lesions_mm
        Diameter of each predicted lesion that is none.
    false_volume_ml, reference_volume_ml, predicted_volume_ml
        Volumes; the false volume is that of the false lesions.
    contrasts
        Contrast-to-noise ratio of each of ``lesions``; empty where it was not measured.
    image_mean
        Mean of the image's values, by which two images of one head can be told apart; nan where it was not measured.
    """

    name: str
    dice: float
    lesions: tuple[ScoredLesion, ...]
    false_lesions_mm: tuple[float, ...]
    false_volume_ml: float
    reference_volume_ml: float
    predicted_volume_ml: float
    contrasts: tuple[float, ...] = ()
    image_mean: float = float("nan")


def score(name: str, reference: np.ndarray, predicted: np.ndarray, voxel_mm3: float) -> Score:
    """Compare two boolean masks of one shape."""
    return score_labels(name, label(reference), label(predicted), voxel_mm3)


def score_labels(name: str, reference_labels: np.ndarray, predicted_labels: np.ndarray, voxel_mm3: float) -> Score:
    """Compare two label maps of :mod:`unetr.components`; of the predicted lesions some may have been taken out."""
    references, predictions = int(reference_labels.max()), int(predicted_labels.max())
    both = (reference_labels > 0) & (predicted_labels > 0)
    # Voxels shared by each pair of lesions; one number per pair, since sorting pairs of numbers is far slower.
    pair, shared = np.unique(
        reference_labels[both].astype(np.int64) * (predictions + 1) + predicted_labels[both], return_counts=True
    )
    of_reference, of_predicted = np.divmod(pair, predictions + 1)
    reference_sizes = np.bincount(reference_labels.ravel(), minlength=references + 1)
    predicted_sizes = np.bincount(predicted_labels.ravel(), minlength=predictions + 1)
    lesions = []
    for number in range(1, references + 1):
        own = of_reference == number
        overlap = int(shared[own].sum())
        dice = 2 * overlap / (reference_sizes[number] + predicted_sizes[of_predicted[own]].sum())
        lesions.append(ScoredLesion(_diameter(reference_sizes[number] * voxel_mm3), overlap > 0, float(dice)))
    false = np.setdiff1d(np.flatnonzero(predicted_sizes[1:]) + 1, of_predicted)
    false_sizes = predicted_sizes[false] * voxel_mm3
    in_reference, in_predicted = int(reference_sizes[1:].sum()), int(predicted_sizes[1:].sum())
    total = in_reference + in_predicted
    return Score(
        name=name,
        dice=2 * int(shared.sum()) / total if total else float("nan"),
        lesions=tuple(lesions),
        false_lesions_mm=tuple(_diameter(size) for size in false_sizes),
        false_volume_ml=float(false_sizes.sum()) / 1000,
        reference_volume_ml=in_reference * voxel_mm3 / 1000,
        predicted_volume_ml=in_predicted * voxel_mm3 / 1000,
    )


def _diameter(volume_mm3: float) -> float:
    return float((6 * volume_mm3 / np.pi) ** (1 / 3))
