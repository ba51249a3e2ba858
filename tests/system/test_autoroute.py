"""Auto-routing on the real parts: what comes into Orthanc is segmented by itself, across a restart, and once."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from pydicom.uid import generate_uid

from BDD import store
from services import orthanc as orthanc_service
from services.processes import Services, end, free_port
from tests import factory
from tests.system.conftest import RunningOrthanc
from tests.system.processes import ServerSite
from tests.tiny_model import tiny_bundle

pytestmark = pytest.mark.system


@pytest.fixture
def quick_orthanc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningOrthanc]:
    """Start an Orthanc of our configuration that takes a series for complete after a second instead of a minute."""
    if not (executable := orthanc_service.find_executable()) or not orthanc_service.find_plugin(executable):
        pytest.skip("Orthanc or its DICOMweb plugin is not installed")
    configuration = tmp_path / "orthanc.json"
    text = orthanc_service.CONFIGURATION.read_text("utf-8")
    assert '"Name": "MetIA",' in text
    configuration.write_text(text.replace('"Name": "MetIA",', '"Name": "MetIA", "StableAge": 1,'), "utf-8")
    monkeypatch.setattr(orthanc_service, "CONFIGURATION", configuration)
    account = orthanc_service.Account(f"http://127.0.0.1:{free_port(18142)}", "tester", secrets.token_urlsafe(16))
    with Services(tmp_path / "log") as services:
        orthanc_service.start(services, account, tmp_path / "storage")
        yield RunningOrthanc(account.url, account.username, account.password)


def send(orthanc: RunningOrthanc, study: str, description: str = "T1 MPRAGE post Gd", of: str | None = None) -> str:
    """Store a series, in a study that is called ``of``; returns its UID."""
    series = generate_uid()
    instances = factory.series_datasets(
        study_instance_uid=study, series_instance_uid=series, series_description=description
    )
    for instance in instances:
        instance.StudyDescription = of
    orthanc.archive.store(instances)
    return series


def stable(orthanc: RunningOrthanc, series: str) -> bool:
    """Whether Orthanc has said that a series is complete."""
    kinds = [one for one in orthanc.archive.changes(0, 100_000) if one.kind == "StableSeries"]
    tags = [orthanc.archive.series_tags(one.identifier) for one in kinds]
    return series in [one["SeriesInstanceUID"] for one in tags if one]


def test_series_are_segmented_by_themselves(tmp_path: Path, quick_orthanc: RunningOrthanc) -> None:
    old = send(quick_orthanc, generate_uid())
    site = ServerSite(tmp_path, quick_orthanc, tiny_bundle(tmp_path / "model"), AUTO_SEGMENT="1")
    site.until(lambda: stable(quick_orthanc, old), "what was there before is stable")
    database = store.open_database(f"sqlite:///{(tmp_path / 'var' / 'metia.db').as_posix()}")

    def done() -> list[str]:
        jobs = requests.get(f"{site.url}/jobs", timeout=20).json()["jobs"]
        jobs = [job for job in jobs if job["purpose"] == "segment"]  # visits of one patient are written again
        assert not [job["problem"] for job in jobs if job["state"] == "failed"]
        return [job["SeriesInstanceUID"] for job in jobs if job["state"] == "done"]

    try:
        site.start_api()
        worker = site.start_worker()
        site.until(lambda: store.log_position(database, quick_orthanc.url), "the log is read")
        study = generate_uid()
        send(quick_orthanc, study, "T2 FLAIR")
        spine = send(quick_orthanc, generate_uid(), "T1 sag post Gd", of="MRI lumbar spine")
        first = send(quick_orthanc, study)
        site.until(lambda: done() == [first], "the series is segmented")
        modalities = {str(one.header.Modality) for one in quick_orthanc.archive.list_series(study)}
        assert modalities == {"MR", "SEG", "RTSTRUCT", "SR"}

        end(worker)
        second = send(quick_orthanc, generate_uid())
        site.until(lambda: stable(quick_orthanc, second), "it is stable while no worker runs")
        worker = site.start_worker()
        site.until(lambda: second in done(), "what came in between is segmented")

        end(worker)
        site.start_worker()
        third = send(quick_orthanc, generate_uid())
        site.until(lambda: third in done(), "and so is what comes later")
        assert stable(quick_orthanc, spine)
        assert sorted(done()) == sorted([first, second, third]), "each once; the one from before and the spine never"
        assert "Test^Synthetic" not in site.log("jobs.py")
    finally:
        site.close()
        database.dispose()


def test_the_log_of_orthanc(quick_orthanc: RunningOrthanc) -> None:
    """What the parts that read Orthanc's own API make of it."""
    archive, study = quick_orthanc.archive, generate_uid()
    assert archive.last_change() == 0
    assert archive.changes(0) == []
    series = send(quick_orthanc, study)
    changes = archive.changes(0, 3)
    assert [one.sequence for one in changes] == [1, 2, 3]
    (created,) = [one for one in archive.changes(0, 100_000) if one.kind == "NewSeries"]
    tags = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "Modality": "MR"}
    assert archive.series_tags(created.identifier) == tags
    (identifier,) = archive.study_identifiers()
    assert archive.study(identifier)["MainDicomTags"]["StudyInstanceUID"] == study
    archive.delete_study(study)
    assert archive.study_identifiers() == []
    assert archive.series_tags(created.identifier) is None
