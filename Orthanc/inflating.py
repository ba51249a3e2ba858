"""Reads a DICOM file from memory, and no more of it than is bearable.

600 KB may unpack to 600 MB. And pydicom makes an object of each element, be it of 8 bytes: a million of them took a
minute and 400 MB.
"""

import io
import zlib
from typing import Any

from pydicom import Dataset, dcmread

from Orthanc.archive import InstanceTooLargeError

INFLATED_BYTES = 256 << 20
"""What an instance may unpack to: a volume of 512 x 512 x 400 voxels takes 200 MiB; several copies come to be."""
READS, BYTES_PER_READ = 200_000, 32
"""How often pydicom may read: so often, and once more for so many bytes.

It does once for an empty element, twice or three times for others. A multi-frame instance has some hundred elements for
each frame, which has 8 KB and more; reports are small.
"""
_EMPTY = zlib.compress(b"", wbits=-zlib.MAX_WBITS)
_PLAIN_HEAD = bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"
"""Of a file that is not deflated (Explicit VR Little Endian)."""


class _File(io.BytesIO):
    """A file of which pydicom asks for all the rest only to unpack it: the Deflated transfer syntax (PS3.5, A.5).

    Attributes
    ----------
    unpacked
        What it unpacks to; pydicom itself, which would read that from a file of its own, finds nothing there.
    """

    def __init__(self, content: bytes | bytearray, limit: int) -> None:
        super().__init__(content)
        self.unpacked: bytes | None = None
        self._limit = limit
        self._left = READS + len(content) // BYTES_PER_READ

    def read(self, size: int | None = -1) -> bytes:
        """Read on; what would unpack to more than the limit is not given, nor anything more of too many elements."""
        self._left -= 1
        if self._left < 0:
            raise InstanceTooLargeError("an instance holds more elements than anything of its size that is known")
        content = super().read(size)
        if size != -1:
            return content
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self.unpacked = stream.decompress(content, self._limit + 1)
        if len(self.unpacked) > self._limit:
            more = f"unpacks to more than {self._limit} bytes: send it unpacked"
            raise InstanceTooLargeError(f"an instance in the Deflated transfer syntax {more}")
        if not stream.eof:
            raise zlib.error("the deflated part is not whole")
        return _EMPTY


def read_dicom(content: bytes | bytearray, limit: int = INFLATED_BYTES, **options: Any) -> Dataset:
    """Read a DICOM file, as ``dcmread`` with these options does.

    Parameters
    ----------
    limit
        The most bytes that the dataset of a deflated file may have.

    Raises
    ------
    InstanceTooLargeError
        If it has more, or far too many elements; or whatever ``dcmread`` raises.
    """
    file = _File(content, limit)
    dataset = dcmread(file, **options)
    if file.unpacked is None:
        return dataset
    unpacked = dcmread(_File(_PLAIN_HEAD + file.unpacked, limit), **options)
    unpacked.file_meta, unpacked.preamble = dataset.file_meta, dataset.preamble
    return unpacked
