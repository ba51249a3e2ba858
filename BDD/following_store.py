"""Follows the lesions of a new visit: registers it to those known, and threads all lesions of the patient.

Before a job writes, ``follow`` gives its lesions the names and tracking UIDs that they have at the other visits. After
it is committed, ``rethread_store`` goes through the whole history again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, undefer

from BDD.absence_store import grids_of, open_absences
from BDD.database import Database
from BDD.followup_models import Finding, TrackedLesion, VisitImage
from BDD.followup_store import current_jobs, findings_of, study_of, tracked_lesions
from BDD.identities import carry, identify, is_said
from BDD.models import Job, LesionRow, Patient, Series, Study
from BDD.moving import arriving
from BDD.places import Places, bases_for, forget_registrations, keep_registration, place_of, places_of
from BDD.records import SeriesRecord
from rano.coverage import Grid
from rano.following import thread
from rano.lesion import Lesion
from rano.links import Absence, FollowedLesion, FollowedVisit, Link
from rano.matching import unused
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
    changed
        The images are not those that were segmented before: how they lay to others no longer holds.
    """

    lesions: list[Lesion]
    shapes: Sequence[LesionShape]
    image: ReducedVolume
    frame_of_reference_uid: str | None
    registrations: Mapping[int, Registration]
    links: Sequence[Link] = ()
    absent: Sequence[Absence] = ()
    changed: bool = False

    def keep(self, session: Session, series_key: int, rows: Sequence[LesionRow]) -> None:
        """Keep what later visits need to follow from this one, within the transaction that records the job."""
        image = session.get(VisitImage, series_key) or VisitImage(series_key=series_key)
        image.image, image.frame_of_reference_uid = self.image.to_bytes(), self.frame_of_reference_uid
        session.add(image)
        if self.changed:
            forget_registrations(session, series_key)
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
            return _alone(record, frame_of_reference_uid, image, lesions, shapes)
        jobs = jobs_of(session, patient.id)
        # Another series of the same study is one more visit, of the same day.
        others = [job for job in jobs if job.series_instance_uid != record.series_instance_uid]
        tracked = tracked_lesions(session, patient.id)
        found = findings_of(session, jobs, undefer(Finding.shape))
        own = session.scalar(select(Series.id).where(Series.series_instance_uid == record.series_instance_uid))
        before = session.scalar(select(VisitImage.image).where(VisitImage.series_key == own))
        changed = before is not None and bool(ReducedVolume.from_bytes(before).difference(image))
        places = places_of(session, patient.id, without=own if changed else None)
        grids = grids_of(session, [job.series_key for job in others])
        known = [followed_visit(job, found.get(job.id, []), tracked, places, grids) for job in others]
        # What people decided of the study under another PatientID goes with it.
        tracked |= arriving(session, record.study_instance_uid, patient.id)
        by_uid = {one.tracking_uid: one for one in tracked.values()}
        said = {uid for uid, one in by_uid.items() if is_said(one, record.study_instance_uid)}
        bases = bases_for(session, others, record.study_date)
    place, trouble = places.get(own or 0, (None, ""))
    registrations: dict[int, Registration] = {}
    if not others:
        place, trouble = RigidTransform.identity(), ""
    elif place is None:
        place, registrations, trouble = place_of(frame_of_reference_uid, image, bases, places)
    now = FollowedVisit(
        # In order just after its study's other series: what people said of that holds for what is found now.
        f"{record.study_instance_uid} {record.series_instance_uid}",
        record.study_date,
        tuple(
            # One just made is nobody's yet: it must not be weighed against those that people have decided about.
            FollowedLesion(shape, uid if (uid := one.tracking_uid) in by_uid else None, fixed=uid in said)
            for one, shape in zip(lesions, shapes, strict=True)
        ),
        place,
        trouble,
        image.grid,
    )
    links = {visit.visit: visit for visit in thread([*known, now], make_tracking_uid)}[now.visit]
    named = _named(lesions, links.lesions, tracked)
    absent = open_absences(links)
    return Following(named, shapes, image, frame_of_reference_uid, registrations, links.lesions, absent, changed)


def _alone(
    record: SeriesRecord,
    frame_of_reference_uid: str | None,
    image: ReducedVolume,
    lesions: Sequence[Lesion],
    shapes: Sequence[LesionShape],
) -> Following:
    """Keep a new patient's lesions as they are: the series may have been known under another PatientID."""
    found = tuple(FollowedLesion(shape, one.tracking_uid) for one, shape in zip(lesions, shapes, strict=True))
    place = RigidTransform.identity()
    (links,) = thread([FollowedVisit(record.series_instance_uid, record.study_date, found, place, "", image.grid)])
    return Following(list(lesions), shapes, image, frame_of_reference_uid, {}, links.lesions)


def _patient(record: SeriesRecord) -> Select[Patient]:
    """Ask for the patient of a series: by PatientID, and where DICOM gives none by the study, which is the only one."""
    if record.patient_id is not None:
        return select(Patient).where(Patient.patient_id == record.patient_id)
    study = select(Study.patient_key).where(Study.study_instance_uid == record.study_instance_uid)
    return select(Patient).where(Patient.patient_id.is_(None), Patient.id.in_(study))


def jobs_of(session: Session, patient_key: int) -> list[Job]:
    """Give the segmentation that speaks for each visit of a patient, by date."""
    return current_jobs(session, session.scalars(select(Study.id).where(Study.patient_key == patient_key)).all())


def followed_visit(
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
    """Give the lesions number and name of those that they are, and new ones what no lesion of the patient has."""
    by_uid = {one.tracking_uid: one for one in tracked.values()}
    known = {
        lesion.measurement.label: (by_uid[link.tracking_uid], lesion.measurement.volume_mm3)
        for lesion, link in zip(lesions, links, strict=True)
        if link.tracking_uid in by_uid
    }
    carried = carry(known, tracked)
    fresh = unused((one.number, one.name) for one in tracked.values())
    named = []
    for lesion, link in zip(lesions, links, strict=True):
        if one := carried.get(lesion.measurement.label):
            number, name, tracking_uid = one.number, one.name, one.tracking_uid
        else:
            (number, name), tracking_uid = next(fresh), link.tracking_uid
        named.append(replace(lesion, tracking_uid=tracking_uid, number=number, name=name))
    return named
