"""People's decisions about lesions and visits: made once, by someone, on the newest version, and taken back if need be.

Each public function that takes a Database is one transaction. A decision names the version it was made on; when
somebody else has changed the same in between it is refused, and nothing is lost.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from BDD import splitting
from BDD.database import Database
from BDD.followup_models import Change, TrackedLesion, VisitAssessment
from BDD.followup_store import tracked_lesions
from BDD.identities import root
from BDD.judgements import judgements_of
from BDD.models import Patient, Study
from BDD.records import (
    ChangeNotFoundError,
    EditConflictError,
    EditRefusedError,
    LesionNotFoundError,
    NameTakenError,
    PatientNotFoundError,
    VisitNotFoundError,
)
from BDD.visits import KnownVisit, shown_now
from rano.matching import unused

LESION, VISIT = "lesion", "visit"
LESION_FIELDS = ("name", "target", "not_a_lesion", "merged_into", "split_at")
BINDING = {"merged_into", "split_from", "split_at"}
"""What a lesion says of these, following goes by."""
VISIT_FIELDS = ("corticosteroid_mg", "clinical_status", "immunotherapy", "judgements", "note", "baseline", "verified")

OF_WHAT_IS_SHOWN = {"judgements", "verified"}
"""What is said of a visit's lesions, which have to be read for it."""


def edit_lesion(
    database: Database, key: int, values: Mapping[str, Any], *, version: int, made_by: str
) -> TrackedLesion:
    """Change a tracked lesion.

    Parameters
    ----------
    values
        Some of ``LESION_FIELDS``; their types were checked. ``split_at``: the StudyInstanceUID of the visit from
        which on it is another lesion, which is made and says of itself what was decided.
    version
        The one that the decision was made on.

    Raises
    ------
    LesionNotFoundError, EditConflictError
    EditRefusedError
        When the name is another lesion's, it would be merged with itself or with another patient's, or there is
        nothing to split.
    """
    values = dict(values)
    study = values.pop("split_at", None)
    with database.writing() as session:
        lesion = _lesion(session, key)
        _same_version(f"lesion {key}", lesion.version, version)
        if study is not None:
            _edit_lesion(session, *splitting.begin(session, lesion, study), made_by)
        _edit_lesion(session, lesion, values, made_by)
        return lesion


def assess_visit(
    database: Database, study_instance_uid: str, values: Mapping[str, Any], *, version: int, made_by: str
) -> VisitAssessment:
    """Change what is known of a visit; version 0 is that of a visit of which nothing is known yet.

    Parameters
    ----------
    values
        Some of ``VISIT_FIELDS``; their types were checked. ``judgements``: of some lesions of the visit, by tracking
        UID; None takes one back, and those of the others stay.
    version
        The one that the decision was made on.

    Raises
    ------
    VisitNotFoundError, EditConflictError
    EditRefusedError
        When a visit without a date is to be the baseline, or a lesion is judged that the visit does not show.
    """
    with database.writing() as session:
        study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
        if study is None:
            raise VisitNotFoundError(f"no study {study_instance_uid} was segmented yet")
        # Asked before the row is made: a query writes what is new, also where nothing changes in the end.
        shown = shown_now(session, study) if OF_WHAT_IS_SHOWN & values.keys() else None
        stale = values.get("verified") is not None and (shown is None or values["verified"] != shown.followed())
        known = _visit(session, study.id)
        _same_version(f"the assessment of visit {study_instance_uid}", known.version, version)
        if stale:
            raise EditConflictError(f"visit {study_instance_uid} shows something else by now than what was looked at")
        if "judgements" in values:
            values = {**values, "judgements": _judgements(study_instance_uid, shown, known, values["judgements"])}
        _edit_visit(session, study, known, values, made_by)
        return known


