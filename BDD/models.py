"""The tables: patients, studies, series, jobs, models, workers, the lesions each job found and the objects it wrote.

A job that ends well becomes the next *version* of its series: its lesions are rows of their own, never changed in
place, and those of the highest version are the current ones. Rows point to each other by integer keys; DICOM UIDs and
the job's public id are unique besides.
"""

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Date, ForeignKey, Index, MetaData, String, Text, UniqueConstraint, text
from sqlalchemy.ext.hybrid import hybrid_method
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeEngine

from BDD.database import UtcDateTime

QUEUED, DONE, FAILED, CANCELLED = "queued", "done", "failed", "cancelled"
FETCHING, WRITING = "fetching", "writing"
RUNNING_STATES = (FETCHING, "reading", "segmenting", "measuring", WRITING)
OPEN_STATES = (QUEUED, *RUNNING_STATES)
FINAL_STATES = (DONE, FAILED, CANCELLED)
JOB_STATES = (*OPEN_STATES, *FINAL_STATES)
SEGMENT, RELABEL = "segment", "relabel"
"""What a job is for: to find lesions, or to write those found before again under the names they have now."""

Uid = String(64)


def _told(length: int) -> TypeEngine[str]:
    """Make the type of a text that files and bundles tell, which may be longer than their rules allow.

    SQLite has never counted the characters; PostgreSQL would refuse the job that met it.
    """
    return String(length).with_variant(Text(), "postgresql")


def _is_one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON,
        list[float]: JSON,
    }


class Patient(Base):
    """A patient. DICOM allows an empty PatientID: NULL here, and such studies each have a patient of their own."""

    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[str | None] = mapped_column(_told(64), unique=True)
    patient_name: Mapped[str] = mapped_column(Text)
    patient_birth_date: Mapped[date | None] = mapped_column(Date)
    patient_sex: Mapped[str | None] = mapped_column(_told(16))
    changed_at: Mapped[datetime | None]  # when something last changed of what results are written with
    unfollowed_at: Mapped[datetime | None]  # when what following rests on changed; NULL once it was followed again

    def visits_changed(self) -> None:
        """Mark that the patient's visits are others now: to be followed again, and compared with what was written."""
        self.changed_at = self.unfollowed_at = datetime.now(UTC)


class Study(Base):
    """A study: one visit of the patient."""

    __tablename__ = "studies"

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_key: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    study_instance_uid: Mapped[str] = mapped_column(Uid, unique=True)
    study_date: Mapped[date | None] = mapped_column(Date)

    patient: Mapped[Patient] = relationship()


class Series(Base):
    """A series that was segmented at least once."""

    __tablename__ = "series"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_key: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    series_instance_uid: Mapped[str] = mapped_column(Uid, unique=True)
    modality: Mapped[str] = mapped_column(_told(16))
    series_description: Mapped[str] = mapped_column(Text)
    checked_at: Mapped[datetime | None]  # the patient's ``changed_at`` with which its results were compared last
    checked_rule: Mapped[str | None] = mapped_column(String(16))  # and the target rule (``rano.history.TARGET_RULES``)

    study: Mapped[Study] = relationship()


