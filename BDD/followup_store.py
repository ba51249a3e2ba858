"""Reads the follow-up: who the patients are, and what each visit's newest segmentation found.

A visit is a study; where several of its series were segmented, the one segmented last speaks for it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session, contains_eager, joinedload
from sqlalchemy.sql.base import ExecutableOption

from BDD.database import Database
from BDD.followup_models import Finding, TrackedLesion
from BDD.identities import Identity, identify
from BDD.models import DONE, SEGMENT, Job, LesionRow, Patient, Series, Study
from BDD.newest import newest
from BDD.records import VisitNotFoundError


@dataclass(frozen=True)
class PatientSummary:
    """A patient and how many visits are known of; ``key`` names the patient in addresses."""

    key: int
    patient_id: str | None
    patient_name: str
    visits: int
    first_visit: date | None
    last_visit: date | None


def list_patients(database: Database, *, key: int | None = None, limit: int = 1000) -> list[PatientSummary]:
    """Give the patients with at least one segmented visit, those seen last first; only the one of a key when named."""
    last = func.max(Study.study_date)
    query = (
        select(Patient.id, Patient.patient_id, Patient.patient_name, func.count(), func.min(Study.study_date), last)
        .join(Study, Study.patient_key == Patient.id)
        .where(Study.id.in_(select(Series.study_key).join(Job, Job.series_key == Series.id).where(Job.state == DONE)))
        .group_by(Patient.id)
        .order_by(last.desc().nulls_last(), Patient.id)
        .limit(limit)
    )
    if key is not None:
        query = query.where(Patient.id == key)
    with database.reading() as session:
        return [PatientSummary(*row) for row in session.execute(query)]


def study_lesions(database: Database, study_instance_uid: str) -> list[Identity]:
    """Give what the newest segmentation of a study found, by label, with the identities that hold now.

    Raises
    ------
    VisitNotFoundError
        When it was never segmented.
    """
    with database.reading() as session:
        study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
        jobs = current_jobs(session, [study.id]) if study else []
        if study is None or not jobs:
            raise VisitNotFoundError(f"no study {study_instance_uid} was segmented yet")
        lesions = tracked_lesions(session, study.patient_key)
        return identify(findings_of(session, jobs).get(jobs[0].id, []), lesions)


def patient_of(database: Database, study_instance_uid: str) -> int:
    """Give the key of the patient of a study.

    Raises
    ------
    VisitNotFoundError
        When the study is not known.
    """
    with database.reading() as session:
        patient = session.scalar(select(Study.patient_key).where(Study.study_instance_uid == study_instance_uid))
    if patient is None:
        raise VisitNotFoundError(f"no study {study_instance_uid} was segmented yet")
    return patient


def current_jobs(session: Session, studies: Sequence[int]) -> list[Job]:
    """Give the segmentation that speaks for each of these studies, by date, with series, study and model."""
    query = (
        select(Job)
        .where(Job.id.in_(newest(Series.study_key, Series.study_key.in_(studies), Job.purpose == SEGMENT)))
        .join(Job.series)
        .join(Series.study)
        .options(contains_eager(Job.series).contains_eager(Series.study), joinedload(Job.model))
        .order_by(Study.study_date.nulls_last(), Study.study_instance_uid)
    )
    return list(session.scalars(query))


def findings_of(session: Session, jobs: Sequence[Job], *options: ExecutableOption) -> dict[int, list[Finding]]:
    """Give the findings of each of these jobs by its key, by label; ``options`` say what else to load."""
    query = (
        select(Finding)
        .join(Finding.lesion)
        .join(Finding.tracked)
        .where(LesionRow.job_key.in_([job.id for job in jobs]))
        .options(contains_eager(Finding.lesion), contains_eager(Finding.tracked), *options)
        .order_by(LesionRow.label)
    )
    findings: dict[int, list[Finding]] = defaultdict(list)
    for finding in session.scalars(query):
        findings[finding.lesion.job_key].append(finding)
    return findings


def tracked_lesions(session: Session, patient_key: int) -> dict[int, TrackedLesion]:
    """Give every tracked lesion of a patient by key."""
    query = select(TrackedLesion).where(TrackedLesion.patient_key == patient_key).order_by(TrackedLesion.id)
    return {lesion.id: lesion for lesion in session.scalars(query)}


def study_of(job: Job) -> Study:
    """Give the study of a job that is done."""
    assert job.series is not None, "a job that is done has a series"
    return job.series.study
