"""GET /health and /ready: is the API alive, and is everything there that a job needs, each part with its reason."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from flask import Blueprint, Response, jsonify

from BDD import store
from BDD.problems import is_disk_full, problem_of
from routes.context import Context, context
from routes.openapi import describe
from settings import sqlite_path

blueprint = Blueprint("status", __name__)

CHECK_SECONDS = 3.0
ROOM_BYTES = 1 << 20

logger = logging.getLogger(__name__)


class _AmissError(Exception):
    """A part is not as it should be; the message says why."""


@blueprint.get("/health")
@describe("Is the API alive", {200: ("It is", "Health")}, tag="Status")
def health() -> Response:
    """Say that the API is alive."""
    return jsonify(status="alive")


@blueprint.get("/ready")
@describe(
    "Can a job be done now",
    {200: ("Everything is there", "Ready"), 503: ("Something is amiss; its reason tells what", "Ready")},
    tag="Status",
)
def ready() -> Response:
    """Check Orthanc, database, worker and model."""
    here = context()
    checks = {
        name: _check(check, here)
        for name, check in (("orthanc", _orthanc), ("database", _database), ("worker", _worker), ("model", _model))
    }
    everything = all(check["ok"] for check in checks.values())
    response = jsonify(ready=everything, **checks)
    response.status_code = 200 if everything else 503
    return response


def _check(check: Callable[[Context], str], here: Context) -> dict[str, Any]:
    try:
        return {"ok": True, "reason": check(here)}
    except _AmissError as error:
        return {"ok": False, "reason": str(error)}
    except Exception as error:
        logger.warning("not ready: %s", type(error).__name__, exc_info=logger.isEnabledFor(logging.DEBUG))
        return {"ok": False, "reason": problem_of(error).detail}


def _orthanc(here: Context) -> str:
    patience = min(here.settings.orthanc_timeout, CHECK_SECONDS)
    return here.open_archive(replace(here.settings, orthanc_timeout=patience)).check()


def _database(here: Context) -> str:
    store.list_jobs(here.database, limit=1)
    files = (sqlite_path(url) for url in (here.settings.database_url, here.settings.queue_url))
    for folder in {here.settings.var_dir, *(file.parent for file in files if file)}:
        _try_to_write(folder)
    return here.database.engine.dialect.name


def _try_to_write(folder: Path) -> None:
    """See whether there is room, in a file that is gone at once.

    SQLite itself would tell only when something is committed, for which askers would wait for each other and for the
    workers; and not even then while its log has room of its own.
    """
    try:
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(ROOM_BYTES))
            file.flush()
    except OSError as error:
        why = "the disk is full" if is_disk_full(error) else error.strerror
        raise _AmissError(f"Nothing can be written in {folder}: {why}.") from error


def _worker(here: Context) -> str:
    workers = store.live_workers(here.database)
    if workers:
        return ", ".join(f"process {worker.pid} on {worker.host}" for worker in workers)
    last = store.last_worker(here.database)
    if last is None:
        raise _AmissError("No worker was ever started: run python jobs.py.")
    if last.error:
        raise _AmissError(f"The worker ended: {last.error}")
    raise _AmissError(f"No worker was seen since {last.seen_at.isoformat(timespec='seconds')}: run python jobs.py.")


def _model(here: Context) -> str:
    workers = store.live_workers(here.database)
    for worker in workers:
        if worker.model is not None:
            return f"{worker.model.name} {worker.model.version} on {worker.device}"
    last = store.last_worker(here.database)
    if workers:
        here.models.find(None)  # a checkpoint is being converted
        raise _AmissError("The worker is loading it.")
    raise _AmissError(last.error if last and last.error else "No worker has one loaded.")
