"""The pictures of lesions: kept with the lesion row they show, whatever people call it or take it for later."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from BDD.database import Database
from BDD.followup_models import KeyImage
from BDD.followup_store import study_lesions
from BDD.models import Job, LesionRow
from BDD.records import KeyImageNotFoundError


def keep(session: Session, job: Job, rows: Sequence[LesionRow], pictures: Mapping[int, bytes]) -> None:
    """Keep the pictures of a job's lesion rows by their labels; those of the series' earlier jobs go."""
    earlier = select(LesionRow.id).join(Job, LesionRow.job_key == Job.id)
    earlier = earlier.where(Job.series_key == job.series_key, Job.id != job.id)
    session.execute(delete(KeyImage).where(KeyImage.lesion_key.in_(earlier)))
    session.add_all(KeyImage(lesion_key=row.id, png=pictures[row.label]) for row in rows if row.label in pictures)


def key_images(database: Database, lesions: Iterable[int]) -> dict[int, bytes]:
    """Give the pictures of these lesion rows by their keys; those that have none are left out."""
    query = select(KeyImage.lesion_key, KeyImage.png).where(KeyImage.lesion_key.in_(list(lesions)))
    with database.reading() as session:
        return {row.lesion_key: row.png for row in session.execute(query)}


def key_image(database: Database, study_instance_uid: str, tracking_uid: str) -> tuple[bytes, int]:
    """Give the picture of a lesion in the newest segmentation of a study, and the lesion's number: its colour.

    Parameters
    ----------
    tracking_uid
        The one that the lesion has there now; of several parts of one lesion, the one that carries its name.

    Raises
    ------
    VisitNotFoundError
        When the study was never segmented.
    KeyImageNotFoundError
        When it has no such lesion, or the lesion no picture.
    """
    for identity in study_lesions(database, study_instance_uid):
        if identity.lesion.tracking_uid == tracking_uid:
            key = identity.finding.lesion_key
            if (png := key_images(database, [key]).get(key)) is not None:
                return png, identity.lesion.number
    raise KeyImageNotFoundError(f"study {study_instance_uid} has no picture of a lesion {tracking_uid}")
