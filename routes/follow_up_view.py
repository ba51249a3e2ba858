"""A timeline as the follow-up page lays it out: rows, cells, and where each leads. No HTML here, and no rules."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from BDD.models import Job, LesionRow
from BDD.models import Model as ModelRow
from results.timeline import LesionSize, SizeChange, Timeline, TimelineLesion, TimelineVisit

_VISITS_ON_PAPER = 8


@dataclass(frozen=True)
class Row:
    """A lesion at the visit that is shown closely.

    Attributes
    ----------
    change
        Of the longest diameter since the visit before.
    viewer, picture
        Where the viewer shows it, and its picture.
    """

    lesion: TimelineLesion
    size: LesionSize
    change: SizeChange
    viewer: str
    picture: str


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
    models
        The networks that found them, each once.
    cells
        ``cells[i][k]`` leads the viewer to lesion i at visit k; None where it is not there.
    """

    timeline: Timeline
    lesions: list[TimelineLesion]
    set_aside: int
    chosen: int
    rows: list[Row]
    models: list[ModelRow]
    cells: list[list[str | None]]

    @property
    def visits(self) -> tuple[TimelineVisit, ...]:
        """All visits, by date."""
        return self.timeline.visits

    @property
    def sheets(self) -> list[range]:
        """The places of the visits, in as many runs of like length as a sheet of paper is wide for."""
        count = len(self.visits)
        length = math.ceil(count / math.ceil(count / _VISITS_ON_PAPER)) if count else 1
        return [range(start, min(start + length, count)) for start in range(0, count, length)]

    @property
    def ruled_out(self) -> int:
        """How many lesions were measurable at the baseline and are no targets because people have said so."""
        places = [k for k, one in enumerate(self.visits) if one.study_instance_uid == self.timeline.assessment.baseline]
        sizes = [lesion.sizes[k] for k in places for lesion in self.lesions if lesion.target is False]
        return sum(size is not None and size.measurable for size in sizes)

    @property
    def visit(self) -> TimelineVisit:
        """The visit that is shown closely."""
        return self.timeline.visits[self.chosen]


def arrange(timeline: Timeline, jobs: Sequence[Job], study: str | None) -> View:
    """Lay a timeline out.

    Parameters
    ----------
    jobs
        Those that the visits name, in their order, with lesions and model.
    study
        StudyInstanceUID of the visit to show closely; the last one that has a date when it is None or none of the
        patient's.
    """
    lesions = timeline.in_order
    uids = [visit.study_instance_uid for visit in timeline.visits]
    chosen = uids.index(study) if study in uids else len(timeline.placed) - 1
    found = {row.id: row for job in jobs for row in job.lesions}
    cells = [
        [
            viewer_address(visit, found[size.finding]) if size else None
            for visit, size in zip(timeline.visits, sizes, strict=True)
        ]
        for sizes in (lesion.sizes for lesion in lesions)
    ]
    models = {job.model.id: job.model for job in jobs if job.model}
    return View(
        timeline=timeline,
        lesions=lesions,
        set_aside=len(timeline.lesions) - len(lesions),
        chosen=chosen,
        rows=_rows(timeline, lesions, chosen, found) if uids else [],
        models=list(models.values()),
        cells=cells,
    )


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
                viewer=viewer_address(visit, found[size.finding]),
                picture=f"/studies/{visit.study_instance_uid}/lesions/{lesion.tracking_uid}/image.png",
            )
        )
    return rows
