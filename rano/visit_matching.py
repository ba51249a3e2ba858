"""One visit against all before: what its lesions are to those known, in words, and what speaks against it.

Visits are handled in the order of time: ``following`` calls this for each, ``visit_pairing`` pairs the lesions, and
the tracking UIDs are given out afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rano.coverage import COVERED
from rano.links import Absence, FollowedVisit, Link, Status, VisitLinks
from rano.visit_pairing import IN_PLACE, Thread, VisitPairing

UNLIKE = 0.15
"""A link is ambiguous when the two lesions are less alike than this."""
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
REGAINED = 0.5
"""A lesion that one visit does not show, and the next with this share of its volume, was rather missed than has grown
anew. What two days in a row do not show had gone: the second confirms it, as a second one confirms a response."""
NEIGHBOUR_MM = 8.0
"""A new lesion this near to one that has just gone may be the same one."""


def link_visit(visit: FollowedVisit, threads: dict[str, Thread], earlier: Sequence[FollowedVisit]) -> VisitLinks:
    """Return the links of a visit, by the threads' keys, and carry the threads on; ``earlier`` are those before it."""
    # What another visit of the same day shows says nothing of the time before.
    paired = VisitPairing(visit, threads, [one for one in earlier if one.date != visit.date])
    absent = [_absence(paired, k) for k in paired.left]
    # Whether what had gone is still gone can't be said either.
    absent += [_not_covered(paired, k) for k in paired.gone if paired.covered(k) < COVERED]
    lesions = [_merge(_cut(paired, i, _link(paired, i)), absent) for i in range(len(paired.now))]
    links = VisitLinks(visit.visit, tuple(lesions), tuple(absent))
    if visit.to_common is None or visit.trouble:
        known = "not registered" if visit.to_common is None else "not surely placed"
        doubt = f"not sure: the visit is {known} ({visit.trouble or 'no reason given'})"
        links = VisitLinks(
            links.visit,
            tuple(
                one if i in paired.said else replace(one, ambiguous=True, reason=f"{one.reason}; {doubt}")
                for i, one in enumerate(links.lesions)
            ),
            tuple(replace(one, ambiguous=True, reason=f"{one.reason}; {doubt}") for one in links.absent),
        )
    _carry_on(paired, links)
    return links


def _link(paired: VisitPairing, i: int) -> Link:
    key = paired.key[i]
    if i in paired.said:
        status = Status.PERSISTING if key in paired.threads else Status.NEW
        return Link(key, status, False, "a person said so")
    if i in paired.partner:
        return _continued(paired, i, paired.partner[i])
    return _begun(paired, i)


def _cut(paired: VisitPairing, i: int, link: Link) -> Link:
    """Doubt a lesion that the images may show only a part of."""
    visit = paired.visit
    if i in paired.said or visit.grid is None or not visit.grid.cuts(visit.lesions[i].shape.points):
        return link
    words = "it is at the edge of the images, where a part of it may be cut off"
    return replace(link, ambiguous=True, reason=f"{link.reason}; {words}")


def _continued(paired: VisitPairing, i: int, k: int) -> Link:
    """Link a lesion to the one it is paired with."""
    pair, thread = paired.pairs[i, k], paired.thread(k)
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
    if paired.could_be_otherwise(i, k):
        doubts.append("another way to pair the lesions around it is almost as likely")
    if pair.distance_mm > (SEEN_AGAIN_MM if thread.gone else max(SEEN_AGAIN_MM, paired.radius(i, k))):
        doubts.append("they may be two lesions close to each other")
    doubts += _was_it_gone(thread)
    doubts += _neighbours(paired, i, k)
    return Link(paired.key[i], status, bool(doubts), "; ".join([reason, *doubts]))


def _was_it_gone(thread: Thread) -> list[str]:
    """Return the doubt about a lesion that is seen again; what was there meanwhile may have been a part of it."""
    return ["it was not sure that it had gone"] if thread.gone and thread.doubted else []


def _neighbours(paired: VisitPairing, i: int, k: int) -> list[str]:
    """Return the doubts about a paired lesion that come from others nearby."""
    doubts = []
    apart_from = paired.thread(k).into
    for other, pair in ((other, pair) for (j, other), pair in paired.pairs.items() if j == i and other != k):
        thread, rival = paired.thread(other), paired.taken.get(other)
        if paired.keys[other] == apart_from or thread.place is None:
            continue
        if other in paired.left and pair.before_within < IN_PLACE:
            doubts.append("it may have merged with another one next to it, which is not seen any more")
        elif thread.gone and thread.into is None and rival is None:
            doubts.append("it may cover another one next to it that had gone")
        elif rival is not None and pair.before_within > CLEARLY_APART:
            doubts.append("it covers part of the place of another one that is still there")
        elif rival is not None and paired.now[rival].volume_mm3 < SHRUNK * thread.place.volume_mm3:
            doubts.append("a part of another one next to it, which has become smaller, may belong to it")
        elif rival is not None and paired.pairs[i, k].distance_mm > MOVED_MM:
            doubts.append(f"it has moved by {paired.pairs[i, k].distance_mm:.1f} mm, next to another one")
    return doubts


