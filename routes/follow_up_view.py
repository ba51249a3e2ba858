"""A timeline as the follow-up page lays it out: rows, cells, and where each leads. No HTML here, and no rules."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlencode

from BDD.change_store import VISIT, to_undo
from BDD.followup_models import Change
from BDD.models import Job, LesionRow
from BDD.records import VisitNotFoundError
from rano.history import Judgement
from results.timeline import LesionSize, SizeChange, Timeline, TimelineLesion, TimelineVisit

_VISITS_ON_PAPER = 8
_FIELDS = {
    "corticosteroid_mg": "corticosteroids",
    "clinical_status": "clinical status",
    "immunotherapy": "immunotherapy",
    "judgements": "judgements of lesions",
    "note": "note",
    "baseline": "baseline",
    "verified": "that it was found right",
}

_JUDGEMENTS = {
    Judgement.NEW: "new beyond doubt",
    Judgement.EQUIVOCAL: "equivocal",
    Judgement.PROGRESSION: "unequivocal progression",
    Judgement.NO_PROGRESSION: "no progression",
}


@dataclass(frozen=True)
class Judging:
    """What a reader says, or can say, of a lesion at a visit.

    Attributes
    ----------
    longest_mm
        Its longest diameter; None where the visit does not measure it.
    said
        None leaves it to the rule.
    choices
        What can be said of it, and what is said though it has no effect, in words, by judgement.
    """

    lesion: TimelineLesion
    longest_mm: float | None
    said: Judgement | None
    choices: Mapping[Judgement, str]

    @property
    def words(self) -> str:
        """What is said of it; empty when nothing is."""
        return self.choices[self.said] if self.said else ""


@dataclass(frozen=True)
class Row:
    """A lesion at the visit that is shown closely.

    Attributes
    ----------
    change
        Of the longest diameter since the visit before.
    judgement
        What a reader says of it, in words; empty when nothing is said.
    viewer, picture
        Where the viewer shows it, and its picture.
    """

    lesion: TimelineLesion
    size: LesionSize
    change: SizeChange
    judgement: str
    viewer: str
    picture: str


@dataclass(frozen=True)
class Made:
    """What people have changed of a visit.

    Attributes
    ----------
    newest
        The change made last, if any.
    undoable
        What Undo means, as in the viewer.
    """

    newest: Change | None
    undoable: Change | None

    @property
    def when(self) -> str:
        """When that was, by the server's clock."""
        return f"{self.newest.made_at.astimezone():%Y-%m-%d, %H:%M}" if self.newest else ""

    @property
    def words(self) -> str:
        """What Undo would take back."""
        fields = self.undoable.after if self.undoable else {}
        return f" ({', '.join(_FIELDS[field] for field in fields)})" if fields else ""


@dataclass(frozen=True)
class View:
    """The page.

    Attributes
    ----------
    lesions
        Those of ``Timeline.in_order``: without those merged into others and those that are none.
    set_aside
        How many these are.
    chosen
        Index of the visit that is shown closely.
    rows
        Its lesions.
    made
        What people have changed of each visit, by StudyInstanceUID.
    judging
        What a reader says of lesions at each visit, by StudyInstanceUID.
    cells
        ``cells[i][k]`` leads the viewer to lesion i at visit k; None where it is not there.
    """

    timeline: Timeline
    lesions: list[TimelineLesion]
    set_aside: int
    chosen: int
    rows: list[Row]
    made: Mapping[str, Made]
    judging: Mapping[str, Sequence[Judging]]
    cells: list[list[str | None]]

    @property
    def visits(self) -> tuple[TimelineVisit, ...]:
        """All visits, by date."""
        return self.timeline.visits

    @cached_property
    def days(self) -> dict[str, str]:
        """What visits are called, by StudyInstanceUID: their dates, and their numbers where these are not enough."""
        count = Counter(visit.date for visit in self.visits)
        return {
            visit.study_instance_uid: (f"{number}: " if count[visit.date] > 1 else "") + f"{visit.date or 'no date'}"
            for number, visit in enumerate(self.visits, start=1)
        }

    @property
    def names(self) -> dict[int, str]:
        """The names of all lesions, by key."""
        return {lesion.key: lesion.name for lesion in self.timeline.lesions}

    @property
    def is_judged(self) -> bool:
        """Whether a reader has said anything of any lesion."""
        return any(one.said for of_visit in self.judging.values() for one in of_visit)

    @property
    def sheets(self) -> list[range]:
        """The places of the visits, in as many runs of like length as a sheet of paper is wide for."""
        count = len(self.visits)
        length = math.ceil(count / math.ceil(count / _VISITS_ON_PAPER)) if count else 1
        return [range(start, min(start + length, count)) for start in range(0, count, length)]

    @property
    def ruled_out(self) -> int:
        """How many lesions were measurable at the baseline and are no targets because people have said so."""
        if (baseline := self.timeline.baseline_place) is None:
            return 0
        sizes = [lesion.sizes[baseline] for lesion in self.lesions if lesion.target is False]
        return sum(size is not None and size.measurable for size in sizes)

    @property
    def visit(self) -> TimelineVisit:
        """The visit that is shown closely."""
        return self.timeline.visits[self.chosen]


