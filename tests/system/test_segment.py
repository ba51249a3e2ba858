"""POST /segment on the real parts: Orthanc, the API, the queue, the worker, a network that runs in torch."""

import http.client
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from pydicom import Dataset
from pydicom.uid import generate_uid

from imaging.volume import read_series
from results.context import derive_uid
from results.objects import WRITTEN
from results.rtstruct import build_rtstruct
from results.seg import read_seg
from services.processes import WRONG_SETTINGS
from tests import factory, results_cases
from tests.system.conftest import RunningOrthanc
from tests.system.processes import ServerSite
from tests.tiny_model import tiny_bundle

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with so many windows that it can be met while it works."""
    return tiny_bundle(tmp_path_factory.mktemp("model") / "slow", overlap=0.9)


@pytest.fixture
def site(tmp_path: Path, orthanc: RunningOrthanc, tiny_model: Path) -> Iterator[ServerSite]:
    site = ServerSite(tmp_path, orthanc, tiny_model)
    site.start_api()
    yield site
    site.close()


@pytest.fixture
def slow_site(tmp_path: Path, orthanc: RunningOrthanc, slow_model: Path) -> Iterator[ServerSite]:
    site = ServerSite(tmp_path, orthanc, slow_model)
    site.start_api()
    yield site
    site.close()


@pytest.fixture
def series(orthanc: RunningOrthanc) -> list[Dataset]:
    """A series of a new study in Orthanc."""
    datasets = factory.series_datasets(study_instance_uid=generate_uid(), series_instance_uid=generate_uid())
    orthanc.archive.store(datasets)
    return datasets


def series_of(orthanc: RunningOrthanc, study: str) -> dict[str, str]:
    """SeriesInstanceUID -> Modality of a study."""
    return {str(one.header.SeriesInstanceUID): str(one.header.Modality) for one in orthanc.archive.list_series(study)}


def results_of(job_id: str) -> dict[str, str]:
    return {derive_uid(job_id, f"{role} series"): kind for kind, roles in WRITTEN.items() for role in roles}


def test_seg_and_rtstruct_arrive_and_fit(site: ServerSite, orthanc: RunningOrthanc, series: list[Dataset]) -> None:
    site.start_worker()
    study, uid = str(series[0].StudyInstanceUID), str(series[0].SeriesInstanceUID)
    answer = site.post(study)
    job = answer.json()
    assert (answer.status_code, job["state"]) == (200, "done"), job
    assert series_of(orthanc, study) == {uid: "MR"} | results_of(job["id"])
    assert {one["SeriesInstanceUID"]: one["kind"] for one in job["results"]} == results_of(job["id"])

    assert len(job["lesions"]) == len(factory.LESIONS)
    for found, truth in zip(job["lesions"], factory.LESIONS, strict=True):
        assert found["longest_diameter_mm"] == pytest.approx(2 * truth.radius_mm, abs=2.5)
        assert found["centroid_lps_mm"] == pytest.approx(truth.centre_lps, abs=1.5)

    source = read_series(series)
    (seg,) = orthanc.archive.fetch_series(study, derive_uid(job["id"], "SEG series"))
    (rtstruct,) = orthanc.archive.fetch_series(study, derive_uid(job["id"], "RTSTRUCT series"))
    written = {one["kind"]: one["SOPInstanceUID"] for one in job["results"]}
    assert (written["SEG"], written["RTSTRUCT"]) == (seg.SOPInstanceUID, rtstruct.SOPInstanceUID)
    labels = read_seg(seg, source)
    for found in job["lesions"]:
        voxels = (labels == found["label"]).sum()  # the volume is measured finer than in whole voxels
        assert voxels * 2.0 * 1.5 * 1.75 == pytest.approx(found["volume_mm3"], rel=0.25)
    names = [item.ROIName for item in rtstruct.StructureSetROISequence]
    assert names == [found["name"] for found in job["lesions"]] == ["GTV_MetIA_1", "GTV_MetIA_2", "GTV_MetIA_3"]


def test_a_second_post_is_a_new_version(site: ServerSite, orthanc: RunningOrthanc, series: list[Dataset]) -> None:
    site.start_worker()
    study, uid = str(series[0].StudyInstanceUID), str(series[0].SeriesInstanceUID)
    foreign = physicians_rtstruct(series)
    orthanc.archive.store([foreign])
    first = site.post(study).json()
    outlines = outlines_of(orthanc, study, first["id"])
    second = site.post(study).json()
    assert (first["version"], second["version"]) == (1, 2)
    assert first["lesions"] == second["lesions"], "nothing is random"
    assert outlines == outlines_of(orthanc, study, second["id"])
    expected = {uid: "MR", str(foreign.SeriesInstanceUID): "RTSTRUCT"} | results_of(second["id"])
    site.until(lambda: series_of(orthanc, study) == expected, "the first version is gone, and nothing else")
    (kept,) = orthanc.archive.fetch_series(study, str(foreign.SeriesInstanceUID))
    assert kept == foreign


def outlines_of(orthanc: RunningOrthanc, study: str, job_id: str) -> dict[str, list[list[float]]]:
    """Name of each ROI of a job's RTSTRUCT -> its contours."""
    (rtstruct,) = orthanc.archive.fetch_series(study, derive_uid(job_id, "RTSTRUCT series"))
    names = {item.ROINumber: str(item.ROIName) for item in rtstruct.StructureSetROISequence}
    return {
        names[item.ReferencedROINumber]: [[float(value) for value in one.ContourData] for one in item.ContourSequence]
        for item in rtstruct.ROIContourSequence
    }


