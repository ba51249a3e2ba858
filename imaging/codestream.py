"""What compressed pixels say of their own size: a decoder goes by that, whatever the dataset announces."""

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

_WITH_HEADS = {*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes}
_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
_HEADS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG's frame (SOF), JPEG-LS among them; the three are tables and arithmetic coding."""
_SIZE = 0x51
"""The marker of the image and tile size (SIZ) of a JPEG 2000."""


def sizes(dataset: Dataset) -> Iterator[tuple[int, int]]:
    """Give rows and columns of each compressed frame that names them, in order."""
    if UID(dataset.file_meta.TransferSyntaxUID) in _WITH_HEADS:
        for frame in generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)):
            if (size := _size(frame)) is not None:
                yield size


def _size(frame: bytes) -> tuple[int, int] | None:
    """Go from marker to marker, as far as these have a length."""
    start = 0 if frame.startswith(_JPEG) else max(frame.find(_JPEG_2000), 0)  # some put a whole JP2 file there
    at = start + 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4])
        if marker in _HEADS:
            return int.from_bytes(frame[at + 5 : at + 7]), int.from_bytes(frame[at + 7 : at + 9])
        if marker == _SIZE:
            width, height, left, top = (int.from_bytes(frame[k : k + 4]) for k in range(at + 6, at + 22, 4))
            return height - top, width - left
        at += 1 if marker == 0xFF else 2 + length
    return None
