"""The lesions of a course that were not there at its baseline: since when each counts, and in what it is seen.

``judging`` asks this of every visit. A lesion is known by tracking UID; what has split from a known one is not new.
"""

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from rano import remarks
from rano.criteria import hundredths
from rano.groups import Visit
from rano.history import Judgement, LesionAtVisit, Rules

JUDGEMENTS = (Judgement.NEW, Judgement.EQUIVOCAL)
"""What a reader can say of one."""


class NewLesions:
    """The new lesions of a course.

    Parameters
    ----------
    days
        The visits from the baseline's day on, by day.
    known
        Tracking UIDs of all lesions of the baseline's day.
    names
        Of all lesions, by tracking UID.
    rules
        What a trial may choose.
    """

    def __init__(
        self, days: Sequence[Sequence[Visit]], known: Collection[str], names: Mapping[str, str], rules: Rules
    ) -> None:
        self._known, self._names, self._rules = frozenset(known), names, rules
        self._doubted = _doubted(days)
        self._established = self._established_on(days)

    def shown(self, visit: Visit) -> list[LesionAtVisit]:
        """Return all new lesions of a visit; one that has merged with known ones is as large as they are together."""
        return self.apart(visit) + [
            replace(whole, tracking_uid=uid, name=f"{self._names[uid]} (merged with {self._partners(whole, visit)})")
            for uid, whole in self._merged(visit).items()
        ]

    def sort(self, visit: Visit) -> tuple[list[LesionAtVisit], list[LesionAtVisit], list[LesionAtVisit]]:
        """Return the new lesions: those that the visit can't tell anything of, those that are certain, the others."""
        new = self.shown(visit)
        counting = [m for m in new if self._counts(m.tracking_uid, visit)]
        missed = [m for m in counting if m.longest_mm is None]
        return missed, [m for m in counting if m not in missed], [m for m in new if m not in counting]

    def doubted(self, visit: Visit) -> list[LesionAtVisit]:
        """Return those that have been in doubt so far: that one is new rests on the visits that showed it.

        They are all up to the one that confirmed it, be that a later one.
        """
        return [
            m
            for m in self.shown(visit)
            if self._doubted.get(m.tracking_uid, datetime.date.max) <= self._told_by(m.tracking_uid, visit)
        ]

    def describe(self, lesion: LesionAtVisit, visit: Visit) -> str:
        """Say of one that is certain that it is new."""
        _, confirmed = self._established[lesion.tracking_uid]
        if confirmed > visit.date:
            return f"new lesion {lesion.label}, in doubt at first and confirmed on {confirmed}, counts from this visit"
        return f"new lesion {lesion.label}"

    def notes(self, visit: Visit) -> list[str]:
        """Say which have merged with known ones."""
        return [
            remarks.still_new(self._names[uid], self._established[uid][0], self._partners(whole, visit))
            for uid, whole in self._merged(visit).items()
        ]

    def judged(self, visit: Visit) -> list[str]:
        """Say what a reader has said of them at a visit."""
        words = {Judgement.NEW: "is a new lesion beyond doubt", Judgement.EQUIVOCAL: "is equivocal as a new lesion"}
        return [f"{m.label} {words[m.judgement]}" for m in self.apart(visit) if m.judgement in words]

    def apart(self, visit: Visit) -> list[LesionAtVisit]:
        """Return the lesions that are new by themselves: nothing of what was known is in them."""
        return [m for m in visit.lesions if self._known.isdisjoint(visit.families[m.tracking_uid])]

    def _merged(self, visit: Visit) -> dict[str, LesionAtVisit]:
        """Tell in what the visit shows each new lesion that counts and has merged with known ones, by tracking UID.

        Whichever of them the whole goes by: to merge makes no lesion one that was there at the baseline.
        """
        listed = {m.tracking_uid for m in visit.lesions}
        return {
            uid: whole
            for whole in visit.shown(self._known)
            for uid in visit.families[whole.tracking_uid]
            if self._counts(uid, visit) and (uid == whole.tracking_uid or uid not in listed)
        }

    def _partners(self, whole: LesionAtVisit, visit: Visit) -> str:
        """Name the known lesions that are in one; what people have called no lesion only when there is nothing else."""
        known = [uid for uid in visit.families[whole.tracking_uid] if uid in self._known]
        return ", ".join([self._names[uid] for uid in known if uid in self._names] or known)

    def _established_on(self, days: Sequence[Sequence[Visit]]) -> dict[str, tuple[datetime.date, datetime.date]]:
        """Tell since when each new lesion counts, and when it was one beyond doubt for the first time.

        It counts from when it was first seen, but not across a day whose visits were assessed and did not show it.
        """
        established: dict[str, tuple[datetime.date, datetime.date]] = {}
        seen: dict[str, datetime.date] = {}
        for day in days:
            assessed = [visit for visit in day if visit.findings.lesions is not None]
            there = {uid for visit in assessed for uid in visit.spoken_for}
            if assessed:
                seen = {uid: since for uid, since in seen.items() if uid in there}
            for visit in assessed:
                for lesion in self.apart(visit):
                    since = seen.setdefault(lesion.tracking_uid, visit.date)
                    if not self._is_equivocal(lesion):
                        established.setdefault(lesion.tracking_uid, (since, visit.date))
        return established

    def _counts(self, uid: str, visit: Visit) -> bool:
        since, _ = self._established.get(uid, (datetime.date.max, None))
        return since <= visit.date

    def _told_by(self, uid: str, visit: Visit) -> datetime.date:
        """Return the day that tells whether a lesion of a visit counts as new at it."""
        return max(visit.date, self._established[uid][1]) if self._counts(uid, visit) else visit.date

    def _is_equivocal(self, lesion: LesionAtVisit) -> bool:
        if lesion.judgement in JUDGEMENTS:
            return lesion.judgement is Judgement.EQUIVOCAL
        longest = hundredths(lesion.longest_mm)
        return lesion.equivocal or longest is None or longest < Fraction(str(self._rules.equivocal_below_mm)) * 100


def _doubted(days: Sequence[Sequence[Visit]]) -> dict[str, datetime.date]:
    """Tell since when it is not sure which lesion each is, or in which it has merged."""
    doubted: dict[str, datetime.date] = {}
    for visit in (visit for day in days for visit in day if not visit.findings.verified):
        for lesion in (lesion for lesion in visit.lesions if lesion.doubt):
            for uid in (lesion.tracking_uid, *lesion.merged):
                doubted.setdefault(uid, visit.date)
    return doubted
