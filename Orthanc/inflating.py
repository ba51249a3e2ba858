"""Reads a DICOM file from memory, and no more of a deflated one than is bearable: 600 KB may unpack to 600 MB."""

import io
import zlib
from typing import Any

from pydicom import Dataset, dcmread

from Orthanc.archive import InstanceTooLargeError

INFLATED_BYTES = 256 << 20
"""What an instance may unpack to: a volume of 512 x 512 x 400 voxels takes 200 MiB; several copies come to be."""


class _File(io.BytesIO):
    """A file of which pydicom asks for all the rest only to unpack it: the Deflated transfer syntax (PS3.5, A.5)."""

    limit: int

    def read(self, size: int | None = -1) -> bytes:
        """Read on; what would unpack to more than the limit is not given."""
        content = super().read(size)
        if size == -1 and len(zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, self.limit + 1)) > self.limit:
            raise InstanceTooLargeError(
                f"an instance in the Deflated transfer syntax unpacks to more than {self.limit} bytes: send it unpacked"
            )
        return content


def read_dicom(content: bytes | bytearray, limit: int = INFLATED_BYTES, **options: Any) -> Dataset:
    """Read a DICOM file, as ``dcmread`` with these options does.

    Parameters
    ----------
    limit
        The most bytes that the dataset of a deflated file may have.

    Raises
    ------
    InstanceTooLargeError
        If it has more; or whatever ``dcmread`` raises.
    """
    file = _File(content)
    file.limit = limit
    return dcmread(file, **options)