def physicians_rtstruct(series: list[Dataset]) -> Dataset:
    """Make an RTSTRUCT of the study that another system wrote."""
    source = read_series(series)
    label_map = factory.label_map(source.volume)
    made = build_rtstruct(source, label_map, results_cases.lesions(label_map), results_cases.CONTEXT)
    assert made is not None
    del made.ContributingEquipmentSequence
    made.Manufacturer = "A planning system"
    made.SeriesInstanceUID = generate_uid()
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return results_cases.read_back(made)


def test_a_job_survives_kill_9_of_its_worker(
    slow_site: ServerSite, orthanc: RunningOrthanc, series: list[Dataset]
) -> None:
    end_a_worker(slow_site, orthanc, series, signal.SIGKILL)


def test_a_job_survives_the_end_of_its_worker(
    slow_site: ServerSite, orthanc: RunningOrthanc, series: list[Dataset]
) -> None:
    end_a_worker(slow_site, orthanc, series, signal.SIGTERM)


def end_a_worker(site: ServerSite, orthanc: RunningOrthanc, series: list[Dataset], how: signal.Signals) -> None:
    """End the worker while it segments; the next one does the job, and everything is there once."""
    study, uid = str(series[0].StudyInstanceUID), str(series[0].SeriesInstanceUID)
    worker = site.start_worker()
    job_id = site.post(study, query="").json()["id"]
    site.until(lambda: site.job(job_id)["state"] == "segmenting", "the job is segmenting")
    worker.send_signal(how)
    worker.wait(10)
    assert site.job(job_id)["state"] == "segmenting"
    assert series_of(orthanc, study) == {uid: "MR"}

    site.start("jobs.py")
    site.until(lambda: site.job(job_id)["attempts"] == 2, "the next worker takes the job")
    job = site.job(job_id, "?wait=100")
    assert (job["state"], len(job["lesions"])) == ("done", len(factory.LESIONS)), job
    assert series_of(orthanc, study) == {uid: "MR"} | results_of(job_id)


def test_a_running_job_is_cancelled(slow_site: ServerSite, orthanc: RunningOrthanc, series: list[Dataset]) -> None:
    study, uid = str(series[0].StudyInstanceUID), str(series[0].SeriesInstanceUID)
    slow_site.start_worker()
    job_id = slow_site.post(study, query="").json()["id"]
    slow_site.until(lambda: slow_site.job(job_id)["state"] == "segmenting", "the job is segmenting")
    assert requests.delete(f"{slow_site.url}/jobs/{job_id}", timeout=10).status_code == 202
    assert slow_site.job(job_id, "?wait=100")["state"] == "cancelled"
    assert series_of(orthanc, study) == {uid: "MR"}


def test_orthanc_that_is_down(tmp_path: Path, tiny_model: Path) -> None:
    nobody = RunningOrthanc("http://127.0.0.1:9", "nobody", "none")
    site = ServerSite(tmp_path, nobody, tiny_model)
    try:
        site.start_api()
        answer = site.post("1.2.3")
        assert answer.status_code == 502
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "/dicom-web/studies/1.2.3/series" in answer.json()["detail"]
        ready = requests.get(f"{site.url}/ready", timeout=10)
        assert ready.status_code == 503
        assert "http://127.0.0.1:9" in ready.json()["orthanc"]["reason"]
    finally:
        site.close()


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_model_that_is_broken(site: ServerSite, tmp_path: Path, damage: str) -> None:
    bundle = tiny_bundle(tmp_path / "broken")
    weights = bundle / "models" / "model.safetensors"
    if damage == "missing":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:500])
    site.environ["MODEL_PATH"] = str(bundle)
    worker = site.start("jobs.py")
    assert worker.wait(60) == WRONG_SETTINGS
    assert "model.safetensors" in site.log("jobs.py")
    ready = requests.get(f"{site.url}/ready", timeout=10)
    assert ready.status_code == 503
    assert "model.safetensors" in ready.json()["model"]["reason"]


def test_no_patient_and_no_secret_in_any_log(site: ServerSite, orthanc: RunningOrthanc, series: list[Dataset]) -> None:
    site.environ["LOG_LEVEL"] = "DEBUG"
    site.start_worker()
    site.post(str(series[0].StudyInstanceUID))
    logs = site.log("api.py") + site.log("jobs.py")
    assert "done" in logs
    for secret in ("Synthetic", "TEST-001", orthanc.password):
        assert secret not in logs


def test_the_queue_and_the_database_are_files_of_the_folder(site: ServerSite, series: list[Dataset]) -> None:
    """A job that was posted without any worker is done by the first that comes."""
    job_id = site.post(str(series[0].StudyInstanceUID), query="").json()["id"]
    with sqlite3.connect(site.folder / "var" / "metia.db") as database:
        assert database.execute("SELECT state FROM jobs WHERE job_id = ?", [job_id]).fetchone() == ("queued",)
    site.start_worker()
    assert site.job(job_id, "?wait=100")["state"] == "done"


def test_thirty_windows_that_are_open_keep_nobody_waiting(site: ServerSite) -> None:
    """A browser keeps six connections for each."""
    address = urlsplit(site.url)
    assert address.hostname
    kept = [http.client.HTTPConnection(address.hostname, address.port or 80, timeout=10) for _ in range(180)]
    try:
        for connection in kept:
            connection.request("GET", "/health")
            assert connection.getresponse().read()
        assert requests.get(f"{site.url}/health", timeout=10).ok
    finally:
        for connection in kept:
            connection.close()
