"""Which lesions of a visit are paired with which of those before, and what others lie nearby.

The first of two steps for each visit: ``visit_matching`` says in words what comes of it, and what speaks against it.
"""

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rano.links import FollowedVisit
from rano.pairing import LEAST_OVERLAP, Placed, assign, compare
from rano.rigid import RigidTransform

MARGIN = 0.15
"""Another way to pair that is less likely only by this much is almost as likely."""
IN_PLACE = 0.5
"""Share of a part that must lie where the whole was (of what merged, where the merged lesion is)."""

_PAIRED = 0.5  # what being paired at all is worth, beside the likeness
_WAS_GONE = -0.15
_LEAST = 0.01


@dataclass
class Thread:
    """A lesion over time; while it is followed it goes by a key of its own."""

    place: Placed | None = None  # when it was last seen; None if only ever at visits that are not registered
    former: list[Placed] = field(default_factory=list)  # all before that
    claims: Counter[str] = field(default_factory=Counter)  # the UIDs it has at its visits
    fixed: str | None = None  # the one a person gave it
    gone: bool = False
    doubted: bool = False  # whether it was not sure that it had gone
    into: str | None = None  # the one it has merged into
    # The visits since it was last seen that show it gone, by their day.
    without: dict[datetime.date | None, list[str]] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)  # the visits that may have missed it


