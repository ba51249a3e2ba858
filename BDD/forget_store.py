"""Forgets a study that has gone from the archive: whatever hangs on its rows goes with them; nothing is orphaned."""

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, select
from sqlalchemy.orm import Session

from BDD.database import Database
from BDD.followup_models import Change, Finding, TrackedLesion
from BDD.models import OPEN_STATES, Base, Job, Patient, Study

logger = logging.getLogger(__name__)


def forget_study(database: Database, study_instance_uid: str) -> bool:
    """Take a study out, with its lesions, and with its patient when it was the last one; say whether it was known.

    A job that is still open ends by itself: the archive has nothing for it any more. No file of the database keeps the
    names, once nobody reads what was there before.
    """
    with database.writing() as session:
        known = _forget_study(session, study_instance_uid)
    if not database.empty_log():
        logger.warning(
            "what was forgotten is in the database's files for now: somebody, such as a backup, reads the database; "
            "the worker takes it out once nobody does"
        )
    return known


def _forget_study(session: Session, study_instance_uid: str) -> bool:
    ended = Job.study_instance_uid == study_instance_uid, Job.state.not_in(OPEN_STATES), Job.series_key.is_(None)
    without_outcome = session.scalars(select(Job.id).where(*ended)).all()
    _forget(session, _table(Job), _table(Job).c.id, without_outcome)
    study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
    if study is None:
        return bool(without_outcome)
    key, patient_key = study.id, study.patient_key
    _forget_changes(session, "visit", [key])
    _forget(session, _table(Study), _table(Study).c.id, [key])
    if not forget_unseen(session, patient_key):
        session.get_one(Patient, patient_key).visits_changed()
    return True


def forget_unseen(session: Session, patient_key: int) -> bool:
    """Take out the lesions of a patient that no visit shows any more, and without visits the patient: say whether."""
    while unseen := _unseen_lesions(session, patient_key):
        _forget_changes(session, "lesion", unseen)
        _forget(session, _table(TrackedLesion), _table(TrackedLesion).c.id, unseen)
    left = session.scalar(select(Study.id).where(Study.patient_key == patient_key).limit(1))
    if left is None:
        _forget(session, _table(Patient), _table(Patient).c.id, [patient_key])
    return left is None


def _unseen_lesions(session: Session, patient_key: int) -> Sequence[int]:
    """Give the tracked lesions that no visit shows any more, and that no other points to."""
    shown = select(Finding.tracked_key)
    query = select(TrackedLesion.id).where(TrackedLesion.patient_key == patient_key, TrackedLesion.id.not_in(shown))
    for pointer in (TrackedLesion.merged_into, TrackedLesion.split_from):
        query = query.where(TrackedLesion.id.not_in(select(pointer).where(pointer.is_not(None))))
    return session.scalars(query).all()


def _forget_changes(session: Session, subject: str, keys: Sequence[int]) -> None:
    decided = select(Change.id).where(Change.subject == subject, Change.subject_key.in_(keys))
    _forget(session, _table(Change), _table(Change).c.id, session.scalars(decided.order_by(Change.id.desc())).all())


def _forget(session: Session, table: Table, column: ColumnElement[Any], values: Sequence[Any]) -> None:
    """Delete the rows with these values, and before them, table by table, every row that points to one of them."""
    (own, *_) = table.primary_key.columns
    keys = session.scalars(select(own).where(column.in_(values))).all()
    if not keys:
        return
    for other in Base.metadata.sorted_tables:
        for pointer in other.foreign_keys:
            if pointer.column is own and other is not table:
                _forget(session, other, pointer.parent, keys)
    session.execute(delete(table).where(column.in_(values)))


def _table(model: type[Base]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table
