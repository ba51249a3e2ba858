"""Which series must go from the archive, which worker is taking one out, and which have gone.

A job that is tried again writes the same series as before: it is not begun while one of them is being taken out.

A request that nobody waited for any longer may still reach the archive, after its job has failed: a series that it was
never confirmed to have, and has not, is looked for a while longer.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import literal, or_, select, update

from BDD.database import Database
from BDD.models import OPEN_STATES, Job, Result, Worker
from BDD.worker_store import is_dead

_LATE = timedelta(minutes=10)
"""So long after its job was given up a series may still arrive."""
_TO_RETIRE = (Result.superseded_at.is_not(None), Result.retired_at.is_(None), Job.state.not_in(OPEN_STATES))


def results_to_retire(database: Database, *, confirmed: bool = False) -> list[str]:
    """Give the SeriesInstanceUIDs that must go from the archive and have not gone yet.

    Those of an open job are none: it is about to write the same series again, or will be ended, and then they are.

    Parameters
    ----------
    confirmed
        Only those that the archive is known to have had.
    """
    query = select(Result.series_instance_uid).join(Job, Result.job_key == Job.id).where(*_TO_RETIRE)
    if confirmed:
        query = query.where(Result.written_at.is_not(None))
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


def record_retired(database: Database, series_instance_uid: str, *, seen: bool = True) -> None:
    """Note that a series has gone from the archive, and with it the mark of whoever took it out.

    Parameters
    ----------
    seen
        Whether the archive had it. One that it had not may still be on its way: it stays to be taken out until no
        request can arrive any more.
    """
    now = datetime.now(UTC)
    long_ended = select(Job.id).where(Job.finished_at < now - _LATE)
    final = or_(literal(seen), Result.written_at.is_not(None), Result.job_key.in_(long_ended))
    with database.writing() as session:
        session.execute(
            update(Result)
            .where(Result.series_instance_uid == series_instance_uid, Result.superseded_at.is_not(None), final)
            .values(retired_at=now, retiring_key=None)
        )
