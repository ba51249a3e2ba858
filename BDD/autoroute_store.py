"""How far the change log of each archive was read, and the jobs made from it: both in one transaction.

So a crash at any moment neither loses a series nor runs one twice, however many workers read the same log.
"""

from typing import Any

from sqlalchemy import String, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from BDD.database import Database
from BDD.job_store import make_way, new_job
from BDD.models import OPEN_STATES, QUEUED, SEGMENT, Base, Job
from BDD.records import SeriesBusyError


class ArchiveLog(Base):
    """The archive at this address: the number of the last entry of its change log that was dealt with."""

    __tablename__ = "archive_logs"

    url: Mapped[str] = mapped_column(String(255), primary_key=True)
    sequence: Mapped[int]


def log_position(database: Database, url: str) -> int | None:
    """Give the number of the last entry that was dealt with; None when the log was never read."""
    with database.reading() as session:
        return session.scalar(select(ArchiveLog.sequence).where(ArchiveLog.url == url))


def begin_log(database: Database, url: str, sequence: int) -> int:
    """Begin to read a log after this entry, or where another worker has begun already; gives that entry's number."""
    with database.writing() as session:
        held = session.scalar(select(ArchiveLog.sequence).where(ArchiveLog.url == url))
        if held is not None:
            return held
        session.add(ArchiveLog(url=url, sequence=sequence))
        return sequence


def end_log(database: Database, url: str) -> None:
    """Forget how far a log was read: who reads it next begins anew."""
    with database.writing() as session:
        session.execute(delete(ArchiveLog).where(ArchiveLog.url == url))


def advance_log(
    database: Database, url: str, *, since: int, to: int, job: dict[str, Any] | None = None
) -> tuple[bool, str | None]:
    """Note that the log was dealt with up to an entry, and queue the job that the entry asks for.

    Parameters
    ----------
    since
        The position that was read before.
    to
        The number of the entry.
    job
        What ``job_store.create_job`` takes.

    Returns
    -------
    bool
        False when another worker was faster; nothing was done then.
    str or None
        The job's id; None without a job, and when one of the series waits already: it fetches what has come by then.

    Raises
    ------
    SeriesBusyError
        While a job of the series runs, which may have fetched it before all was there; nothing was done.
    """
    made = new_job(**job) if job else None
    with database.writing() as session:
        here = ArchiveLog.url == url, ArchiveLog.sequence == since
        moved = session.scalar(update(ArchiveLog).where(*here).values(sequence=to).returning(ArchiveLog.sequence))
        if moved is None:
            return False, None
        if made is None:
            return True, None
        make_way(session, made)
        of_series = Job.series_instance_uid == made.series_instance_uid
        in_its_way = session.scalar(select(Job).where(of_series, Job.state.in_(OPEN_STATES)))
        if in_its_way is None:
            session.add(made)
            return True, made.job_id
        if in_its_way.state != QUEUED:
            raise SeriesBusyError(in_its_way.job_id)
        return True, None


def was_segmented(database: Database, series_instance_uid: str, instances: int) -> bool:
    """Tell whether somebody asked for this series already when it had at least so many instances.

    Whatever came of it: who cancelled a job does not want it back, and a failed one can be run again.
    """
    query = select(Job.selection).where(Job.series_instance_uid == series_instance_uid, Job.purpose == SEGMENT)
    with database.reading() as session:
        counts = [one["chosen"].get("NumberOfSeriesRelatedInstances", 0) for one in session.scalars(query)]
    return any(count >= instances for count in counts)
