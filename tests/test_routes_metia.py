"""The published MetIA front-end's contract, row by row, and that none of the published server's mistakes is here."""

import errno
import io
import threading
import time

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.uid import generate_uid

from BDD import store
from BDD.models import Base
from imaging.volume import read_series
from Orthanc.archive import AmbiguousStudyError, StoreRejectedError
from results.rtstruct import rasterise_rtstruct
from routes import metia
from tests import factory
from tests.api_factory import MR, SERIES, STUDY, ApiSite
from tests.followup_factory import sized, study_of, visit
from tests.present import present

ORIGIN = "http://viewer.example:3000"


class LiveSite(ApiSite):
    """An API whose worker runs by itself, as in life."""

    def __init__(self, folder, **environ):
        super().__init__(folder, **environ)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.02):
            self.work()
            self.worker.tidy()

    def close(self):
        self._stop.set()
        self._thread.join()
        super().close()

    def segment(self, study=STUDY):
        return self.client.post(f"/segmentation/{study}")

    def get(self, address):
        answer = self.client.get(address)
        assert answer.status_code == 200, answer.get_data(True)
        return answer.get_json()

    def of(self, modality):
        return [one for one in self.archive.instances.values() if one.Modality == modality]

    def rois(self):
        (rtstruct,) = self.of("RTSTRUCT")
        return {int(item.ROINumber): str(item.ROIName) for item in rtstruct.StructureSetROISequence}

    def roi(self, number, series=None, study=STUDY, **more):
        series = series or str(self.of("RTSTRUCT")[0].SeriesInstanceUID)
        return {"serie_instance_uid": series, "study_instance_uid": study, "roi_number": number, **more}


@pytest.fixture
def site(tmp_path):
    site = LiveSite(tmp_path, CORS_ORIGINS=ORIGIN)
    yield site
    site.close()


def rows(site):
    with site.database.reading() as session:
        return {table.name: session.execute(table.select()).all() for table in Base.metadata.sorted_tables}


def error(answer, status):
    assert answer.status_code == status, answer.get_data(True)
    body = answer.get_json()
    assert list(body) == ["error"]
    assert isinstance(body["error"], str)
    assert body["error"]
    return body["error"]


# -- Segmentation --------------------------------------------------------------------------------------------------


def test_segmentation_answers_at_the_end(site):
    answer = site.segment()
    assert (answer.status_code, answer.get_json()) == (
        200,
        {"success": "DICOM files retrieved and processed successfully."},
    )
    assert site.rois() == {1: "GTV_MetIA_1", 2: "GTV_MetIA_2", 3: "GTV_MetIA_3"}
    assert error(site.segment("1.2.3.99"), 404) == "StudyInstanceUID not found"
    assert error(site.segment("no-uid"), 404) == "StudyInstanceUID not found"


def test_no_success_without_results(site):
    def refuse(method):
        if method == "store":
            raise StoreRejectedError("the archive is full")

    site.archive.fail = refuse
    assert "full" in error(site.segment(), 502)
    assert site.archive.series() == {SERIES}


def test_which_series_is_said_not_guessed(site):
    """The published server mixed all series of a study into one volume."""
    twin = factory.series_datasets(study_instance_uid=STUDY, series_instance_uid=generate_uid())
    site.archive.store(twin)
    assert "equally good" in error(site.segment(), 409)
    assert not site.of("RTSTRUCT")


def test_again_is_the_same_and_leaves_the_study_alone(site):
    """There, lesions doubled, their number varied, and the study's other series went."""
    other = factory.series_datasets(
        study_instance_uid=STUDY, series_instance_uid=generate_uid(), series_description="T2 FLAIR"
    )
    site.archive.store(other)
    assert site.segment().status_code == 200
    first, lesions = site.rois(), site.get("/followup-metastases")
    assert site.segment().status_code == 200
    again = site.get("/followup-metastases")
    assert site.rois() == first
    strip = ("id", "series_instance_uid")
    assert [{k: v for k, v in one.items() if k not in strip} for one in again] == [
        {k: v for k, v in one.items() if k not in strip} for one in lesions
    ]
    assert len(site.of("RTSTRUCT")) == len(site.of("SEG")) == 1
    assert {SERIES, str(other[0].SeriesInstanceUID)} <= site.archive.series()


