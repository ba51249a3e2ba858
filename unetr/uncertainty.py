"""How sure a figure measured on some volumes is: 95 % intervals, with the volumes as what was drawn by chance.

Lesions of one head are not independent: what makes one hard to see often makes its neighbours so. The volumes are
therefore drawn again with replacement (percentile bootstrap; Efron and Tibshirani 1993, chapter 13), all lesions of a
volume together. Of few volumes such intervals are too narrow: in place of 95 times in a hundred, one from 50 normal
values holds their mean 94 times, from 20 93 times, from 10 90, from 6 86, from 3 74 and from 2 48; of a share, with one
lesion a volume, 94 times or more on average over all shares, but 85 to 88 times at the worst, from 6 volumes as from
40. None is given from less than 6.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

_RESAMPLES = 10_000
_TAIL = 0.025
"""Probability that is left out at either end."""
FEWEST = 6
"""Volumes that an interval can be drawn from."""

Interval = tuple[float, float]


def of_ratio(above: ArrayLike, below: ArrayLike) -> Interval:
    """95 % interval of ``sum(above) / sum(below)``, each with one value a volume; nan where the draws do not differ.

    It is nan too where less than ``FEWEST`` volumes have anything to divide by. The draws are the same each time.
    Those in which nothing is left to divide by do not count.
    """
    numerators, denominators = np.asarray(above, float), np.asarray(below, float)
    if np.count_nonzero(denominators) < FEWEST:
        return np.nan, np.nan
    count = len(numerators)
    # One row a draw: how often each volume is in it.
    times = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    totals = times @ denominators
    usable = totals > 0
    ratios = (times @ numerators)[usable] / totals[usable]
    low, high = np.quantile(ratios, (_TAIL, 1 - _TAIL))
    return (float(low), float(high)) if np.ptp(ratios) > 1e-12 else (np.nan, np.nan)


def of_share(found: Sequence[int], there: Sequence[int]) -> Interval:
    """95 % interval of the share that was found, from how many each volume had.

    Where none or all were, no draw differs, and that says nothing. Then the exact binomial bound (Clopper and Pearson
    1934) stands in, of however few volumes; each that has any is counted once: as if its lesions were found or missed
    together. No interval of less than all begins above that bound, and none of more than none ends below it.
    """
    volumes = np.count_nonzero(there)
    room = _TAIL ** (1 / volumes) if volumes else np.nan
    if volumes and sum(found) in (0, sum(there)):
        return (room, 1.0) if sum(found) else (0.0, 1 - room)
    low, high = of_ratio(found, there)
    return float(np.minimum(low, room)), float(np.maximum(high, 1 - room))


def of_rate(counts: Sequence[int]) -> Interval:
    """95 % interval of the mean count a volume; where there was none at all, up to the exact bound of a Poisson.

    No interval of more ends below that.
    """
    room = -float(np.log(_TAIL)) / len(counts)
    if not any(counts):
        return 0.0, room
    low, high = of_ratio(counts, np.ones(len(counts)))
    return low, float(np.maximum(high, room))