def arrange(timeline: Timeline, jobs: Sequence[Job], changes: Sequence[Change], study: str | None) -> View:
    """Lay a timeline out.

    Parameters
    ----------
    jobs
        Those that the visits name, in their order, with lesions and series.
    changes
        The patient's, the newest first.
    study
        StudyInstanceUID of the visit to show closely; the last one that has a date when it is None.

    Raises
    ------
    VisitNotFoundError
        When the patient has no such visit.
    """
    lesions = timeline.in_order
    uids = [visit.study_instance_uid for visit in timeline.visits]
    if study is not None and study not in uids:
        raise VisitNotFoundError(f"patient {timeline.patient_key} has no visit {study[:80]!r}")
    chosen = uids.index(study) if study is not None else len(timeline.placed) - 1
    found = {row.id: row for job in jobs for row in job.lesions}
    cells = [
        [
            viewer_address(visit, found[size.finding]) if size else None
            for visit, size in zip(timeline.visits, sizes, strict=True)
        ]
        for sizes in (lesion.sizes for lesion in lesions)
    ]
    return View(
        timeline=timeline,
        lesions=lesions,
        set_aside=len(timeline.lesions) - len(lesions),
        chosen=chosen,
        rows=_rows(timeline, lesions, chosen, found) if uids else [],
        made={job.study_instance_uid: _made(changes, job.series.study_key) for job in jobs if job.series},
        judging={uid: _judging(timeline, lesions, place) for place, uid in enumerate(uids)},
        cells=cells,
    )


def _judging(timeline: Timeline, lesions: Sequence[TimelineLesion], place: int) -> list[Judging]:
    visit = timeline.visits[place]
    found = []
    for lesion in lesions:
        size = lesion.sizes[place]
        if choices := _choices(visit, lesion):
            said = visit.judgements.get(lesion.tracking_uid)
            found.append(Judging(lesion, size.longest_mm if size else None, said, choices))
    return found


def _choices(visit: TimelineVisit, lesion: TimelineLesion) -> dict[Judgement, str]:
    """Tell what can be said of a lesion, and what is said of it without effect: that is there to be taken back."""
    can = visit.response.judgeable.get(lesion.tracking_uid, ())
    said = visit.judgements.get(lesion.tracking_uid)
    return {
        one: words if one in can else f"{words}, without effect"
        for one, words in _JUDGEMENTS.items()
        if one in can or one is said
    }


def _made(changes: Sequence[Change], study_key: int) -> Made:
    of_visit = [one for one in changes if one.subject == VISIT and one.subject_key == study_key]
    return Made(next(iter(of_visit), None), next(iter(to_undo(of_visit)), None))


def viewer_address(visit: TimelineVisit, row: LesionRow) -> str:
    """Give the viewer's address at the slice on which a lesion was measured."""
    return "/viewer?" + urlencode(
        {
            "StudyInstanceUIDs": visit.study_instance_uid,
            "initialSeriesInstanceUID": visit.series_instance_uid,
            "initialSOPInstanceUID": row.measured_sop_instance_uid,
        }
    )


def _rows(
    timeline: Timeline, lesions: Sequence[TimelineLesion], chosen: int, found: Mapping[int, LesionRow]
) -> list[Row]:
    visit = timeline.visits[chosen]
    rows = []
    for lesion in lesions:
        size = lesion.sizes[chosen]
        if size is None:
            continue
        rows.append(
            Row(
                lesion=lesion,
                size=size,
                change=timeline.change(lesion, chosen),
                judgement=_choices(visit, lesion)[said] if (said := visit.judgements.get(lesion.tracking_uid)) else "",
                viewer=viewer_address(visit, found[size.finding]),
                picture=f"/studies/{visit.study_instance_uid}/lesions/{lesion.tracking_uid}/image.png",
            )
        )
    return rows
