"""Follows the lesions of a patient through all visits again, when what the following rests on has changed.

That marks the patient (``Patient.unfollowed_at``) in the transaction in which it changes: a visit was segmented, got
another date, went to another patient or was forgotten, or people said which lesions are one. The mark goes once all
visits were followed, so that no patient is left out when a worker ends in between; a patient without a mark is not
touched.

An older study that arrives late, or one that goes, may change what is one lesion; the series concerned are then
written again (``relabel_store``).
"""

import logging
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, undefer

from BDD.absence_store import grids_of, keep_absences, known_absences, open_absences
from BDD.database import Database
from BDD.following_store import followed_visit, jobs_of
from BDD.followup_models import Finding, TrackedLesion
from BDD.followup_store import findings_of, study_of, tracked_lesions
from BDD.models import Patient
from BDD.places import keep_registration, places_of, register_missing
from rano.following import thread
from rano.matching import unused

logger = logging.getLogger(__name__)


def follow_again(database: Database) -> None:
    """Follow the patients that are marked, and take the marks away; again is fine.

    Visits that were never registered to one another are registered first, which takes seconds where there are any.

    Raises
    ------
    OperationalError
        When the database does not answer: who is marked stays so. Any other error is that of one patient.
    """
    with database.reading() as session:
        query = select(Patient.id, Patient.unfollowed_at).where(Patient.unfollowed_at.is_not(None)).order_by(Patient.id)
        marked = session.execute(query).all()
    for key, marked_at in marked:
        try:
            _join(database, key)
            with database.writing() as session:
                _rethread(session, key)
        except OperationalError:
            raise
        except Exception:  # it would be the same in a minute: the next change is waited for
            logger.exception("patient %d of the database: the visits could not be followed again", key)
        with database.writing() as session:  # what was marked anew meanwhile stays marked
            same = Patient.id == key, Patient.unfollowed_at == marked_at
            session.execute(update(Patient).where(*same).values(unfollowed_at=None))


def _join(database: Database, patient_key: int) -> None:
    """Find ways to the visits to which none leads."""
    with database.reading() as session:
        found = register_missing(session, jobs_of(session, patient_key), places_of(session, patient_key))
    if found:
        with database.writing() as session:
            for (earlier, later), registration in found.items():
                keep_registration(session, earlier, later, registration)


def _rethread(session: Session, patient_key: int) -> None:
    """Go through all visits again and set right which findings are one lesion."""
    jobs = jobs_of(session, patient_key)
    if not jobs:
        return
    tracked = tracked_lesions(session, patient_key)
    by_uid = {one.tracking_uid: one for one in tracked.values()}
    fresh = unused((one.number, one.name) for one in tracked.values())
    found = findings_of(session, jobs, undefer(Finding.shape))
    places = places_of(session, patient_key)
    grids = grids_of(session, [job.series_key for job in jobs])
    known = [followed_visit(job, found.get(job.id, []), tracked, places, grids) for job in jobs]
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
                number, name = next(fresh)
                lesion = TrackedLesion(
                    patient_key=patient_key, tracking_uid=link.tracking_uid, number=number, name=name
                )
                by_uid[link.tracking_uid] = lesion
            finding.tracked = lesion
    changed = any(session.is_modified(one) for one in session.dirty)
    absences = {job.id: open_absences(visits[study_of(job).study_instance_uid]) for job in jobs}
    if keep_absences(session, {job: known_absences(of_job, by_uid) for job, of_job in absences.items()}) or changed:
        session.get_one(Patient, patient_key).changed_at = datetime.now(UTC)
