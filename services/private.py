"""What is kept of patients is for the account that the server runs under, and for nobody else on the machine.

On Windows a user's folders are closed to others already; nothing is done there.
"""

import logging
import os
import stat
import tempfile
from pathlib import Path

from settings import ROOT, Settings, SettingsError, sqlite_path

FOLDER, FILE = 0o700, 0o600
CONTENT = (
    *("metia.db", "queue.db", "launcher.lock", "archive.txt"),
    *("log", "orthanc", "ohif", "nginx", "engines", "models", "spool"),
)
"""How the names begin of what this server puts into VAR_DIR."""

logger = logging.getLogger(__name__)


def keep_private(settings: Settings) -> None:
    """Close VAR_DIR, its logs, database, queue and .env to others, and all that this process and its children write.

    A VAR_DIR that holds other things too, ``/srv`` or ``/tmp``, is left as it is, with a warning: others may need it.

    Raises
    ------
    SettingsError
        When VAR_DIR cannot be made, or nothing can be written there.
    """
    folder = settings.var_dir
    if os.name == "posix":
        os.umask(0o077)
    try:
        folder.mkdir(mode=FOLDER, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        shared = [path.name for path in folder.iterdir() if not path.name.startswith((*CONTENT, "lost+found"))]
    except OSError as error:
        raise SettingsError(f"VAR_DIR={folder} cannot be used: {error.strerror}") from error
    if os.name != "posix":
        return
    if not shared:
        close(folder, FOLDER)
    elif folder.stat().st_mode & 0o077:
        logger.warning(
            "VAR_DIR=%s can be looked into by others on this machine, and is left so: it holds %s, which is not ours",
            folder,
            sorted(shared)[0],
        )
    close(folder / "log", FOLDER)
    close(ROOT / ".env", FILE)
    for database in (sqlite_path(settings.database_url), sqlite_path(settings.queue_url)):
        for end in ("", "-wal", "-shm") if database else ():
            close(Path(f"{database}{end}"), FILE)


def close(path: Path, mode: int) -> None:
    """Close what is there and ours; a file system without owners may refuse it."""
    if os.name != "posix":
        return
    try:
        state = path.stat()
        if state.st_uid == os.geteuid() and stat.S_IMODE(state.st_mode) & 0o077:
            path.chmod(mode)
    except FileNotFoundError:
        return
    except OSError as error:
        logger.warning("%s can be read by others on this machine: %s", path, error.strerror)
