"""From the visits of a patient to RANO-BM's answer: is this patient responding, and which rule says so.

Radiographic and overall response are kept apart. The overall one needs the corticosteroid dose and the clinical
status; where they are missing it is NE, whatever the images show.

Everything is worked out anew from the complete history, so the order in which visits become known does not matter.
Visits of one day are one point in time: each is judged on its own, none is the other's nadir or confirmation. The
rules are in ``table`` and ``criteria``, their course over time in ``judging`` and ``confirmation``.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rano.confirmation import Best, Judged, Verdict, best, confirm
from rano.counting import counted
from rano.criteria import Response
from rano.history import HistoryError, Rules, VisitFindings
from rano.immunotherapy import carried
from rano.judging import Course
from rano.visit_response import Role, VisitResponse

DEFAULT_RULES = Rules()


@dataclass(frozen=True)
class Assessment:
    """The answer for a patient.

    Attributes
    ----------
    visits
        By date, then identifier; visits without a date last.
    baseline
        The visit that the others are compared with, if any; ``reason`` says why it is this one, or why there is none.
    targets, non_targets
        Tracking UIDs of the baseline's lesions.
    rules
        By which the visits were judged.
    roles
        What each lesion that was seen from the baseline on counts as, by tracking UID.
    best_radiographic, best_overall
        The best response up to progression.
    """

    visits: tuple[VisitResponse, ...]
    baseline: str | None
    reason: str
    targets: tuple[str, ...]
    non_targets: tuple[str, ...]
    best_radiographic: Best
    best_overall: Best
    rules: Rules
    roles: Mapping[str, Role] = field(default_factory=dict)


def assess(
    visits: Sequence[VisitFindings],
    rules: Rules = DEFAULT_RULES,
    baseline: str | None = None,
) -> Assessment:
    """Judge a patient's visits by RANO-BM.

    Parameters
    ----------
    visits
        All of them, in any order.
    rules
        What a trial may choose.
    baseline
        The baseline visit, where it was chosen by hand. Otherwise it is the first assessed visit; of several on that
        day the one with the most lesions, then the first by identifier.

    Raises
    ------
    HistoryError
        When two visits share an identifier, or the chosen baseline is not among those assessed and dated.
    """
    names = [visit.visit for visit in visits]
    if len(set(names)) < len(names):
        raise HistoryError(f"a visit is given more than once: {', '.join(sorted(names))}")
    visits = carried(counted(visits))
    dated = [visit for visit in visits if visit.date is not None]
    undated = [visit for visit in visits if visit.date is None]
    first, reason = _baseline(dated, baseline)
    course = Course(dated, first, rules) if first else None
    answers = course.answers() if course else [_unplaced(visit, reason) for visit in dated]
    answers += [_unplaced(visit, "the visit has no date") for visit in undated]

    has_targets = bool(course and course.targets)
    radiographic = [
        Judged(a.visit, a.date, a.radiographic, bool(a.doubts)) for a in answers if a.date and a.radiographic
    ]
    overall = _overall(answers)
    images = {j.visit: v for j, v in zip(radiographic, confirm(radiographic, rules.confirmation_days), strict=True)}
    treated = {visit.visit for visit in visits if visit.immunotherapy}
    whole = {j.visit: v for j, v in zip(overall, confirm(overall, rules.confirmation_days), strict=True)}
    return Assessment(
        visits=tuple(
            replace(
                a,
                radiographic=images.get(a.visit, a.radiographic),
                overall=whole.get(a.visit, a.overall),
                immunotherapy=a.visit in treated,
            )
            for a in answers
        ),
        baseline=first,
        reason=reason,
        targets=course.targets if course else (),
        non_targets=course.non_targets if course else (),
        best_radiographic=best(radiographic, rules.confirmation_days, has_targets),
        best_overall=best(overall, rules.confirmation_days, has_targets),
        rules=rules,
        roles=course.roles() if course else {},
    )


def best_until(assessment: Assessment, date: datetime.date) -> Best:
    """Return the best overall response up to and including a day, as it stood then: nothing later confirms it."""
    judged = [one for one in _overall(assessment.visits) if one.date <= date]
    return best(judged, assessment.rules.confirmation_days, bool(assessment.targets))


def _overall(answers: Sequence[VisitResponse]) -> list[Judged]:
    return [Judged(a.visit, a.date, a.overall, bool(a.doubts)) for a in answers if a.date and a.overall]


def _unplaced(visit: VisitFindings, reason: str) -> VisitResponse:
    verdict = Verdict(Response.NE, reason)
    return VisitResponse(visit.visit, visit.date, "unplaced", radiographic=verdict, overall=verdict)


def _baseline(dated: Sequence[VisitFindings], chosen: str | None) -> tuple[str | None, str]:
    possible = [visit for visit in dated if visit.lesions is not None]
    if chosen is not None:
        for visit in possible:
            if visit.visit == chosen:
                return visit.visit, f"{visit.date} was chosen as the baseline."
        raise HistoryError(f"the baseline {chosen} is not among the visits that have a date and were assessed")
    if not possible:
        return None, "there is no assessed visit with a date to compare with"
    day = possible[0].date
    reason = f"{day} is the first visit (no other was chosen)."
    same_day = [visit for visit in possible if visit.date == day]
    if len(same_day) > 1:
        reason += f" Of {len(same_day)} visits on that day it is the one with the most lesions."
    return max(same_day, key=lambda visit: len(visit.lesions or ())).visit, reason
