"""Moves a study to another patient, when its PatientID was corrected in the archive: what people decided goes with it.

A lesion that no other study shows is moved. One that others still show, under the patient of before, is copied; when
they are moved in turn, theirs is known there already by its tracking UID.

A patient has one chosen baseline at most: that of one who has it stands, and the arriving visit is it no more.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from BDD.change_store import chosen_baselines, let_go_of_baseline
from BDD.followup_models import AbsenceRow, Change, Finding, TrackedLesion
from BDD.followup_store import tracked_lesions
from BDD.forget_store import forget_unseen
from BDD.models import Job, LesionRow, Patient, Series, Study
from rano.matching import beside

CORRECTED = "corrected PatientID"
"""Who decides what follows from the moving."""


def move_study(session: Session, study: Study, patient: Patient) -> None:
    """Make a study the new patient's, with the lesions it shows and the decisions about them and about the visit."""
    former = study.patient
    session.flush()
    lesions = tracked_lesions(session, former.id)
    shown = _findings(session, Series.study_key == study.id)
    elsewhere = _findings(session, Series.study_key != study.id, TrackedLesion.patient_key == former.id)
    kept = _with_what_they_point_to({finding.tracked_key for finding in elsewhere}, lesions)
    going = _with_what_they_point_to({finding.tracked_key for finding in shown}, lesions)
    theirs = {lesion.tracking_uid: lesion for lesion in tracked_lesions(session, patient.id).values()}
    arrived = {old.id: theirs[old.tracking_uid] for key in going if (old := lesions[key]).tracking_uid in theirs}
    coming = [lesions[key] for key in sorted(going - arrived.keys())]
    known = [(lesion.number, lesion.name) for lesion in theirs.values()]
    copies: list[TrackedLesion] = []
    for old, (number, name) in zip(coming, beside(known, [(old.number, old.name) for old in coming]), strict=True):
        if old.id in kept:
            arrived[old.id] = TrackedLesion(
                patient_key=patient.id,
                tracking_uid=old.tracking_uid,
                number=number,
                name=name,
                target=old.target,
                not_a_lesion=old.not_a_lesion,
                split_at=old.split_at,
                version=old.version,
            )
            session.add(arrived[old.id])
            copies.append(old)
        else:
            old.patient_key, old.number, old.name = patient.id, number, name
            arrived[old.id] = old
            _move_changes(session, "lesion", old.id, patient.id)
    session.flush()
    moved = [key for key, one in arrived.items() if one.id == key]
    for old in [*copies, *(lesions[key] for key in moved)]:
        one = arrived[old.id]
        one.merged_into = None if old.merged_into is None else arrived[old.merged_into].id
        one.split_from = None if old.split_from is None else arrived[old.split_from].id
    for finding in shown:
        finding.tracked = arrived[finding.tracked_key]
    of_study = select(Job.id).join(Job.series).where(Series.study_key == study.id)
    # What this visit misses is found anew when visits are followed; nobody else misses what has moved.
    session.execute(delete(AbsenceRow).where(or_(AbsenceRow.job_key.in_(of_study), AbsenceRow.tracked_key.in_(moved))))
    _move_changes(session, "visit", study.id, patient.id)
    if chosen_baselines(session, patient.id):
        for chosen in chosen_baselines(session, former.id):
            if chosen.study_key == study.id:
                let_go_of_baseline(session, chosen, patient.id, CORRECTED)
    study.patient = patient
    former.visits_changed()
    patient.visits_changed()
    session.flush()
    forget_unseen(session, former.id)


def arriving(session: Session, study_instance_uid: str, patient_key: int) -> dict[int, TrackedLesion]:
    """Give by key the lesions about which people have decided that a study will bring to a patient.

    They are those that it shows under the patient it is still known by, and what these were merged into or split from;
    in the place of one whose UID the new patient knows already stands that one, as it will after ``move_study``.
    """
    study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
    if study is None or study.patient_key == patient_key:
        return {}
    lesions = tracked_lesions(session, study.patient_key)
    shown = {finding.tracked_key for finding in _findings(session, Series.study_key == study.id)}
    decided = {key for key in shown if lesions[key].version > 1 or lesions[key].split_from is not None}
    theirs = {lesion.tracking_uid: lesion for lesion in tracked_lesions(session, patient_key).values()}
    going = _with_what_they_point_to(decided, lesions)
    return {key: theirs.get(lesions[key].tracking_uid, lesions[key]) for key in going}


def _findings(session: Session, *conditions: object) -> list[Finding]:
    query = (
        select(Finding)
        .join(Finding.lesion)
        .join(Finding.tracked)
        .join(Job, LesionRow.job_key == Job.id)
        .join(Job.series)
        .where(*conditions)  # type: ignore[arg-type]
    )
    return list(session.scalars(query))


def _with_what_they_point_to(keys: Collection[int], lesions: Mapping[int, TrackedLesion]) -> set[int]:
    """Add the lesions that these were merged into or split from, and theirs in turn."""
    order = sorted(keys)
    for key in order:  # grows as it goes
        pointed = (lesions[key].merged_into, lesions[key].split_from)
        order += [other for other in pointed if other is not None and other not in order]
    return set(order)


def _move_changes(session: Session, subject: str, key: int, patient_key: int) -> None:
    session.execute(
        update(Change).where(Change.subject == subject, Change.subject_key == key).values(patient_key=patient_key)
    )
