"""Follows lesions from visit to visit: registers a new visit to those known, and threads all lesions of the patient.

Before a job writes, ``follow`` gives its lesions the names and tracking UIDs that they have at the other visits. After
it is committed, ``rethread`` goes through the whole history again: an older study that arrives late may change what is
one lesion, and the series concerned are then written again (``relabel_store``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, undefer

from BDD.absence_store import grids_of, keep_absences, known_absences, open_absences
from BDD.database import Database
from BDD.followup_models import Finding, TrackedLesion, VisitImage
from BDD.followup_store import current_jobs, findings_of, study_of, tracked_lesions
from BDD.identities import carry, identify, is_said
from BDD.models import Job, LesionRow, Patient, Series, Study
from BDD.places import Places, bases_for, keep_registration, place_of, places_of, register_missing
from BDD.records import SeriesRecord
from rano.coverage import Grid
from rano.following import thread
from rano.lesion import Lesion
from rano.links import Absence, FollowedLesion, FollowedVisit, Link
from rano.matching import unused_names
from rano.reduced import ReducedVolume
from rano.registration import Registration
from rano.rigid import RigidTransform
from rano.shape import LesionShape


@dataclass(frozen=True)
class Following:
    """What following a new visit gave, to be kept with its job.

    Attributes
    ----------
    lesions
        Under the identities that they have at the other visits.
    shapes
        In the order of ``lesions``.
    image, frame_of_reference_uid
        What later visits are registered to.
    registrations
        Of this series to others, by their keys.
    links
        How each lesion was followed to this visit; empty when the patient has no others.
    absent
        Of the patient's lesions that were not found at this visit those of which it is open whether they have gone.
    """

    lesions: list[Lesion]
    shapes: Sequence[LesionShape]
    image: ReducedVolume
    frame_of_reference_uid: str | None
    registrations: Mapping[int, Registration]
    links: Sequence[Link] = ()
    absent: Sequence[Absence] = ()

    def keep(self, session: Session, series_key: int, rows: Sequence[LesionRow]) -> None:
        """Keep what later visits need to follow from this one, within the transaction that records the job."""
        image = session.get(VisitImage, series_key) or VisitImage(series_key=series_key)
        image.image, image.frame_of_reference_uid = self.image.to_bytes(), self.frame_of_reference_uid
        session.add(image)
        for other, registration in self.registrations.items():
            keep_registration(session, other, series_key, registration)
        shapes = {one.measurement.label: shape for one, shape in zip(self.lesions, self.shapes, strict=True)}
        followed = {
            one.measurement.label: link.tracking_uid for one, link in zip(self.lesions, self.links, strict=False)
        }
        for lesion in rows:
            finding = session.get_one(Finding, lesion.id)
            finding.shape = shapes[lesion.label].to_bytes()
            uid = followed.get(lesion.label, lesion.tracking_uid)
            if uid != lesion.tracking_uid:  # of a lesion that people have merged into the one whose name it carries
                finding.tracked = session.scalars(
                    select(TrackedLesion).where(
                        TrackedLesion.tracking_uid == uid, TrackedLesion.patient_key == finding.tracked.patient_key
                    )
                ).one()


def follow(
    database: Database,
    record: SeriesRecord,
    frame_of_reference_uid: str | None,
    image: ReducedVolume,
    lesions: Sequence[Lesion],
    shapes: Sequence[LesionShape],
    make_tracking_uid: Callable[[str], str],
) -> Following:
    """Find out which lesions of a new visit are known from the patient's other visits.

    Parameters
    ----------
    record
        The series that was segmented.
    image
        Its reduced volume.
    lesions, shapes
        In the order of the labels.
    make_tracking_uid
        Makes a tracking UID from a text that tells a lesion from all others.
    """
    with database.reading() as session:
        patient = session.scalar(_patient(record))
        if patient is None:
            return Following(list(lesions), shapes, image, frame_of_reference_uid, {})
        jobs = _jobs(session, patient.id)
        # Another series of the same study is one more visit, of the same day.
        others = [job for job in jobs if job.series_instance_uid != record.series_instance_uid]
        tracked = tracked_lesions(session, patient.id)
        found = findings_of(session, jobs, undefer(Finding.shape))
        places = places_of(session, patient.id)
        grids = grids_of(session, [job.series_key for job in others])
        known = [_followed_visit(job, found.get(job.id, []), tracked, places, grids) for job in others]
        said = {one.tracking_uid for one in tracked.values() if is_said(one, record.study_instance_uid)}
        own = session.scalar(select(Series.id).where(Series.series_instance_uid == record.series_instance_uid))
        bases = bases_for(session, others, record.study_date)
    place, trouble = places.get(own or 0, (None, ""))
    registrations: dict[int, Registration] = {}
    if not others:
        place = RigidTransform.identity()
    elif place is None:
        place, registrations, trouble = place_of(frame_of_reference_uid, image, bases, places)
    uids = {one.tracking_uid for one in tracked.values()}
    now = FollowedVisit(
        record.series_instance_uid,
        record.study_date,
        tuple(
            # One just made is nobody's yet: it must not be weighed against those that people have decided about.
            FollowedLesion(shape, uid if (uid := one.tracking_uid) in uids else None, fixed=uid in said)
            for one, shape in zip(lesions, shapes, strict=True)
        ),
        place,
        trouble,
        image.grid,
    )
    links = {visit.visit: visit for visit in thread([*known, now], make_tracking_uid)}[now.visit]
    named = _named(lesions, links.lesions, tracked)
    return Following(named, shapes, image, frame_of_reference_uid, registrations, links.lesions, open_absences(links))


def _patient(record: SeriesRecord) -> Select[Patient]:
    """Ask for the patient of a series: by PatientID, and where DICOM gives none by the study, which is the only one."""
    if record.patient_id is not None:
        return select(Patient).where(Patient.patient_id == record.patient_id)
    study = select(Study.patient_key).where(Study.study_instance_uid == record.study_instance_uid)
    return select(Patient).where(Patient.patient_id.is_(None), Patient.id.in_(study))


def rethread(database: Database, study_instance_uid: str) -> None:
    """Go through all visits of this study's patient again and set right which findings are one lesion.

    Visits that were never registered to one another are registered first.
    """
    _join(database, study_instance_uid)
    with database.writing() as session:
        study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
        if study is None:
            return
        jobs = _jobs(session, study.patient_key)
        if len(jobs) < 2:
            return
        tracked = tracked_lesions(session, study.patient_key)
        by_uid = {one.tracking_uid: one for one in tracked.values()}
        names = unused_names({one.name for one in tracked.values()})
        found = findings_of(session, jobs, undefer(Finding.shape))
        places = places_of(session, study.patient_key)
        grids = grids_of(session, [job.series_key for job in jobs])
        known = [_followed_visit(job, found.get(job.id, []), tracked, places, grids) for job in jobs]
        visits = {visit.visit: visit for visit in thread(known)}
        for job in jobs:
            followed = [one for one in found.get(job.id, []) if one.shape is not None]
            for finding, link in zip(followed, visits[study_of(job).study_instance_uid].lesions, strict=True):
                finding.relation, finding.ambiguous = f"{link.status}: {link.reason}", link.ambiguous
                finding.part_of, finding.merged = link.part_of, list(link.merged)
                if finding.tracked.merged_into is not None or finding.tracked.tracking_uid == link.tracking_uid:
                    continue
                lesion = by_uid.get(link.tracking_uid)
                if lesion is None:
                    lesion = TrackedLesion(
                        patient_key=study.patient_key, tracking_uid=link.tracking_uid, name=next(names)
                    )
                    by_uid[link.tracking_uid] = lesion
                finding.tracked = lesion
        changed = any(session.is_modified(one) for one in session.dirty)
        absences = {job.id: open_absences(visits[study_of(job).study_instance_uid]) for job in jobs}
        if keep_absences(session, {job: known_absences(of_job, by_uid) for job, of_job in absences.items()}) or changed:
            study.patient.changed_at = datetime.now(UTC)


def _join(database: Database, study_instance_uid: str) -> None:
    """Find ways to the visits of this study's patient to which none leads; it takes seconds where there are any."""
    with database.reading() as session:
        patient_key = session.scalar(select(Study.patient_key).where(Study.study_instance_uid == study_instance_uid))
        if patient_key is None:
            return
        found = register_missing(session, _jobs(session, patient_key), places_of(session, patient_key))
    if found:
        with database.writing() as session:
            for (earlier, later), registration in found.items():
                keep_registration(session, earlier, later, registration)


