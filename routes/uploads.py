"""Takes the files of a multipart form in, however many and large: one behind the other, in one file without a name.

werkzeug would keep what is smaller than 500 KB, as most slices are, in memory, and open a file for each larger one, of
which a process may have 1024.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryFile
from typing import IO

from flask import request
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from werkzeug.exceptions import BadRequest
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from Orthanc import multipart
from Orthanc.archive import UID_KEYWORDS, DicomFile, InstanceTooLargeError, is_uid
from Orthanc.inflating import INFLATED_BYTES, read_dicom
from routes.problems import no_room

CHUNK_BYTES, HEAD_BYTES = 1 << 16, 1 << 20
MOST_FILES = 100_000
UNDEFINED = 0xFFFFFFFF
"""The length of an element that ends with a mark."""

logger = logging.getLogger(__name__)


class NoInstanceError(Exception):
    """A file is no whole DICOM instance; the message says which, and why."""


@dataclass
class SentFile:
    """A file that was sent: a stretch of the spool."""

    spool: IO[bytes]
    start: int
    length: int = 0

    def read(self) -> bytes:
        """Give its bytes."""
        self.spool.seek(self.start)
        return self.spool.read(self.length)


@contextmanager
def received(field: str, limit: int) -> Iterator[list[SentFile]]:
    """Take the request's form in and give the files of a field; they are gone when this is left, or the process ends.

    Parameters
    ----------
    limit
        The most bytes that the form may hold; of more, werkzeug makes a 413.
    """
    request.max_content_length = limit
    with TemporaryFile() as spool:
        try:
            files = _spooled(field, spool)
            spool.flush()
        except OSError as error:
            logger.error("no room for what is sent: %s", error.strerror)  # noqa: TRY400 - the trace tells no more
            raise no_room(error) from error
        yield files


def _spooled(field: str, spool: IO[bytes]) -> list[SentFile]:
    boundary = request.mimetype_params.get("boundary", "")
    if request.mimetype != "multipart/form-data" or not boundary:
        return []
    decoder = MultipartDecoder(boundary.encode(), HEAD_BYTES, max_parts=MOST_FILES)
    files: list[SentFile] = []
    wanted = False
    while True:
        chunk = request.stream.read(CHUNK_BYTES)
        try:
            decoder.receive_data(chunk or None)
            while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
                if isinstance(event, File | Field):
                    wanted = isinstance(event, File) and event.name == field
                    if wanted:
                        files.append(SentFile(spool, spool.tell()))
                elif isinstance(event, Data) and wanted:
                    files[-1].length += spool.write(event.data)
        except ValueError as error:
            raise BadRequest(f"The form cannot be read: {error}.") from error
        if not chunk:
            return files


def instances(files: Sequence[SentFile], limit: int) -> list[DicomFile]:
    """Look whether each file is a whole DICOM instance that goes by proper UIDs, one after the other.

    Parameters
    ----------
    limit
        The most bytes that a deflated one may unpack to; more than ``INFLATED_BYTES`` it never may.

    Raises
    ------
    NoInstanceError
        When one is not; by this, or when it is read again to be stored.
    InstanceTooLargeError
        When one unpacks to more.
    """
    found = []
    for number, file in enumerate(files, start=1):
        name = f"File {number} of {len(files)}"
        dataset = _read(file, name, limit)
        uids = tuple(dataset[keyword].value for keyword in UID_KEYWORDS)
        found.append(DicomFile(uids, partial(_encoded, file, name, limit)))
    return found


def _encoded(file: SentFile, name: str, limit: int) -> bytes:
    """Write an instance anew: Orthanc refuses some of what pydicom can still make sense of."""
    dataset = _read(file, name, limit)
    try:
        return multipart.encode(dataset)
    except Exception as error:
        raise NoInstanceError(_no_instance(name, error)) from error


def _read(file: SentFile, name: str, limit: int) -> Dataset:
    content = file.read()
    try:
        dataset = read_dicom(content, min(limit, INFLATED_BYTES))
        _check(dataset)
    except InstanceTooLargeError as error:
        raise InstanceTooLargeError(f"{name}: {error}; none was stored.") from error
    except Exception as error:  # a damaged file can raise anything at all
        raise NoInstanceError(_no_instance(name, error)) from error
    return dataset


def _check(dataset: Dataset) -> None:
    for keyword in UID_KEYWORDS:
        if not is_uid(uid := dataset[keyword].value):
            raise ValueError(f"{keyword} = {str(uid)[:80]!r} is no UID")
    for element in dataset.values():  # of the last one, pydicom takes what there is for all of it
        if isinstance(element, RawDataElement) and element.length not in (UNDEFINED, len(element.value or b"")):
            raise ValueError(f"{element.tag} ends after {len(element.value or b'')} of {element.length} bytes")


def _no_instance(name: str, why: Exception) -> str:
    return f"{name} is no DICOM instance ({why}); none was stored."
