"""The worker process: the network in memory, the heartbeat, and the queue served until somebody ends it.

Started by ``python jobs.py``, one per GPU. What it does with a job is in ``services.runner``.
"""

import gc
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from BDD import migrate, store
from BDD.problems import problem_of
from jobs import open_archive
from segmentation import find_models
from services.autoroute import AutoRouter
from services.runner import Worker
from settings import Settings, SettingsError, load_settings
from unetr.bundle import ModelError

if TYPE_CHECKING:
    from unetr.predictor import Predictor

HEARTBEAT_SECONDS = 3.0

logger = logging.getLogger(__name__)


class Models:
    """The networks in memory: always that of MODEL_PATH, and the last one beside it that a job asked for by name."""

    def __init__(self, model_path: Path) -> None:
        self._path = model_path
        self.default = self._load(None)
        self._loaded = self.default

    def __call__(self, name: str | None) -> "Predictor":
        """Give the network of this name, None for the default; raises ModelError when it cannot be had."""
        if name in (None, self.default.info.name):
            self._loaded = self.default
        elif name != self._loaded.info.name:
            self._loaded = self._load(name)
        return self._loaded

    def _load(self, name: str | None) -> "Predictor":
        from unetr.predictor import load_predictor  # torch: in the worker only

        if name is None:
            return load_predictor(self._path)
        models = find_models(self._path)
        if name not in models:
            raise ModelError(f"There is no model {name}; there is {', '.join(models)}.")
        return load_predictor(models[name].path)


def work(settings: Settings) -> int:
    """Be a worker; gives the exit status."""
    migrate.upgrade(settings.database_url)
    database = store.open_database(settings.database_url)
    number = store.worker_started(database, pid=os.getpid())
    error: str | None = None
    duties: list[Callable[[], None]] = []
    stop = threading.Event()
    heartbeat = threading.Thread(target=_keep_alive, args=(database, number, duties, stop), daemon=True)
    heartbeat.start()

    try:
        models = Models(settings.model_path)
        info = models.default.info
        model = store.ModelRecord(info.name, info.version, info.sha256, info.statement)
        store.worker_ready(database, number, model=model, device=str(models.default.device))
        archive = open_archive(settings)
        worker = Worker(database, settings.queue_url, archive, models, number, settings.job_retry_delays)
        store.bury_dead_workers(database, number, _is_running)
        worker.recover()
        worker.tidy()
        gc.collect()
        gc.freeze()  # torch's objects stay: going through them once a job costs up to 0.3 s
        duties.append(worker.recover)
        if settings.auto_segment:
            router = AutoRouter(database, worker.queue, open_archive(settings))
            threading.Thread(target=router.run, args=(stop,), daemon=True).start()
        worker.work()
    except (ModelError, SettingsError) as problem:
        error = str(problem)
        logger.critical("the worker cannot work: %s", error)
    finally:
        stop.set()
        heartbeat.join()
        store.worker_stopped(database, number, error=error)
    return 1 if error else 0


def _keep_alive(
    database: store.Database, number: int, duties: Sequence[Callable[[], None]], stop: threading.Event
) -> None:
    """Say every few seconds that the worker lives, and do its duties; a database that is down is tried again."""
    while not stop.wait(HEARTBEAT_SECONDS):
        try:
            store.worker_seen(database, number)
            for duty in duties:
                duty()
        except Exception as error:
            logger.warning("heartbeat: %s", problem_of(error).title, exc_info=error)


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
    except SettingsError as error:
        logger.critical("%s", error)
        return 2
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("huey").setLevel(logging.WARNING)
    try:
        return work(settings)
    except (SQLAlchemyError, OSError) as error:
        logger.critical("the database of DATABASE_URL cannot be used: %s", error)
        return 2