def _begun(paired: VisitPairing, i: int) -> Link:
    """Link a lesion that is paired with none: it is new, or has split from one that is paired with another."""
    if not paired.threads and not paired.earlier:
        return Link(paired.key[i], Status.NEW, False, "there is no earlier visit")
    whole = paired.whole(i)
    if whole is not None:
        share = paired.pairs[i, whole].now_within
        reason = f"{share:.0%} of it lies where an earlier lesion was that is still there"
        doubts = _was_it_gone(paired.thread(whole))
        ambiguous = share < CLEARLY_IN_PLACE or bool(doubts)
        return Link(paired.key[i], Status.SPLIT, ambiguous, "; ".join([reason, *doubts]), part_of=paired.keys[whole])
    former = paired.former_whole(i)
    if former is not None:
        words = "it lies where a lesion was, not when that was last seen but earlier"
        return Link(paired.key[i], Status.SPLIT, True, words, part_of=former)
    doubts = []
    if paired.covered_before(i) < COVERED:
        doubts.append("no earlier images show this place")
    if any(j == i for j, _ in paired.pairs):
        doubts.append("there was another lesion next to where it is")
    if any(paired.distance(i, k) < NEIGHBOUR_MM for k in paired.left):
        doubts.append("a lesion close to it has just gone")
    return Link(paired.key[i], Status.NEW, bool(doubts), "; ".join(["no earlier lesion here", *doubts]))


def _absence(paired: VisitPairing, k: int) -> Absence:
    """Say where a lesion has gone that is paired with none."""
    by = paired.swallower(k)
    if by is not None:
        share = paired.pairs[by, k].before_within
        words = f"{share:.0%} of where it was belongs to another lesion now"
        place = paired.thread(k).place
        tiny = place is not None and place.volume_mm3 < TINY_MM3
        if tiny:
            words += "; it was too small to tell whether it went before"
        return Absence(paired.keys[k], Status.MERGED, tiny or share < CLEARLY_IN_PLACE, words, into=paired.key[by])
    if paired.covered(k) < COVERED:
        return _not_covered(paired, k)
    doubts = []
    if any(other == k for _, other in paired.pairs):
        doubts.append("there is another lesion next to where it was")
    begun = set(range(len(paired.now))) - paired.partner.keys() - paired.said.keys()
    if any(paired.distance(i, k) < NEIGHBOUR_MM for i in begun):
        doubts.append("there is a new lesion close to it")
    return Absence(paired.keys[k], Status.RESOLVED, bool(doubts), "; ".join(["no lesion here now", *doubts]))


def _not_covered(paired: VisitPairing, k: int) -> Absence:
    words = f"only {paired.covered(k):.0%} of where it was lies well within the images"
    return Absence(paired.keys[k], Status.NOT_COVERED, False, words)


def _merge(link: Link, absent: Sequence[Absence]) -> Link:
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


def doubt_missed(links: VisitLinks, threads: Mapping[str, Thread]) -> VisitLinks:
    """Doubt that those had gone which a later visit shows again as if they never had."""
    missed = {key for key, one in threads.items() if links.visit in one.missed}
    words = "it is seen again later with at least half of its volume: it may have been missed"
    absent = [
        replace(one, ambiguous=True, reason=f"{one.reason}; {words}") if one.tracking_uid in missed else one
        for one in links.absent
    ]
    return replace(links, absent=tuple(absent))


def _carry_on(paired: VisitPairing, links: VisitLinks) -> None:
    """Note in the threads what the visit has shown; where, only if it is registered to those before."""
    for lesion, link in zip(paired.visit.lesions, links.lesions, strict=True):
        one = paired.threads.setdefault(link.tracking_uid, Thread())
        if lesion.tracking_uid:
            one.claims[lesion.tracking_uid] += 1
            if lesion.fixed:
                one.fixed = lesion.tracking_uid
    if paired.visit.to_common is not None:
        _note_present(paired, links)
        _note_absent(paired, links)


def _note_present(paired: VisitPairing, links: VisitLinks) -> None:
    for place, link in zip(paired.now, links.lesions, strict=True):
        one = paired.threads[link.tracking_uid]
        if one.place and len(one.without) == 1 and place.volume_mm3 >= REGAINED * one.place.volume_mm3:
            one.missed += [visit for day in one.without.values() for visit in day]
        one.without = {}
        one.former += [one.place] if one.place else []
        one.place, one.gone, one.into = place, False, None


def _note_absent(paired: VisitPairing, links: VisitLinks) -> None:
    not_covered = {absence.tracking_uid for absence in links.absent if absence.status is Status.NOT_COVERED}
    for absence in links.absent:
        if absence.tracking_uid not in not_covered:
            one = paired.threads[absence.tracking_uid]
            one.gone, one.doubted, one.into = True, absence.ambiguous, absence.into
    for key, one in paired.threads.items():
        if one.gone and one.into is None and key not in not_covered:
            one.without.setdefault(paired.visit.date, []).append(links.visit)
    for i, k in paired.pairs:
        one = paired.thread(k)
        if one.gone and one.into is None and i in paired.partner:
            one.doubted = True
