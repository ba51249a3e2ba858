"""Brings the archive after what has become known: which series were written with what no longer holds, and with what.

Names and tracking UIDs change by people's decisions, and when visits are followed anew; the place of a visit in the
course, and the response that its report states, by any other visit and by assessments. Whatever may change either marks
the patient, and the patient's series are then compared with what they were written with. All series are when another
target rule decides the response.

A relabelling is a job like any other: it becomes the next version of its series, and what it replaces is taken out of
the archive once it is committed. What it writes comes from the label map of the newest segmentation, so nothing is
lost when a lesion was called none and comes back.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import numpy.typing as npt
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session, aliased, contains_eager

from BDD.course_store import content_of, standing_of, to_be_written
from BDD.database import Database
from BDD.followup_models import LabelMapRow, VisitImage
from BDD.followup_store import study_of
from BDD.identities import Identity
from BDD.job_store import create_job
from BDD.lesion_rows import lesion_of
from BDD.models import DONE, OPEN_STATES, RELABEL, SEGMENT, Job, Patient, Series, Study
from BDD.newest import newest
from BDD.packing import unpack_label_map
from BDD.records import JobStateError, ModelRecord, SeriesBusyError
from BDD.visits import KnownPatient, known_patient, known_visits
from rano.history import Rules
from rano.lesion import Lesion
from rano.reduced import ReducedVolume
from results.report import Standing

logger = logging.getLogger(__name__)

SAYS_STANDING = {"SEG", "SR"}
"""Where both are written, the report of the volumes says where the visit stands."""


@dataclass(frozen=True)
class Found:
    """What a series is to be written with.

    Attributes
    ----------
    label_map
        int32, shape (slice, row, column) of the series; n = ``lesions[n - 1]``.
    lesions
        Under the names that hold now; those that people have called no lesion are left out, unless a lesion has merged
        with them.
    model
        That found them.
    standing
        Where the visit stands in the patient's course, where the report is to say it.
    image
        Of the images as they were segmented.
    """

    label_map: npt.NDArray[np.int32]
    lesions: list[Lesion]
    model: ModelRecord
    standing: Standing | None
    image: ReducedVolume


def queue_relabelling(database: Database, rules: Rules, *, seconds: float = math.inf) -> list[str]:
    """Queue a job for each series that the archive has with what no longer holds; give their ids.

    A series with an open job waits for its turn: this is asked again every few seconds. One whose relabelling has
    failed is not tried again before the next change.

    Parameters
    ----------
    seconds
        After so long no further series is looked at; those that are left are, when this is asked again.
    """
    end = time.monotonic() + seconds
    jobs = []
    with database.reading() as session:
        known = cache(partial(known_patient, session))
        for job in _unchecked(session, rules):
            jobs.append((job, study_of(job).patient, _must_be_written(session, job, known, rules)))
            if time.monotonic() >= end:
                break
    queued = []
    for job, patient, stale in jobs:
        if stale:
            try:
                queued.append(_queue(database, job))
            except SeriesBusyError:
                continue
        with database.writing() as session:
            checked = {"checked_at": patient.changed_at, "checked_rule": rules.target_rule}
            session.execute(update(Series).where(Series.id == job.series_key).values(checked))
    return queued


def _queue(database: Database, job: Job) -> str:
    return create_job(
        database,
        study_instance_uid=job.study_instance_uid,
        series_instance_uid=job.series_instance_uid,
        selection=job.selection,
        outputs=job.outputs,
        model=job.requested_model,
        purpose=RELABEL,
    ).job_id


def found_in(database: Database, series_instance_uid: str, rules: Rules) -> Found:
    """Give what the newest segmentation of a series found, under the names that hold now, judged by these rules.

    Raises
    ------
    JobStateError
        When its label map or its reduced image was not kept.
    """
    query = select(LabelMapRow, VisitImage.image).join(LabelMapRow.job).join(Job.series)
    query = query.join(VisitImage, VisitImage.series_key == Series.id)
    query = query.where(Series.series_instance_uid == series_instance_uid).order_by(Job.version.desc()).limit(1)
    query = query.options(
        contains_eager(LabelMapRow.job).contains_eager(Job.series).joinedload(Series.study),
        contains_eager(LabelMapRow.job).joinedload(Job.model),
    )
    with database.reading() as session:
        row, image = session.execute(query).tuples().first() or (None, b"")
        if row is None or row.job.model is None:
            raise JobStateError(f"what was found in series {series_instance_uid} was not kept: segment it again")
        identities, standing = _to_write(session, row.job, partial(known_patient, session), rules)
        old, model = unpack_label_map(row.voxels), row.job.model
    renumber = np.zeros(int(old.max(initial=0)) + 1, np.int32)
    lesions = []
    for label, identity in enumerate(identities, start=1):
        renumber[identity.finding.lesion.label] = label
        lesions.append(lesion_of(identity.finding.lesion, identity.lesion, label))
    record = ModelRecord(model.name, model.version, model.sha256, model.statement)
    return Found(renumber[old], lesions, record, standing, ReducedVolume.from_bytes(image))


def _unchecked(session: Session, rules: Rules) -> list[Job]:
    """Give the newest segmentation of each series that was not looked at since its patient or the rule changed.

    Those with an open job are left out: whatever was to be written of them could not be queued.
    """
    another = aliased(Job)
    open_job = select(another.id).where(
        another.series_instance_uid == Job.series_instance_uid, another.state.in_(OPEN_STATES)
    )
    query = (
        select(Job)
        .join(LabelMapRow, LabelMapRow.job_key == Job.id)
        .join(Job.series)
        .join(Series.study)
        .join(Study.patient)
        .where(
            Job.id.in_(newest(Job.series_key, Job.purpose == SEGMENT)),
            ~open_job.exists(),
            Patient.changed_at.is_not(None),
            or_(
                Series.checked_at.is_(None),
                Series.checked_at != Patient.changed_at,
                Series.checked_rule.is_distinct_from(rules.target_rule),
            ),
        )
        .options(contains_eager(Job.series).contains_eager(Series.study).contains_eager(Study.patient))
        .order_by(Job.id)
    )
    return list(session.scalars(query))


def _must_be_written(session: Session, job: Job, known: Callable[[int], KnownPatient], rules: Rules) -> bool:
    try:
        return _is_stale(session, job, known, rules)
    except (LookupError, ValueError):  # what contradicts itself of one patient must not keep others waiting
        logger.exception("job %s: what its series is to be written with could not be told", job.job_id)
        return False


def _is_stale(session: Session, job: Job, known: Callable[[int], KnownPatient], rules: Rules) -> bool:
    """Say whether the current version of a segmentation's series was written with other content than holds now."""
    current = select(Job.content).where(Job.series_key == job.series_key, Job.state == DONE)
    written = session.scalar(current.order_by(Job.version.desc()).limit(1))
    identities, standing = _to_write(session, job, known, rules)
    return written != content_of([(one.lesion.name, one.lesion.tracking_uid) for one in identities], standing)


def _to_write(
    session: Session, job: Job, known: Callable[[int], KnownPatient], rules: Rules
) -> tuple[list[Identity], Standing | None]:
    """Give what is to be written of a segmentation, and where its visit stands, as its report tells, if it has one."""
    patient = known(study_of(job).patient_key)
    (visit,) = known_visits(session, [job], patient.lesions, patient.said)
    now = visit.findings()
    uids = to_be_written(patient, now)
    written = [one for one in visit.identities if one.lesion.tracking_uid in uids]
    tells = bool(written) and set(job.outputs) >= SAYS_STANDING
    return written, standing_of(patient, now, rules) if tells else None
