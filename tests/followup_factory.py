"""Visits of one patient in a database, without archive and network: lesions of given sizes under given identities."""

from datetime import date, timedelta

from sqlalchemy import update

from BDD import store
from BDD.followup_models import Finding
from BDD.models import Job
from rano.lesion import Chord, Lesion, Measurement
from tests.store_factory import finish, running_job, series_record

FIRST_DAY = date(2024, 1, 8)


def sized(label: int, longest_mm: float, uid: str = "", name: str = "") -> Lesion:
    """Make a lesion of this longest diameter; by default each label is the same lesion at every visit."""
    half = longest_mm / 2
    return Lesion(
        name=name or f"GTV_MetIA_{label}",
        tracking_uid=uid or f"2.25.{label}",
        number=label,
        measurement=Measurement(
            label=label,
            volume_mm3=4.18879 * half**3,
            longest=Chord(longest_mm, (-half, 0.0, 0.0), (half, 0.0, 0.0)),
            perpendicular=Chord(longest_mm * 0.8, (0.0, -half, 0.0), (0.0, half, 0.0)),
            diameter_3d_mm=longest_mm,
            centroid_lps_mm=(float(label), 0.0, 0.0),
            first_slice=2,
            last_slice=6,
            measured_slice=4,
            plane="acquired",
            measurable=longest_mm >= 10,
            reason="",
        ),
    )


def study_of(number: int) -> str:
    return f"1.2.3.{number}"


def visit(
    database: store.Database,
    worker: int,
    number: int,
    lesions: list[Lesion],
    *,
    day: date | None = None,
    undated: bool = False,
    patient_id: str | None = "A-0042",
) -> Job:
    """Enter visit ``number``, by default four weeks after the one before."""
    study = study_of(number)
    job = running_job(database, worker, study=study, series=f"{study}.1")
    record = series_record(
        patient_id=patient_id,
        study_instance_uid=study,
        series_instance_uid=f"{study}.1",
        study_date=None if undated else day or FIRST_DAY + timedelta(weeks=4 * number),
    )
    finish(database, job, worker, lesions, series=record)
    return store.get_job(database, job.job_id)


def put_in_doubt(
    database: store.Database, job: Job, relation: str = "persisting: they differ much in size and position"
) -> None:
    """Let following not be sure of any lesion that a job has found."""
    found = update(Finding).where(Finding.lesion_key.in_([one.id for one in job.lesions]))
    with database.writing() as session:
        session.execute(found.values(ambiguous=True, relation=relation))


def patient_key(database: store.Database) -> int:
    """Give the key of the patient last seen."""
    return store.list_patients(database)[0].key
