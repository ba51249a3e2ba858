"""Of which lesions that a visit does not show it is open whether they have gone.

Found when visits are followed, kept for whoever reads the course. One that lies outside the images has not gone:
RANO-BM calls it not evaluable. Another may have gone, but following is not sure of it: it counts as gone, in doubt.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from sqlalchemy import LargeBinary, func, select
from sqlalchemy.orm import Session

from BDD.followup_models import AbsenceRow, TrackedLesion, VisitImage
from BDD.identities import is_doubted, is_refused, root
from BDD.models import Job
from rano.coverage import Grid
from rano.history import LesionAtVisit
from rano.links import Absence, Status, VisitLinks
from rano.reduced import HEAD_BYTES, grid_of

Absent = Sequence[tuple[TrackedLesion, Status]]
"""The lesions of which it is open whether they have gone: not covered, or resolved in doubt."""


def grids_of(session: Session, series: Sequence[int | None]) -> dict[int, Grid]:
    """Give what the images of each of these series cover, by its key; the images themselves are not loaded."""
    head = func.substr(VisitImage.image, 1, HEAD_BYTES, type_=LargeBinary)
    rows = session.execute(select(VisitImage.series_key, head).where(VisitImage.series_key.in_(series)))
    return {key: grid_of(stored) for key, stored in rows}


def open_absences(links: VisitLinks) -> tuple[Absence, ...]:
    """Give the absences of a visit that leave open whether the lesion has gone.

    Of one that may have merged the finding tells that has taken it in, be it a lesion or none (``rano.counting``).
    """
    return tuple(
        one
        for one in links.absent
        if one.status is Status.NOT_COVERED or (one.status is Status.RESOLVED and one.ambiguous)
    )


def known_absences(absences: Iterable[Absence], by_uid: Mapping[str, TrackedLesion]) -> Absent:
    """Give which tracked lesions these are; one that people have just decided about may be none any more."""
    return [(by_uid[one.tracking_uid], one.status) for one in absences if one.tracking_uid in by_uid]


def keep_absences(session: Session, absent: Mapping[int, Absent]) -> bool:
    """Keep the open absences of these jobs, by their keys, in the place of what was known; say whether it is new."""
    session.flush()  # lesions that following has just made have no key before
    now = {(job, lesion.id, str(status)) for job, of_job in absent.items() for lesion, status in of_job}
    rows = session.scalars(select(AbsenceRow).where(AbsenceRow.job_key.in_(list(absent))))
    before = {(row.job_key, row.tracked_key, row.status): row for row in rows}
    for key in before.keys() - now:
        session.delete(before[key])
    session.add_all(
        AbsenceRow(job_key=job, tracked_key=lesion, status=status)
        for job, lesion, status in sorted(now - before.keys())
    )
    return now != before.keys()


def absences_of(session: Session, jobs: Sequence[Job]) -> dict[int, Absent]:
    """Give the open absences of each of these jobs, by the job's key."""
    query = select(AbsenceRow.job_key, TrackedLesion, AbsenceRow.status)
    query = query.join(TrackedLesion, AbsenceRow.tracked_key == TrackedLesion.id)
    query = query.where(AbsenceRow.job_key.in_([job.id for job in jobs])).order_by(TrackedLesion.id)
    absent: dict[int, list[tuple[TrackedLesion, Status]]] = defaultdict(list)
    for job, lesion, status in session.execute(query):
        absent[job].append((lesion, Status(status)))
    return dict(absent)


def not_covered(absent: Absent) -> list[TrackedLesion]:
    """Give the lesions that lie outside the images."""
    return [lesion for lesion, status in absent if status is Status.NOT_COVERED]


def not_assessed(absent: Absent, lesions: Mapping[int, TrackedLesion], shown: Collection[str]) -> list[LesionAtVisit]:
    """Give the lesions that a visit does not cover as ``rano.response`` judges them.

    Parameters
    ----------
    absent
        The open absences of the visit.
    lesions
        All tracked lesions of the patient by key.
    shown
        Tracking UIDs of what was found at the visit.
    """
    return [
        LesionAtVisit(
            tracking_uid=lesion.tracking_uid,
            longest_mm=None,
            volume_mm3=None,
            name=lesion.name,
            target=whole.target,
            part_of=None if whole is lesion else whole.tracking_uid,
        )
        for lesion, whole in _missing(not_covered(absent), lesions, shown)
    ]


def gone_in_doubt(
    absent: Absent, lesions: Mapping[int, TrackedLesion], shown: Collection[str], study_instance_uid: str
) -> tuple[str, ...]:
    """Give the names of the lesions of which it is not sure that they have gone, and nobody has decided it.

    ``absent``, ``lesions`` and ``shown`` are those of ``not_assessed``.
    """
    resolved = [lesion for lesion, status in absent if status is Status.RESOLVED]
    return tuple(
        lesion.name for lesion, _ in _missing(resolved, lesions, shown) if is_doubted(True, lesion, study_instance_uid)
    )


def _missing(
    absent: Iterable[TrackedLesion], lesions: Mapping[int, TrackedLesion], shown: Collection[str]
) -> Iterator[tuple[TrackedLesion, TrackedLesion]]:
    """Give those that people count as lesions and that are not shown after all, with what stands for each."""
    for lesion in sorted(absent, key=lambda lesion: lesion.id):
        whole = root(lesion, lesions)
        if lesion.tracking_uid not in shown and not is_refused(lesion, whole):
            yield lesion, whole
