"""Gets the viewer: the prebuilt OHIF of npm, unpacked and compressed for the web, once.

It cannot be built from npm and need not be: the package carries it ready to serve. What our viewer never asks for is
left out, which is three quarters of it.
"""

import base64
import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from services.processes import ServiceError

VERSION = "3.13.2"
PACKAGE = f"@ohif/app@{VERSION}"
INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
"""Of the package as it was tested; npm prints it as ``dist.integrity``."""
MARK = "metia-version.txt"

_CONTENT = PurePosixPath("package/dist")
_LEFT_OUT = ("ort", "dicom-microscopy-viewer")
"""A neural network's runtime and the viewer of histology; both are loaded only on request."""
_COMPRESSED = {".js", ".css", ".wasm", ".svg", ".json", ".html"}
_SMALLEST_BYTES = 1024
_SECONDS = 600

ADVICE = (
    f"npm is not installed, and the viewer comes from there ({PACKAGE}): install Node.js (Debian, Ubuntu: sudo apt-get "
    "install npm; Windows, macOS: https://nodejs.org), then start again"
)


def is_there(folder: Path) -> bool:
    """Whether this version of the viewer is in the folder."""
    mark = folder / MARK
    return mark.is_file() and mark.read_text(encoding="utf-8") == VERSION


def is_foreign(folder: Path) -> bool:
    """Whether the folder holds a viewer that was not put there by us; it is served as it is."""
    return (folder / "index.html").is_file() and not (folder / MARK).exists()


def fetch(folder: Path, say: Callable[[str], None]) -> None:
    """Bring the viewer into the folder; nothing is done when it is there.

    Raises
    ------
    ServiceError
        When npm is missing or cannot fetch it, or what came is not what was tested.
    """
    if is_there(folder) or is_foreign(folder):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise ServiceError(ADVICE)
    say(f"Fetching the viewer (npm, {PACKAGE}) ...")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="ohif-") as scratch:
        unpacked = Path(scratch) / "dist"
        unpack(_pack(npm, Path(scratch)), unpacked)
        compress(unpacked)
        (unpacked / MARK).write_text(VERSION, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.rename(folder)


def _pack(npm: str, scratch: Path) -> Path:
    """Fetch the package and check that it is the one that was tested."""
    try:
        done = subprocess.run(
            [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(scratch)],
            check=False,
            cwd=scratch,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"npm could not fetch {PACKAGE}: {error}") from error
    packages = sorted(scratch.glob("*.tgz"))
    if done.returncode != 0 or not packages:
        words = " ".join(done.stderr.split())[-500:]
        raise ServiceError(f"npm could not fetch {PACKAGE} (status {done.returncode}): {words or 'no word why'}")
    digest = base64.b64encode(hashlib.sha512(packages[0].read_bytes()).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        raise ServiceError(f"what npm fetched as {PACKAGE} is not the package that was tested; it is not used")
    return packages[0]


def unpack(package: Path, folder: Path) -> None:
    """Unpack what is served of the package."""
    with tarfile.open(package) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if not member.isfile() or not path.is_relative_to(_CONTENT):
                continue
            inside = path.relative_to(_CONTENT)
            if inside.parts[0] in _LEFT_OUT or inside.suffix == ".map":
                continue
            member.name = inside.as_posix()
            archive.extract(member, folder, filter="data")


def compress(folder: Path) -> None:
    """Lay a gzip copy beside each file, so that nobody waits for it when it is served."""
    for path in [path for path in folder.rglob("*") if path.suffix in _COMPRESSED]:
        content = path.read_bytes()
        if len(content) >= _SMALLEST_BYTES:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content, 6, mtime=0))


if __name__ == "__main__":
    fetch(Path(sys.argv[1]), print)
