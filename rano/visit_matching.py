"""One visit against all before: which of its lesions continue which, and what speaks against it.

Visits are handled in the order of time; ``following`` calls this for each and gives out the tracking UIDs afterwards.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rano.links import Absence, FollowedVisit, Link, Status, VisitLinks
from rano.pairing import LEAST_OVERLAP, Placed, assign, compare
from rano.rigid import RigidTransform

UNLIKE = 0.15
"""A link is ambiguous when the two lesions are less alike than this."""
MARGIN = 0.15
"""A link is ambiguous when another way to pair is less likely only by this much."""
IN_PLACE = 0.5
"""Share of a part that must lie where the whole was (of what merged, where the merged lesion is)."""
CLEARLY_IN_PLACE = 0.9
CLEARLY_APART = 0.2
TINY_MM3 = 35.0
"""A lesion smaller than this (4 mm across) may have gone just as well as been grown over."""
SHRUNK = 0.85
"""A lesion that has shrunk to less than this may have lost a part to the one next to it."""
SEEN_AGAIN_MM = 2.0
"""Lesions whose centroids lie further apart than this may be two, if one had gone before; else if they also lie further
apart than the larger one's radius."""
MOVED_MM = 4.0
"""A lesion next to others whose centroid moved by more than this may have taken in a part of one of them."""
NEIGHBOUR_MM = 8.0
"""A new lesion this near to one that has just gone may be the same one."""

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


