"""Who is who: which lesions of a visit are parts of one, and which speak for one of before that split or merged."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from rano.history import LesionAtVisit, VisitFindings


def wholes(lesions: Sequence[LesionAtVisit]) -> list[LesionAtVisit]:
    """Take each lesion of a visit together with the parts of it that the visit shows.

    Their sizes are added, as everywhere. It is measurable when any of them is. Whether it is a target by hand is what
    people have said of itself, or else that they have chosen one of its parts.
    """
    listed = {lesion.tracking_uid: lesion for lesion in lesions}
    ways = {uid: lesion.part_of for uid, lesion in listed.items() if lesion.part_of in listed}
    parts: dict[str, list[LesionAtVisit]] = {}
    for uid, lesion in listed.items():
        parts.setdefault(chain(uid, ways)[-1], []).append(lesion)
    return [_whole(listed[uid], those) for uid, those in parts.items()]


def _whole(itself: LesionAtVisit, parts: Sequence[LesionAtVisit]) -> LesionAtVisit:
    chosen = True if any(part.target for part in parts) else None
    return replace(
        itself,
        longest_mm=_added([part.longest_mm for part in parts]),
        volume_mm3=_added([part.volume_mm3 for part in parts]),
        measurable=any(part.measurable for part in parts),
        target=chosen if itself.target is None else itself.target,
    )


def _added(sizes: Sequence[float | None]) -> float | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def chain(uid: str, ways: Mapping[str, str]) -> list[str]:
    """Follow the ways from a lesion to the next, as far as they lead."""
    passed = [uid]
    while (following := ways.get(passed[-1])) is not None and following not in passed:
        passed.append(following)
    return passed


def families(
    visits: Sequence[VisitFindings], own: Collection[str] = (), since: int = 0
) -> list[dict[str, tuple[str, ...]]]:
    """Tell, for each visit and lesion, which earlier lesions it speaks for.

    Parameters
    ----------
    visits
        In the order of time.
    own, since
        Tracking UIDs of those that count as lesions of their own from this visit on: that one of them has split from
        another before no longer counts.

    Returns
    -------
    list of dict
        Per visit, tracking UID to the tracking UIDs it stands for: its own first, then the lesion it has split from
        and those that have merged into it, and theirs in turn.
    """
    parent: dict[str, str] = {}
    absorbed: dict[str, list[str]] = {}
    result = []
    for number, visit in enumerate(visits):
        if number == since:
            parts = {uid for uid in own if not set(own).isdisjoint(chain(uid, parent)[1:])}
            parent = {uid: whole for uid, whole in parent.items() if uid not in parts}
        lesions = visit.lesions or ()
        for lesion in lesions:
            if lesion.part_of is not None:
                parent[lesion.tracking_uid] = lesion.part_of
            absorbed.setdefault(lesion.tracking_uid, []).extend(lesion.merged)
        # Who is seen apart again is no part of the other any more, nor at a later visit that does not show it.
        apart = {lesion.tracking_uid for lesion in lesions if lesion.longest_mm is not None}
        absorbed = {uid: [other for other in others if other not in apart] for uid, others in absorbed.items()}
        result.append({lesion.tracking_uid: _family(lesion.tracking_uid, parent, absorbed) for lesion in lesions})
    return result


def _family(uid: str, parent: Mapping[str, str], absorbed: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    found = [uid]
    for member in found:  # grows as it goes
        others = [*([parent[member]] if member in parent else []), *absorbed.get(member, ())]
        found += [other for other in others if other not in found]
    return tuple(found)
