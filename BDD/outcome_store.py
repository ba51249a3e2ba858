"""What a job leaves: lesions, provenance, and the series it wrote into the archive.

The series are entered before they are written (``plan_results``), so that a crash at any moment leaves a row for
whatever may be in the archive. ``record_outcome`` makes the whole result current in one transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session, contains_eager

from BDD import key_image_store
from BDD.database import Database
from BDD.followup_models import Finding, LabelMapRow, TrackedLesion
from BDD.followup_store import current_jobs, findings_of
from BDD.job_run_store import own_job
from BDD.lesion_rows import lesion_of, lesion_row
from BDD.models import DONE, SEGMENT, WRITING, Job, LesionRow, Patient, Result, Series, Study
from BDD.moving import move_study
from BDD.records import JobLostError, ModelRecord, ResultRecord, SeriesRecord, SliceName
from BDD.worker_store import model_row
from rano.lesion import Lesion
from rano.matching import beside, not_seen_since

if TYPE_CHECKING:
    from BDD.following_store import Following  # registration is the worker's business


def plan_results(database: Database, job_id: str, worker: int, planned: Sequence[ResultRecord]) -> None:
    """Enter the series that this job is about to write; again is fine."""
    with database.writing() as session:
        _results(session, own_job(session, job_id, worker), planned)


def note_written(database: Database, job_id: str, worker: int, written: Sequence[ResultRecord]) -> None:
    """Note which of the planned series are in the archive, while others are still to come."""
    with database.writing() as session:
        for result in _results(session, own_job(session, job_id, worker), written):
            result.written_at = datetime.now(UTC)


def record_outcome(
    database: Database,
    job_id: str,
    worker: int,
    *,
    series: SeriesRecord,
    slices: Sequence[SliceName],
    lesions: Sequence[Lesion],
    model: ModelRecord,
    written: Sequence[ResultRecord],
    timings: Mapping[str, float],
    label_map: bytes | None,
    pictures: Mapping[int, bytes],
    content: str | None,
    following: "Following | None",
) -> list[str]:
    """Commit all that a job found, in one transaction: it becomes the current version of its series.

    Parameters
    ----------
    slices
        ``slices[k]`` names slice k of the label map.
    written
        The series that are now in the archive.
    timings
        Seconds per stage.
    label_map
        What was found, packed (``packing``), so that it can be written again under other names.
    pictures
        Of the lesions (PNG), by label.
    content
        What the series was written with (``course_store.content_of``).
    following
        How the lesions were followed to this visit.

    Returns
    -------
    list of str
        SeriesInstanceUIDs that this version replaces, or that only an earlier try of the job may have written: to be
        taken out of the archive.

    Raises
    ------
    JobLostError
        When the job is no longer this worker's; nothing is recorded.
    """
    now = datetime.now(UTC)
    with database.writing() as session:
        job = own_job(session, job_id, worker)
        if job.state != WRITING:
            raise JobLostError(f"job {job_id} is {job.state}, not {WRITING}: its outcome is not recorded")
        job.series = _series_row(session, series, job)
        job.model = model_row(session, model)
        session.flush()
        job.version = 1 + (session.scalar(select(func.max(Job.version)).where(Job.series_key == job.series.id)) or 0)
        job.finished_at = max(now, _after_others(session, job.series.study) or now)
        job.state, job.fraction, job.timings = DONE, 1.0, dict(timings)
        job.content = content
        rows = [lesion_row(job, lesion, slices) for lesion in lesions]
        session.add_all(rows)
        if job.purpose == SEGMENT:
            job.series.study.patient.visits_changed()
            session.flush()
            track(session, job.series.study.patient.id, rows)
            if label_map is not None:
                session.add(LabelMapRow(job_key=job.id, voxels=label_map))
            key_image_store.keep(session, job, rows, pictures)
            if following is not None:
                following.keep(session, job.series.id, rows)
        current = _results(session, job, written)
        for result in current:
            result.written_at = now
        # An earlier try of this job may have stored what this one, which has found less, did not write.
        of_series = select(Job.id).where(Job.series_key == job.series.id)
        known = select(Result).where(Result.job_key.in_(of_series), Result.superseded_at.is_(None))
        replaced = [result for result in session.scalars(known) if result not in current]
        for result in replaced:
            result.superseded_at = now
        return [result.series_instance_uid for result in replaced]


def _after_others(session: Session, study: Study) -> datetime | None:
    """Give the first moment after all jobs of a study; who ends later speaks for it, also once a clock is set back."""
    ended = select(func.max(Job.finished_at)).join(Job.series).where(Series.study_key == study.id, Job.state == DONE)
    last = session.scalar(ended)
    return last + timedelta(microseconds=1) if last else None


def describe_again(database: Database, job_id: str, worker: int, record: SeriesRecord) -> None:
    """Bring what is known of the series of a running job after its images, as its outcome will: patient, study, date.

    A study whose PatientID was corrected goes to its patient with that (``moving``).

    Raises
    ------
    JobLostError
        When the job is no longer this worker's; nothing is changed.
    """
    with database.writing() as session:
        _series_row(session, record, own_job(session, job_id, worker))


def track(session: Session, patient_key: int, rows: Sequence[LesionRow]) -> None:
    """Enter new lesion rows as findings of the patient's tracked lesions, by tracking UID.

    Numbers and names are one lesion's alone: what another visit has given away meanwhile makes room for what is unused.
    """
    known = {
        lesion.tracking_uid: lesion
        for lesion in session.scalars(select(TrackedLesion).where(TrackedLesion.patient_key == patient_key))
    }
    new = [row for row in rows if row.tracking_uid not in known]
    theirs = [(lesion.number, lesion.name) for lesion in known.values()]
    for row, (number, name) in zip(new, beside(theirs, [(row.number, row.name) for row in new]), strict=True):
        known[row.tracking_uid] = TrackedLesion(
            patient_key=patient_key, tracking_uid=row.tracking_uid, number=number, name=name
        )
    for row in rows:
        session.add(Finding(lesion_key=row.id, tracked=known[row.tracking_uid], merged=[]))


def earlier_lesions(database: Database, series_instance_uid: str) -> list[Lesion]:
    """Give the lesions that were ever found in a series: those of the newest segmentation, then those not seen since.

    They go by the names they have now, and those that people have called no lesion are among them: found again, they
    are to be known again. Those that were merged go by what they were before, for the merging rests on that.
    """
    segmentations = (
        select(Job)
        .join(Job.series)
        .join(Series.study)
        .where(Series.series_instance_uid == series_instance_uid, Job.state == DONE, Job.purpose == SEGMENT)
        .options(contains_eager(Job.series).contains_eager(Series.study))
        .order_by(Job.version.desc())
    )
    lesions: list[Lesion] = []
    with database.reading() as session:
        jobs = session.scalars(segmentations).all()
        found = findings_of(session, jobs)
        for job in jobs:
            of_job = [lesion_of(one.lesion, one.tracked) for one in found[job.id]]
            lesions += not_seen_since(of_job, lesions)
    return lesions


def _results(session: Session, job: Job, wanted: Sequence[ResultRecord]) -> list[Result]:
    """Find or make the job's rows of these series, none of them superseded (a second try writes the same series)."""
    known = {row.series_instance_uid: row for row in session.scalars(select(Result).where(Result.job_key == job.id))}
    rows = [known.get(one.series_instance_uid) or Result(job_key=job.id, **vars(one)) for one in wanted]
    for row in rows:
        row.superseded_at = row.retired_at = None
    session.add_all(rows)
    return rows


