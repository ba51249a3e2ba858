"""Which lesions the images of a visit do not cover: found when visits are followed, kept for whoever reads the course.

Such a lesion is not seen, and has not gone: RANO-BM calls it not evaluable.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import LargeBinary, func, select
from sqlalchemy.orm import Session

from BDD.followup_models import NotCovered, TrackedLesion, VisitImage
from BDD.identities import root
from BDD.models import Job
from rano.coverage import Grid
from rano.history import LesionAtVisit
from rano.links import Status, VisitLinks
from rano.reduced import HEAD_BYTES, grid_of


def grids_of(session: Session, series: Sequence[int | None]) -> dict[int, Grid]:
    """Give what the images of each of these series cover, by its key; the images themselves are not loaded."""
    head = func.substr(VisitImage.image, 1, HEAD_BYTES, type_=LargeBinary)
    rows = session.execute(select(VisitImage.series_key, head).where(VisitImage.series_key.in_(series)))
    return {key: grid_of(stored) for key, stored in rows}


def not_covered_in(links: VisitLinks) -> tuple[str, ...]:
    """Give the tracking UIDs of the lesions that a visit's images do not cover."""
    return tuple(one.tracking_uid for one in links.absent if one.status is Status.NOT_COVERED)


def keep_not_covered(session: Session, lesions: Mapping[int, Iterable[TrackedLesion]]) -> bool:
    """Keep the lesions that these jobs' images do not cover, in the place of what was known; say whether it is new."""
    session.flush()  # lesions that following has just made have no key before
    now = {(job, lesion.id) for job, missed in lesions.items() for lesion in missed}
    rows = session.scalars(select(NotCovered).where(NotCovered.job_key.in_(list(lesions))))
    before = {(row.job_key, row.tracked_key): row for row in rows}
    for key in before.keys() - now:
        session.delete(before[key])
    session.add_all(NotCovered(job_key=job, tracked_key=lesion) for job, lesion in sorted(now - before.keys()))
    return now != before.keys()


def not_covered_of(session: Session, jobs: Sequence[Job]) -> dict[int, list[TrackedLesion]]:
    """Give the lesions that the images of each of these jobs do not cover, by the job's key."""
    query = select(NotCovered.job_key, TrackedLesion).join(TrackedLesion, NotCovered.tracked_key == TrackedLesion.id)
    query = query.where(NotCovered.job_key.in_([job.id for job in jobs])).order_by(TrackedLesion.id)
    missed: dict[int, list[TrackedLesion]] = defaultdict(list)
    for job, lesion in session.execute(query):
        missed[job].append(lesion)
    return missed


def not_assessed(
    missed: Iterable[TrackedLesion], lesions: Mapping[int, TrackedLesion], shown: Collection[str]
) -> list[LesionAtVisit]:
    """Give the lesions that a visit does not cover as ``rano.response`` judges them.

    Parameters
    ----------
    missed
        The lesions.
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
            target=lesion.target,
            part_of=None if whole is lesion else whole.tracking_uid,
        )
        for lesion in sorted(missed, key=lambda lesion: lesion.id)
        for whole in [root(lesion, lesions)]
        if lesion.tracking_uid not in shown and not lesion.not_a_lesion and not whole.not_a_lesion
    ]