def undo_change(database: Database, change_key: int, *, made_by: str) -> Change:
    """Take a decision back, as a decision of its own.

    Raises
    ------
    ChangeNotFoundError
    EditConflictError
        When it was taken back already, or what it decided has been decided anew since.
    EditRefusedError
        When the values of before are no longer possible, such as a name that another lesion has now.
    """
    with database.writing() as session:
        change = session.get(Change, change_key)
        if change is None:
            raise ChangeNotFoundError(f"there is no change {change_key}")
        if session.scalar(select(Change.id).where(Change.undoes == change_key)) is not None:
            raise EditConflictError(f"change {change_key} was undone already")
        if change.subject == LESION:
            lesion = _lesion(session, change.subject_key)
            _still(change, lesion)
            undone = _edit_lesion(session, lesion, change.before, made_by, undoes=change.id)
        else:
            study = session.get_one(Study, change.subject_key)
            known = _visit(session, study.id)
            _still(change, known)
            undone = _edit_visit(session, study, known, change.before, made_by, undoes=change.id)
            if change.after.get("baseline"):
                _choose_former_baseline(session, change, made_by)
        assert undone is not None, "a change changes something"
        return undone


def list_changes(database: Database, patient_key: int, *, limit: int = 200) -> list[Change]:
    """Give the decisions about a patient, the newest first.

    Raises
    ------
    PatientNotFoundError
    """
    with database.reading() as session:
        if session.get(Patient, patient_key) is None:
            raise PatientNotFoundError(f"there is no patient {patient_key}")
        query = select(Change).where(Change.patient_key == patient_key).order_by(Change.id.desc()).limit(limit)
        return list(session.scalars(query))


def to_undo(changes: Sequence[Change]) -> list[Change]:
    """Give those, of the newest of a patient, that were neither taken back nor take one back: Undo means the first."""
    undone = {one.undoes for one in changes}
    return [one for one in changes if one.undoes is None and one.id not in undone]


def chosen_baselines(session: Session, patient_key: int) -> list[VisitAssessment]:
    """Give what is said of the visits of a patient that were chosen as the baseline: one at most, by every edit."""
    query = select(VisitAssessment).join(Study, VisitAssessment.study_key == Study.id)
    return list(session.scalars(query.where(Study.patient_key == patient_key, VisitAssessment.baseline.is_(True))))


def let_go_of_baseline(session: Session, chosen: VisitAssessment, patient_key: int, made_by: str) -> Change:
    """Let a visit that was chosen as the baseline be it no more, as a decision that can be undone."""
    unset = _change(chosen, VISIT, chosen.study_key, patient_key, {"baseline": False}, made_by, None)
    assert unset is not None, "it was the baseline"
    _keep(session, unset)
    chosen.version += 1
    return unset


def _choose_former_baseline(session: Session, choice: Change, made_by: str) -> None:
    """Choose again the baseline that was let go by a choice which is undone."""
    same = Change.patient_key == choice.patient_key, Change.subject == VISIT, Change.made_at == choice.made_at
    undone = select(Change.undoes).where(Change.undoes.is_not(None))
    query = select(Change).where(*same, Change.id != choice.id, Change.id.not_in(undone))
    for let_go in session.scalars(query).all():
        study = session.get_one(Study, let_go.subject_key)
        _edit_visit(session, study, _visit(session, study.id), let_go.before, made_by, undoes=let_go.id)


def _lesion(session: Session, key: int) -> TrackedLesion:
    lesion = session.get(TrackedLesion, key)
    if lesion is None:
        raise LesionNotFoundError(f"there is no lesion {key}")
    return lesion


def _visit(session: Session, study_key: int) -> VisitAssessment:
    known = session.get(VisitAssessment, study_key)
    if known is None:
        known = VisitAssessment(study_key=study_key, judgements={}, note="", baseline=False, version=0)
        session.add(known)
    return known


def _judgements(
    study_instance_uid: str,
    shown: KnownVisit | None,
    known: VisitAssessment,
    values: Mapping[str, str | None],
) -> dict[str, str]:
    """Give all judgements of a visit, with those that change."""
    lesions = shown.lesions if shown else {}
    wholes: dict[str, str] = {}
    for identity in shown.identities if shown else ():
        whole = (identity.part_of or identity.lesion).tracking_uid
        wholes |= {whole: whole, identity.lesion.tracking_uid: whole}
    for uid, judgement in values.items():
        if judgement is not None and uid not in wholes:
            raise EditRefusedError(f"visit {study_instance_uid} shows no lesion {uid} that could be judged")
    said = judgements_of(known, lesions) | {wholes.get(uid, uid): judgement for uid, judgement in values.items()}
    return {uid: str(judgement) for uid, judgement in said.items() if judgement is not None}