def test_two_requests_at_once_are_one_job(site):
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(site.app.test_client().post(f"/segmentation/{STUDY}")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len(site.of("RTSTRUCT")) == 1


# -- Upload --------------------------------------------------------------------------------------------------------


def file_bytes(dataset):
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def send(site, *contents):
    files = [(io.BytesIO(content), f"{number}.dcm") for number, content in enumerate(contents)]
    return site.client.post("/uploadDicom", data={"files[]": files}, content_type="multipart/form-data")


def test_upload(site):
    sent = factory.series_datasets(study_instance_uid=generate_uid(), series_instance_uid=generate_uid())
    answer = send(site, *map(file_bytes, sent))
    assert (answer.status_code, answer.get_json()) == (
        200,
        {"success": "DICOM files uploaded and processed successfully"},
    )
    for dataset in sent:
        kept = site.archive.instances[dataset.SOPInstanceUID]
        assert dcmread(io.BytesIO(file_bytes(kept))) == dcmread(io.BytesIO(file_bytes(dataset)))


def test_a_large_series_can_be_sent(site):
    """More bytes than a JSON request may have."""
    one = factory.series_datasets(study_instance_uid=generate_uid(), series_instance_uid=generate_uid())[0]
    one.add_new(0x00091001, "OB", bytes(3 << 20))
    one.add_new(0x00090010, "LO", "TEST")
    assert send(site, file_bytes(one)).status_code == 200


def test_an_upload_is_all_or_nothing(site):
    sent = factory.series_datasets(study_instance_uid=generate_uid(), series_instance_uid=generate_uid())
    before = set(site.archive.instances)
    assert "none was stored" in error(send(site, file_bytes(sent[0]), b"<html>"), 400)
    assert set(site.archive.instances) == before
    error(site.client.post("/uploadDicom"), 400)


@pytest.mark.filterwarnings("ignore:.*UI:UserWarning")
def test_what_goes_by_no_uid_is_not_stored(site):
    """A UID becomes part of the address that Orthanc is asked by, with our password."""
    before = set(site.archive.instances)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        for value in ("../../tools/shutdown", "..", "", ["1.2", "3.4"], "1" * 65):
            sent = factory.series_datasets(study_instance_uid=generate_uid(), series_instance_uid=generate_uid())[:2]
            setattr(sent[1], keyword, value)
            said = error(send(site, *map(file_bytes, sent)), 400)
            assert "File 2 of 2" in said
            assert "none was stored" in said
    assert set(site.archive.instances) == before


# -- Rename and delete ---------------------------------------------------------------------------------------------


def test_rename(site):
    site.segment()
    old = site.of("RTSTRUCT")[0]
    answer = site.client.post("/rename-roi", json=site.roi(2, new_name="left frontal"))
    assert (answer.status_code, answer.get_json()) == (200, {"success": "ROI renamed successfully"})
    assert site.rois() == {1: "GTV_MetIA_1", 2: "left frontal", 3: "GTV_MetIA_3"}
    assert [str(item.SegmentLabel) for item in site.of("SEG")[0].SegmentSequence][1] == "left frontal"
    assert [one["nom_metastase"] for one in site.get("/followup-metastases")] == list(site.rois().values())
    stale = site.roi(3, series=str(old.SeriesInstanceUID), new_name="right")
    assert site.client.post("/rename-roi", json=stale).status_code == 200, "the viewer still shows the one before"
    assert site.rois()[3] == "right"


def test_the_number_is_the_rois_not_a_place_in_a_list(site):
    """There, file and database went by different numbers after a deletion, and numbers came twice."""
    site.segment()
    assert site.client.post("/delete-roi", json=site.roi(1)).get_json() == {"success": "ROI deleted successfully"}
    assert len(site.rois()) == len(set(site.rois())) == 2
    number, name = next((number, name) for number, name in site.rois().items() if name == "GTV_MetIA_3")
    assert site.client.post("/rename-roi", json=site.roi(number, new_name="third")).status_code == 200
    assert set(site.rois().values()) == {"GTV_MetIA_2", "third"}
    listed = {one["roiNumber"]: one["nom_metastase"] for one in site.get("/followup-metastases")}
    assert listed == site.rois()
    assert name not in listed.values()


@pytest.mark.parametrize("missing", ["serie_instance_uid", "study_instance_uid", "roi_number", "new_name"])
def test_what_is_missing(site, missing):
    site.segment()
    body = site.roi(1, new_name="x")
    del body[missing]
    assert error(site.client.post("/rename-roi", json=body), 400) == "Missing required parameters"
    if missing != "new_name":
        assert error(site.client.post("/delete-roi", json=body), 400) == "Missing required parameters"
    assert site.client.post("/rename-roi").status_code == 400


def test_what_is_no_uid(site):
    for key in ("study_instance_uid", "serie_instance_uid"):
        for value in ("\ud800", "1.2/../3", {"a": 1}):
            body = {"study_instance_uid": "1.2", "serie_instance_uid": "1.2", "roi_number": 1, key: value}
            assert key in error(site.client.post("/delete-roi", json=body), 400)


def test_what_is_not_there(site):
    site.segment()
    for address in ("/rename-roi", "/delete-roi"):
        for body in (site.roi(9, new_name="x"), site.roi(9, series="1.2", new_name="x")):
            assert error(site.client.post(address, json=body), 404) == "ROI number 9 not found in RTStruct"
        error(site.client.post(address, json=site.roi(1, study="1.2.3.4.5", new_name="x")), 404)
    site.client.post("/delete-roi", json=site.roi(1))
    error(site.client.post("/delete-roi", json=site.roi(9)), 404)
    assert "backslash" in error(site.client.post("/rename-roi", json=site.roi(1, new_name="a\\b")), 400)


def test_a_failed_upload_is_no_success_and_loses_nothing(site):
    """There, the old RTSTRUCT was deleted first, and the answer was success whatever came of the new one."""
    site.segment()
    before = dict(site.archive.instances)

    def refuse(method):
        if method == "store":
            raise StoreRejectedError("the archive is full")

    site.archive.fail = refuse
    assert "full" in error(site.client.post("/rename-roi", json=site.roi(1, new_name="x")), 502)
    assert site.archive.instances == before


def test_nobody_waits_for_ever(site, monkeypatch):
    site.segment()
    monkeypatch.setattr(metia, "WRITE_SECONDS", 0.0)
    assert "as soon as" in error(site.client.post("/rename-roi", json=site.roi(1, new_name="x")), 504)


def test_no_more_wait_than_there_are_threads_to_spare(tmp_path):
    """Else as many renames as there are threads, and no worker, held the whole API for a minute."""
    site = ApiSite(tmp_path, API_THREADS="2")
    site.post()
    site.work()
    (rtstruct,) = (one for one in site.archive.instances.values() if one.Modality == "RTSTRUCT")
    roi = {"study_instance_uid": STUDY, "serie_instance_uid": str(rtstruct.SeriesInstanceUID), "roi_number": 1}
    waiting = site.app.extensions["metia"].waiting
    began = time.monotonic()
    with waiting:
        assert "as soon as" in error(site.client.post("/rename-roi", json={**roi, "new_name": "x"}), 504)
        assert "in use" in error(site.client.delete(f"/delete-study/{STUDY}"), 409)
        assert "Not ready yet" in error(site.client.post(f"/segmentation/{STUDY}"), 504)
    assert time.monotonic() - began < 20
    assert waiting.acquire(blocking=False), "and each gives back what it has taken"
    site.close()


# -- Delete a study ------------------------------------------------------------------------------------------------


def test_a_study_that_was_never_segmented_is_deleted(site):
    assert site.client.delete(f"/delete-study/{STUDY}").status_code == 200
    assert all(one.StudyInstanceUID != STUDY for one in site.archive.instances.values())
    assert site.client.delete(f"/delete-study/{STUDY}").status_code == 404


def test_delete_study_leaves_no_orphan(site):
    site.segment()
    site.client.post("/rename-roi", json=site.roi(1, new_name="x"))
    site.client.post(f"/visits/{STUDY}/assessment", json={"note": "n", "version": 0})
    answer = site.client.delete(f"/delete-study/{STUDY}")
    assert (answer.status_code, answer.get_json()) == (200, {"success": "Instance DICOM supprimée avec succès"})
    assert site.archive.instances == {}
    left = {name: found for name, found in rows(site).items() if found}
    assert set(left) <= {"models", "workers"}, left
    error(site.client.delete(f"/delete-study/{STUDY}"), 404)
    error(site.client.delete("/delete-study/x"), 400)


def test_a_study_half_deleted_says_so_and_is_deleted_by_a_second_try(tmp_path, monkeypatch):
    site = ApiSite(tmp_path)
    visit(site.database, site.number, 1, [sized(1, 20.0)])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, "forget_study", full)
        said = error(site.client.delete(f"/delete-study/{study_of(1)}"), 507)
    assert "The archive has the study no more" in said
    assert "send the same again" in said
    assert "no room" in said
    assert site.client.delete(f"/delete-study/{study_of(1)}").status_code == 200
    assert site.client.get("/patients").get_json() == {"patients": []}
    site.close()


