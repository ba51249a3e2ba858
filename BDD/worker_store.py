"""The workers' heartbeats: who is alive, with which network, on which device, and what stops it."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session, selectinload

from BDD.database import Database
from BDD.models import Model, Worker
from BDD.records import ModelRecord

ALIVE_SECONDS = 15
"""A worker not seen for this long counts as dead; it says it is alive several times as often."""
SILENT_SECONDS = 6
"""A worker that lives has said so within this: its heartbeat comes twice as often."""


def worker_started(database: Database, *, pid: int) -> int:
    """Enter a new worker process of this machine; give its number."""
    now = datetime.now(UTC)
    worker = Worker(host=socket.gethostname(), pid=pid, started_at=now, seen_at=now)
    with database.writing() as session:
        session.add(worker)
    return worker.id


def worker_ready(database: Database, worker: int, *, model: ModelRecord, device: str) -> None:
    """Note the network that the worker has loaded."""
    with database.writing() as session:
        row = session.get_one(Worker, worker)
        row.model, row.device = model_row(session, model), device


def worker_seen(database: Database, worker: int) -> None:
    """Say that the worker is alive, also where another took it for dead."""
    with database.writing() as session:
        alive = {"seen_at": datetime.now(UTC), "stopped_at": None}
        session.execute(update(Worker).where(Worker.id == worker).values(alive))


def worker_stopped(database: Database, worker: int, *, error: str | None = None) -> None:
    """Note that the worker ends, ``error`` saying why when it cannot work."""
    with database.writing() as session:
        row = session.get_one(Worker, worker)
        row.stopped_at, row.error = datetime.now(UTC), error


def bury_dead_workers(database: Database, worker: int, is_running: Callable[[int], bool]) -> None:
    """Mark this machine's workers whose process is gone as stopped once they are silent, before they count as dead.

    ``worker`` is the caller's own number; a worker with its host and pid but another number was its predecessor, or
    is a container's or a cloned machine's beside it: host and pid are the same there, and its heart beats.
    """
    now = datetime.now(UTC)
    silent = Worker.seen_at < now - timedelta(seconds=SILENT_SECONDS)
    with database.writing() as session:
        own = session.get_one(Worker, worker)
        query = select(Worker).where(Worker.host == own.host, Worker.id != own.id, Worker.stopped_at.is_(None), silent)
        for row in session.scalars(query):
            if row.pid == own.pid or not is_running(row.pid):
                row.stopped_at = now


def live_workers(database: Database) -> list[Worker]:
    """Give the workers that are alive, with their models."""
    query = select(Worker).where(~is_dead(datetime.now(UTC))).options(selectinload(Worker.model)).order_by(Worker.id)
    with database.reading() as session:
        return list(session.scalars(query))


def last_worker(database: Database) -> Worker | None:
    """Give the worker that started last, alive or not."""
    query = select(Worker).options(selectinload(Worker.model)).order_by(Worker.id.desc()).limit(1)
    with database.reading() as session:
        return session.scalar(query)


def is_dead(now: datetime) -> ColumnElement[bool]:
    """Say in SQL that a worker has stopped or was not seen lately: not long ago, nor, by a wrong clock, far ahead."""
    alive = timedelta(seconds=ALIVE_SECONDS)
    return or_(Worker.stopped_at.is_not(None), Worker.seen_at < now - alive, Worker.seen_at > now + alive)


def model_row(session: Session, model: ModelRecord) -> Model:
    """Find or make the row of a network, within a transaction."""
    same = (Model.name == model.name, Model.version == model.version, Model.sha256 == model.sha256)
    row = session.scalar(select(Model).where(*same))
    if row is None:
        row = Model(name=model.name, version=model.version, sha256=model.sha256, statement=model.statement)
        session.add(row)
    row.statement = model.statement
    return row
