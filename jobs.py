"""The queue of jobs: their ids travel through Huey from the API to a worker, what is known of them is in the database.

``python jobs.py`` is a worker (``services.worker``), one process per GPU; ``services.runner`` says what it does with a
job, and what becomes of one that is stopped on its way.
"""

import json
import logging
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from huey import Huey, PostgresHuey, RedisHuey, SqliteHuey
from huey.exceptions import ConfigurationError
from huey.registry import Message
from huey.serializer import Serializer

from settings import SettingsError, sqlite_path, unless_named

logger = logging.getLogger(__name__)

POSTGRESQL_ARGS = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": "-c statement_timeout=10s",
}
"""libpq's, where the address does not name them: a server that has gone without a word, or is stuck, is given up after
seconds, for a request waits that only tells the queue of its job."""


class JobQueue:
    """Job ids on their way from the API to a worker, in a file, in Redis or in PostgreSQL."""

    def __init__(self, url: str, run: Callable[[str], None] | None = None) -> None:
        def run_job(job_id: str) -> None:
            if run is None:
                raise RuntimeError("this process only fills the queue")
            run(job_id)

        self.huey = _open_huey(url)
        self._run_job = self.huey.task(name="run_job")(run_job)

    def enqueue(self, job_id: str, *, delay: float = 0.0) -> None:
        """Put an id into the queue, to be taken ``delay`` seconds from now; twice does no harm.

        A queue that does not answer stops nobody: workers put in what waits in the database and is in no queue.
        """
        try:
            self._put(job_id, delay)
        except Exception:  # each kind of queue has exceptions of its own; one whose server restarted opens anew
            try:
                self._put(job_id, delay)
            except Exception as error:
                logger.warning("job %s: not in the queue yet, which does not answer: %s", job_id, type(error).__name__)

    def _put(self, job_id: str, delay: float) -> None:
        if delay > 0:
            self._run_job.schedule((job_id,), delay=delay)
        else:
            self._run_job(job_id)

    @property
    def calls(self) -> bool:
        """Whether the queue tells a waiting worker of a new id; a file has to be looked into."""
        return bool(getattr(self.huey.storage, "blocking", False))

    def waiting(self) -> set[str]:
        """Give the ids in the queue, those to be taken later too."""
        return {task.args[0] for task in (*self.huey.pending(), *self.huey.scheduled()) if task.args}

    def close(self) -> None:
        """Close the connection."""
        self.huey.storage.close()


class _JsonSerializer(Serializer):
    """Messages as JSON: Huey's own pickles would let who can write into the queue run code in the worker."""

    def _serialize(self, data: Message) -> bytes:
        return json.dumps(data._asdict(), default=datetime.isoformat).encode()

    def _deserialize(self, data: bytes) -> Message:
        fields = json.loads(bytes(data))
        eta = fields.pop("eta")
        return Message(**fields, eta=datetime.fromisoformat(eta) if eta else None)


def _open_huey(url: str) -> Huey:
    options: dict[str, Any] = {"name": "metia", "results": False, "serializer": _JsonSerializer()}
    path = sqlite_path(url)
    try:
        if path is not None:
            return _open_file(path, options)
        try:
            return _open_server(url, options)
        except ConfigurationError:
            raise
        except Exception:  # PostgreSQL: another process has made the same tables at the same moment
            return _open_server(url, options)
    except ConfigurationError as error:
        package = "psycopg[binary]" if url.startswith("postgresql") else "redis"
        raise SettingsError(f'QUEUE_URL needs one more package: pip install "{package}"') from error
    except Exception as error:
        told = str(error).strip().replace(url, "its value")  # which has a password in it
        raise SettingsError(f"the queue of QUEUE_URL cannot be used: {told}") from error


def _open_file(path: Path, options: dict[str, Any]) -> Huey:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return SqliteHuey(filename=str(path), strict_fifo=True, timeout=15, **options)


def _open_server(url: str, options: dict[str, Any]) -> Huey:
    if url.startswith("postgresql"):
        huey = PostgresHuey(dsn=url, **unless_named(url, POSTGRESQL_ARGS), **options)
    else:
        huey = RedisHuey(url=url, **options)
    huey.pending_count()  # Redis is not asked before: a wrong password is to be said now
    return huey


if __name__ == "__main__":
    from services.worker import main

    sys.exit(main())
