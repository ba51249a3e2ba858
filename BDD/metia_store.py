"""The follow-up as the published MetIA front-end asks for it: patients, studies, series and lesions in flat lists.

A patient goes by PatientID, and by the UID of the only study where DICOM gives none. A series goes by its newest
RTSTRUCT, whose ROI numbers the front-end sends back, and by its own UID where none was written; either name is
understood, and so is that of an RTSTRUCT that was replaced since. Each list shows the newest version of each series.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, contains_eager, selectinload

from BDD.database import Database
from BDD.followup_models import TrackedLesion
from BDD.followup_store import study_of, tracked_lesions
from BDD.identities import root
from BDD.models import Job, LesionRow, Patient, Result, Series, Study
from BDD.newest import newest


@dataclass(frozen=True)
class Roi:
    """A lesion as the RTSTRUCT of its series shows it, under the name it has now."""

    series_instance_uid: str
    name: str
    lesion: LesionRow


def metia_patients(database: Database) -> list[tuple[str, Patient]]:
    """Give the patients that were segmented, each with the name they go by."""
    with database.reading() as session:
        studies = {study_of(job).id: study_of(job) for job in _newest(session)}.values()
        return list({study.patient_key: (patient_name_of(study), study.patient) for study in studies}.values())


def metia_studies(database: Database, patient: str | None = None) -> list[tuple[str, Study]]:
    """Give the studies that were segmented, of this patient only when named, each with the name of its patient."""
    with database.reading() as session:
        studies = {study_of(job).id: study_of(job) for job in _newest(session)}.values()
    named = [(patient_name_of(study), study) for study in studies]
    return [(name, study) for name, study in named if patient in (None, name)]


def metia_series(database: Database, study_instance_uid: str | None = None) -> list[tuple[str, str]]:
    """Give the name and the StudyInstanceUID of each series that was segmented, of this study only when named."""
    with database.reading() as session:
        named = [(_series_name(job), job.study_instance_uid) for job in _newest(session)]
    return [(series, study) for series, study in named if study_instance_uid in (None, study)]


def metia_rois(database: Database, series: str | None = None) -> list[Roi]:
    """Give the lesions of each series that was segmented, of this series only when named, by ROI number."""
    with database.reading() as session:
        rois = []
        for job in _newest(session, _series_key(session, series) if series else None):
            known = _by_tracking_uid(session, study_of(job).patient_key)
            for row in job.lesions:
                tracked = known.get(row.tracking_uid)
                if tracked is None or not tracked.not_a_lesion:
                    rois.append(Roi(_series_name(job), tracked.name if tracked else row.name, row))
        return rois


def find_metia_roi(database: Database, study_instance_uid: str, series: str, number: int) -> TrackedLesion | None:
    """Give the lesion that an RTSTRUCT, replaced or not, shows as this ROI; None when it shows none, or none any more.

    The number is that of the named RTSTRUCT, whatever the lesion's place in any list.
    """
    written = select(Result.job_key).where(Result.series_instance_uid == series, Result.written_at.is_not(None))
    with database.reading() as session:
        job_key = session.scalar(written)
        if job_key is None:
            newest = _newest(session, _series_key(session, series))
            job_key = newest[0].id if newest else None
        row = session.scalar(select(LesionRow).where(LesionRow.job_key == job_key, LesionRow.label == number))
        study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
        if row is None or study is None or session.get_one(Job, job_key).study_instance_uid != study_instance_uid:
            return None
        tracked = _by_tracking_uid(session, study.patient_key).get(row.tracking_uid)
        return None if tracked is None or tracked.not_a_lesion else tracked


def patient_name_of(study: Study) -> str:
    """Give the name that the patient of a study goes by."""
    return study.patient.patient_id or study.study_instance_uid


def _newest(session: Session, series_key: int | None = None) -> Sequence[Job]:
    """Give the newest version of each series, or of this one: its job with lesions and results, study and patient."""
    query = (
        select(Job)
        .where(Job.id.in_(newest(Job.series_key)))
        .join(Job.series)
        .join(Series.study)
        .join(Study.patient)
        .options(
            contains_eager(Job.series).contains_eager(Series.study).contains_eager(Study.patient),
            selectinload(Job.lesions),
            selectinload(Job.results),
        )
        .order_by(Study.study_date.nulls_last(), Study.id, Series.id)
    )
    if series_key is not None:
        query = query.where(Job.series_key == series_key)
    return session.scalars(query).all()


def _series_key(session: Session, series: str) -> int:
    """Give the key of a series by its own UID or that of any RTSTRUCT of it; -1 when there is none."""
    by_result = (
        select(Job.series_key).join(Result, Result.job_key == Job.id).where(Result.series_instance_uid == series)
    )
    own = select(Series.id).where(Series.series_instance_uid == series)
    return session.scalar(own) or session.scalar(by_result) or -1


def _series_name(job: Job) -> str:
    current = (
        one.series_instance_uid
        for one in job.results
        if one.kind == "RTSTRUCT" and one.written_at is not None and one.superseded_at is None
    )
    return next(current, job.series_instance_uid)


def _by_tracking_uid(session: Session, patient_key: int) -> dict[str, TrackedLesion]:
    """Give a patient's tracked lesions by tracking UID; merged ones as what they were merged into, if that is gone."""
    lesions = tracked_lesions(session, patient_key)
    return {
        one.tracking_uid: root(one, lesions) if root(one, lesions).not_a_lesion else one for one in lesions.values()
    }
