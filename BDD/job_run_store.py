"""A job's life in the database as its worker sees it: claimed, on its way, given back, ended.

A running job belongs to the worker that claimed it; one that lost its job (it was taken for dead) learns of it by
JobLostError at its next step. Each public function that takes a Database is one transaction.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from BDD.database import Database
from BDD.job_store import end_job, get_row, give_up_results, wait_again
from BDD.models import CANCELLED, FAILED, FETCHING, QUEUED, RUNNING_STATES, WRITING, Job, Result, Worker
from BDD.records import JobLostError, Problem, StudyBusyError
from BDD.worker_store import is_dead


def claim_job(database: Database, job_id: str, worker: int) -> Job | None:
    """Take a queued job for this worker; None when it has ended, was taken already, or is to wait longer.

    It waits too while another worker takes out of the archive what an earlier try has left there.

    Raises
    ------
    StudyBusyError
        While another job of the same study runs.
    """
    now = datetime.now(UTC)
    retiring = select(Result.id).join(Worker, Result.retiring_key == Worker.id)
    retiring = retiring.where(Result.job_key == Job.id, Worker.id != worker, ~is_dead(now))
    try:
        with database.writing() as session:
            claimed = session.execute(
                update(Job)
                .where(Job.job_id == job_id, Job.state == QUEUED, ~Job.is_held_back(now), ~retiring.exists())
                .values(
                    state=FETCHING,
                    stage=FETCHING,
                    fraction=0.0,
                    worker_key=worker,
                    attempts=Job.attempts + 1,
                    started_at=func.coalesce(Job.started_at, now),
                    problem=None,
                )
            )
            return get_row(session, job_id) if _rows(claimed) else None
    except IntegrityError as error:
        raise StudyBusyError(f"job {job_id} waits: another job of its study is running") from error


def advance(database: Database, job_id: str, worker: int, *, state: str | None = None, fraction: float) -> bool:
    """Note a job's new state, or its progress from 0 to 1 within the state it is in.

    Returns
    -------
    bool
        False when somebody asked to cancel it: nothing was noted, the worker is to stop. A job that has begun to write
        can no longer be cancelled.

    Raises
    ------
    JobLostError
        When the job is no longer this worker's.
    """
    values: dict[str, Any] = {"fraction": fraction}
    if state is not None:
        values |= {"state": state, "stage": state}
    with database.writing() as session:
        noted = session.execute(
            update(Job)
            .where(*_owned(job_id, worker), or_(Job.cancel_requested.is_(False), Job.state == WRITING))
            .values(values)
        )
        if _rows(noted):
            return True
        own_job(session, job_id, worker)
        return False


def record_cancelled(database: Database, job_id: str, worker: int) -> None:
    """End the job that its worker has stopped."""
    with database.writing() as session:
        end_job(session, own_job(session, job_id, worker), CANCELLED, None)


def record_failure(database: Database, job_id: str, worker: int, problem: Problem) -> None:
    """End the job with what went wrong; what it may have left in the archive is marked to be taken out."""
    with database.writing() as session:
        job = own_job(session, job_id, worker)
        if not _ended_as_asked(session, job):
            end_job(session, job, FAILED, problem)


def requeue(database: Database, job_id: str, worker: int, *, delay: float, problem: Problem | None) -> None:
    """Put a running job back to wait ``delay`` seconds, ``problem`` saying why; what it has stored goes."""
    with database.writing() as session:
        job = own_job(session, job_id, worker)
        if not _ended_as_asked(session, job):
            wait_again(job, delay, problem)
            give_up_results(session, job)


def requeue_orphans(
    database: Database, worker: int, *, running: str | None, max_attempts: int, problem: Problem
) -> list[str]:
    """Find running jobs that nobody runs any more and queue them again; give their ids.

    Nobody runs a job whose worker is dead, or which this worker owns although it runs another one, or none
    (``running`` names the job that it does run). One begun ``max_attempts`` times already fails with ``problem``.
    """
    now = datetime.now(UTC)
    lost = or_(
        and_(Job.worker_key == worker, Job.job_id != (running or "")),
        and_(Job.worker_key != worker, is_dead(now)),  # its own last heartbeat is old after the machine has slept
    )
    query = select(Job).join(Worker, Job.worker_key == Worker.id).where(Job.state.in_(RUNNING_STATES), lost)
    with database.writing() as session:
        orphans = list(session.scalars(query))
        for job in orphans:
            if _ended_as_asked(session, job):
                continue
            if job.attempts >= max_attempts:
                end_job(session, job, FAILED, problem)
            else:
                wait_again(job, 0.0, None)
        return [job.job_id for job in orphans]


def _ended_as_asked(session: Session, job: Job) -> bool:
    """End a job as cancelled where somebody asked for that, whatever else would have become of it; say whether.

    Not one that has begun to write: it can no longer be cancelled.
    """
    asked = job.cancel_requested and job.state != WRITING
    if asked:
        end_job(session, job, CANCELLED, None)
    return asked


def own_job(session: Session, job_id: str, worker: int) -> Job:
    """Give this worker's running job within a transaction; raises JobLostError when it is not its own."""
    job = session.scalar(select(Job).where(*_owned(job_id, worker)))
    if job is None:
        raise JobLostError(f"job {job_id} is no longer run by worker {worker}")
    return job


def _owned(job_id: str, worker: int) -> tuple[Any, ...]:
    return Job.job_id == job_id, Job.worker_key == worker, Job.state.in_(RUNNING_STATES)


def _rows(result: Any) -> int:
    return int(result.rowcount)
