"""The archive on a real Orthanc: what works, and each way it can refuse."""

import copy
import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import requests
from pydicom import Dataset, dcmwrite
from pydicom.uid import UID, generate_uid

from imaging.mr_writer import write_mr_series
from Orthanc import multipart
from Orthanc.archive import (
    AmbiguousStudyError,
    ArchiveTimeoutError,
    ArchiveUnavailableError,
    NotOursError,
    SeriesNotFoundError,
    StoreRejectedError,
    StudyNotFoundError,
)
from Orthanc.dicomweb import OrthancArchive
from results.context import derive_uid
from tests.system.conftest import RunningOrthanc

pytestmark = pytest.mark.system


def mr_series(study: str, slices: int = 4, description: str = "T1 MPRAGE +C") -> list[Dataset]:
    array = np.random.default_rng(0).integers(0, 900, (slices, 16, 12)).astype(np.int16)
    return write_mr_series(
        (array, np.eye(4)),
        patient_id="P1",
        study_instance_uid=study,
        series_instance_uid=generate_uid(),
        series_description=description,
    )


def result(study: str, job_id: str) -> Dataset:
    """Stand in for a result: an instance that carries our mark."""
    (dataset,) = mr_series(study, slices=1, description="Metastases")
    equipment = Dataset()
    equipment.Manufacturer = "MetIA server"
    equipment.ContributionDescription = f"SEG of job {job_id}"
    dataset.ContributingEquipmentSequence = [equipment]
    uid = UID(derive_uid(job_id, "SEG instance"))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    return dataset


def held(archive: OrthancArchive, study: str) -> dict[str, int]:
    return {str(one.header.SeriesInstanceUID): one.number_of_instances for one in archive.list_series(study)}


@pytest.fixture
def archive(orthanc: RunningOrthanc) -> OrthancArchive:
    return orthanc.archive


@pytest.fixture
def study() -> str:
    return str(generate_uid())


def test_names_itself_and_its_plugin(archive: OrthancArchive) -> None:
    name = archive.check()
    assert name.startswith("Orthanc 1.")
    assert "DICOMweb 1." in name


def test_lists_each_series_with_one_header(archive: OrthancArchive, study: str) -> None:
    head, scout = mr_series(study, 5), mr_series(study, 3, "Repérage")
    archive.store(head)
    archive.store(scout)
    listed = {str(one.header.SeriesInstanceUID): one for one in archive.list_series(study)}
    assert set(listed) == {head[0].SeriesInstanceUID, scout[0].SeriesInstanceUID}
    assert listed[head[0].SeriesInstanceUID].number_of_instances == 5
    header = listed[scout[0].SeriesInstanceUID].header
    assert header.SeriesDescription == "Repérage"
    assert header.RepetitionTime == scout[0].RepetitionTime
    assert list(header.ImageType) == list(scout[0].ImageType)


def test_fetches_what_was_stored(archive: OrthancArchive, study: str) -> None:
    stored = mr_series(study, 7)
    archive.store(stored)
    fractions: list[float] = []
    fetched = archive.fetch_series(study, stored[0].SeriesInstanceUID, fractions.append)
    assert fractions == pytest.approx([(n + 1) / 7 for n in range(7)])
    by_uid = {dataset.SOPInstanceUID: dataset for dataset in fetched}
    assert len(by_uid) == 7
    for dataset in stored:
        assert by_uid[dataset.SOPInstanceUID].PixelData == dataset.PixelData
        assert by_uid[dataset.SOPInstanceUID].ImagePositionPatient == dataset.ImagePositionPatient


def test_fetches_instances_that_another_client_stored_without_preamble(
    orthanc: RunningOrthanc, archive: OrthancArchive, study: str
) -> None:
    (dataset,) = mr_series(study, 1)
    file = io.BytesIO()
    dcmwrite(file, dataset)
    assert not file.getvalue().startswith(bytes(128))
    login = (orthanc.username, orthanc.password)
    requests.post(f"{orthanc.url}/instances", data=file.getvalue(), auth=login, timeout=10).raise_for_status()
    (fetched,) = archive.fetch_series(study, dataset.SeriesInstanceUID)
    assert fetched.PixelData == dataset.PixelData


