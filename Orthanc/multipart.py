"""DICOM files to and from ``multipart/related`` bodies, for STOW-RS and WADO-RS.

Our own few lines, because dicomweb-client sends a dataset without preamble as it is, refuses to read back what such
a client has stored, and takes an answer that was cut off for a complete one.
"""

import io
import re
from collections.abc import Iterable, Iterator

from pydicom import Dataset, dcmwrite

from Orthanc.inflating import read_dicom

BOUNDARY = "metia-3b0c8d0e5f0f4c2c9d1e"
CONTENT_TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
"""As stored: the server need not, and often cannot, transcode."""


class TruncatedError(Exception):
    """The body ended before its closing boundary."""


def encode(dataset: Dataset) -> bytes:
    """Encode an instance as a complete DICOM file."""
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def batches(files: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Put DICOM files into the bodies of as few STOW-RS requests as may be.

    Parameters
    ----------
    files
        Taken one at a time, when the body before it is done with.
    limit
        A body that has got so many bytes gets no further file.
    """
    body = io.BytesIO()
    for file in files:
        body.write(f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode())
        body.write(file)
        body.write(b"\r\n")
        if body.tell() >= limit:
            yield _ended(body)
            body = io.BytesIO()
    if body.tell():
        yield _ended(body)


def _ended(body: io.BytesIO) -> bytes:
    body.write(f"--{BOUNDARY}--\r\n".encode())
    return body.getvalue()


def split(chunks: Iterable[bytes]) -> Iterator[Dataset]:
    """Decode the instances of a WADO-RS answer as they arrive.

    Each part is taken by its Content-Length, which is faster than a search for the boundary and cannot be misled by
    pixel data.

    Raises
    ------
    TruncatedError
        If the body ends early.
    InstanceTooLargeError
        If an instance unpacks to too much.
    """
    chunks = iter(chunks)
    buffer = bytearray()

    def read_more() -> None:
        try:
            buffer.extend(next(chunks))
        except StopIteration:
            raise TruncatedError from None

    while True:
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            if re.fullmatch(rb"\s*--\S+--\s*", buffer):
                return
            read_more()
        length = re.search(rb"content-length:\s*(\d+)", buffer[:end], re.IGNORECASE)
        if length is None:
            raise TruncatedError
        start = end + 4
        stop = start + int(length[1])
        while len(buffer) < stop:
            read_more()
        yield read_dicom(buffer[start:stop], force=True)
        del buffer[:stop]