@pytest.mark.filterwarnings("ignore:.*UI:UserWarning")
def test_what_could_be_uploaded_can_be_segmented_shown_and_deleted(site):
    """Old scanners wrote UIDs with leading zeros."""
    study = "1.2.840.0123.04"
    sent = factory.series_datasets(study_instance_uid=study, series_instance_uid=f"{study}.05")
    assert send(site, *map(file_bytes, sent)).status_code == 200
    assert site.segment(study).status_code == 200
    assert len(site.get(f"/studies/{study}/lesions")["lesions"]) == 3
    assert site.client.post("/rename-roi", json=site.roi(2, study=study, new_name="left")).status_code == 200
    assert site.client.delete(f"/delete-study/{study}").status_code == 200
    assert study not in {str(one.StudyInstanceUID) for one in site.archive.instances.values()}


def test_other_visits_stay(site):
    for number in (1, 2):
        visit(site.database, site.number, number, [sized(1, 20.0), sized(number + 1, 12.0)])
    answer = site.client.delete(f"/delete-study/{study_of(2)}")
    assert answer.status_code == 200, "it was deleted in the archive already"
    assert [one["id_study"] for one in site.get("/followup-etudes")] == [study_of(1)]
    timeline = site.get(f"/patients/{store.list_patients(site.database)[0].key}/timeline")
    assert [one["tracking_uid"] for one in timeline["lesions"]] == ["2.25.1", "2.25.2"]


