"""What the scores of several volumes come to: figures, each a sum over a sum with one value a volume, and a table."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unetr.metrics import Score, ScoredLesion
from unetr.uncertainty import FEWEST, Interval, of_rate, of_ratio, of_share

SIZES_MM = ((0.0, 3.0), (3.0, 5.0), (5.0, 10.0), (10.0, 20.0), (20.0, np.inf))
"""Classes of the diameter of the sphere with the lesion's volume."""
SMALL_MM = (3.0, 10.0)
"""Lesions that are easily missed."""
CONTRASTS = ((-np.inf, 1.5), (1.5, 3.0), (3.0, np.inf))
"""Classes of the contrast-to-noise ratio."""
LARGE_MM = 5.0
"""False lesions from here on are counted by themselves too."""


@dataclass(frozen=True)
class Figure:
    """One figure over several volumes.

    Attributes
    ----------
    name
        What it is, with its unit.
    above, below
        One value a volume; the figure is the sum of the ones over that of the others: lesions found over lesions there,
        false lesions over volumes.
    draw
        Gives its 95 % interval from ``above`` and ``below``.
    more_is_better
        Which way a model should go.
    """

    name: str
    above: np.ndarray
    below: np.ndarray
    draw: Callable[[Any, Any], Interval]
    more_is_better: bool = True

    @property
    def estimate(self) -> float:
        """Nan where there is nothing to divide by."""
        return float(self.above.sum() / self.below.sum()) if self.below.any() else float("nan")

    @property
    def interval(self) -> Interval:
        return self.draw(self.above, self.below)

    @property
    def count(self) -> int:
        """How many lesions, or volumes, it is of."""
        return int(self.below.sum())


def figures(scores: Sequence[Score]) -> list[Figure]:
    """Give sensitivity by size, Dice, and what is false."""
    return [*_by_size(scores), _dice(scores), *_false(scores)]


def _by_size(scores: Sequence[Score]) -> Iterator[Figure]:
    for low, high in SIZES_MM:
        name = f"{low:.0f}-{high:.0f} mm" if np.isfinite(high) else f"over {low:.0f} mm"
        inside = [[lesion for lesion in s.lesions if low <= lesion.diameter_mm < high] for s in scores]
        yield _sensitivity(f"sensitivity, {name}", inside)


def _by_contrast(scores: Sequence[Score]) -> Iterator[Figure]:
    for low, high in CONTRASTS:
        name = f"below {high}" if np.isinf(low) else f"over {low}" if np.isinf(high) else f"{low}-{high}"
        inside = [
            [
                lesion
                for lesion, contrast in zip(s.lesions, s.contrasts, strict=True)
                if SMALL_MM[0] <= lesion.diameter_mm < SMALL_MM[1] and low <= contrast < high
            ]
            for s in scores
        ]
        yield _sensitivity(f"sensitivity, {name}", inside)


def _sensitivity(name: str, lesions: Sequence[Sequence[ScoredLesion]]) -> Figure:
    found = [sum(lesion.found for lesion in volume) for volume in lesions]
    return Figure(name, np.array(found), np.array([len(volume) for volume in lesions]), of_share)


def _dice(scores: Sequence[Score]) -> Figure:
    """Of volumes that have a lesion: elsewhere it is 0 however little is marked."""
    ill = np.array([s.reference_volume_ml > 0 for s in scores])
    return Figure("Dice", np.where(ill, [s.dice for s in scores], 0.0), ill.astype(int), of_ratio)


def _false(scores: Sequence[Score]) -> Iterator[Figure]:
    ones = np.ones(len(scores), int)
    every = np.array([len(s.false_lesions_mm) for s in scores])
    large = np.array([sum(d >= LARGE_MM for d in s.false_lesions_mm) for s in scores])
    volume = np.array([s.false_volume_ml for s in scores])
    for name, values, draw in (
        ("false lesions a volume", every, _rate),
        (f"false lesions of {LARGE_MM:.0f} mm or more a volume", large, _rate),
        ("false volume, ml a volume", volume, of_ratio),
    ):
        yield Figure(name, values, ones, draw, more_is_better=False)


def _rate(counts: np.ndarray, _: np.ndarray) -> Interval:
    return of_rate(counts.tolist())


def summarise(scores: Sequence[Score]) -> str:
    """A table of sensitivity and Dice by lesion size, with the figures per volume under it, all with 95 % intervals."""
    lines = ["diameter      lesions   found   sensitivity         Dice of those found"]
    for figure, (low, high) in zip(_by_size(scores), SIZES_MM, strict=True):
        overlaps = [one.dice for s in scores for one in s.lesions if low <= one.diameter_mm < high and one.found]
        overlap = f"{np.mean(overlaps):.2f}" if overlaps else "-"
        lines.append(f"{_row(figure)} {overlap:>6}")
    if any(s.contrasts for s in scores):
        lines += ["", f"contrast to noise, {SMALL_MM[0]:.0f}-{SMALL_MM[1]:.0f} mm"]
        lines += [_row(figure).rstrip() for figure in _by_contrast(scores)]
    lines.append("")
    dice = _dice(scores)
    if dice.count:
        mean = f"{dice.estimate:.3f}{_brackets(dice.interval, 3)}"
        median = np.median(dice.above[dice.below > 0])
        lines.append(f"Dice per volume       mean {mean}, median {median:.3f}, n = {dice.count}")
    every, large, volume = _false(scores)
    rates = [f"{rate.estimate:.2f}{_brackets(rate.interval)}" for rate in (every, large)]
    lines.append(f"false lesions         {rates[0]} a volume, {rates[1]} of {LARGE_MM:.0f} mm or more")
    lines.append(f"false volume          {volume.estimate:.3f} ml a volume")
    lines.append("")
    lines.append("(in brackets: 95 % intervals, the volumes drawn again with replacement: too narrow below 20 volumes,")
    lines.append(f" and below {FEWEST} only where all of a size were found, or none; or where nothing was false)")
    return "\n".join(lines)


def _row(figure: Figure) -> str:
    """How many lesions there are, were found, and their share."""
    share = f"{figure.estimate:.2f}{_brackets(figure.interval)}" if figure.count else "-"
    name = figure.name.removeprefix("sensitivity, ")
    return f"{name:<12} {figure.count:8d} {figure.above.sum():7d}   {share:<18}"


def _brackets(interval: Interval, digits: int = 2) -> str:
    low, high = interval
    return "" if np.isnan(low) else f" ({low:.{digits}f}-{high:.{digits}f})"
