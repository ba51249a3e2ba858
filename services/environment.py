"""Writes .env from .env.example, with a generated password for Orthanc."""

import os
import secrets
from pathlib import Path

from services import private
from settings import SettingsError

SECRET = "ORTHANC_PASSWORD"  # noqa: S105  # the key, not the secret


def prepare(env: Path, example: Path) -> bool:
    """Write ``env`` from ``example`` where there is none; what an existing file says is never changed.

    Only its owner can read the file, whoever made it.

    Returns
    -------
    bool
        Whether the file was written.

    Raises
    ------
    SettingsError
        When it cannot be written.
    """
    if env.exists():
        private.close(env, private.FILE)
        return False
    lines = example.read_text(encoding="utf-8").splitlines()
    filled = [f"{SECRET}={secrets.token_urlsafe(24)}" if line.strip() == f"{SECRET}=" else line for line in lines]
    if filled == lines:
        raise ValueError(f"{example} has no empty {SECRET}= to fill in")
    try:
        descriptor = os.open(env, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(filled) + "\n")
    except OSError as error:
        raise SettingsError(
            f"{env} cannot be written: {error.strerror}. Let this account write there, or put a copy of {example.name} "
            f"there, with {SECRET} filled in"
        ) from error
    return True
