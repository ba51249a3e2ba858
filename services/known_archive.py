"""Which archive the results in VAR_DIR belong to, noted at each start, so that no other one takes its place by itself.

On another archive, an empty one of our own above all, what is to be taken out counts as gone already, though the images
stay where they are.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

FILE = "archive.txt"
"""The file in VAR_DIR; who removes it lets the next start choose freely."""


@dataclass(frozen=True)
class KnownArchive:
    """What is known of the archive used last; nothing is, before the first start.

    Attributes
    ----------
    place
        Where its images lie: one of ``services.orthanc.PLACES`` for one of our own, else its address.
    settings
        ``digest`` of the address and account that .env had for it; empty where the place is guessed only.
    """

    place: str = ""
    settings: str = ""


NOTHING = KnownArchive()


def digest(*settings: str) -> str:
    """Return what tells whether these are the same settings as before, and does not show the password among them."""
    return hashlib.sha256("\n".join(settings).encode()).hexdigest()


def read(var_dir: Path, own: str) -> KnownArchive:
    """Return what was noted; where nothing was, guess from VAR_DIR whether it is one of our own (``own``)."""
    try:
        lines = (var_dir / FILE).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        lines = []
    if len(lines) == 2:
        return KnownArchive(*lines)
    return KnownArchive(own) if (var_dir / "orthanc").is_dir() else NOTHING


def note(var_dir: Path, archive: KnownArchive) -> None:
    """Keep it for the next start."""
    (var_dir / FILE).write_text(f"{archive.place}\n{archive.settings}\n", encoding="utf-8")
