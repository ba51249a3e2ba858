"""Two models measured on the same volumes: by how much they differ, and whether that is more than chance.

Each volume is its own control. Since both models met the same lesions, a difference of two sums over the same number is
the sum of the volumes' differences over it: the volumes are drawn again with replacement, each with both its results
(paired percentile bootstrap, see :mod:`unetr.uncertainty`). What makes a volume hard for both cancels out. Where each
volume differs by as much, so does each draw, and there is no interval: then the sign decides, which by chance is the
same in all of six volumes 3 times in a hundred (two-sided sign test), in all of more volumes less often.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose, isnan

import numpy as np

from unetr.errors import some_of
from unetr.figures import Figure, figures
from unetr.metrics import Score
from unetr.uncertainty import FEWEST, Interval, of_ratio
from unetr.volume_error import VolumeError

_ALIKE = 1e-4
"""Of a figure: a synthetic image made with another number of threads differs in the last bits of its voxels."""


@dataclass(frozen=True)
class Difference:
    """One figure of both models.

    Attributes
    ----------
    count
        How many lesions, or volumes, it is of.
    first, second
        The models' own; nan where there is nothing to measure.
    interval
        95 % interval of the second less the first; nan where none can be drawn, and where each volume differs by as
        much.
    better
        1 or 2, the model that is better by more than chance; None where chance may be all.
    """

    name: str
    count: int
    first: float
    second: float
    interval: Interval
    better: int | None


def compare(first: Sequence[Score], second: Sequence[Score]) -> list[Difference]:
    """Compare figure by figure, volume by volume; the order of the volumes does not matter.

    Raises
    ------
    VolumeError
        When the volumes are not the same; see :func:`check_same`.
    """
    check_same(first, second)
    by_name = {score.name: score for score in second}
    paired = figures(first), figures([by_name[score.name] for score in first])
    differences = []
    for one, other in zip(*paired, strict=True):
        interval = of_ratio(other.above - one.above, one.below)
        sign = _sign(one, other, interval)
        better = None if sign == 0 else 2 if (sign > 0) == one.more_is_better else 1
        differences.append(Difference(one.name, one.count, one.estimate, other.estimate, interval, better))
    return differences


def _sign(first: Figure, second: Figure, interval: Interval) -> int:
    """1 where the second has more, -1 where it has less; 0 where chance may be all."""
    low, high = interval
    if not isnan(low):
        return int(low > 0) - int(high < 0)
    if np.count_nonzero(first.below) < FEWEST:
        return 0
    return int(np.sign(second.estimate - first.estimate))  # no draw differs, so no volume does


def check_same(first: Sequence[Score], second: Sequence[Score]) -> None:
    """Tell apart what is of other volumes: by their names, the lesions that they have, and the image's mean.

    Raises
    ------
    VolumeError
        When some differ; it names them.
    """
    one, other = ({score.name: score for score in scores} for scores in (first, second))
    both = [name for name in one if name in other]
    reasons = {
        "only the first has": [name for name in one if name not in other],
        "only the second has": [name for name in other if name not in one],
        "marked lesions differ in": [name for name in both if not _same_lesions(one[name], other[name])],
        "images differ in": [name for name in both if not _alike(one[name].image_mean, other[name].image_mean)],
    }
    told = "; ".join(f"{reason} {some_of(names)}" for reason, names in reasons.items() if names)
    if told:
        raise VolumeError(f"these are not of the same volumes: {told}: evaluate both models with the same options")


def _same_lesions(one: Score, other: Score) -> bool:
    return len(one.lesions) == len(other.lesions) and all(
        _alike(a.diameter_mm, b.diameter_mm) for a, b in zip(one.lesions, other.lesions, strict=True)
    )


def _alike(one: float, other: float) -> bool:
    return isclose(one, other, rel_tol=_ALIKE) or (isnan(one) and isnan(other))


def table(differences: Sequence[Difference]) -> str:
    """Lay the differences out in lines, with what their intervals mean under them."""
    width = max(len(one.name) for one in differences)
    lines = [f"{'':{width}}      n       A       B    B - A"]
    for one in differences:
        if not one.count:
            continue
        low, high = one.interval
        difference = one.second - one.first
        alike = "(in every volume)" if one.better else "" if difference else "(the same)"
        drawn = alike if isnan(low) else f"({low:+.3f} to {high:+.3f})"
        better = {1: "A is better", 2: "B is better", None: ""}[one.better]
        figures_ = f"{one.first:7.3f} {one.second:7.3f}  {difference:+7.3f} {drawn:<20}"
        lines.append(f"{one.name:<{width}} {one.count:6d} {figures_} {better}".rstrip())
    lines += [
        "",
        "(in brackets: 95 % intervals of B - A, the volumes drawn again with replacement, each with both its results.",
        " One that holds 0 may be chance; of models that are alike one line in twenty leaves it out, more below",
        " 20 volumes. In every volume: each differs by as much, so does each draw, and the sign decides.",
        f" From less than {FEWEST} volumes, or less that have a lesion of the size, nothing is given)",
    ]
    return "\n".join(lines)