class StopError(Exception):
    """Raised by a callback."""


def test_progress_can_end_a_fetch(archive: OrthancArchive, study: str) -> None:
    stored = mr_series(study, 5)
    archive.store(stored)
    seen: list[float] = []

    def stop_early(fraction: float) -> None:
        seen.append(fraction)
        raise StopError

    with pytest.raises(StopError):
        archive.fetch_series(study, stored[0].SeriesInstanceUID, stop_early)
    assert len(seen) == 1
    assert len(archive.fetch_series(study, stored[0].SeriesInstanceUID)) == 5


def test_storing_again_is_fine_and_adds_nothing(archive: OrthancArchive, study: str) -> None:
    stored = mr_series(study, 3)
    archive.store(stored)
    archive.store(stored)
    assert held(archive, study) == {stored[0].SeriesInstanceUID: 3}


def test_a_partial_failure_leaves_nothing_of_it(archive: OrthancArchive, study: str) -> None:
    before = mr_series(study, 2)
    archive.store(before)
    good = mr_series(study, 2)
    stray = mr_series(str(generate_uid()), 1)
    with pytest.raises(StoreRejectedError, match=stray[0].SOPInstanceUID):
        archive.store([*before, *good, *stray])
    assert held(archive, study) == {str(before[0].SeriesInstanceUID): 2}
    with pytest.raises(StudyNotFoundError):
        archive.list_series(stray[0].StudyInstanceUID)


