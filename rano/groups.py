"""Groups of lesions over the visits: what each visit shows of them, and where their sum was smallest.

``judging`` compares a visit with these, by the rules of ``criteria``.
"""

import datetime
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from rano.criteria import Reading, owners_in, read
from rano.history import LesionAtVisit, VisitFindings

LENGTH, VOLUME = "longest_mm", "volume_mm3"

Group = tuple[str, ...]
Nadir = dict[str, tuple[Reading, str]]
"""The smallest reading of a group, and the visit that had it, per attribute."""


@dataclass(frozen=True)
class Visit:
    """A visit with a date, and which earlier lesions each of its lesions speaks for."""

    findings: VisitFindings
    date: datetime.date
    lesions: tuple[LesionAtVisit, ...]
    families: Mapping[str, tuple[str, ...]]

    def read(self, group: Sequence[str], attribute: str, join: Callable[[int, int], int] = operator.add) -> Reading:
        return read(self.lesions, self.families, group, attribute, join)

    def shown(self, group: Collection[str]) -> list[LesionAtVisit]:
        """Return the lesions that speak for any of a group."""
        return [m for m in self.lesions if not set(group).isdisjoint(self.families[m.tracking_uid])]

    @property
    def spoken_for(self) -> set[str]:
        """All lesions that those of the visit speak for, themselves among them."""
        return {uid for m in self.lesions for uid in self.families[m.tracking_uid]}

    def parted(self, group: Sequence[str]) -> list[str]:
        """Return those of a group that the visit shows in parts."""
        owners = [uid for m in self.lesions for uid in owners_in(group, self.families[m.tracking_uid])[:1]]
        return [uid for uid in group if owners.count(uid) > 1]


def held(visit: Visit, holder: Mapping[str, str]) -> Visit:
    """Let a lesion that the baseline has no size of speak for the one that held it there."""
    families = {
        uid: tuple(dict.fromkeys([*family, *(holder[member] for member in family if member in holder)]))
        for uid, family in visit.families.items()
    }
    return replace(visit, families=families)


def lower(nadir: Nadir, group: Group, day: Sequence[Visit]) -> None:
    """Put a day in the place of a nadir that it lies below; of its visits the one with the largest sum counts."""
    for attribute, (lowest, _) in nadir.items():
        readings = [(visit.read(group, attribute), visit.findings.visit) for visit in day]
        complete = [(reading, name) for reading, name in readings if reading.total is not None]
        largest = max(complete, key=lambda item: item[0].known, default=None)
        if largest and largest[0].known < lowest.known:
            nadir[attribute] = largest
