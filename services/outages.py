"""An outage in the log: a line when a server is away, not a traceback each time that somebody asks for it."""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

_AWAY = ("OSError", "ConnectionError", "TimeoutError", "OperationalError", "InterfaceError")
"""By name, so that a driver that is not installed is not imported: Redis has its own of the second and third, SQLite,
PostgreSQL and SQLAlchemy of the last two."""
_QUIET_SECONDS = 30.0
"""After so long without a complaint the next one is of another outage; all ask more often than this."""
_AGAIN_SECONDS = 600.0
"""After so long an outage is told of again."""


def is_outage(error: BaseException | None) -> bool:
    """Tell whether an error means that a server, or the disk that a file is on, does not do its work now."""
    return error is not None and any(kind.__name__ in _AWAY for kind in type(error).__mro__)


def in_one_line(error: BaseException) -> str:
    """Say what kind of error it is, and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".rstrip(": ")


class OutageFilter(logging.Filter):
    """Makes one line of an outage that a library logs as a traceback each time it asks again; for its loggers.

    The line comes when the outage begins, and every ten minutes while it lasts. Other errors pass as they are.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock, self._lock = clock, threading.Lock()
        self._seen: dict[str, tuple[float, float]] = {}  # by the line: when it came last, when it was told last

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be logged; that of an outage loses its traceback."""
        error: Any = record.exc_info[1] if record.exc_info else None
        if not is_outage(error):
            return True
        line, now = f"{record.getMessage().rstrip('.')}: {in_one_line(error)}", self._clock()
        record.msg, record.args, record.exc_info, record.exc_text = line, None, None, None
        with self._lock:
            self._seen = {known: times for known, times in self._seen.items() if now - times[0] < _QUIET_SECONDS}
            told = self._seen.get(line, (now, -math.inf))[1]
            again = now - told >= _AGAIN_SECONDS
            self._seen[line] = (now, now if again else told)
        return again