def test_a_study_of_several_patients_is_not_deleted(site):
    site.segment()

    def refuse(method):
        if method == "delete_study":
            raise AmbiguousStudyError("the archive holds it 2 times: delete the wrong one")

    site.archive.fail = refuse
    assert "2 times" in error(site.client.delete(f"/delete-study/{STUDY}"), 409)
    assert site.get(f"/studies/{STUDY}/lesions")["lesions"], "nothing is forgotten"


def test_a_study_in_use_is_not_deleted(tmp_path):
    site = ApiSite(tmp_path)
    job = site.post().get_json()["id"]
    assert job in error(site.client.delete(f"/delete-study/{STUDY}"), 409)
    assert site.archive.series() == {SERIES}
    site.close()


# -- Lists ---------------------------------------------------------------------------------------------------------


def test_orthanc_studies(site):
    (identifier,) = site.get("/getAllStudies")
    assert site.get(f"/getStudy/{identifier}")["MainDicomTags"]["StudyInstanceUID"] == STUDY
    error(site.client.get("/getStudy/" + identifier[:-1] + "0"), 404)
    for name in ("system", f"{identifier}%3Fexpand", f"x{identifier}"):
        assert "no name that Orthanc gives" in error(site.client.get(f"/getStudy/{name}"), 404)


