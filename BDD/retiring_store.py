"""Which series must go from the archive, which worker is taking one out, and which have gone.

A job that is tried again writes the same series as before: it is not begun while one of them is being taken out.
"""

from datetime import UTC, datetime

from sqlalchemy import or_, select, update

from BDD.database import Database
from BDD.models import OPEN_STATES, Job, Result, Worker
from BDD.worker_store import is_dead

_TO_RETIRE = (Result.superseded_at.is_not(None), Result.retired_at.is_(None), Job.state.not_in(OPEN_STATES))


def results_to_retire(database: Database) -> list[str]:
    """Give the SeriesInstanceUIDs that must go from the archive and have not gone yet.

    Those of an open job are none: it is about to write the same series again, or will be ended, and then they are.
    """
    query = select(Result.series_instance_uid).join(Job, Result.job_key == Job.id).where(*_TO_RETIRE)
    with database.reading() as session:
        return list(session.scalars(query.order_by(Result.id)))


def begin_retiring(database: Database, series_instance_uid: str, worker: int) -> bool:
    """Let a worker take a series out of the archive; not when it is to stay by now, or another worker is at it.

    Until ``end_retiring`` no other worker can claim its job, which would write the same series meanwhile.
    """
    dead = select(Worker.id).where(is_dead(datetime.now(UTC)))
    free = or_(Result.retiring_key.is_(None), Result.retiring_key == worker, Result.retiring_key.in_(dead))
    with database.writing() as session:
        wanted = select(Result).join(Job, Result.job_key == Job.id).where(*_TO_RETIRE, free)
        result = session.scalar(wanted.where(Result.series_instance_uid == series_instance_uid))
        if result is not None:
            result.retiring_key = worker
        return result is not None


def end_retiring(database: Database, series_instance_uid: str) -> None:
    """Note that it is over, whatever came of it."""
    with database.writing() as session:
        series = Result.series_instance_uid == series_instance_uid
        session.execute(update(Result).where(series).values(retiring_key=None))


def record_retired(database: Database, series_instance_uid: str) -> None:
    """Note that a series has gone from the archive, and with it the mark of whoever took it out."""
    with database.writing() as session:
        session.execute(
            update(Result)
            .where(Result.series_instance_uid == series_instance_uid, Result.superseded_at.is_not(None))
            .values(retired_at=datetime.now(UTC), retiring_key=None)
        )
