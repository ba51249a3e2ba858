"""A file is read whatever it is, as long as it unpacks to what is bearable, and has not too many elements."""

import io
import struct
import zlib
from copy import deepcopy
from functools import partial

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from Orthanc import inflating, multipart
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


def crowded(number: int, pixel_bytes: int = 0, *, nested: bool = False) -> bytes:
    """Write an instance with so many empty private elements, 8 bytes each; nested, in items of a hundred."""
    dataset = deepcopy(PLAIN)
    dataset.PixelData = bytes(pixel_bytes or 2)
    each = b"".join(struct.pack("<HH2sH", 0x7FE1, 0x1000 + k, b"LO", 0) for k in range(100))
    if nested:
        item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + each + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
        head = struct.pack("<HH2sHI", 0x7FE1, 0x1010, b"SQ", 0, 0xFFFFFFFF)
        return multipart.encode(dataset) + head + item * (number // 100) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    plain = (struct.pack("<HH2sH", 0x7FE1 + 2 * (k >> 16), k & 0xFFFF, b"LO", 0) for k in range(number))
    return multipart.encode(dataset) + b"".join(plain)


@pytest.mark.parametrize("nested", [False, True])
def test_no_more_elements_are_read_than_a_real_instance_has(monkeypatch: pytest.MonkeyPatch, nested: bool) -> None:
    """Each takes pydicom some 20 microseconds and 400 bytes."""
    monkeypatch.setattr(inflating, "READS", 2000)
    few, many = crowded(900 - 200 * nested, nested=nested), crowded(3000, nested=nested)
    assert read_dicom(few) == dcmread(io.BytesIO(few))
    with pytest.raises(InstanceTooLargeError, match="more elements"):
        read_dicom(many)
    assert (0x7FE1, 2999) in read_dicom(crowded(3000, 1 << 18)), "beside a large image it may"


def test_nor_of_a_deflated_one(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dcmread(io.BytesIO(crowded(3000)))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = multipart.encode(dataset)
    assert read_dicom(content) == dcmread(io.BytesIO(content))
    monkeypatch.setattr(inflating, "READS", 2000)
    with pytest.raises(InstanceTooLargeError, match="more elements"):
        read_dicom(content)


def test_a_deflated_file_stays_one() -> None:
    content = deflated(1 << 10)
    dataset = read_dicom(content)
    assert dataset.file_meta == dcmread(io.BytesIO(content)).file_meta
    assert dcmread(io.BytesIO(multipart.encode(dataset))) == dcmread(io.BytesIO(content))


def test_a_deflated_file_that_was_cut_off_is_none() -> None:
    with pytest.raises(zlib.error):
        read_dicom(deflated(1 << 20)[:-100])


def test_a_hundred_thousand_nested_elements_are_read() -> None:
    """A multi-frame instance of a thousand frames has them."""
    content = crowded(100_000, nested=True)
    assert len(read_dicom(content)[0x7FE1, 0x1010].value) == 1000


def test_nor_is_what_comes_from_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "read_dicom", partial(read_dicom, limit=1 << 20))
    content = deflated(1 << 20)
    head = f"--b\r\nContent-Type: application/dicom\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    with pytest.raises(InstanceTooLargeError):
        list(multipart.split([head + content + b"\r\n--b--\r\n"]))