def _series_row(session: Session, record: SeriesRecord, job: Job) -> Series:
    """Find or make series, study and patient; their descriptions follow the newest instance.

    The study's date is that of the series that speaks for it: where two contradict each other, writing one again after
    the other would change the order of visits each time, and for ever.
    """
    study = session.scalar(select(Study).where(Study.study_instance_uid == record.study_instance_uid))
    if study is None:
        study = Study(study_instance_uid=record.study_instance_uid)
    patient = _patient_row(session, record, study)
    if study.patient is not None and study.patient is not patient:
        session.add(patient)
        move_study(session, study, patient)
    study.patient = patient
    if study.study_date != record.study_date and _speaks(session, job, study):
        study.study_date = record.study_date
        patient.visits_changed()  # they are followed by date
    series = session.scalar(select(Series).where(Series.series_instance_uid == record.series_instance_uid))
    if series is None:
        series = Series(series_instance_uid=record.series_instance_uid)
    series.study, series.modality, series.series_description = study, record.modality, record.series_description
    session.add(series)
    return series


def _speaks(session: Session, job: Job, study: Study) -> bool:
    """Say whether a job is of the series that speaks for its study, or makes it so."""
    if job.purpose == SEGMENT:
        return True
    return any(one.series_instance_uid == job.series_instance_uid for one in current_jobs(session, [study.id]))


def _patient_row(session: Session, record: SeriesRecord, study: Study) -> Patient:
    if record.patient_id is not None:
        patient = session.scalar(select(Patient).where(Patient.patient_id == record.patient_id))
    else:
        patient = study.patient if study.patient is not None and study.patient.patient_id is None else None
    if patient is None:
        patient = Patient(patient_id=record.patient_id)
    patient.patient_name, patient.patient_sex = record.patient_name, record.patient_sex
    patient.patient_birth_date = record.patient_birth_date
    return patient