def test_a_success_that_no_query_confirms_is_none(
    archive: OrthancArchive, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = mr_series(study, 2)
    half = list(multipart.batches([multipart.encode(first)], 1))
    monkeypatch.setattr(multipart, "batches", lambda *_: half)
    with pytest.raises(StoreRejectedError, match=rf"does not find 1 .*: {second.SOPInstanceUID}"):
        archive.store([first, second])
    with pytest.raises(StudyNotFoundError):
        archive.list_series(study)


def test_retires_our_own_result(archive: OrthancArchive, study: str) -> None:
    ours = result(study, job_id=study)
    source = mr_series(study, 2)
    archive.store(source)
    archive.store([ours])
    archive.retire_series(ours.SeriesInstanceUID)
    assert held(archive, study) == {source[0].SeriesInstanceUID: 2}
    archive.retire_series(ours.SeriesInstanceUID)


def test_retires_nothing_when_one_instance_is_not_ours(archive: OrthancArchive, study: str) -> None:
    ours = result(study, job_id=study)
    edited = copy.deepcopy(ours)
    edited.SOPInstanceUID = edited.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    archive.store([ours, edited])
    with pytest.raises(NotOursError, match=ours.SeriesInstanceUID):
        archive.retire_series(ours.SeriesInstanceUID)
    assert held(archive, study) == {ours.SeriesInstanceUID: 2}


def test_unknown_study_and_series(archive: OrthancArchive, study: str) -> None:
    with pytest.raises(StudyNotFoundError, match=study):
        archive.list_series(study)
    with pytest.raises(SeriesNotFoundError):
        archive.fetch_series(study, generate_uid())
    stored = mr_series(study, 1)
    archive.store(stored)
    with pytest.raises(SeriesNotFoundError):
        archive.fetch_series(str(generate_uid()), stored[0].SeriesInstanceUID)


def test_a_study_under_two_patient_ids(archive: OrthancArchive, study: str) -> None:
    """It was sent again under a corrected one: Orthanc files that beside the other."""
    sent = mr_series(study)
    archive.store(sent)
    for dataset in sent:
        dataset.PatientID = "P2"
        archive._rest("POST", "/instances", data=multipart.encode(dataset))
    series = str(sent[0].SeriesInstanceUID)
    for ask in (archive.list_series, lambda uid: archive.fetch_series(uid, series), archive.delete_study):
        with pytest.raises(AmbiguousStudyError, match="2 times"):
            ask(study)
    paths = archive._lookup(study, "Study")
    assert len(paths) == 2, "neither was deleted"
    archive._delete(paths[0])
    assert held(archive, study) == {series: 4}
    archive.delete_study(study)


@pytest.mark.parametrize("status", [None, 400])
def test_a_series_that_goes_between_question_and_answer_is_not_found(
    orthanc: RunningOrthanc, archive: OrthancArchive, study: str, status: int | None
) -> None:
    """Orthanc says 404, or 400 when the series goes while it answers."""
    ours = result(study, job_id=study)
    archive.store([ours])

    class Overtaken(OrthancArchive):
        def _rest(self, method: str, path: str, **arguments: Any) -> requests.Response:
            if path.startswith("/dicom-web"):
                archive.retire_series(ours.SeriesInstanceUID)
                if status:
                    raise ArchiveUnavailableError(f"{method} {path}: {status}")
            return super()._rest(method, path, **arguments)

    overtaken = Overtaken(orthanc.url, orthanc.username, orthanc.password)
    with pytest.raises(SeriesNotFoundError, match=ours.SeriesInstanceUID):
        overtaken.fetch_series(study, ours.SeriesInstanceUID)


def test_a_wrong_password_says_which_settings_to_check(orthanc: RunningOrthanc, study: str) -> None:
    archive = OrthancArchive(orthanc.url, orthanc.username, "wrong")
    with pytest.raises(ArchiveUnavailableError, match=r"401.*ORTHANC_PASSWORD"):
        archive.check()
    with pytest.raises(ArchiveUnavailableError, match=f"GET /dicom-web/studies/{study}/series"):
        archive.list_series(study)


@contextmanager
def stub_server(answer: bytes) -> Iterator[str]:
    """A server that answers every request with these bytes, then stays silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        connections: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connections.append(connection)
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for connection in connections:
            connection.close()


def test_orthanc_down(study: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    archive = OrthancArchive(f"http://127.0.0.1:{port}")
    with pytest.raises(ArchiveUnavailableError, match=f"GET /dicom-web/studies/{study}/series"):
        archive.list_series(study)
    with pytest.raises(ArchiveUnavailableError, match="no connection"):
        archive.store(mr_series(study, 1))
    with pytest.raises(ArchiveUnavailableError, match="POST /tools/lookup"):
        archive.retire_series("1.2")


def test_orthanc_that_never_answers(study: str) -> None:
    with stub_server(b"") as url:
        archive = OrthancArchive(url, read_timeout=0.2)
        with pytest.raises(ArchiveTimeoutError, match=r"GET /dicom-web/studies/.*/series in 0.2 s"):
            archive.list_series(study)


FOUND = b'[{"0020000E":{"vr":"UI","Value":["1.2"]},"00201209":{"vr":"IS","Value":[2]}}]'
QIDO = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (
    len(FOUND)
)
ONE_OF_TWO = (
    b"HTTP/1.1 200 OK\r\nContent-Type: multipart/related; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: application/dicom\r\nContent-Length: 4000\r\n\r\n123"
)


def test_an_answer_that_stops_half_way(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrthancArchive, "_path_of_study", lambda *_: None)  # the sender has one answer only
    with stub_server(QIDO + FOUND) as finder, stub_server(ONE_OF_TWO) as sender:
        archive = OrthancArchive(finder, read_timeout=0.2)
        archive.url = sender
        with pytest.raises(ArchiveTimeoutError, match=f"GET /dicom-web/studies/{study}/series/1.2"):
            archive.fetch_series(study, "1.2")


def test_something_else_on_the_port(study: str) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
    with stub_server(page) as url, pytest.raises(ArchiveUnavailableError, match="something unexpected"):
        OrthancArchive(url, read_timeout=1).list_series(study)
    with stub_server(page) as url, pytest.raises(ArchiveUnavailableError):
        OrthancArchive(url, read_timeout=1).check()


def test_an_error_inside_orthanc(study: str) -> None:
    error = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    with stub_server(error) as url, pytest.raises(ArchiveUnavailableError, match=r"GET .* with 503"):
        OrthancArchive(url, read_timeout=1).list_series(study)
