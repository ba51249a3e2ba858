"""DICOM in multipart bodies: there and back however the bytes arrive, and never half an answer for a whole one."""

import pytest
from pydicom import Dataset

from Orthanc import multipart
from tests import factory


def answer(datasets: list[Dataset]) -> bytes:
    """A WADO-RS answer, with the lengths that Orthanc gives."""
    body = b""
    for file in map(multipart.encode, datasets):
        body += (
            f"--b\r\nContent-Type: application/dicom\r\nContent-Length: {len(file)}\r\n\r\n".encode() + file + b"\r\n"
        )
    return body + b"--b--\r\n"


@pytest.fixture(scope="module")
def datasets() -> list[Dataset]:
    source = factory.volume(shape=(4, 12, 10))
    return factory.series_datasets(source)


@pytest.mark.parametrize("size", [7, 1000, 1 << 20])
def test_every_instance_arrives_whatever_the_chunks(datasets: list[Dataset], size: int) -> None:
    body = answer(datasets)
    back = list(multipart.split(body[k : k + size] for k in range(0, len(body), size)))
    assert [one.SOPInstanceUID for one in back] == [one.SOPInstanceUID for one in datasets]
    assert [one.PixelData for one in back] == [one.PixelData for one in datasets]


def test_a_boundary_inside_the_pixels_does_not_end_a_part(datasets: list[Dataset]) -> None:
    trap = datasets[0].copy()
    trap.PixelData = (b"\r\n--b--\r\n\r\n" * 99)[: len(datasets[0].PixelData)]
    (back,) = multipart.split([answer([trap])])
    assert back.PixelData == trap.PixelData


@pytest.mark.parametrize("stop", [100, -300, -9, -4], ids=["header", "pixels", "before the end", "in the end"])
def test_an_answer_cut_off_anywhere_is_refused(datasets: list[Dataset], stop: int) -> None:
    with pytest.raises(multipart.TruncatedError):
        list(multipart.split([answer(datasets)[:stop]]))


def test_an_empty_answer_is_refused() -> None:
    with pytest.raises(multipart.TruncatedError):
        list(multipart.split([]))


def test_every_stored_part_is_a_complete_file(datasets: list[Dataset]) -> None:
    (body,) = multipart.batches(map(multipart.encode, datasets), 1 << 30)
    head = f"--{multipart.BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    parts = body.split(head)[1:]
    assert len(parts) == len(datasets)
    assert all(part[128:132] == b"DICM" for part in parts)
