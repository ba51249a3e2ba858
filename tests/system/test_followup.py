"""The follow-up on the real parts: two visits, a lesion that grows and one that is renamed, in Orthanc and in REST."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import requests
from pydicom.uid import generate_uid

from Orthanc.archive import SeriesNotFoundError
from results.report import read_sr
from tests import factory, results_cases
from tests.factory import Sphere
from tests.system.conftest import RunningOrthanc
from tests.system.processes import ServerSite
from tests.tiny_model import tiny_bundle

pytestmark = pytest.mark.system

A, B, C = factory.LESIONS


@pytest.fixture
def site(tmp_path: Path, orthanc: RunningOrthanc) -> Iterator[ServerSite]:
    site = ServerSite(tmp_path, orthanc, tiny_bundle(tmp_path / "model"))
    site.start_api()
    site.start_worker()
    yield site
    site.close()


def instances(orthanc: RunningOrthanc, study: str, modality: str) -> list:
    """Give the instances of a modality in a study, of versions that were all there at one time."""
    archive = orthanc.archive
    for _ in range(10):
        series = [one.series_instance_uid for one in archive.list_series(study) if one.header.Modality == modality]
        with suppress(SeriesNotFoundError):  # a version taken out after it was listed: list again
            return [dataset for uid in series for dataset in archive.fetch_series(study, uid)]
    raise AssertionError(f"the {modality} series of {study} never stay")


def has_one_seg(orthanc: RunningOrthanc, study: str) -> bool:
    return len(instances(orthanc, study, "SEG")) == 1


def names(orthanc: RunningOrthanc, study: str) -> dict[str, str]:
    (seg,) = instances(orthanc, study, "SEG")
    return {str(item.SegmentLabel): str(item.TrackingUID) for item in seg.SegmentSequence}


def text_of(orthanc: RunningOrthanc, study: str) -> str:
    """Give all that the structured reports of a study say."""
    reports = instances(orthanc, study, "SR")
    return "\n".join(str(element.value) for one in reports for element in one.iterall() if element.VR != "SQ")


def test_two_visits_a_new_name_and_what_is_known_later(
    site: ServerSite, orthanc: RunningOrthanc, tmp_path: Path
) -> None:
    frame, patient_id = generate_uid(), "SYS/FOLLOW é"
    visits = {"20240108": (A, B), "20240304": (Sphere(A.centre_lps, A.radius_mm + 3), B, C)}
    studies = []
    for seed, (date, lesions) in enumerate(visits.items()):
        datasets = factory.series_datasets(
            factory.volume(lesions=lesions, seed=seed),
            patient_id=patient_id,
            study_date=date,
            study_instance_uid=generate_uid(),
            series_instance_uid=generate_uid(),
            frame_of_reference_uid=frame,
        )
        orthanc.archive.store(datasets)
        studies.append(str(datasets[0].StudyInstanceUID))
        job = site.post(studies[-1]).json()
        assert job["state"] == "done", job
    second_study = studies[1]
    first, second = (names(orthanc, study) for study in studies)
    assert first.items() < second.items()

    (patient,) = [
        one
        for one in requests.get(f"{site.url}/patients", timeout=10).json()["patients"]
        if one["PatientID"] == patient_id
    ]
    address = f"{site.url}/patients/{patient['id']}"
    timeline = requests.get(f"{address}/timeline", timeout=10).json()
    response = timeline["visits"][1]["radiographic"]
    assert response["response"] == "PD"
    assert "new lesion" in response["reason"]
    assert requests.get(f"{address}/report.pdf", timeout=60).content.startswith(b"%PDF")
    assert requests.get(f"{address}/timeline.csv", timeout=10).text.count("\n") == 1 + 2 * 3

    reports = [read_sr(sr) for sr in instances(orthanc, studies[1], "SR")]
    assert len(reports) == 2
    for size, uid in [(one["sizes"][1], one["tracking_uid"]) for one in timeline["lesions"]]:
        for report in reports:
            measured = [value for name, value in report[uid].items() if name.lower() == "long axis"]
            np.testing.assert_allclose(measured, [size["longest_diameter_mm"]], atol=1e-3)

    lesion = timeline["lesions"][0]
    changed = requests.patch(
        f"{site.url}/lesions/{lesion['id']}", json={"name": "left frontal", "version": lesion["version"]}, timeout=10
    ).json()
    assert len(changed["jobs"]) == 2, "one for each visit"
    for job in changed["jobs"]:
        assert requests.get(f"{site.url}{job}?wait=100", timeout=120).json()["state"] == "done"
    for study in studies:
        site.until(partial(has_one_seg, orthanc, study), "the old version is taken out")
        assert names(orthanc, study)["left frontal"] == lesion["tracking_uid"]
        (rtstruct,) = instances(orthanc, study, "RTSTRUCT")
        assert "left frontal" in [item.ROIName for item in rtstruct.StructureSetROISequence]

    picture = requests.get(f"{site.url}/studies/{second_study}/lesions/{lesion['tracking_uid']}/image.png", timeout=10)
    assert picture.content.startswith(b"\x89PNG")
    assert "new lesion" in text_of(orthanc, second_study)
    for study in studies:
        body = {"corticosteroid_mg": 4, "clinical_status": "stable", "version": 0}
        assert requests.post(f"{site.url}/visits/{study}/assessment", json=body, timeout=10).status_code == 200
    new = next(one for one in timeline["lesions"] if one["sizes"][0] is None)
    body = {"not_a_lesion": True, "version": new["version"]}
    assert requests.patch(f"{site.url}/lesions/{new['id']}", json=body, timeout=10).status_code == 200
    site.until(lambda: "new lesion" not in text_of(orthanc, second_study), "the report is written again")
    site.until(partial(has_one_seg, orthanc, second_study), "the old version is taken out")
    if results_cases.has_validator():
        written = [
            one for study in studies for kind in ("SEG", "SR", "RTSTRUCT") for one in instances(orthanc, study, kind)
        ]
        assert len(written) == 8
        assert [line for one in written for line in results_cases.validator_errors(one, tmp_path)] == []
