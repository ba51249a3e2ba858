"""Lesion by lesion: which of the reference's lesions were found, what was found beside them, and how well they overlap.

A reference lesion counts as found when any predicted voxel lies in it, a predicted lesion as false when it shares no
voxel with a reference lesion, however close it lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unetr.components import label
from unetr.uncertainty import FEWEST, Interval, of_rate, of_ratio, of_share

SIZES_MM = ((0.0, 3.0), (3.0, 5.0), (5.0, 10.0), (10.0, 20.0), (20.0, np.inf))
"""Classes of the diameter of the sphere with the lesion's volume."""
SMALL_MM = (3.0, 10.0)
"""Lesions that are easily missed."""
CONTRASTS = ((-np.inf, 1.5), (1.5, 3.0), (3.0, np.inf))
"""Classes of the contrast-to-noise ratio."""


@dataclass(frozen=True)
class Score:
    """How one volume was segmented.

    Attributes
    ----------
    dice
        Of all lesion voxels together; nan when neither side has any.
    lesions
        For each reference lesion its diameter in mm (of the sphere with its volume), whether it was found, and the
        Dice of it with the predicted lesions that share a voxel with it.
    false_lesions_mm
        Diameter of each predicted lesion that is none.
    false_volume_ml, reference_volume_ml, predicted_volume_ml
        Volumes; the false volume is that of the false lesions.
    contrasts
        Contrast-to-noise ratio of each of ``lesions``; empty where it was not measured.
    """

    name: str
    dice: float
    lesions: tuple[tuple[float, bool, float], ...]
    false_lesions_mm: tuple[float, ...]
    false_volume_ml: float
    reference_volume_ml: float
    predicted_volume_ml: float
    contrasts: tuple[float, ...] = ()


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
        lesions.append((_diameter(reference_sizes[number] * voxel_mm3), overlap > 0, float(dice)))
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


def summarise(scores: Sequence[Score]) -> str:
    """A table of sensitivity and Dice by lesion size, with the figures per volume under it, all with 95 % intervals."""
    lines = ["diameter      lesions   found   sensitivity         Dice of those found"]
    for low, high in SIZES_MM:
        name = f"{low:.0f}-{high:.0f} mm" if np.isfinite(high) else f"over {low:.0f} mm"
        inside = [[lesion for lesion in s.lesions if low <= lesion[0] < high] for s in scores]
        overlaps = [overlap for volume in inside for _, found, overlap in volume if found]
        overlap = f"{np.mean(overlaps):.2f}" if overlaps else "-"
        lines.append(f"{_row(name, inside)} {overlap:>6}")
    if any(s.contrasts for s in scores):
        lines += ["", f"contrast to noise, {SMALL_MM[0]:.0f}-{SMALL_MM[1]:.0f} mm"]
        for low, high in CONTRASTS:
            name = f"below {high}" if np.isinf(low) else f"over {low}" if np.isinf(high) else f"{low}-{high}"
            inside = [
                [
                    lesion
                    for lesion, contrast in zip(s.lesions, s.contrasts, strict=True)
                    if SMALL_MM[0] <= lesion[0] < SMALL_MM[1] and low <= contrast < high
                ]
                for s in scores
            ]
            lines.append(_row(name, inside).rstrip())
    dice = np.array([s.dice for s in scores if s.reference_volume_ml > 0])
    every = [len(s.false_lesions_mm) for s in scores]
    large = [sum(d >= 5 for d in s.false_lesions_mm) for s in scores]
    lines.append("")
    if len(dice):
        mean = f"{dice.mean():.3f}{_brackets(of_ratio(dice, np.ones(len(dice))), 3)}"
        lines.append(f"Dice per volume       mean {mean}, median {np.median(dice):.3f}, n = {len(dice)}")
    rates = [f"{np.mean(counts):.2f}{_brackets(of_rate(counts))}" for counts in (every, large)]
    lines.append(f"false lesions         {rates[0]} a volume, {rates[1]} of 5 mm or more")
    lines.append(f"false volume          {np.mean([s.false_volume_ml for s in scores]):.3f} ml a volume")
    lines.append("")
    lines.append("(in brackets: 95 % intervals, the volumes drawn again with replacement: too narrow below 20 volumes,")
    lines.append(f" and below {FEWEST} only where all of a size were found, or none; or where nothing was false)")
    return "\n".join(lines)


def _row(name: str, lesions: Sequence[Sequence[tuple[float, bool, float]]]) -> str:
    """How many of each volume's lesions there are, were found, and their share."""
    there, found = [len(volume) for volume in lesions], [sum(lesion[1] for lesion in volume) for volume in lesions]
    share = f"{sum(found) / sum(there):.2f}{_brackets(of_share(found, there))}" if sum(there) else "-"
    return f"{name:<12} {sum(there):8d} {sum(found):7d}   {share:<18}"


def _brackets(interval: Interval, digits: int = 2) -> str:
    low, high = interval
    return "" if np.isnan(low) else f" ({low:.{digits}f}-{high:.{digits}f})"
