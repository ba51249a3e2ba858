"""The worker process: the network in memory, the heartbeat, and the queue served until somebody ends it.

Started by ``python jobs.py``, one per GPU. What it does with a job is in ``services.runner``.
"""

import logging
import math
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from BDD import migrate, store
from imaging.leniency import be_lenient
from Orthanc.dicomweb import open_archive
from rano.history import Rules
from services.autoroute import AutoRouter
from services.logs import start_logging
from services.models import Models
from services.outages import Complaints, OutageFilter, in_one_line, is_outage
from services.private import keep_private
from services.processes import exit_status
from services.runner import Worker
from settings import Settings, SettingsError, load_settings
from unetr.bundle import ModelError

if TYPE_CHECKING:
    from unetr.predictor import Predictor

HEARTBEAT_SECONDS = 3.0
END_SECONDS = 5.0
"""So long the end of the process waits for what is done every few seconds, which may hang on a silent queue."""
_ASKERS = ("huey.consumer.Worker", "huey.consumer.Scheduler")
"""Loggers of what asks the queue every second or so, and complains each time that it gets no answer."""

logger = logging.getLogger(__name__)


def work(settings: Settings) -> int:
    """Be a worker; gives the exit status."""
    database = migrate.open_newest(settings.database_url)
    number = store.worker_started(database, pid=os.getpid())
    error: str | None = None
    status = 0
    stop = threading.Event()
    threads = [_repeat("heartbeat", partial(store.worker_seen, database, number), stop)]

    def on_default(model: "Predictor") -> None:
        info = model.info
        record = store.ModelRecord(info.name, info.version, info.sha256, info.statement)
        store.worker_ready(database, number, model=record, device=str(model.device))

    try:
        models = Models(settings.model_path, settings.var_dir, partial(_load, settings=settings), on_default)
        archive = open_archive(settings)
        rules = Rules(target_rule=settings.rano_target_rule)
        worker = Worker(database, settings.queue_url, archive, models, number, settings.job_retry_delays, rules)

        def upkeep() -> None:
            store.bury_dead_workers(database, number, _is_running)
            worker.recover()

        upkeep()
        worker.tidy()
        threads.append(_repeat("upkeep", upkeep, stop))
        if settings.auto_segment:
            router = AutoRouter(database, worker.queue, open_archive(settings))
            threading.Thread(target=router.run, args=(stop,), daemon=True).start()
        else:
            store.end_log(database, archive.url)
        worker.work()
    except (ModelError, SettingsError, OSError) as problem:
        error = str(problem)
        status = exit_status(problem)
        logger.critical("the worker cannot work: %s", error)
    finally:
        stop.set()
        for thread in threads:
            thread.join(END_SECONDS)
        store.worker_stopped(database, number, error=error)
    return status


def _load(bundle: Path, settings: Settings) -> "Predictor":
    from unetr.predictor import open_model  # torch: in the worker only

    return open_model(settings, bundle)


def _repeat(name: str, do: Callable[[], object], stop: threading.Event) -> threading.Thread:
    """Do something every few seconds, in a thread of its own; what fails is tried again.

    The heartbeat asks the database only: however long the queue takes to answer, nobody is to take the worker for dead
    and its job for lost. The upkeep asks both.
    """

    def run() -> None:
        trouble: Complaints | None = None
        while not stop.wait(HEARTBEAT_SECONDS):
            try:
                do()
            except Exception as error:
                trouble = trouble or Complaints(quiet=math.inf)  # it lasts until all is well
                if trouble.is_due(line := in_one_line(error)):
                    logger.warning("%s: %s", name, line, exc_info=None if is_outage(error) else error)
            else:
                if trouble:
                    logger.warning("%s: all is well again", name)
                trouble = None

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def _is_running(pid: int) -> bool:
    """Tell whether there is a process; on Windows always, for asking would end it (a dead heartbeat tells then)."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main() -> int:
    """Start a worker with the settings of this machine."""
    try:
        settings = load_settings()
        start_logging(settings.log_level)
        be_lenient()
        logging.getLogger("huey").setLevel(logging.WARNING)
        for name in _ASKERS:
            logging.getLogger(name).addFilter(OutageFilter())
        keep_private(settings)
        return work(settings)
    except SettingsError as error:
        logger.critical("%s", error)
        return exit_status(error)
    except SQLAlchemyError as error:
        logger.critical("the database of DATABASE_URL cannot be used: %s", error)
        return exit_status(error)