class VisitMatching:
    """One visit against the threads so far, which it carries on."""

    def __init__(self, visit: FollowedVisit, threads: dict[str, Thread]) -> None:
        self.visit, self.threads = visit, threads
        to_common = visit.to_common or RigidTransform.identity()
        self.now = [Placed(lesion.shape, to_common) for lesion in visit.lesions]
        self.keys = [key for key, one in threads.items() if one.place is not None]
        before = [place for one in threads.values() if (place := one.place) is not None]
        self.said = self._what_people_said()
        self.pairs = {
            (i, k): pair
            for i, lesion in enumerate(self.now)
            for k, place in enumerate(before)
            if i not in self.said and self.keys[k] not in self.said.values() and (pair := compare(lesion, place))
        }
        self.weights = np.zeros((len(self.now), len(before)))
        for (i, k), pair in self.pairs.items():
            if pair.overlap < LEAST_OVERLAP:
                continue
            gone = _WAS_GONE if threads[self.keys[k]].gone else 0
            self.weights[i, k] = max(_PAIRED + pair.likeness + gone, _LEAST)
        self.partner = assign(self.weights)
        self.taken = {k: i for i, k in self.partner.items()}
        # The key of each lesion's thread; those not paired begin one.
        self.key = [
            self.said.get(i) or (self.keys[self.partner[i]] if i in self.partner else f"{visit.visit}/{i + 1}")
            for i in range(len(self.now))
        ]
        continued = set(self.key)
        self.left = [k for k, key in enumerate(self.keys) if key not in continued and not threads[key].gone]

    def links(self) -> VisitLinks:
        """Return the links of the visit, by the threads' keys, and carry the threads on."""
        absent = [self._absence(k) for k in self.left]
        lesions = [self._merge(self._link(i), absent) for i in range(len(self.now))]
        links = VisitLinks(self.visit.visit, tuple(lesions), tuple(absent))
        if self.visit.to_common is None:
            doubt = f"not sure: the visit is not registered ({self.visit.trouble or 'no reason given'})"
            links = VisitLinks(
                links.visit,
                tuple(replace(one, ambiguous=True, reason=f"{one.reason}; {doubt}") for one in links.lesions),
                tuple(replace(one, ambiguous=True, reason=f"{one.reason}; {doubt}") for one in links.absent),
            )
        self._carry_on(links)
        return links

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

    def _link(self, i: int) -> Link:
        key = self.key[i]
        if i in self.said:
            status = Status.PERSISTING if key in self.threads else Status.NEW
            return Link(key, status, False, "a person said so")
        if i in self.partner:
            return self._continued(i, self.partner[i])
        return self._begun(i)

    def _continued(self, i: int, k: int) -> Link:
        """Link a lesion to the one it is paired with."""
        pair, thread = self.pairs[i, k], self.threads[self.keys[k]]
        reason = f"{pair.overlap:.0%} of the one near the other, centroids {pair.distance_mm:.1f} mm apart"
        status = Status.PERSISTING
        if thread.into is not None:
            status, reason = Status.SPLIT, f"apart again after it had merged: {reason}"
        elif thread.gone:
            reason = f"seen again after it had gone: {reason}"
        doubts = []
        if pair.in_place < IN_PLACE:
            doubts.append(f"only {pair.in_place:.0%} of either lies where the other is")
        if pair.likeness < UNLIKE:
            doubts.append("they differ much in size and position")
        if self._could_be_otherwise(i, k):
            doubts.append("another way to pair the lesions around it is almost as likely")
        if pair.distance_mm > (SEEN_AGAIN_MM if thread.gone else max(SEEN_AGAIN_MM, self._radius(i, k))):
            doubts.append("they may be two lesions close to each other")
        if thread.gone and thread.doubted:
            doubts.append("it was not sure that it had gone")
        doubts += self._neighbours(i, k)
        return Link(self.key[i], status, bool(doubts), "; ".join([reason, *doubts]))

    def _neighbours(self, i: int, k: int) -> list[str]:
        """Return the doubts about a paired lesion that come from others nearby."""
        doubts = []
        apart_from = self.threads[self.keys[k]].into
        for other, pair in ((other, pair) for (j, other), pair in self.pairs.items() if j == i and other != k):
            thread, rival = self.threads[self.keys[other]], self.taken.get(other)
            if self.keys[other] == apart_from or thread.place is None:
                continue
            if other in self.left and pair.before_within < IN_PLACE:
                doubts.append("it may have merged with another one next to it, which is not seen any more")
            elif thread.gone and thread.into is None and rival is None:
                doubts.append("it may cover another one next to it that had gone")
            elif rival is not None and pair.before_within > CLEARLY_APART:
                doubts.append("it covers part of the place of another one that is still there")
            elif rival is not None and self.now[rival].volume_mm3 < SHRUNK * thread.place.volume_mm3:
                doubts.append("a part of another one next to it, which has become smaller, may belong to it")
            elif rival is not None and self.pairs[i, k].distance_mm > MOVED_MM:
                doubts.append(f"it has moved by {self.pairs[i, k].distance_mm:.1f} mm, next to another one")
        return doubts

    def _could_be_otherwise(self, i: int, k: int) -> bool:
        """Say whether another pairing of either lesion is nearly as likely; parts and what has merged are none."""
        weights = self.weights
        for other in set(np.flatnonzero(weights[i]).tolist()) - {k}:
            j = self.taken.get(other)
            if j is not None:
                gain = weights[i, other] + weights[j, k] - weights[i, k] - weights[j, other]
            elif self._swallower(other) == i or self.threads[self.keys[other]].into == self.key[i]:
                continue
            else:
                gain = weights[i, other] - weights[i, k]
            if gain > -MARGIN:
                return True
        rivals = set(np.flatnonzero(weights[:, k]).tolist()) - self.partner.keys()
        return any(weights[j, k] > weights[i, k] - MARGIN and self._whole(j) != k for j in rivals)

    def _begun(self, i: int) -> Link:
        """Link a lesion that is paired with none: it is new, or has split from one that is paired with another."""
        if not self.threads:
            return Link(self.key[i], Status.NEW, False, "there is no earlier visit")
        whole = self._whole(i)
        if whole is not None:
            share = self.pairs[i, whole].now_within
            words = f"{share:.0%} of it lies where an earlier lesion was that is still there"
            return Link(self.key[i], Status.SPLIT, share < CLEARLY_IN_PLACE, words, part_of=self.keys[whole])
        former = self._former_whole(i)
        if former is not None:
            words = "it lies where a lesion was, not when that was last seen but earlier"
            return Link(self.key[i], Status.SPLIT, True, words, part_of=former)
        doubts = []
        if any(j == i for j, _ in self.pairs):
            doubts.append("there was another lesion next to where it is")
        if any(self._distance(i, k) < NEIGHBOUR_MM for k in self.left):
            doubts.append("a lesion close to it has just gone")
        return Link(self.key[i], Status.NEW, bool(doubts), "; ".join(["no earlier lesion here", *doubts]))

    def _absence(self, k: int) -> Absence:
        """Say where a lesion has gone that is paired with none."""
        by = self._swallower(k)
        if by is not None:
            share = self.pairs[by, k].before_within
            words = f"{share:.0%} of where it was belongs to another lesion now"
            place = self.threads[self.keys[k]].place
            tiny = place is not None and place.volume_mm3 < TINY_MM3
            if tiny:
                words += "; it was too small to tell whether it went before"
            return Absence(self.keys[k], Status.MERGED, tiny or share < CLEARLY_IN_PLACE, words, into=self.key[by])
        doubts = []
        if any(other == k for _, other in self.pairs):
            doubts.append("there is another lesion next to where it was")
        begun = set(range(len(self.now))) - self.partner.keys() - self.said.keys()
        if any(self._distance(i, k) < NEIGHBOUR_MM for i in begun):
            doubts.append("there is a new lesion close to it")
        return Absence(self.keys[k], Status.RESOLVED, bool(doubts), "; ".join(["no lesion here now", *doubts]))

    def _whole(self, i: int) -> int | None:
        """Return the paired lesion of before that an unpaired one now has split from."""
        shares = {k: pair.now_within for (j, k), pair in self.pairs.items() if j == i and k in self.taken}
        whole = max(shares, key=lambda k: shares[k], default=None)
        return whole if whole is not None and shares[whole] >= IN_PLACE else None

    def _former_whole(self, i: int) -> str | None:
        """Return the key of the thread in whose place at any earlier visit a lesion lies that is paired with none."""
        for key, one in self.threads.items():
            pairs = (compare(self.now[i], place) for place in reversed(one.former))
            if any(pair and pair.now_within >= IN_PLACE for pair in pairs):
                return key
        return None

    def _swallower(self, k: int) -> int | None:
        """Return the lesion now that an unpaired one of before has merged into."""
        shares = {i: pair.before_within for (i, other), pair in self.pairs.items() if other == k and i in self.partner}
        by = max(shares, key=lambda i: shares[i], default=None)
        return by if by is not None and k not in self.taken and shares[by] >= IN_PLACE else None

    def _distance(self, i: int, k: int) -> float:
        place = self.threads[self.keys[k]].place
        return np.inf if place is None else float(np.linalg.norm(self.now[i].centroid - place.centroid))

    def _radius(self, i: int, k: int) -> float:
        place = self.threads[self.keys[k]].place
        return max(self.now[i].radius, place.radius if place else 0)

    def _merge(self, link: Link, absent: Sequence[Absence]) -> Link:
        """Add to a link what has merged into the lesion."""
        swallowed = [absence for absence in absent if absence.into == link.tracking_uid]
        if not swallowed:
            return link
        return replace(
            link,
            status=Status.MERGED,
            ambiguous=link.ambiguous or any(absence.ambiguous for absence in swallowed),
            reason="; ".join([link.reason, *(f"merged with another: {absence.reason}" for absence in swallowed)]),
            merged=tuple(absence.tracking_uid for absence in swallowed),
        )

    def _carry_on(self, links: VisitLinks) -> None:
        registered = self.visit.to_common is not None
        for place, lesion, link in zip(self.now, self.visit.lesions, links.lesions, strict=True):
            one = self.threads.setdefault(link.tracking_uid, Thread())
            if lesion.tracking_uid:
                one.claims[lesion.tracking_uid] += 1
                if lesion.fixed:
                    one.fixed = lesion.tracking_uid
            if registered:
                one.former += [one.place] if one.place else []
                one.place, one.gone, one.into = place, False, None
        if not registered:
            return
        for absence in links.absent:
            one = self.threads[absence.tracking_uid]
            one.gone, one.doubted, one.into = True, absence.ambiguous, absence.into
        for i, k in self.pairs:
            one = self.threads[self.keys[k]]
            if one.gone and one.into is None and i in self.partner:
                one.doubted = True
