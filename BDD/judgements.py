"""What readers have said of the lesions of a visit, by the lesion that stands for each now.

A judgement is kept by tracking UID. What people merge later goes by what was said of the lesion that stands for both,
else by what was said of the one that was merged into it.
"""

from collections.abc import Mapping
from dataclasses import replace

from BDD.followup_models import TrackedLesion, VisitAssessment
from BDD.identities import root
from rano.history import Judgement, LesionAtVisit


def judgements_of(said: VisitAssessment | None, lesions: Mapping[int, TrackedLesion]) -> dict[str, Judgement]:
    """Give what was said at a visit, by tracking UID of the lesion that stands for each.

    Parameters
    ----------
    said
        What people have said of the visit.
    lesions
        All tracked lesions of the patient by key.
    """
    if said is None or not said.judgements:  # as of nearly every visit of every course that is looked at
        return {}
    kept, wholes = said.judgements, _wholes(lesions)
    by_whole = {wholes.get(uid, uid): Judgement(word) for uid, word in kept.items()}
    return by_whole | {uid: Judgement(kept[uid]) for uid in by_whole if uid in kept}


def judged(
    found: tuple[LesionAtVisit, ...], said: VisitAssessment, lesions: Mapping[int, TrackedLesion]
) -> tuple[LesionAtVisit, ...]:
    """Give the lesions of a visit with what a reader has said of each, of a part what was said of the whole."""
    by_whole = judgements_of(said, lesions)
    if not by_whole:
        return found
    wholes = _wholes(lesions)
    return tuple(replace(one, judgement=by_whole.get(wholes.get(one.tracking_uid, one.tracking_uid))) for one in found)


def _wholes(lesions: Mapping[int, TrackedLesion]) -> dict[str, str]:
    return {one.tracking_uid: root(one, lesions).tracking_uid for one in lesions.values()}
