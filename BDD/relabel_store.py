"""Brings the archive after people's decisions: which series are written under names that no longer hold, and with what.

A relabelling is a job like any other: it becomes the next version of its series, and what it replaces is taken out of
the archive once it is committed. What it writes comes from the label map of the newest segmentation, so nothing is
lost when a lesion was called none and comes back.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased, contains_eager, joinedload

from BDD.database import Database
from BDD.followup_models import Finding, LabelMapRow, TrackedLesion
from BDD.followup_store import findings_of, tracked_lesions
from BDD.identities import Identity, identify
from BDD.job_store import create_job
from BDD.models import DONE, RELABEL, SEGMENT, Job, LesionRow, Series
from BDD.outcome_store import lesion_of
from BDD.packing import unpack_label_map
from BDD.records import JobStateError, ModelRecord, SeriesBusyError
from rano.lesion import Lesion
from rano.links import Link, Status


@dataclass(frozen=True)
class Found:
    """What a series is to be written with.

    Attributes
    ----------
    label_map
        int32, shape (slice, row, column) of the series; n = ``lesions[n - 1]``.
    lesions
        Under the names that hold now; those that people have called no lesion are left out.
    links
        How each was followed to this visit, or what people have said of that.
    model
        That found them.
    """

    label_map: npt.NDArray[np.int32]
    lesions: list[Lesion]
    links: list[Link]
    model: ModelRecord


def queue_relabelling(database: Database) -> list[str]:
    """Queue a job for each series that the archive has under names that no longer hold; give their ids.

    A series with an open job waits for its turn: this is asked again every few seconds. One whose relabelling has
    failed is not tried again before the next change.
    """
    with database.reading() as session:
        stale = [job for job in _changed(session) if _is_stale(session, job)]
    queued = []
    for job in stale:
        try:
            queued.append(
                create_job(
                    database,
                    study_instance_uid=job.study_instance_uid,
                    series_instance_uid=job.series_instance_uid,
                    selection=job.selection,
                    outputs=job.outputs,
                    model=job.requested_model,
                    purpose=RELABEL,
                ).job_id
            )
        except SeriesBusyError:
            continue
    return queued


def found_in(database: Database, series_instance_uid: str) -> Found:
    """Give what the newest segmentation of a series found, under the names that hold now.

    Raises
    ------
    JobStateError
        When its label map was not kept.
    """
    query = select(LabelMapRow).join(LabelMapRow.job).join(Job.series)
    query = query.where(Series.series_instance_uid == series_instance_uid).order_by(Job.version.desc()).limit(1)
    query = query.options(
        contains_eager(LabelMapRow.job).contains_eager(Job.series).joinedload(Series.study),
        contains_eager(LabelMapRow.job).joinedload(Job.model),
    )
    with database.reading() as session:
        row = session.scalar(query)
        if row is None or row.job.model is None:
            raise JobStateError(f"the label map of series {series_instance_uid} was not kept: segment it again")
        kept = _kept(session, row.job)
        old = unpack_label_map(row.voxels)
        model = row.job.model
    renumber = np.zeros(int(old.max(initial=0)) + 1, np.int32)
    lesions = []
    for label, identity in enumerate(kept, start=1):
        renumber[identity.finding.lesion.label] = label
        lesion = identity.lesion
        lesions.append(lesion_of(identity.finding.lesion, lesion.name, lesion.tracking_uid, label=label))
    record = ModelRecord(model.name, model.version, model.sha256, model.statement)
    return Found(renumber[old], lesions, [_link(identity) for identity in kept], record)


def _link(identity: Identity) -> Link:
    finding, whole = identity.finding, identity.part_of
    part_of = whole.tracking_uid if whole else finding.part_of
    return Link(
        identity.lesion.tracking_uid,
        Status.NEW if whole is None and part_of is None else Status.SPLIT,
        finding.ambiguous,
        finding.relation,
        part_of,
        tuple(finding.merged),
    )


def _changed(session: Session) -> list[Job]:
    """Give the newest segmentation of each series with lesions that changed after its last relabelling was queued."""
    later = aliased(Job)
    newest = select(func.max(Job.id)).where(Job.state == DONE, Job.purpose == SEGMENT).group_by(Job.series_key)
    relabelled = (
        select(later.id)
        .where(
            later.series_instance_uid == Job.series_instance_uid,
            later.purpose == RELABEL,
            later.id > Job.id,
            later.created_at >= TrackedLesion.changed_at,
        )
        .exists()
    )
    query = (
        select(Job.id)
        .join(LabelMapRow, LabelMapRow.job_key == Job.id)
        .join(LesionRow, LesionRow.job_key == Job.id)
        .join(Finding, Finding.lesion_key == LesionRow.id)
        .join(TrackedLesion, TrackedLesion.id == Finding.tracked_key)
        .where(Job.id.in_(newest), TrackedLesion.changed_at.is_not(None), ~relabelled)
        .distinct()
    )
    jobs = select(Job).where(Job.id.in_(query)).options(joinedload(Job.series).joinedload(Series.study))
    return list(session.scalars(jobs.order_by(Job.id)))


def _is_stale(session: Session, job: Job) -> bool:
    """Say whether the current version of a segmentation's series carries other names than hold now."""
    current = (
        select(Job.id).where(Job.series_key == job.series_key, Job.state == DONE).order_by(Job.version.desc()).limit(1)
    ).scalar_subquery()
    written = session.execute(select(LesionRow.name, LesionRow.tracking_uid).where(LesionRow.job_key == current))
    wanted = {(one.lesion.name, one.lesion.tracking_uid) for one in _kept(session, job)}
    return {(name, uid) for name, uid in written} != wanted


def _kept(session: Session, job: Job) -> list[Identity]:
    assert job.series is not None, "a job that is done has a series"
    lesions = tracked_lesions(session, job.series.study.patient_key)
    return [one for one in identify(findings_of(session, [job]).get(job.id, []), lesions) if one.is_lesion]