def _jobs(session: Session, patient_key: int) -> list[Job]:
    return current_jobs(session, session.scalars(select(Study.id).where(Study.patient_key == patient_key)).all())


def _followed_visit(
    job: Job,
    findings: Sequence[Finding],
    tracked: Mapping[int, TrackedLesion],
    places: Places,
    grids: Mapping[int, Grid],
) -> FollowedVisit:
    """Give a visit as it is followed; findings without a kept shape are left out."""
    assert job.series_key is not None, "a job that is done has a series"
    place, trouble = places[job.series_key]
    return FollowedVisit(
        study_of(job).study_instance_uid,
        study_of(job).study_date,
        tuple(
            FollowedLesion(
                LesionShape.from_bytes(one.finding.shape),
                one.lesion.tracking_uid,
                fixed=is_said(one.finding.tracked, study_of(job).study_instance_uid),
            )
            for one in identify(findings, tracked)
            if one.finding.shape is not None
        ),
        place,
        trouble,
        grids.get(job.series_key),
    )


def _named(lesions: Sequence[Lesion], links: Sequence[Link], tracked: Mapping[int, TrackedLesion]) -> list[Lesion]:
    """Give the lesions the names of those that they are, and new ones names that no lesion of the patient has."""
    by_uid = {one.tracking_uid: one for one in tracked.values()}
    known = {
        lesion.measurement.label: (by_uid[link.tracking_uid], lesion.measurement.volume_mm3)
        for lesion, link in zip(lesions, links, strict=True)
        if link.tracking_uid in by_uid
    }
    carried = carry(known, tracked)
    names = unused_names({one.name for one in tracked.values()})
    return [
        replace(lesion, tracking_uid=link.tracking_uid, name=next(names))
        if (one := carried.get(lesion.measurement.label)) is None
        else replace(lesion, tracking_uid=one.tracking_uid, name=one.name)
        for lesion, link in zip(lesions, links, strict=True)
    ]
