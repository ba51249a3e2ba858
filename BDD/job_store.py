"""A job's life in the database as the API sees it: created, looked at, cancelled, tried again.

States: queued -> fetching -> reading -> segmenting -> measuring -> writing -> done, or failed or cancelled. The
worker's side of it is in ``job_run_store``. Each public function that takes a Database is one transaction.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from BDD.database import Database
from BDD.models import (
    CANCELLED,
    FAILED,
    OPEN_STATES,
    QUEUED,
    RELABEL,
    RUNNING_STATES,
    SEGMENT,
    WRITING,
    Job,
    Result,
    Series,
)
from BDD.newest import counts_now
from BDD.records import JobNotFoundError, JobStateError, Problem, SeriesBusyError

TRIES = 3
"""So often a series is asked for that another job had, which has ended before it could be named."""


def new_job(
    *,
    study_instance_uid: str,
    series_instance_uid: str,
    selection: dict[str, Any],
    outputs: Sequence[str],
    model: str | None = None,
    purpose: str = SEGMENT,
) -> Job:
    """Make a job that waits to be run; it is in no database yet."""
    now = datetime.now(UTC)
    return Job(
        job_id=str(uuid4()),
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        selection=selection,
        outputs=list(outputs),
        requested_model=model,
        purpose=purpose,
        state=QUEUED,
        stage=QUEUED,
        fraction=0.0,
        attempts=0,
        cancel_requested=False,
        created_at=now,
        queued_at=now,
        not_before=now,
    )


def create_job(database: Database, **values: Any) -> Job:
    """Queue a new job of what ``new_job`` takes; a segmentation replaces a relabelling that still waits.

    Raises
    ------
    SeriesBusyError
        When a job of this series is open; it names that job.
    """

    def enter() -> Job:
        job = new_job(**values)
        with database.writing() as session:
            make_way(session, job)
            session.add(job)
        return job

    return get_job(database, _unless_busy(database, values["series_instance_uid"], enter).job_id)


def get_job(database: Database, job_id: str) -> Job:
    """Give the job with its lesions, results and model; raises JobNotFoundError."""
    with database.reading() as session:
        return get_row(session, job_id)


def get_jobs(database: Database, job_ids: Sequence[str]) -> list[Job]:
    """Give these jobs in this order, as ``get_job`` does, in as many queries as for one."""
    with database.reading() as session:
        jobs = {job.job_id: job for job in session.scalars(select(Job).where(Job.job_id.in_(job_ids)).options(*_WHOLE))}
    if missing := [job_id for job_id in job_ids if job_id not in jobs]:
        raise JobNotFoundError(f"there is no job {', '.join(missing)}")
    return [jobs[job_id] for job_id in job_ids]


def list_jobs(
    database: Database,
    *,
    states: Sequence[str] = (),
    study_instance_uid: str | None = None,
    current: bool = False,
    limit: int = 100,
) -> list[Job]:
    """Give the newest jobs first, of these states and this study only, when named; or ``current`` ones only."""
    query = select(Job).options(*_WHOLE).order_by(Job.id.desc()).limit(limit)
    of_study = (Job.study_instance_uid == study_instance_uid,) if study_instance_uid else ()
    query = query.where(*of_study)
    if states:
        query = query.where(Job.state.in_(states))
    if current:
        query = query.where(counts_now(*of_study))
    with database.reading() as session:
        return list(session.scalars(query))


def queue_positions(database: Database, jobs: Sequence[Job]) -> dict[str, int]:
    """Give the place in the queue, 1 for the next, of those of these jobs that wait, by their ids."""
    waiting = [job.id for job in jobs if job.state == QUEUED]
    if not waiting:
        return {}
    place = func.row_number().over(order_by=(Job.queued_at, Job.id)).label("place")
    queue = select(Job.id, Job.job_id, place).where(Job.state == QUEUED).subquery()
    query = select(queue.c.job_id, queue.c.place).where(queue.c.id.in_(waiting))
    with database.reading() as session:
        return dict(session.execute(query).tuples().all())


def waiting_jobs(database: Database) -> dict[str, float]:
    """Give the ids of all jobs that wait, the next one first, and how many seconds each is still held back."""
    now = datetime.now(UTC)
    query = select(Job.job_id, Job.not_before, Job.is_held_back(now)).where(Job.state == QUEUED)
    with database.reading() as session:
        rows = session.execute(query.order_by(Job.queued_at, Job.id)).all()
    return {job_id: (not_before - now).total_seconds() if held else 0.0 for job_id, not_before, held in rows}


def request_cancel(database: Database, job_id: str) -> Job:
    """Cancel a queued job at once; ask the worker of a running one to stop.

    Raises
    ------
    JobNotFoundError, JobStateError
        The latter when the job has ended, or is writing its results.
    """
    with database.writing() as session:
        job = get_row(session, job_id)
        if job.state == QUEUED:
            end_job(session, job, CANCELLED, None)
        elif job.state in RUNNING_STATES and job.state != WRITING:
            job.cancel_requested = True
        elif job.state == WRITING:
            raise JobStateError(f"job {job_id} is writing its results and can no longer be cancelled")
        else:
            raise JobStateError(f"job {job_id} has already ended: {job.state}")
        return job


def retry(database: Database, job_id: str) -> Job:
    """Queue a failed or cancelled job again, as if it were new.

    Raises
    ------
    JobNotFoundError, JobStateError
        The latter when the job is open or done.
    SeriesBusyError
        When another job of the series is open.
    """

    def queue() -> Job:
        with database.writing() as session:
            job = get_row(session, job_id)
            if job.state not in (FAILED, CANCELLED):
                raise JobStateError(f"job {job_id} is {job.state}; only a failed or cancelled job can be tried again")
            make_way(session, job)
            wait_again(job, 0.0, None)
            job.attempts, job.cancel_requested = 0, False
            job.started_at = job.finished_at = None
            return job

    return _unless_busy(database, get_job(database, job_id).series_instance_uid, queue)


_WHOLE = (selectinload(Job.lesions), selectinload(Job.results), selectinload(Job.model), selectinload(Job.series))


def get_row(session: Session, job_id: str) -> Job:
    job = session.scalar(select(Job).where(Job.job_id == job_id).options(*_WHOLE))
    if job is None:
        raise JobNotFoundError(f"there is no job {job_id}")
    return job


def make_way(session: Session, job: Job) -> None:
    """Before a segmentation is queued, take a relabelling of its series that still waits out of its way.

    The segmentation writes the names that hold by then. In case it ends without a result, the series is to be compared
    again with what it was written with: then the names wait once more.
    """
    if job.purpose != SEGMENT:
        return
    of_series = {"series_instance_uid": job.series_instance_uid}
    waiting = session.scalar(select(Job).filter_by(**of_series, purpose=RELABEL, state=QUEUED))
    if waiting is not None:
        end_job(session, waiting, CANCELLED, None)
        session.execute(update(Series).filter_by(**of_series).values(checked_at=None))
        session.flush()  # its place is free before it is taken


def wait_again(job: Job, delay: float, problem: Problem | None) -> None:
    now = datetime.now(UTC)
    job.state, job.fraction, job.worker_key = QUEUED, 0.0, None
    job.queued_at, job.not_before = now, now + timedelta(seconds=delay)
    job.problem = problem.to_json() if problem else None
    for result in job.results:
        result.written_at = None


def end_job(session: Session, job: Job, state: str, problem: Problem | None) -> None:
    """End a job without a result: whatever it wrote or may have written is to be taken out of the archive."""
    now = datetime.now(UTC)
    job.state, job.finished_at = state, now
    job.problem = problem.to_json() if problem else None
    give_up_results(session, job)


def give_up_results(session: Session, job: Job) -> None:
    """Mark what the job wrote or may have written to be taken out of the archive; writing it again takes that back."""
    unwanted = (Result.job_key == job.id, Result.superseded_at.is_(None))
    session.execute(update(Result).where(*unwanted).values(superseded_at=datetime.now(UTC)))


def _unless_busy(database: Database, series_instance_uid: str, open_job: Callable[[], Job]) -> Job:
    """Open a job of a series; the job in its way may have ended by the time that it is looked for: then again.

    Raises
    ------
    SeriesBusyError
    """
    query = select(Job.job_id).where(Job.series_instance_uid == series_instance_uid, Job.state.in_(OPEN_STATES))
    for tries_left in reversed(range(TRIES)):
        try:
            return open_job()
        except IntegrityError as error:
            with database.reading() as session:
                in_its_way = session.scalar(query)
            if in_its_way is not None:
                raise SeriesBusyError(in_its_way) from error
            if not tries_left:
                raise
    raise AssertionError("the last try returns or raises")
