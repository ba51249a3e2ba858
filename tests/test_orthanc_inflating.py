"""A deflated file is read like any other, as long as it unpacks to what is bearable."""

import io
from copy import deepcopy
from functools import partial

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from Orthanc import multipart
from Orthanc.archive import InstanceTooLargeError
from Orthanc.inflating import read_dicom
from tests import factory

PLAIN = factory.series_datasets()[0]


def deflated(pixel_bytes: int) -> bytes:
    """Write an instance in the Deflated transfer syntax; zeros take a thousandth of their size."""
    dataset = deepcopy(PLAIN)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.PixelData = bytes(pixel_bytes)
    return multipart.encode(dataset)


def test_what_fits_is_read_as_ever() -> None:
    for content in (deflated(1 << 20), multipart.encode(PLAIN)):
        assert read_dicom(content, 2 << 20) == dcmread(io.BytesIO(content))
        assert "PixelData" not in read_dicom(bytearray(content), stop_before_pixels=True, force=True)


def test_what_unpacks_to_more_is_not_unpacked() -> None:
    content = deflated(1 << 20)
    assert len(content) < 1 << 13
    with pytest.raises(InstanceTooLargeError, match="more than 1048576 bytes"):
        read_dicom(content, 1 << 20)


def test_the_limit_is_the_unpacked_files_own() -> None:
    """A file that is not deflated is in memory already."""
    content = multipart.encode(PLAIN)
    assert read_dicom(content, 10) == dcmread(io.BytesIO(content))


def test_nor_is_what_comes_from_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "read_dicom", partial(read_dicom, limit=1 << 20))
    content = deflated(1 << 20)
    head = f"--b\r\nContent-Type: application/dicom\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    with pytest.raises(InstanceTooLargeError):
        list(multipart.split([head + content + b"\r\n--b--\r\n"]))