def _same_version(what: str, current: int, named: int) -> None:
    if current != named:
        raise EditConflictError(f"{what} is at version {current} by now; the change was made on version {named}")


def _still(change: Change, row: TrackedLesion | VisitAssessment) -> None:
    for field, value in change.after.items():
        if getattr(row, field) != value:
            raise EditConflictError(f"{field} was changed again after change {change.id}; undo that change first")


def _edit_lesion(
    session: Session, lesion: TrackedLesion, values: Mapping[str, Any], made_by: str, undoes: int | None = None
) -> Change | None:
    everyone = tracked_lesions(session, lesion.patient_key)
    values = dict(values)
    if values.get("merged_into") is not None:
        values["merged_into"] = _merge(lesion, values["merged_into"], everyone)
    others = {other.name: other.id for other in everyone.values() if other is not lesion}
    name = values.get("name", lesion.name)
    if name != lesion.name and name in others:  # also of one that was merged: it may be seen by itself again
        raise NameTakenError(f"Another lesion of this patient has the name {name!r} already.")
    if lesion.merged_into is not None and values.get("merged_into", 0) is None and name in others:
        known = [(other.number, other.name) for other in everyone.values()]
        _, values["name"] = next(unused(known))  # it was given away while the two were one
    first = splitting.move(session, lesion, values, everyone) if "split_from" in values else None
    change = _change(lesion, LESION, lesion.id, lesion.patient_key, values, made_by, undoes)
    if change:
        _keep(session, change)
        lesion.version += 1
        if first is not None:
            first.version += 1
        session.flush()
    return change


def _keep(session: Session, change: Change) -> None:
    """Keep a decision; what the patient's results are written with has to be compared with it."""
    session.add(change)
    patient = session.get_one(Patient, change.patient_key)
    patient.changed_at = change.made_at
    if not BINDING.isdisjoint(change.after):
        patient.unfollowed_at = change.made_at


def _merge(lesion: TrackedLesion, into: int, everyone: Mapping[int, TrackedLesion]) -> int:
    if into not in everyone:
        raise EditRefusedError(f"lesion {into} is none of this patient's")
    kept = root(everyone[into], everyone)
    if kept is lesion:
        raise EditRefusedError(f"lesion {lesion.id} cannot be merged into itself")
    return kept.id


def _edit_visit(
    session: Session,
    study: Study,
    known: VisitAssessment,
    values: Mapping[str, Any],
    made_by: str,
    undoes: int | None = None,
) -> Change | None:
    let_go = []
    if values.get("baseline"):
        if study.study_date is None:
            raise EditRefusedError("a visit without a date cannot be the baseline")
        let_go = [
            let_go_of_baseline(session, other, study.patient_key, made_by)
            for other in chosen_baselines(session, study.patient_key)
            if other is not known
        ]
    change = _change(known, VISIT, study.id, study.patient_key, values, made_by, undoes)
    if change:
        for one in let_go:  # one decision, made at one time: undoing goes by that
            change.made_at = one.made_at
        _keep(session, change)
        known.version += 1
        session.flush()
    elif known.version == 0:
        session.expunge(known)
    return change


def _change(
    row: TrackedLesion | VisitAssessment,
    subject: str,
    subject_key: int,
    patient_key: int,
    values: Mapping[str, Any],
    made_by: str,
    undoes: int | None,
) -> Change | None:
    """Set what differs, and give the change; None when nothing does."""
    after = {field: value for field, value in values.items() if getattr(row, field) != value}
    if not after:
        return None
    before = {field: getattr(row, field) for field in after}
    for field, value in after.items():
        setattr(row, field, value)
    return Change(
        patient_key=patient_key,
        subject=subject,
        subject_key=subject_key,
        before=before,
        after=after,
        made_by=made_by,
        made_at=datetime.now(UTC),
        undoes=undoes,
    )