class Model(Base):
    """A network as it was used: name, version and the hash of its weights."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("name", "version", "sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(_told(100))
    version: Mapped[str] = mapped_column(_told(50))
    sha256: Mapped[str] = mapped_column(String(64))
    statement: Mapped[str] = mapped_column(Text)


class Worker(Base):
    """A worker process: alive while ``seen_at`` is fresh and ``stopped_at`` empty; ``error`` is why it cannot work."""

    __tablename__ = "workers"

    id: Mapped[int] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    device: Mapped[str | None] = mapped_column(_told(100))
    model_key: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    error: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    stopped_at: Mapped[datetime | None]

    model: Mapped[Model | None] = relationship()


class Job(Base):
    """One request to segment one series.

    The two partial unique indexes are the locks of the house: a series has at most one open job, and of a study at
    most one job runs at a time, however many workers there are.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(_is_one_of("state", JOB_STATES), name="state"),
        UniqueConstraint("series_key", "version"),
        Index(
            "uq_jobs_open_series",
            "series_instance_uid",
            unique=True,
            sqlite_where=text(_is_one_of("state", OPEN_STATES)),
            postgresql_where=text(_is_one_of("state", OPEN_STATES)),
        ),
        Index(
            "uq_jobs_running_study",
            "study_instance_uid",
            unique=True,
            sqlite_where=text(_is_one_of("state", RUNNING_STATES)),
            postgresql_where=text(_is_one_of("state", RUNNING_STATES)),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(String(36), unique=True)  # the public one; the results' UIDs derive from it
    # What was asked for.
    study_instance_uid: Mapped[str] = mapped_column(Uid, index=True)
    series_instance_uid: Mapped[str] = mapped_column(Uid)
    selection: Mapped[dict[str, Any]]
    outputs: Mapped[list[str]]
    requested_model: Mapped[str | None] = mapped_column(_told(100))
    purpose: Mapped[str] = mapped_column(String(16), default=SEGMENT, server_default=SEGMENT)
    # How it goes.
    state: Mapped[str] = mapped_column(String(16), index=True)
    stage: Mapped[str] = mapped_column(String(16))  # the last running state reached
    fraction: Mapped[float]
    attempts: Mapped[int]
    cancel_requested: Mapped[bool]
    problem: Mapped[dict[str, Any] | None]
    worker_key: Mapped[int | None] = mapped_column(ForeignKey("workers.id"))
    created_at: Mapped[datetime]
    queued_at: Mapped[datetime]
    not_before: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    # What came of it.
    series_key: Mapped[int | None] = mapped_column(ForeignKey("series.id"))
    version: Mapped[int | None]
    model_key: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    timings: Mapped[dict[str, Any] | None]
    content: Mapped[str | None] = mapped_column(String(64))  # what it was written with (course_store.content_of)

    series: Mapped[Series | None] = relationship()
    model: Mapped[Model | None] = relationship()
    lesions: Mapped[list["LesionRow"]] = relationship(order_by="LesionRow.label")
    results: Mapped[list["Result"]] = relationship(order_by="Result.id")

    @hybrid_method
    def is_held_back(self, now: datetime) -> bool:
        """Whether it is to wait longer, in SQL too; before it was queued, the clock was set back, and it is not."""
        return (self.queued_at <= now) & (now < self.not_before)


class LesionRow(Base):
    """A lesion as one job found it; ``rano.lesion.Lesion`` with its slices named by SOPInstanceUID.

    Slice indices are 0-based along axis 0 of the label map; frame numbers are 1-based and NULL for single-frame series.
    """

    __tablename__ = "lesions"
    __table_args__ = (UniqueConstraint("job_key", "label"), UniqueConstraint("job_key", "tracking_uid"))

    id: Mapped[int] = mapped_column(primary_key=True)
    job_key: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    label: Mapped[int]  # segment number and ROINumber
    number: Mapped[int]  # which of the patient's lesions it was written as: its colour
    name: Mapped[str] = mapped_column(String(64))
    tracking_uid: Mapped[str] = mapped_column(Uid, index=True)
    volume_mm3: Mapped[float]
    longest_diameter_mm: Mapped[float]
    longest_start_lps_mm: Mapped[list[float]]
    longest_end_lps_mm: Mapped[list[float]]
    perpendicular_diameter_mm: Mapped[float]
    perpendicular_start_lps_mm: Mapped[list[float]]
    perpendicular_end_lps_mm: Mapped[list[float]]
    diameter_3d_mm: Mapped[float]
    centroid_lps_mm: Mapped[list[float]]
    plane: Mapped[str] = mapped_column(String(16))
    measurable: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    first_slice: Mapped[int]
    first_sop_instance_uid: Mapped[str] = mapped_column(Uid)
    first_frame_number: Mapped[int | None]
    last_slice: Mapped[int]
    last_sop_instance_uid: Mapped[str] = mapped_column(Uid)
    last_frame_number: Mapped[int | None]
    measured_slice: Mapped[int]
    measured_sop_instance_uid: Mapped[str] = mapped_column(Uid)
    measured_frame_number: Mapped[int | None]
    mean_probability: Mapped[float | None]  # both NULL when only a mask was measured
    entropy_bits: Mapped[float | None]


class Result(Base):
    """A series of one instance that this job writes into the archive.

    The row is there before the object: ``written_at`` is set when the archive has it. From ``superseded_at`` on, the
    object must go from the archive (a newer version was committed, or its job failed); ``retired_at`` says it went.
    ``retiring_key`` is the worker that is taking it out: until that is over, or the worker dead, its job waits.
    """

    __tablename__ = "results"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_key: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    series_instance_uid: Mapped[str] = mapped_column(Uid, unique=True)
    sop_instance_uid: Mapped[str] = mapped_column(Uid, unique=True)
    written_at: Mapped[datetime | None]
    superseded_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]
    retiring_key: Mapped[int | None] = mapped_column(ForeignKey("workers.id"))
