"""The file that PyTorch's ``save`` writes: a zip with one pickle, and the raw numbers of each storage beside it."""

import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from unetr.loading.unpickling import ITEM_BYTES, CheckpointError, Storage, unpickle

_LARGEST_PICKLE = 16 * 2**20
"""Bytes; that of a UNETR has some hundred thousand."""


class Archive:
    """An open checkpoint; a context manager.

    Raises
    ------
    CheckpointError
        Here or in a method, when the file is no zip as PyTorch has written it since 1.6, is damaged or cut off, or
        wants to run something.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError:
            raise
        except (
            Exception
        ):  # a name that is no text, a version not known yet, a number beyond the file: all of it is read
            raise CheckpointError("is no checkpoint of PyTorch 1.6 or later, or is not complete") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def load(self) -> Any:
        """Give what the pickle holds, see :func:`unetr.loading.unpickling.unpickle`."""
        if f"{self._root}byteorder" in self._zip.namelist() and self._read("byteorder", 16) != b"little":
            raise CheckpointError("was written on a big-endian machine, which is not supported")
        return unpickle(self._read("data.pkl", _LARGEST_PICKLE))

    def read(self, storage: Storage) -> bytearray:
        """Give the numbers of a storage, little-endian."""
        due = ITEM_BYTES[storage.kind] * storage.length
        content = bytearray(self._read(f"data/{storage.key}", due))
        if len(content) != due:
            raise CheckpointError(f"is damaged: {len(content)} bytes in data/{storage.key} where {due} are due")
        return content

    @cached_property
    def _root(self) -> str:
        roots = [name.removesuffix("data.pkl") for name in self._zip.namelist() if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise CheckpointError("is a zip, but none that PyTorch's save writes")
        return roots[0]

    def _read(self, name: str, most: int) -> bytes:
        try:
            entry = self._zip.getinfo(self._root + name)
        except KeyError:
            raise CheckpointError(f"is damaged: it lacks {name}") from None
        # What is not compressed cannot grow beyond the file that it came in.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise CheckpointError("is compressed, which PyTorch's checkpoints are not")
        if entry.file_size > most:
            raise CheckpointError(f"is damaged: {entry.file_size} bytes in {name} where {most} at most are due")
        try:
            return self._zip.read(entry)
        except Exception as error:  # a zip can be wrong in as many ways as there are fields in it
            raise CheckpointError(f"is damaged: {type(error).__name__} in its {name}") from None
