"""The course of a patient in one table: visits, the size of every lesion at each, and the response with its reasons.

The values that the timeline's page, JSON, CSV and PDF are made from.
"""

import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from rano.criteria import hundredths, percent_above
from rano.history import Judgement, TargetRule
from rano.remarks import MEASURABLE
from rano.response import Assessment
from rano.visit_response import VisitResponse

_ORDER = ("target", "new")


@dataclass(frozen=True)
class LesionSize:
    """A lesion at one visit.

    Attributes
    ----------
    finding
        Key of the row that was measured; of several parts, the first.
    longest_mm, volume_mm3
        Of several parts, their sum.
    perpendicular_mm
        Of several parts, that of the longest.
    parts
        How many components it has at this visit.
    measurable
        By RANO-BM.
    relation
        How it was followed to this visit; may be empty.
    ambiguous
        Whether somebody should look at that.
    """

    finding: int
    longest_mm: float
    perpendicular_mm: float
    volume_mm3: float
    parts: int
    measurable: bool
    relation: str = ""
    ambiguous: bool = False


@dataclass(frozen=True)
class SizeChange:
    """How a lesion's longest diameter has changed since the visit before.

    Attributes
    ----------
    mm, percent
        Positive is growth; the percentage as ``percent_above`` gives it. None where there is nothing to compare.
    why
        Why there is not, in words.
    """

    mm: float | None = None
    percent: float | None = None
    why: str = ""


@dataclass(frozen=True)
class TimelineLesion:
    """A lesion through all visits.

    Attributes
    ----------
    key, version
        What it is asked for by, and how often it was changed, plus 1.
    number
        Which of the patient's lesions it is, from 1: its colour.
    role
        ``"target"``, ``"non_target"``, ``"new"``, ``"not_a_lesion"``, ``"merged"``, or ``"unplaced"`` when there is
        no baseline to say, or it was seen only before that. A part has the role of what it is a part of.
    target, not_a_lesion, merged_into, split_from
        What people have decided.
    sizes
        One per visit; None where it is not there, or nobody can tell (``unmeasured``).
    not_covered
        One per visit: whether its place lies outside the images, so that nobody can say whether it is there.
    within
        One per visit: the name of what people have called no lesion and it has merged with, so that nobody can measure
        it; else None.
    absorbed_by
        One per visit: the name of the lesion it has merged into, so that it has no size of its own; else None.
    """

    key: int
    version: int
    tracking_uid: str
    number: int
    name: str
    role: str
    target: bool | None
    not_a_lesion: bool
    merged_into: int | None
    sizes: tuple[LesionSize | None, ...]
    split_from: int | None = None
    not_covered: tuple[bool, ...] = ()
    within: tuple[str | None, ...] = ()
    absorbed_by: tuple[str | None, ...] = ()

    @property
    def is_set_aside(self) -> bool:
        """Whether people have merged it into another or called it no lesion, so that it does not count by itself."""
        return self.role in ("merged", "not_a_lesion")

    def holder(self, visit: int) -> str:
        """Give the name of what it has merged into at a visit, be it a lesion or none; empty where it has not."""
        return next(filter(None, (*self.within[visit : visit + 1], *self.absorbed_by[visit : visit + 1])), "")

    def unmeasured(self, visit: int) -> str:
        """Say in a word why nobody can tell its size at a visit, from 0; empty when they can, or it has gone."""
        if self.holder(visit):
            return "merged"
        return "not covered" if any(self.not_covered[visit : visit + 1]) else ""

    def why_unmeasured(self, visit: int) -> str:
        """Say the same in full: into what it has merged."""
        return f"merged into {name}" if (name := self.holder(visit)) else self.unmeasured(visit)


