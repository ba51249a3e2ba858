"""What the published front-end uploads: little of it in memory, one file open, and nothing stored that is amiss."""

import errno
import io
import struct
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import RLELossless, generate_uid

from Orthanc import inflating, multipart
from routes import uploads
from tests import factory
from tests.api_factory import ApiSite
from tests.test_orthanc_inflating import deflated

MIB = 1 << 20
SENT = factory.series_datasets(study_instance_uid=generate_uid(), series_instance_uid=generate_uid())[:3]
FILES = [multipart.encode(dataset) for dataset in SENT]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ApiSite]:
    site = ApiSite(tmp_path, UPLOAD_MAX_MB="64")
    yield site
    site.close()


def send(site: ApiSite, *contents: bytes, **more: str) -> Any:
    files = [(io.BytesIO(content), f"{number}.dcm") for number, content in enumerate(contents)]
    return site.client.post("/uploadDicom", data={"files[]": files, **more}, content_type="multipart/form-data")


def refused(site: ApiSite, answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert "store" not in site.archive.calls
    return str(answer.get_json()["error"])


class Form(io.RawIOBase):
    """The body of a form that is made while it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or next(self._pieces, b"")
        taken, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


def taken_in(site: ApiSite, heads: list[str], content: bytes, look: Callable[[list[uploads.SentFile]], object]) -> None:
    """Have a form taken in that has one part for each head, all of the same content."""
    parts = [f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() for head in heads]
    length = sum(len(part) + len(content) + 2 for part in parts) + 7
    form = Form(piece for part in [*parts, b""] for piece in ((part, content, b"\r\n") if part else (b"--b--\r\n",)))
    environ = {
        "wsgi.input": form,
        "CONTENT_LENGTH": str(length),
        "CONTENT_TYPE": "multipart/form-data; boundary=b",
    }
    with (
        site.app.test_request_context("/uploadDicom", method="POST", environ_overrides=environ),
        uploads.received("f", 64 * MIB) as sent,
    ):
        look(sent)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("head", ['name="f"; filename="x"', 'name="other"; filename="x"', 'name="f"'])
@pytest.mark.parametrize("size", [MIB // 4, MIB], ids=["as slices are", "larger"])
def test_what_is_sent_is_not_in_memory(site: ApiSite, head: str, size: int) -> None:
    """werkzeug keeps files below 500 KB, and fields that are no files."""
    peaks = []
    tracemalloc.start()
    try:
        taken_in(
            site, [head] * (32 * MIB // size), bytes(size), lambda _: peaks.append(tracemalloc.get_traced_memory()[1])
        )
    finally:
        tracemalloc.stop()
    assert peaks[0] < 6 * MIB


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted on Linux")
def test_however_many_files_one_is_open_and_has_no_name(
    site: ApiSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """waitress cannot serve with more than 1024 open."""
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spool))
    before = open_files()

    def look(sent: list[uploads.SentFile]) -> None:
        assert open_files() == before + 1
        assert list(spool.iterdir()) == []
        assert all(one.read() == bytes(MIB) for one in sent)
        assert len(sent) == 20

    taken_in(site, ['name="f"; filename="x"'] * 20, bytes(MIB), look)
    assert open_files() == before


@pytest.mark.parametrize("cut", [-1, -1000, 500, 200, 140, 20, 0])
def test_a_file_that_was_cut_off_is_refused(site: ApiSite, cut: int) -> None:
    """pydicom takes what there is of the pixels for all of them."""
    whole = FILES[1]
    assert "File 2 of 2" in refused(site, send(site, FILES[0], whole[: cut if cut >= 0 else len(whole) + cut]), 400)


def test_compressed_pixels_are_stored_as_they_are(site: ApiSite) -> None:
    """Their length is not said: they end with a mark."""
    packed = deepcopy(SENT[0])
    packed.compress(RLELossless)
    assert packed["PixelData"].is_undefined_length
    assert send(site, multipart.encode(packed)).status_code == 200
    assert site.archive.instances[str(packed.SOPInstanceUID)].PixelData == packed.PixelData


def test_files_of_other_fields_are_none_to_store(site: ApiSite) -> None:
    read: list[bytes] = []
    heads = ['name="other"; filename="x"', 'name="f"; filename="y"', 'name="f"']
    taken_in(site, heads, b"content", lambda sent: read.extend(one.read() for one in sent))
    assert read == [b"content"]


def test_whatever_pydicom_raises(site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(*_: Any) -> Any:
        raise NotImplementedError("of no known kind")

    monkeypatch.setattr(uploads, "read_dicom", burst)
    assert "of no known kind" in refused(site, send(site, FILES[0]), 400)


def test_what_unpacks_to_more_than_an_upload_may_hold(site: ApiSite) -> None:
    assert send(site, deflated(MIB)).status_code == 200
    site.archive.calls.clear()
    said = refused(site, send(site, FILES[0], deflated(64 * MIB)), 413)
    assert "File 2 of 2" in said
    assert f"more than {64 * MIB} bytes" in said


def test_far_more_elements_than_anything_real_has(site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of 8 MB kept the API busy for a minute."""
    monkeypatch.setattr(inflating, "READS", 2000)
    elements = b"".join(struct.pack("<HH2sH", 0x7FE1, k, b"LO", 0) for k in range(10_000))
    said = refused(site, send(site, FILES[0], FILES[1] + elements), 413)
    assert "File 2 of 2" in said
    assert "more elements" in said


def test_studies_are_stored_together_or_not_at_all(site: ApiSite) -> None:
    other = factory.series_datasets(study_instance_uid=generate_uid(), series_instance_uid=generate_uid())[0]
    assert send(site, *FILES, multipart.encode(other)).status_code == 200
    assert site.archive.calls.count("store") == 1
    assert {str(one.SOPInstanceUID) for one in (*SENT, other)} <= set(site.archive.instances)


def test_no_room_on_the_disk(site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uploads, "TemporaryFile", Full)
    assert "No space left" in refused(site, send(site, FILES[0]), 507)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"files[]=x", "application/x-www-form-urlencoded", 400),
        (FILES[0], "application/dicom", 400),
        (b"--b\r\n", "multipart/form-data", 400),
        (b"--b\r\nContent-Type: x\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", 400),
        (b"--b\r\n" + bytes(2 * MIB), "multipart/form-data; boundary=b", 413),
        (
            b'--b\r\nContent-Disposition: form-data; name="files[]"; filename="x"\r\n\r\nx',
            "multipart/form-data; boundary=b",
            400,
        ),
        (bytes(65 * MIB), "multipart/form-data; boundary=b", 413),
    ],
    ids=["no form", "no multipart", "no boundary", "no name", "no end of a head", "no end", "too large"],
)
def test_what_is_no_form(site: ApiSite, body: bytes, kind: str, status: int) -> None:
    refused(site, site.client.post("/uploadDicom", data=body, content_type=kind), status)


def test_too_many_files(site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_FILES", 2)
    refused(site, send(site, *FILES), 413)
    assert send(site, *FILES[:2]).status_code == 200
