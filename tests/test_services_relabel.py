"""Lesions written again onto images, or for a patient, that are others now in the archive."""

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import RLELossless

from BDD import store
from Orthanc.archive import Held
from tests.api_factory import MR, ApiSite
from tests.factory import LESIONS
from tests.jobs_factory import MemoryArchive
from tests.test_bdd_following import see, study_of

A, B, _ = LESIONS


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ApiSite]:
    site = ApiSite(tmp_path, MemoryArchive(*copy.deepcopy(MR)))
    yield site
    site.close()


def images(site: ApiSite) -> list[Dataset]:
    return [one for one in site.archive.instances.values() if one.Modality == "MR"]


def rename(site: ApiSite, patient: int, name: str = "renamed") -> dict[str, Any]:
    """Let a person rename a lesion and the worker write that; gives the job."""
    lesion = site.client.get(f"/patients/{patient}/timeline").get_json()["lesions"][0]
    changed = site.client.patch(f"/lesions/{lesion['id']}", json={"name": name, "version": lesion["version"]})
    site.work()
    job: dict[str, Any] = site.client.get(changed.get_json()["jobs"][0]).get_json()
    assert job["purpose"] == "relabel"
    return job


def move(dataset: Dataset) -> None:
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [x + 20, y, z]


def mirror(dataset: Dataset) -> None:
    dataset.PixelData = dataset.pixel_array[:, ::-1].tobytes()


def cut(dataset: Dataset) -> None:
    dataset.PixelData = dataset.pixel_array[:, :-2].tobytes()
    dataset.Columns -= 2


@pytest.mark.parametrize(("change", "words"), [(move, "20.0 mm"), (mirror, "other grey values"), (cut, "54 voxels")])
def test_nothing_is_written_onto_images_that_have_changed(
    site: ApiSite, change: Callable[[Dataset], None], words: str
) -> None:
    site.post()
    site.work()
    before = {uid for uid, one in site.archive.instances.items() if one.Modality != "MR"}
    for one in images(site):
        change(one)
    job = rename(site, 1)
    assert job["state"] == "failed"
    assert (job["problem"]["type"], job["problem"]["status"]) == ("urn:metia:problem:images-changed", 409)
    assert words in job["problem"]["detail"]
    assert "segment" in job["problem"]["what_to_do"].lower()
    assert {uid for uid, one in site.archive.instances.items() if one.Modality != "MR"} == before
    again = site.post()
    site.work()
    assert site.client.get(again.headers["Location"]).get_json()["state"] == "done"
    assert rename(site, 1, "again")["state"] == "done", "what was segmented now can be written again"


def test_the_same_pixels_in_another_transfer_syntax_are_no_change(site: ApiSite) -> None:
    site.post()
    site.work()
    for one in images(site):
        one.compress(RLELossless)
    assert rename(site, 1)["state"] == "done"


def reports(site: ApiSite, number: int) -> list[Dataset]:
    found = [one for one in site.archive.instances.values() if one.Modality == "SR"]
    return [one for one in found if one.StudyInstanceUID == study_of(number)]


def test_a_study_written_again_under_a_corrected_id_is_judged_among_its_own_patients(
    site: ApiSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.archive.instances.clear()
    see(site, 1, [A])
    see(site, 2, [A, B])
    assert any("Visit 2" in str(one) for one in reports(site, 2))
    for one in images(site):
        if one.StudyInstanceUID == study_of(2):
            one.PatientID, one.PatientName = "TEST-002", "Other^Person"
    keep = site.archive.store
    stored: list[Dataset] = []

    def note(datasets: Sequence[Dataset], source: Held | None = None) -> None:
        stored.extend(datasets)
        keep(datasets, source)

    monkeypatch.setattr(site.archive, "store", note)
    job = rename(site, 1)
    written = [one for one in stored if one.Modality == "SR" and one.StudyInstanceUID == study_of(2)]
    assert job["state"] == "done"
    assert written
    assert {str(one.PatientID) for one in written} == {"TEST-002"}
    assert not any("Visit 2" in str(one) for one in written), "the first visit is another patient's"
    patients = store.list_patients(site.database)
    assert sorted((one.patient_id, one.visits) for one in patients) == [("TEST-001", 1), ("TEST-002", 1)]