@dataclass(frozen=True)
class TimelineVisit:
    """A visit.

    Attributes
    ----------
    key
        What changes of it go by.
    corticosteroid_mg, clinical_status, immunotherapy, judgements, note, baseline
        What people have said of it; the judgements of lesions by tracking UID.
    version
        How often that was changed.
    response
        RANO-BM's answer.
    followed, verified
        Name of how its lesions were followed, and of what a person has found right of that; "" and None where unknown.
    """

    key: int
    study_instance_uid: str
    series_instance_uid: str
    job_id: str
    date: datetime.date | None
    model: str
    corticosteroid_mg: float | None
    clinical_status: str | None
    immunotherapy: bool | None
    note: str
    baseline: bool
    version: int
    response: VisitResponse
    followed: str = ""
    verified: str | None = None
    judgements: Mapping[str, Judgement] = field(default_factory=dict)

    @property
    def is_verified(self) -> bool:
        """Whether a person has looked at how its lesions were followed, as it is now, and found it right."""
        return self.verified == self.followed

    def growth(self, rule: TargetRule) -> tuple[float | None, float | None]:
        """How the sum of the targets has changed from baseline and nadir, percent; None at the baseline, too."""
        change = self.response.change(rule)
        if change is None or self.response.role == "baseline":
            return None, None
        return change.from_baseline_percent, change.from_nadir_percent


@dataclass(frozen=True)
class Finder:
    """A network that has found lesions: its name and version, and what it says of itself."""

    name: str
    statement: str


