"""An outage in the log: a line when a server is away, not a traceback each time that somebody asks for it.

What is no outage, but a fault that no waiting mends, keeps its traceback; it too is told again only after a while.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

_AWAY = ("OSError", "ConnectionError", "TimeoutError", "OperationalError", "InterfaceError")
"""By name, so that a driver that is not installed is not imported: Redis has its own of the second and third, SQLite,
PostgreSQL and SQLAlchemy of the last two."""
_FAULTS = (FileNotFoundError, PermissionError)
_FAULTS_OF_SQL = ("no such table", "no such column", "has no column named", "syntax error")
"""What SQLite too calls operational, but no waiting mends."""
_QUIET_SECONDS = 30.0
"""After so long without a complaint the next one is of another outage; all ask more often than this."""
_AGAIN_SECONDS = 600.0
"""After so long what lasts is told of again."""


def is_outage(error: BaseException | None) -> bool:
    """Tell whether an error means that a server, or the disk that a file is on, does not do its work now."""
    if error is None or isinstance(error, _FAULTS) or any(words in str(error) for words in _FAULTS_OF_SQL):
        return False
    return any(kind.__name__ in _AWAY for kind in type(error).__mro__)


def is_device_lost(error: BaseException) -> bool:
    """Tell whether a GPU does nothing any more for this process: after CUDA's faults only a new one gets it back."""
    return any(kind.__name__ == "AcceleratorError" for kind in type(error).__mro__)


def in_one_line(error: BaseException) -> str:
    """Say what kind of error it is, and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".rstrip(": ")


class Complaints:
    """Says which complaints are to be told: each when it begins, and every ten minutes while it lasts.

    Parameters
    ----------
    quiet
        Seconds without a complaint after which it begins anew.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, quiet: float = _QUIET_SECONDS) -> None:
        self._clock, self._quiet, self._lock = clock, quiet, threading.Lock()
        self._seen: dict[str, tuple[float, float]] = {}  # by the line: when it came last, when it was told last

    def is_due(self, line: str) -> bool:
        """Note that a complaint has come; tell whether it is to be told."""
        now = self._clock()
        with self._lock:
            self._seen = {known: times for known, times in self._seen.items() if now - times[0] < self._quiet}
            told = self._seen.get(line, (now, -math.inf))[1]
            due = now - told >= _AGAIN_SECONDS
            self._seen[line] = (now, now if due else told)
        return due


class OutageFilter(logging.Filter):
    """Tells once of what a library logs with a traceback each time it asks again; for its loggers.

    It is told when it begins, and every ten minutes while it lasts: an outage in one line, a fault with its traceback.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._complaints = Complaints(clock)

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be logged; that of an outage loses its traceback."""
        error: Any = record.exc_info[1] if record.exc_info else None
        if error is None:
            return True
        line = f"{record.getMessage().rstrip('.')}: {in_one_line(error)}"
        if is_outage(error):
            record.msg, record.args, record.exc_info, record.exc_text = line, None, None, None
        return self._complaints.is_due(line)
