"""Which lesion is which when the same series is segmented again, where nothing has moved.

Identities are handed on from the lesions already known to those just measured. Between visits ``following`` does it.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from rano.lesion import Lesion, Measurement
from rano.outline import equivalent_radius

NEAR_MM = 3.0
"""Lesions whose centroids lie closer than this may be the same one, however small they are."""

NAME = "GTV_MetIA_{}"


def fresh_tracking_uid(_name: str) -> str:
    """Return a new UID, unique in the world, under the root that DICOM keeps for UUIDs (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def inherit_tracking(
    new: Sequence[Measurement],
    earlier: Sequence[Lesion],
    make_tracking_uid: Callable[[str], str] = fresh_tracking_uid,
) -> list[Lesion]:
    """Give each measured lesion its name and tracking UID: those it had before, or new ones.

    Two lesions may be the same when their centroids lie closer than 3 mm, or than the radius of a ball of the larger
    one's volume. Of all ways to pair them, the one with the least distance in total is taken, each distance relative
    to that limit and a lesion left alone counting as the limit (Hungarian algorithm): a good match is not given up
    for two poor ones. Size is not compared. A lesion that has split leaves its identity to the part nearest to its
    old centroid, lesions that have merged to the one nearest to the new one; none if all lie beyond the limit.

    Parameters
    ----------
    new
        Measurements of the new segmentation, in the order in which new names are to be given.
    earlier
        All lesions ever found in this series, in the same frame of reference; may be empty.
    make_tracking_uid
        Makes the tracking UID of a lesion not seen before from its name.

    Returns
    -------
    list of Lesion
        In the order of ``new``. A new one has the lowest number n that no lesion in ``earlier`` has, be it still there
        or not, and the name ``GTV_MetIA_{n}``.

    Raises
    ------
    ValueError
        When two lesions in ``earlier`` share a tracking UID. Who a lesion is does not hang on its name.
    """
    times = Counter(lesion.tracking_uid for lesion in earlier)
    if shared := sorted(uid for uid in times if times[uid] > 1):
        raise ValueError(f"earlier lesions share the tracking UID {', '.join(shared)}; each must have its own")
    inherited = _pairs(new, [lesion.measurement for lesion in earlier])
    new_ones = unused((lesion.number, lesion.name) for lesion in earlier)
    lesions = []
    for index, measurement in enumerate(new):
        if index in inherited:
            known = earlier[inherited[index]]
            number, name, tracking_uid = known.number, known.name, known.tracking_uid
        else:
            number, name = next(new_ones)
            tracking_uid = make_tracking_uid(name)
        lesions.append(Lesion(name, tracking_uid, measurement, number))
    return lesions


def not_seen_since(older: Sequence[Lesion], newer: Sequence[Lesion]) -> list[Lesion]:
    """Give those of the older lesions that none of the newer ones has the identity or the place of."""
    taken = {lesion.tracking_uid for lesion in newer}
    placed = set(_pairs([lesion.measurement for lesion in newer], [lesion.measurement for lesion in older]).values())
    return [lesion for index, lesion in enumerate(older) if index not in placed and lesion.tracking_uid not in taken]


def _pairs(new: Sequence[Measurement], earlier: Sequence[Measurement]) -> dict[int, int]:
    """Return the index in ``earlier`` of the lesion that each index in ``new`` continues."""
    if not new or not earlier:
        return {}
    distance = cdist([m.centroid_lps_mm for m in new], [m.centroid_lps_mm for m in earlier])
    radii = [np.array([equivalent_radius(m.volume_mm3) for m in side]) for side in (new, earlier)]
    limit = np.maximum(np.maximum.outer(*radii), NEAR_MM)
    cost = np.minimum(distance / limit, 1)
    rows, columns = linear_sum_assignment(cost)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if cost[row, column] < 1}


def unused(known: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Give the numbers and names that new lesions may have beside lesions known by theirs, the lowest first."""
    numbers, names = zip(*known, strict=True) if (known := list(known)) else ((), ())
    return ((n, name) for n in count(1) if n not in numbers and (name := NAME.format(n)) not in names)


def beside(known: Sequence[tuple[int, str]], arriving: Sequence[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Give arriving lesions their numbers and names, but unused ones where a lesion known already has them."""
    numbers, names = {number for number, _ in known}, {name for _, name in known}
    others = unused([*known, *arriving])
    for number, name in arriving:
        if number in numbers or name in names:
            free_number, free_name = next(others)
            yield free_number if number in numbers else number, free_name if name in names else name
        else:
            yield number, name
