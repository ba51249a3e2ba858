"""The tables of the follow-up: which findings are one lesion, what people have decided, and who decided it when.

A *finding* is a lesion as one job measured it (``models.LesionRow``) and is never changed. A *tracked lesion* is what
findings of several visits have in common: its name, its tracking UID, and what people say about it. Every decision is
a row of ``changes`` that holds the values before and after, so that it can be taken back.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from BDD.models import Base, Job, LesionRow, Uid


class TrackedLesion(Base):
    """A lesion of a patient through all visits.

    ``number``: which of the patient's it is, from 1, whatever its name is: its colour.
    ``target``: chosen by hand as a target lesion (true), or not to be one (false); NULL leaves it to the rule.
    ``merged_into``: this is the same lesion as that one; taken back by setting it to NULL again.
    ``split_from``, ``split_at``: it was taken for that one until people said that from this study (its
    StudyInstanceUID) on it is another.
    """

    __tablename__ = "tracked_lesions"
    __table_args__ = (UniqueConstraint("patient_key", "tracking_uid"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_key: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    tracking_uid: Mapped[str] = mapped_column(Uid)
    number: Mapped[int]
    name: Mapped[str] = mapped_column(String(64))
    target: Mapped[bool | None]
    not_a_lesion: Mapped[bool] = mapped_column(default=False)
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("tracked_lesions.id"))
    version: Mapped[int] = mapped_column(default=1)
    split_from: Mapped[int | None] = mapped_column(ForeignKey("tracked_lesions.id"))
    split_at: Mapped[str | None] = mapped_column(Uid)


class Finding(Base):
    """What is known of a lesion row besides its measurement: whose finding it is, and its shape.

    ``relation`` is how the following came to this, in words, and ``ambiguous`` whether somebody should look at it.
    """

    __tablename__ = "findings"

    lesion_key: Mapped[int] = mapped_column(ForeignKey("lesions.id"), primary_key=True, autoincrement=False)
    tracked_key: Mapped[int] = mapped_column(ForeignKey("tracked_lesions.id"), index=True)
    relation: Mapped[str] = mapped_column(Text, default="")
    ambiguous: Mapped[bool] = mapped_column(default=False)
    part_of: Mapped[str | None] = mapped_column(Uid)
    merged: Mapped[list[str]] = mapped_column(JSON, default=list)
    shape: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)

    lesion: Mapped[LesionRow] = relationship()
    tracked: Mapped[TrackedLesion] = relationship()


class LabelMapRow(Base):
    """The label map that a job found, for the objects to be written again under other names; see ``packing``."""

    __tablename__ = "label_maps"

    job_key: Mapped[int] = mapped_column(ForeignKey("jobs.id"), primary_key=True, autoincrement=False)
    voxels: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)

    job: Mapped[Job] = relationship()


class KeyImage(Base):
    """A picture (PNG) of a lesion row, for as long as its job is the newest segmentation of the series."""

    __tablename__ = "key_images"

    lesion_key: Mapped[int] = mapped_column(ForeignKey("lesions.id"), primary_key=True, autoincrement=False)
    png: Mapped[bytes] = mapped_column(LargeBinary)


class VisitImage(Base):
    """A small copy of a segmented series, which later visits are registered to."""

    __tablename__ = "visit_images"

    series_key: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True, autoincrement=False)
    frame_of_reference_uid: Mapped[str | None] = mapped_column(Uid)
    image: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)


class RegistrationRow(Base):
    """How two series of a patient lie to each other: from LPS of the one that became known later to LPS of the other.

    ``matrix`` is 4 x 4, row by row; ``ok`` says whether lesions may be followed by it. ``quality`` holds the
    numbers that speak for it: by the correlation of the edges, lesions may be followed by it in doubt only.
    """

    __tablename__ = "registrations"
    __table_args__ = (UniqueConstraint("earlier_key", "later_key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    earlier_key: Mapped[int] = mapped_column(ForeignKey("series.id"))
    later_key: Mapped[int] = mapped_column(ForeignKey("series.id"))
    matrix: Mapped[list[float]]
    quality: Mapped[dict[str, Any]]
    ok: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)


class AbsenceRow(Base):
    """A lesion known from other visits that this job did not find, where it is open whether it has gone.

    ``status`` is ``not covered`` where the images do not show its place, and ``resolved`` where it is only not sure.
    """

    __tablename__ = "absences"

    job_key: Mapped[int] = mapped_column(ForeignKey("jobs.id"), primary_key=True, autoincrement=False)
    tracked_key: Mapped[int] = mapped_column(ForeignKey("tracked_lesions.id"), primary_key=True, autoincrement=False)
    status: Mapped[str] = mapped_column(String(16))


class VisitAssessment(Base):
    """What people know of a visit that no image shows; ``baseline`` says that it was chosen to compare with.

    ``immunotherapy``: whether the patient is under it; NULL where it is as at the visit before.
    ``judgements``: what a reader says of lesions at it, ``rano.history.Judgement`` by tracking UID (``judgements``).
    ``verified``: what they have looked at and found right of how its lesions were followed (``verification.followed``).
    """

    __tablename__ = "visit_assessments"

    study_key: Mapped[int] = mapped_column(ForeignKey("studies.id"), primary_key=True, autoincrement=False)
    corticosteroid_mg: Mapped[float | None]
    clinical_status: Mapped[str | None] = mapped_column(String(16))
    immunotherapy: Mapped[bool | None]
    judgements: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    note: Mapped[str] = mapped_column(Text, default="")
    baseline: Mapped[bool] = mapped_column(default=False)
    version: Mapped[int] = mapped_column(default=1)
    verified: Mapped[str | None] = mapped_column(String(64))


class Change(Base):
    """One decision: the values of the named fields before and after, who made it and when.

    ``subject`` is ``lesion`` (``subject_key`` is a tracked lesion) or ``visit`` (a study).
    """

    __tablename__ = "changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_key: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    subject: Mapped[str] = mapped_column(String(16))
    subject_key: Mapped[int]
    before: Mapped[dict[str, Any]]
    after: Mapped[dict[str, Any]]
    made_by: Mapped[str] = mapped_column(String(100))
    made_at: Mapped[datetime]
    undoes: Mapped[int | None] = mapped_column(ForeignKey("changes.id"), unique=True)
