"""The file of a bundle's weights: which one, whole or cut off, and its hash. Nothing here needs torch."""

import hashlib
import zipfile
from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError, safe_open

from unetr.errors import ModelError

SUFFIXES = (".safetensors", ".pt", ".ts")
"""Best first: nothing but tensors, a pickle that may hold nothing else, a program of its author's (TorchScript)."""


def find_weights(bundle: Path) -> Path:
    """Give the weights' file: ``models/model.*``, or the only one of its kind.

    Raises
    ------
    ModelError
        When there is none, several are, or the file is cut off.
    """
    folder = bundle / "models"
    for suffix in SUFFIXES:
        found = sorted(folder.glob(f"*{suffix}"))
        named = [path for path in found if path.stem == "model"] or found
        if len(named) > 1:
            raise ModelError(f"{folder} holds {', '.join(path.name for path in named)}: call one model{suffix}.")
        if named:
            _check_whole(named[0])
            return named[0]
    raise ModelError(f"The weights {folder / 'model.safetensors'} (or model.pt, model.ts) are missing.")


def hash_of(weights: Path) -> str:
    """SHA-256 of a file, hexadecimal; read once for each state of it."""
    try:
        state = weights.stat()
        return _sha256(weights, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ModelError(f"The weights {weights} cannot be read: {error.strerror}.") from error


def _check_whole(weights: Path) -> None:
    try:
        if weights.suffix == ".safetensors":
            with safe_open(weights, framework="np"):  # reads the header, and compares the size it says
                return
        whole = zipfile.is_zipfile(weights)  # the directory of a zip is at its end
    except (SafetensorError, OSError) as error:
        raise ModelError(f"The weights {weights} are damaged or not yet copied in full: {error}.") from error
    if not whole:
        raise ModelError(f"The weights {weights} are damaged, not yet copied in full, or of PyTorch before 1.6.")


@lru_cache(maxsize=64)
def _sha256(path: Path, modified_ns: int, size: int) -> str:  # noqa: ARG001 - a file that changes is another key
    """Hash a file that may be hundreds of megabytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