def test_followup_lists(site):
    for number in (1, 2):
        visit(site.database, site.number, number, [sized(1, 20.0), sized(2, 10.0)], patient_id="A/1 é%")
    (patient,) = site.get("/followup-patients")
    assert patient == {"id": "A/1 é%", "name": "Doe^Jane", "date": "1960-02-29", "sexe": "F"}
    everything = site.get("/followup-etudes")
    assert [one["id"] for one in everything] == ["A/1 é%"] * 2
    own = site.client.get("/followup-etudes", query_string={"idPatient": patient["id"]}).get_json()
    assert own == [{"id_study": study_of(1), "date": "2024-02-05"}, {"id_study": study_of(2), "date": "2024-03-04"}]
    assert site.get("/followup-etudes?idPatient=other") == []
    assert len(site.get("/followup-series")) == 2
    (series,) = site.get(f"/followup-series?idEtude={study_of(2)}")
    assert set(series) == {"series_instance_uid", "study_instance_uid"}
    first, second = site.get(f"/followup-metastases?idSeries={series['series_instance_uid']}")
    assert isinstance(first.pop("id"), int)
    assert first == {
        "roiNumber": 1,
        "nom_metastase": "GTV_MetIA_1",
        "volume": pytest.approx(4.18879),
        "diametre": 20.0,
        "slice_debut": 3,
        "slice_fin": 7,
        "color": "[255 0 0]",
    }
    assert second["color"] == "[0 255 0]"
    assert site.get(f"/followup-metastases?idSeries={study_of(2)}.1")[0]["roiNumber"] == 1, "by the MR series too"
    assert site.get("/followup-metastases?idSeries=1.2") == []
    unfiltered = site.get("/followup-metastases")
    assert len(unfiltered) == 4
    assert unfiltered[3]["series_instance_uid"] == series["series_instance_uid"]


def test_a_patient_without_an_id(site):
    """There, a PatientID that is no integer was an HTML error after the RTSTRUCT had been stored."""
    for number in (1, 2):
        visit(site.database, site.number, number, [sized(1, 20.0)], patient_id=None)
    names = [one["id"] for one in site.get("/followup-patients")]
    assert names == [study_of(1), study_of(2)]
    assert [one["id_study"] for one in site.get(f"/followup-etudes?idPatient={names[1]}")] == [study_of(2)]


def test_true_sizes_and_slices(site):
    """There: contours through pixel centres, spacing ignored, slice numbers reversed."""
    site.segment()
    (rtstruct,) = site.of("RTSTRUCT")
    source = read_series(MR)
    filled = rasterise_rtstruct(rtstruct, source)
    for one in site.get("/followup-metastases"):
        mask = filled == one["roiNumber"]
        slices = mask.any(axis=(1, 2)).nonzero()[0]
        assert (one["slice_debut"], one["slice_fin"]) == (slices[0] + 1, slices[-1] + 1)
        voxels = mask.sum() * present(source.volume.voxel_volume) / 1000
        assert one["volume"] == pytest.approx(voxels, rel=0.15)


# -- Who may ask ---------------------------------------------------------------------------------------------------


def test_cors_for_the_named_origin_alone(site):
    for method, address in (("DELETE", f"/delete-study/{STUDY}"), ("POST", "/rename-roi")):
        headers = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type"}
        answer = site.client.options(address, headers={"Origin": ORIGIN, **headers})
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert method in answer.headers["Access-Control-Allow-Methods"]
        foreign = site.client.options(address, headers={"Origin": "http://evil.example", **headers})
        assert "Access-Control-Allow-Origin" not in foreign.headers
    assert site.client.get("/followup-patients", headers={"Origin": ORIGIN}).headers["Access-Control-Allow-Origin"]


def test_a_foreign_page_cannot_make_the_browser_do_it(site):
    """A POST without a body is sent for any page, without a question."""
    for origin in ("http://evil.example", "null"):
        answer = site.client.post(f"/segmentation/{STUDY}", headers={"Origin": origin})
        assert "CORS_ORIGINS" in error(answer, 403)
    assert store.list_jobs(site.database) == []
    for origin in (ORIGIN, "http://localhost"):
        assert site.client.post(f"/segmentation/{STUDY}", headers={"Origin": origin}).status_code == 200


def test_no_debugger_answers(site):
    """There, the development server offered a console in which anybody could run code."""
    for query in ("cmd=resource&f=debugger.js", "cmd=printpin&s=x", "cmd=1&frm=0&s=x"):
        answer = site.client.get(f"/followup-patients?__debugger__=yes&{query}")
        assert (answer.content_type, answer.get_json()) == ("application/json", [])
    assert site.client.get("/console").status_code == 404
    assert not site.client.application.debug


def test_logs_name_no_patient(site, caplog):
    caplog.set_level("DEBUG")
    site.segment()
    site.client.post("/rename-roi", json=site.roi(1, new_name="x"))
    name = str(MR[0].PatientName)
    assert name
    assert name not in caplog.text
