"""Which state of this software, and of what it computes with, made a result."""

import importlib.metadata
import shutil
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_LIBRARIES = ("torch", "monai", "numpy")


def versions() -> dict[str, str | None]:
    """The commit of the checkout, "-dirty" behind it where files differ from it, and the versions of libraries.

    The commit is None where there is no checkout, as of an unpacked archive, or no git.
    """
    return {"commit": _commit(), **{name: importlib.metadata.version(name) for name in _LIBRARIES}}


def _commit() -> str | None:
    git = shutil.which("git")
    if git is None or not (_ROOT / ".git").exists():  # git would look further up, and name another project's
        return None
    command = [git, "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - nothing of it is a user's
    return told.stdout.strip() or None