class VisitPairing:
    """The lesions of a visit, paired with the threads so far.

    Attributes
    ----------
    earlier
        The visits of earlier days.
    now
        The lesions of the visit, in common coordinates; ``i`` counts them.
    keys
        Of the threads that were seen at a registered visit; ``k`` counts them.
    said
        i -> key of the thread that a person said it belongs to.
    pairs
        (i, k) -> how they go together, of those that have to do with each other.
    partner, taken
        i -> the k that it is paired with, and the other way round.
    key
        Of each lesion's thread, by i; those that are paired with none begin one.
    left
        k of those that are paired with none and had not gone before: on an earlier day, or into another one.
    gone
        k of those that had gone before, by themselves, and are paired with none.
    """

    def __init__(self, visit: FollowedVisit, threads: dict[str, Thread], earlier: Sequence[FollowedVisit]) -> None:
        self.visit, self.threads, self.earlier = visit, threads, earlier
        to_common = visit.to_common or RigidTransform.identity()
        self.now = [Placed(lesion.shape, to_common) for lesion in visit.lesions]
        self.keys = [key for key, one in threads.items() if one.place is not None]
        before = [place for one in threads.values() if (place := one.place) is not None]
        self.said = self._what_people_said()
        self.pairs = {
            (i, k): pair
            for i, lesion in enumerate(self.now)
            for k, place in enumerate(before)
            if (pair := compare(lesion, place))
        }
        self.weights = np.zeros((len(self.now), len(before)))
        for (i, k), pair in self.pairs.items():
            if pair.overlap < LEAST_OVERLAP:
                continue
            gone = _WAS_GONE if threads[self.keys[k]].gone else 0
            self.weights[i, k] = max(_PAIRED + pair.likeness + gone, _LEAST)
        self._keep_what_people_said()
        self.partner = assign(self.weights)
        self.taken = {k: i for i, k in self.partner.items()}
        self.key = [
            self.said.get(i) or (self.keys[self.partner[i]] if i in self.partner else f"{visit.visit}/{i + 1}")
            for i in range(len(self.now))
        ]
        continued = set(self.key)
        unpaired = [k for k, key in enumerate(self.keys) if key not in continued]
        self.left = [k for k in unpaired if not self._had_gone(k)]
        self.gone = [k for k in unpaired if self._had_gone(k) and self.thread(k).into is None]

    def _what_people_said(self) -> dict[int, str]:
        """Return the keys of the threads that lesions belong to because a person said so."""
        said: dict[int, str] = {}
        given: set[str] = set()
        for i, lesion in enumerate(self.visit.lesions):
            uid = lesion.tracking_uid
            if not (lesion.fixed and uid):
                continue
            if uid in given:
                raise ValueError(f"two lesions of visit {self.visit.visit} were both said to be {uid}")
            given.add(uid)
            fixed = [key for key, one in self.threads.items() if one.fixed == uid]
            claimed = [key for key, one in self.threads.items() if not one.fixed and one.claims[uid]]
            claimed.sort(key=lambda key: -self.threads[key].claims[uid])
            said[i] = [*fixed, *claimed, f"{self.visit.visit}/{i + 1}"][0]
        return said

    def _keep_what_people_said(self) -> None:
        """Take those that people decided about out of the pairing; others may have merged into them all the same.

        Not the one that a lesion would be paired with: that is what they decided about. Nor any at a visit that is not
        registered: nobody would be told how doubtful that is.
        """
        registered = self.visit.to_common is not None
        decided = {(i, int(self.weights[i].argmax())) for i in self.said if self.weights[i].any()}
        continued = {k for k, key in enumerate(self.keys) if key in self.said.values()}
        self.pairs = {
            (i, k): pair
            for (i, k), pair in self.pairs.items()
            if k not in continued and (i, k) not in decided and (registered or i not in self.said)
        }
        self.weights[list(self.said)] = 0
        self.weights[:, list(continued)] = 0

    def _had_gone(self, k: int) -> bool:
        return self.thread(k).gone and [*self.thread(k).without] != [self.visit.date]

    def thread(self, k: int) -> Thread:
        return self.threads[self.keys[k]]

    def could_be_otherwise(self, i: int, k: int) -> bool:
        """Say whether another pairing of either lesion is nearly as likely; parts and what has merged are none."""
        weights = self.weights
        for other in set(np.flatnonzero(weights[i]).tolist()) - {k}:
            j = self.taken.get(other)
            if j is not None:
                gain = weights[i, other] + weights[j, k] - weights[i, k] - weights[j, other]
            elif self.swallower(other) == i or self.thread(other).into == self.key[i]:
                continue
            else:
                gain = weights[i, other] - weights[i, k]
            if gain > -MARGIN:
                return True
        rivals = set(np.flatnonzero(weights[:, k]).tolist()) - self.partner.keys()
        return any(weights[j, k] > weights[i, k] - MARGIN and self.whole(j) != k for j in rivals)

    def whole(self, i: int) -> int | None:
        """Return the paired lesion of before that an unpaired one now has split from."""
        # One of which so much lies in an unpaired one of before would be paired with that.
        shares = {k: pair.now_within for (j, k), pair in self.pairs.items() if j == i}
        whole = max(shares, key=lambda k: shares[k], default=None)
        return whole if whole is not None and shares[whole] >= IN_PLACE else None

    def former_whole(self, i: int) -> str | None:
        """Return the key of the thread in whose place at any earlier visit a lesion lies that is paired with none."""
        for key, one in self.threads.items():
            pairs = (compare(self.now[i], place) for place in reversed(one.former))
            if any(pair and pair.now_within >= IN_PLACE for pair in pairs):
                return key
        return None

    def swallower(self, k: int) -> int | None:
        """Return the lesion now that an unpaired one of before has merged into."""
        known = self.partner.keys() | self.said.keys()
        shares = {i: pair.before_within for (i, other), pair in self.pairs.items() if other == k and i in known}
        by = max(shares, key=lambda i: shares[i], default=None)
        return by if by is not None and shares[by] >= IN_PLACE else None

    def covered(self, k: int) -> float:
        """Return the share of the place of a lesion of before that this visit's images cover."""
        place = self.thread(k).place
        return 1.0 if place is None else self.visit.share_shown(place.points)

    def covered_before(self, i: int) -> float:
        """Return the share of the place of a lesion now that the images of an earlier day cover, the one with most.

        Of registered visits, for it is with their lesions that others are paired.
        """
        if self.visit.to_common is None:
            return 1.0
        shares = (one.share_shown(self.now[i].points) for one in self.earlier if one.to_common is not None)
        return max(shares, default=1.0)

    def distance(self, i: int, k: int) -> float:
        place = self.thread(k).place
        return np.inf if place is None else float(np.linalg.norm(self.now[i].centroid - place.centroid))

    def radius(self, i: int, k: int) -> float:
        place = self.thread(k).place
        return max(self.now[i].radius, place.radius if place else 0)