@dataclass(frozen=True)
class Timeline:
    """A patient's course; ``assessment.visits`` are those of ``visits``, in the same order: by date, undated last.

    ``finders`` are the networks that found the lesions, each once, in the order of the visits.
    """

    patient_key: int
    patient_id: str | None
    visits: tuple[TimelineVisit, ...]
    lesions: tuple[TimelineLesion, ...]
    assessment: Assessment
    finders: tuple[Finder, ...] = ()

    @cached_property
    def baseline_place(self) -> int | None:
        """The place of the baseline among the visits, from 0; None where there is none."""
        studies = [visit.study_instance_uid for visit in self.visits]
        return studies.index(self.assessment.baseline) if self.assessment.baseline in studies else None

    @property
    def counting(self) -> tuple[TimelineLesion, ...]:
        """The lesions without those that people have merged into others and those that they have called none."""
        return tuple(lesion for lesion in self.lesions if not lesion.is_set_aside)

    def holds(self, lesion: TimelineLesion, visit: int) -> Sequence[str]:
        """Give the names of what has merged into a lesion, or into what is none, at a visit, from 0."""
        return self._held[visit].get(lesion.name, ())

    @cached_property
    def _held(self) -> list[Mapping[str, list[str]]]:
        held: list[Mapping[str, list[str]]] = []
        for visit in range(len(self.visits)):
            names = defaultdict(list)
            for lesion in self.lesions:
                if holder := lesion.holder(visit):
                    names[holder].append(lesion.name)
            held.append(names)
        return held

    def change(self, lesion: TimelineLesion, visit: int) -> SizeChange:
        """Say how a lesion that is there at a visit, from 0, has changed since the one before.

        A change is given only between two sizes of the same thing, by itself or together with the same others.
        """
        size, before = lesion.sizes[visit], lesion.sizes[visit - 1] if visit else None
        why = self._why_no_change(lesion, visit)
        if size is None or before is None or why:
            return SizeChange(why=why)
        now, then = (hundredths(one.longest_mm) or 0 for one in (size, before))
        return SizeChange((now - then) / 100, percent_above(now, then))

    def _why_no_change(self, lesion: TimelineLesion, visit: int) -> str:
        # Visits without a date come last: what lies before one in time nobody knows.
        if not self.visits[visit].date:
            return "no date"
        if not visit:
            return "first visit"
        if lesion.sizes[visit - 1]:
            return self._why_unlike(lesion, visit)
        if holder := lesion.holder(visit - 1):
            return f"was part of {holder}"
        return self._why_not_before(lesion, visit)

    def _why_unlike(self, lesion: TimelineLesion, visit: int) -> str:
        held, holds = self.holds(lesion, visit - 1), self.holds(lesion, visit)
        if taken_in := [name for name in holds if name not in held]:
            return f"holds {', '.join(taken_in)}"
        lost = [name for name in held if name not in holds]
        return f"held {', '.join(lost)} before" if lost else ""

    def _why_not_before(self, lesion: TimelineLesion, visit: int) -> str:
        response, size = self.visits[visit].response, lesion.sizes[visit]
        seen = any(lesion.sizes[:visit])
        if not seen and lesion.tracking_uid in response.new_lesions:
            return "new"
        if not seen and lesion.tracking_uid in response.equivocal_lesions:
            return "perhaps new"
        if any(lesion.not_covered[visit - 1 : visit]):
            return "not covered before"
        if seen:
            return "seen again"
        return "split off" if size and size.relation.startswith("split") else "not seen before"

    @property
    def in_order(self) -> list[TimelineLesion]:
        """Those as page and report show them: targets, then new ones, then the others, each the largest first.

        On what is new a progression rests: where there is no room for all, it is not to be left out.
        """
        return sorted(self.counting, key=_rank)

    def why_no_target(self, lesion: TimelineLesion) -> str:
        """Say why nobody can choose a lesion as a target; empty when they can.

        A target is a lesion of the baseline that was measurable there.
        """
        baseline = self.baseline_place
        if baseline is None:
            return "There is no baseline"
        size = lesion.sizes[baseline]
        if size is None:
            return _why_not_at_the_baseline(lesion, baseline)
        if size.measurable:
            return ""
        diameters = f"{size.longest_mm:.1f} × {size.perpendicular_mm:.1f} mm"
        return f"Not measurable at the baseline, {diameters}. Asked for are: {MEASURABLE}"

    def none_counts(self, visit: int | None = None) -> str:
        """Say why no lesion counts, at one visit, by its place from 0, or at any."""
        refused = sum(
            lesion.is_set_aside and any(lesion.sizes if visit is None else lesion.sizes[visit : visit + 1])
            for lesion in self.lesions
        )
        where = "any visit" if visit is None else "this visit"
        if refused:
            return f"No lesion counts at {where}: what was found, people have called none ({refused})."
        return f"No lesion was found at {where}. That is what the network found, not proof that there is none."

    @property
    def placed(self) -> tuple[TimelineVisit, ...]:
        """The visits that have a place in the course, the first of all: those with a date, or all if none has one.

        Where the patient stands, the last of these says: a visit without a date may be from any time.
        """
        return tuple(visit for visit in self.visits if visit.date) or self.visits

    @property
    def no_response_yet(self) -> str:
        """Say why there is no response so far, though there is a baseline; empty when there is one."""
        if self.assessment.baseline is None or any(visit.response.radiographic for visit in self.placed):
            return ""
        alone = f"one visit{' with a date' if self.undated else ''} so far"
        so_far = alone if len(self.placed) == 1 else "no visit after the baseline so far"
        return f"There is {so_far}, so there is no response yet: the next visit will be compared with it."

    @property
    def undated(self) -> str:
        """How many visits have no date and so no place, in a sentence; empty when all have one."""
        count = sum(visit.date is None for visit in self.visits)
        have = "visit has" if count == 1 else "visits have"
        return f"{count} {have} no date, and so no place in the course: no response is judged there." if count else ""


def _why_not_at_the_baseline(lesion: TimelineLesion, baseline: int) -> str:
    if lesion.role == "target":
        return "It counts with the target that it was a part of"
    if holder := lesion.holder(baseline):
        return f"It was part of {holder} at the baseline"
    if lesion.unmeasured(baseline):
        return "The images of the baseline do not show its place"
    return "It was not there at the baseline"


def _rank(lesion: TimelineLesion) -> tuple[int, float]:
    place = _ORDER.index(lesion.role) if lesion.role in _ORDER else len(_ORDER)
    return place, -max((size.longest_mm for size in lesion.sizes if size), default=0.0)
