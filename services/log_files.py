"""The logs of the launcher and of what it starts: those of earlier runs are kept, and none grows without end."""

import logging
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

LARGEST_BYTES = 10 << 20
KEPT = 5
LONGEST_LINE = 1 << 16


def open_log(path: Path) -> RotatingFileHandler:
    """Begin a log at ``path``; what an earlier run wrote there becomes ``path.1``, what was that ``path.2``, and so on.

    The same is done with one that has become too large.
    """
    log = RotatingFileHandler(path, maxBytes=LARGEST_BYTES, backupCount=KEPT, encoding="utf-8", errors="replace")
    if path.stat().st_size:
        log.doRollover()
    return log


def write_down(output: IO[bytes], log: RotatingFileHandler) -> threading.Thread:
    """Write what comes out of a child into a log until nothing more can come, in a thread of its own.

    A file that the child itself has open could not be put aside on Windows.
    """

    def run() -> None:
        with output:
            while line := output.readline(LONGEST_LINE):
                log.handle(logging.makeLogRecord({"msg": line.decode(errors="replace").rstrip("\r\n")}))

    thread = threading.Thread(target=run, name=f"log {log.baseFilename}", daemon=True)
    thread.start()
    return thread
