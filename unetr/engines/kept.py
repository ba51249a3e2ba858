"""Compiled networks on disk: whole from the moment they are there, and removed when nobody has used them for long.

Each new version of a model's weights or of OpenVINO is compiled anew, and what was compiled of the one before would lie
there for ever. Who still needs it is not known here, for several workers share the folder and models come and go, but
when it was used last is. What is removed too early costs a compilation.
"""

import logging
import os
import re
import time
from contextlib import suppress
from pathlib import Path

KEPT_DAYS = 30
_DAY = 86_400.0
"""Seconds."""
_OURS = re.compile(r"[0-9a-f]{24}\.(blob|\d+)")
"""A compiled network, or the part of one whose writer was killed; see :func:`unetr.engines.engine.key_of`."""

log = logging.getLogger(__name__)


class Use:
    """Dates a file by its last use; to the day, so that it costs nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._noted = -_DAY

    def note(self) -> None:
        """Note that the file, or what was read from it, is used now."""
        if time.monotonic() - self._noted >= _DAY:
            self._noted = time.monotonic()
            with suppress(OSError):  # nobody may write there, or it is gone
                os.utime(self._path)


def keep(path: Path, content: bytes | memoryview) -> None:
    """Write a file that is whole from the moment it is there; where it cannot be written, a warning."""
    part = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:  # a full disk, say
        log.warning("%s cannot be kept: %s", path.name, error)
        with suppress(OSError):
            part.unlink(missing_ok=True)


def remove_unused(folder: Path) -> None:
    """Remove what nobody has used for 30 days; another process may be doing the same, or write there."""
    for path in folder.glob("*.*"):
        with suppress(OSError):  # it is gone already
            days = (time.time() - path.stat().st_mtime) / _DAY
            if _OURS.fullmatch(path.name) and days > KEPT_DAYS:
                path.unlink()
                log.info("%s is removed: not used for %d days", path.name, days)
