"""What counts at a visit, and how surely, where people have called some of it no lesion.

What is no lesion is left out, but not what hangs together with it: a lesion that it has taken in has not gone, and a
piece that it has lost is not surely a lesion.
"""

import datetime
from collections.abc import Sequence
from dataclasses import replace

from rano.families import chain
from rano.history import LesionAtVisit, VisitFindings


def counted(visits: Sequence[VisitFindings]) -> list[VisitFindings]:
    """Give the visits with the lesions that count, in the order of time.

    A lesion that has merged with what is no lesion can't be assessed for as long as it is not seen by itself again,
    and its link is in doubt. What has split from what is no lesion is equivocal and its link in doubt, unless people
    have chosen whether it is a target: then it is a lesion.

    Either is a doubt at the visit at which it merges or splits: who has looked at that is not asked at each later one.

    Parameters
    ----------
    visits
        All of the patient's, in any order.
    """
    listed = [lesion for visit in visits for lesion in visit.lesions or ()]
    none = {one.tracking_uid for one in listed if one.refused} - {one.tracking_uid for one in listed if not one.refused}
    seen: dict[str, LesionAtVisit] = {}
    origin: dict[str, str] = {}
    within: dict[str, str] = {}
    result = []
    for visit in sorted(visits, key=lambda one: (one.date is None, one.date or datetime.date.min, one.visit)):
        there = {lesion.tracking_uid: lesion for lesion in visit.lesions or ()}
        apart = {uid for uid, lesion in there.items() if lesion.longest_mm is not None}
        for uid, lesion in there.items():
            within.update(dict.fromkeys(lesion.merged, uid))
            if lesion.part_of is not None and lesion.target is None:
                origin[uid] = lesion.part_of
        within = {uid: holder for uid, holder in within.items() if uid not in apart}
        lesions = {
            uid: one if none.isdisjoint(chain(uid, origin)) else _piece(one)
            for uid, one in there.items()
            if not one.refused
        }
        for uid in (uid for uid in within if uid in seen):
            *between, last = chain(uid, within)
            holder = there.get(last)
            if holder is None:
                continue
            if holder.refused:
                lesions[uid] = _unmeasured(seen[uid], holder)
            elif last in lesions and between[-1] in holder.merged and none.intersection(between):
                # Nobody else says that what is no lesion, and now a part of this one, had taken in another before.
                lesions[last] = replace(lesions[last], merged=(*lesions[last].merged, uid))
        seen |= lesions
        result.append(visit if visit.lesions is None else replace(visit, lesions=tuple(lesions.values())))
    return result


def _piece(lesion: LesionAtVisit) -> LesionAtVisit:
    return replace(lesion, equivocal=True, doubt=lesion.doubt or lesion.part_of is not None)


def _unmeasured(lesion: LesionAtVisit, holder: LesionAtVisit) -> LesionAtVisit:
    doubt = lesion.tracking_uid in holder.merged
    return replace(lesion, longest_mm=None, volume_mm3=None, merged=(), judgement=None, doubt=doubt, within=holder)
