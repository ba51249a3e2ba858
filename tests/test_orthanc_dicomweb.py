"""What is asked of Orthanc at all: the tests with a real one are in ``tests/system``."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
from pydicom import Dataset

from Orthanc import dicomweb, multipart
from Orthanc.archive import (
    UID_KEYWORDS,
    AmbiguousStudyError,
    ArchiveUnavailableError,
    DicomFile,
    Held,
    SeriesChangedError,
    SeriesNotFoundError,
    StoreRejectedError,
    StudyNotFoundError,
    is_uid,
)
from Orthanc.dicomweb import OrthancArchive
from tests import factory

MR = factory.series_datasets()
STUDY, SERIES = str(MR[0].StudyInstanceUID), str(MR[0].SeriesInstanceUID)
NO_UIDS = ["../../tools/shutdown", "..", "1..2", "", "1.2/../../x", "1.2?x", "1.2\n", "１.2", "1" * 65, ["1.2", "3.4"]]


class Recorder(http.server.BaseHTTPRequestHandler):
    """Stands in for Orthanc: keeps what it was asked, and answers each address with what is laid down for it.

    That is JSON, bytes as they are, or a status.
    """

    protocol_version = "HTTP/1.1"
    seen: list[str]
    answers: dict[str, Any]
    otherwise: Any
    refuse_after: int

    def do_GET(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append(f"{self.command} {self.path}")
        refused = sum(one.startswith("POST /dicom-web") for one in self.seen) > self.refuse_after
        asked = f"{self.path} {sent.decode()}" if self.path == "/tools/lookup" else self.path.partition("?")[0]
        answer = self.answers.get(asked, self.otherwise)
        status = answer if isinstance(answer, int) else 200
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(507 if refused and self.path.startswith("/dicom-web") else status)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def orthanc() -> Iterator[tuple[OrthancArchive, type[Recorder]]]:
    class Handler(Recorder):
        seen = []
        answers = {}
        otherwise = []
        refuse_after = 1000

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield OrthancArchive(f"http://127.0.0.1:{server.server_port}", "us", "secret", read_timeout=5), Handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("value", [*NO_UIDS, None, 1.2, b"1.2"])
def test_what_is_no_uid(value: object) -> None:
    assert not is_uid(value)


@pytest.mark.parametrize("value", ["1.2.840.10008.1.1", "2.25.0", "1.02.3", "1" * 64])
def test_what_is_one(value: str) -> None:
    assert is_uid(value)


@pytest.mark.filterwarnings("ignore:.*UI:UserWarning")
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("value", ["../../tools/shutdown", "1..2", "", ["1.2", "3.4"]])
def test_nothing_is_stored_that_goes_by_no_uid(
    orthanc: tuple[OrthancArchive, type[Recorder]], keyword: str, value: object
) -> None:
    archive, handler = orthanc
    rogue = deepcopy(MR[1])
    setattr(rogue, keyword, value)
    with pytest.raises(StoreRejectedError, match=keyword):
        archive.store([MR[0], rogue])
    assert handler.seen == []


@pytest.mark.parametrize("value", NO_UIDS)
def test_nothing_is_asked_for_by_what_is_no_uid(orthanc: tuple[OrthancArchive, type[Recorder]], value: Any) -> None:
    archive, handler = orthanc
    with pytest.raises(StudyNotFoundError, match="no UID"):
        archive.list_series(value)
    with pytest.raises(StudyNotFoundError, match="no UID"):
        archive.fetch_series(value, SERIES)
    with pytest.raises(SeriesNotFoundError, match="no UID"):
        archive.fetch_series(STUDY, value)
    assert handler.seen == []


@pytest.mark.filterwarnings("ignore:.*UI:UserWarning")
def test_a_series_that_the_archive_lists_under_no_uid_is_left_out(
    orthanc: tuple[OrthancArchive, type[Recorder]],
) -> None:
    archive, handler = orthanc
    root = f"/dicom-web/studies/{STUDY}/series"
    handler.answers = {
        root: [
            {"0020000E": {"vr": "UI", "Value": [uid]}, "00201209": {"vr": "IS", "Value": [1]}}
            for uid in ("../../../../changes", "1.2.3", SERIES)
        ],
        f"{root}/1.2.3/instances": [{"00080018": {"vr": "UI", "Value": ["../../../../../system"]}}],
        f"{root}/{SERIES}/instances": [{"00080018": {"vr": "UI", "Value": ["1.2.4"]}}],
        f"{root}/{SERIES}/instances/1.2.4/metadata": [{"00080060": {"vr": "CS", "Value": ["MR"]}}],
    }
    (summary,) = archive.list_series(STUDY)
    assert summary.header.Modality == "MR"
    assert handler.seen.pop(1) == "POST /tools/lookup"
    assert all(one.startswith("GET /dicom-web/studies/") for one in handler.seen)


@pytest.mark.parametrize("status", [404, 500])
def test_only_a_series_that_has_gone_is_passed_over(
    orthanc: tuple[OrthancArchive, type[Recorder]], status: int
) -> None:
    """One that the archive fails to read may be the one to segment: without it another would be chosen."""
    archive, handler = orthanc
    series = f"/dicom-web/studies/{STUDY}/series"
    handler.answers = {
        series: [{"0020000E": {"vr": "UI", "Value": [SERIES]}, "00201209": {"vr": "IS", "Value": [1]}}],
        f"{series}/{SERIES}/instances": [{"00080018": {"vr": "UI", "Value": ["1.2.4"]}}],
        f"{series}/{SERIES}/instances/1.2.4/metadata": status,
    }
    if status == 404:
        assert archive.list_series(STUDY) == []
    else:
        with pytest.raises(ArchiveUnavailableError, match="with 500"):
            archive.list_series(STUDY)


@pytest.mark.parametrize(
    "ask",
    [
        lambda archive: archive.check(),
        lambda archive: archive.list_series(STUDY),
        lambda archive: archive.fetch_series(STUDY, SERIES),
        lambda archive: archive.held(STUDY, SERIES),
        lambda archive: archive.store(MR[:1]),
        lambda archive: archive.delete_study(STUDY),
        lambda archive: archive.retire_series(SERIES),
        lambda archive: archive.last_change(),
        lambda archive: archive.changes(0),
        lambda archive: archive.series_tags("a"),
    ],
)
@pytest.mark.parametrize("answer", [{"error": "login required"}, [{}], None, b"<html>"])
def test_a_gateway_that_answers_in_its_own_words_is_no_archive(
    orthanc: tuple[OrthancArchive, type[Recorder]], ask: Callable[[OrthancArchive], object], answer: Any
) -> None:
    archive, handler = orthanc
    handler.otherwise = answer
    with pytest.raises(ArchiveUnavailableError, match="with something unexpected"):
        ask(archive)


def test_a_study_of_several_patients_is_neither_listed_nor_fetched_nor_deleted(
    orthanc: tuple[OrthancArchive, type[Recorder]],
) -> None:
    archive, handler = orthanc
    series = f"/dicom-web/studies/{STUDY}/series"
    handler.answers = {
        f"/tools/lookup {STUDY}": [{"Type": "Study", "Path": f"/studies/{name}"} for name in "ab"],
        series: [{"0020000E": {"vr": "UI", "Value": [SERIES]}, "00201209": {"vr": "IS", "Value": [len(MR)]}}],
        f"{series}/{SERIES}": wado_answer(MR),
    }
    for ask in (archive.list_series, lambda study: archive.fetch_series(study, SERIES), archive.delete_study):
        with pytest.raises(AmbiguousStudyError, match="2 times, under as many patient IDs"):
            ask(STUDY)
    assert not any(one.startswith("DELETE") or "instances" in one for one in handler.seen)


def wado_answer(datasets: Sequence[Dataset]) -> bytes:
    """Make the body of an answer as Orthanc gives it: each part says how long it is."""
    files = [multipart.encode(one) for one in datasets]
    parts = [b"--x\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(file), file) for file in files]
    return b"".join([*parts, b"--x--\r\n"])


@pytest.mark.parametrize("left_out", [0, 1, len(MR)])
def test_a_series_is_fetched_whole_or_not_at_all(orthanc: tuple[OrthancArchive, type[Recorder]], left_out: int) -> None:
    archive, handler = orthanc
    series = f"/dicom-web/studies/{STUDY}/series"
    handler.answers = {
        series: [{"00201209": {"vr": "IS", "Value": [len(MR)]}}],
        f"{series}/{SERIES}": wado_answer(MR[left_out:]),
    }
    if left_out:
        with pytest.raises(ArchiveUnavailableError, match=f"gave {len(MR) - left_out} of {len(MR)} instances"):
            archive.fetch_series(STUDY, SERIES)
    else:
        assert len(archive.fetch_series(STUDY, SERIES)) == len(MR)


def test_an_answer_that_is_cut_off_may_be_asked_for_again(orthanc: tuple[OrthancArchive, type[Recorder]]) -> None:
    archive, handler = orthanc
    series = f"/dicom-web/studies/{STUDY}/series"
    handler.answers = {
        series: [{"00201209": {"vr": "IS", "Value": [len(MR)]}}],
        f"{series}/{SERIES}": wado_answer(MR)[:-200],
    }
    with pytest.raises(ArchiveUnavailableError, match="ended early"):
        archive.fetch_series(STUDY, SERIES)


def lookup(level: str, uid: str) -> tuple[str, list[dict[str, str]]]:
    return f"/tools/lookup {uid}", [{"Type": level, "Path": f"/{level.lower()}/{uid}"}]


def test_a_study_that_goes_by_the_uid_of_a_series_is_no_result_to_retire(
    orthanc: tuple[OrthancArchive, type[Recorder]],
) -> None:
    archive, handler = orthanc
    handler.answers = dict([lookup("Study", SERIES)])
    assert not archive.retire_series(SERIES)
    assert handler.seen == ["POST /tools/lookup"]


def test_much_is_stored_in_batches_and_taken_out_when_one_fails(
    orthanc: tuple[OrthancArchive, type[Recorder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, handler = orthanc
    datasets = MR[:5]
    monkeypatch.setattr(dicomweb, "BATCH_BYTES", 2 * len(multipart.encode(datasets[0])))
    uids = [str(one.SOPInstanceUID) for one in datasets]
    handler.answers = dict(
        [
            lookup("Series", SERIES),
            *(lookup("Instance", uid) for uid in uids),
            (f"/series/{SERIES}/instances", [{"MainDicomTags": {"SOPInstanceUID": uid}} for uid in uids]),
        ]
    )
    archive.store(datasets)
    assert handler.seen.count(f"POST /dicom-web/studies/{STUDY}") == 3

    handler.seen.clear()
    handler.refuse_after = 1
    held = iter([uids[:1], uids[:2]])  # one was there before
    monkeypatch.setattr(archive, "_present", lambda _: set(next(held)))
    with pytest.raises(ArchiveUnavailableError, match="507"):
        archive.store(datasets)
    assert handler.seen.count(f"POST /dicom-web/studies/{STUDY}") == 2
    assert [one for one in handler.seen if one.startswith("DELETE")] == [f"DELETE /instance/{uids[1]}"]


def held_answers(**changes: Any) -> dict[str, Any]:
    series = {"ID": "s", "LastUpdate": "20260101T000000", "Instances": ["i1", "i2"], "ParentStudy": STUDY}
    paths = [{"Type": "Series", "Path": f"/series/{name}"} for name in "ts"]
    return {
        f"/tools/lookup {STUDY}": [{"Type": "Study", "Path": f"/studies/{STUDY}"}],
        f"/tools/lookup {SERIES}": paths,
        "/series/t": series | {"ID": "t", "ParentStudy": "another"},
        "/series/s": series | changes,
    }


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"Instances": ["i2", "i1"]}, True),
        ({"Instances": ["i1", "i3"]}, False),
        ({"LastUpdate": "20260101T000001"}, False),
        ({"ID": "of another patient ID"}, False),
    ],
    ids=["other order", "other instance", "sent again", "other patient"],
)
def test_a_series_that_has_changed_is_held_otherwise(
    orthanc: tuple[OrthancArchive, type[Recorder]], changes: dict[str, Any], same: bool
) -> None:
    archive, handler = orthanc
    handler.answers = held_answers()
    before = archive.held(STUDY, SERIES)
    handler.answers = held_answers(**changes)
    assert (archive.held(STUDY, SERIES) == before) is same
    handler.answers = held_answers(ParentStudy="another")
    with pytest.raises(SeriesNotFoundError):
        archive.held(STUDY, SERIES)


@pytest.mark.parametrize(("looks", "sent"), [(1, 0), (2, 1)], ids=["before", "while they are stored"])
def test_no_results_stay_beside_a_series_that_has_changed(
    orthanc: tuple[OrthancArchive, type[Recorder]], monkeypatch: pytest.MonkeyPatch, looks: int, sent: int
) -> None:
    archive, handler = orthanc
    source = Held(STUDY, SERIES, "as it was")
    states = iter([*["as it was"] * (looks - 1), "otherwise"])
    there = iter([set[str](), *[{MR[0].SOPInstanceUID}] * 2])
    monkeypatch.setattr(archive, "held", lambda *_: Held(STUDY, SERIES, next(states)))
    monkeypatch.setattr(archive, "_present", lambda _: next(there))
    handler.answers = dict([lookup("Instance", MR[0].SOPInstanceUID)])
    with pytest.raises(SeriesChangedError, match=f"series {SERIES} otherwise than when it was fetched"):
        archive.store(MR[:1], source)
    assert [one.split()[0] for one in handler.seen if "dicom-web" in one or "DELETE" in one] == ["POST", "DELETE"][
        : 2 * sent
    ]


def test_files_are_read_one_batch_at_a_time_and_taken_out_when_one_cannot_be_read(
    orthanc: tuple[OrthancArchive, type[Recorder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, handler = orthanc
    others = factory.series_datasets(study_instance_uid="2.25.7", series_instance_uid="2.25.8")[:1]
    datasets = [*MR[:2], *others]
    uids = [str(one.SOPInstanceUID) for one in datasets]
    monkeypatch.setattr(dicomweb, "BATCH_BYTES", 1)

    def read(number: int) -> bytes:
        handler.seen.append(f"read {number}")
        if number == fails:
            raise OSError("the disk is gone")
        return multipart.encode(datasets[number])

    files = [
        DicomFile(tuple(one[keyword].value for keyword in UID_KEYWORDS), partial(read, number))
        for number, one in enumerate(datasets)
    ]
    handler.answers = dict(
        [
            lookup("Series", SERIES),
            lookup("Series", "2.25.8"),
            *(lookup("Instance", uid) for uid in uids),
            (f"/series/{SERIES}/instances", [{"MainDicomTags": {"SOPInstanceUID": uid}} for uid in uids[:2]]),
            ("/series/2.25.8/instances", [{"MainDicomTags": {"SOPInstanceUID": uids[2]}}]),
        ]
    )
    fails = -1
    archive.store_files(files)
    order = [one for one in handler.seen if one.startswith(("read", "POST /dicom-web"))]
    assert order == [step for number in range(3) for step in (f"read {number}", "POST /dicom-web/studies")]

    handler.seen.clear()
    fails = 2
    held = iter([set[str](), set(uids[:2])])
    monkeypatch.setattr(archive, "_present", lambda _: next(held))
    with pytest.raises(OSError, match="the disk is gone"):
        archive.store_files(files)
    assert {one for one in handler.seen if one.startswith("DELETE")} == {f"DELETE /instance/{uid}" for uid in uids[:2]}
