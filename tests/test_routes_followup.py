"""The follow-up over HTTP: timelines in three forms, decisions that reach SEG and RTSTRUCT, and who was first."""

import csv
import io
import re

import pytest
from scipy import ndimage
from sqlalchemy import func, select

from BDD import store
from BDD.followup_models import KeyImage
from imaging.volume import read_series
from rano.history import Rules
from results.seg import read_seg
from routes.reading import limit
from tests.api_factory import MR, SERIES, STUDY, ApiSite
from tests.followup_factory import patient_key, put_in_doubt, sized, study_of, visit


@pytest.fixture
def site(tmp_path):
    site = ApiSite(tmp_path)
    yield site
    site.close()


@pytest.fixture
def patient(site):
    """Two visits of a patient with an odd PatientID; gives the key."""
    visit(site.database, site.number, 1, [sized(1, 20.0), sized(2, 10.0)], patient_id="A/1 é%")
    visit(site.database, site.number, 2, [sized(1, 12.0), sized(2, 8.0)], patient_id="A/1 é%")
    return patient_key(site.database)


def problem(answer, status):
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.get_data(True)
    return answer.get_json()


def timeline_of(site, patient):
    return site.client.get(f"/patients/{patient}/timeline").get_json()


def test_patients_and_their_timelines(site, patient):
    (listed,) = site.client.get("/patients").get_json()["patients"]
    assert (listed["id"], listed["PatientID"], listed["visits"]) == (patient, "A/1 é%", 2)
    timeline = timeline_of(site, patient)
    assert timeline["PatientID"] == "A/1 é%"
    assert [v["sum_of_diameters"]["total"] for v in timeline["visits"]] == [30.0, 20.0]
    assert timeline["visits"][1]["sum_of_diameters"]["from_baseline_percent"] == -33.33
    assert timeline["visits"][1]["radiographic"]["response"] == "PR"
    verdict = timeline["visits"][1]["radiographic"]
    assert "33.33 %" in verdict["reason"]
    assert verdict["sentence"] == f"{verdict['reason']}. {verdict['confirmation']}."
    assert [one["none_counts"] for one in timeline["visits"]] == ["", ""]
    assert [one["judgeable"] for one in timeline["visits"]] == [{}, {}], "both lesions are targets"
    assert [one["why_no_target"] for one in timeline["lesions"]] == ["" for _ in timeline["lesions"]]
    assert [[size["longest_diameter_mm"] for size in one["sizes"]] for one in timeline["lesions"]] == [
        [20.0, 12.0],
        [10.0, 8.0],
    ]


@pytest.mark.parametrize("listing", ["patients", "changes"])
def test_as_many_are_listed_as_are_asked_for(site, patient, listing, monkeypatch):
    visit(site.database, site.number, 3, [sized(1, 10.0)], patient_id="B")
    lesion = timeline_of(site, patient)["lesions"][0]["id"]
    for version, name in enumerate(("one", "two"), start=1):
        site.client.patch(f"/lesions/{lesion}", json={"name": name, "version": version})
    path = {"patients": "/patients", "changes": "/patients/{patient}/changes"}[listing]
    address = path.format(patient=patient)
    newest, older = site.client.get(address).get_json()[listing]
    assert site.client.get(f"{address}?limit=1").get_json()[listing] == [newest]
    monkeypatch.setattr(f"routes.followup._{listing.upper()}", limit(unless_said=1, most=100))
    assert site.client.get(address).get_json()[listing] == [newest]
    assert site.client.get(f"{address}?limit=2").get_json()[listing] == [newest, older]
    problem(site.client.get(f"{address}?limit=0"), 400)
    described = site.client.get("/openapi.json").get_json()["paths"][path]["get"]["parameters"]
    assert described[-1]["name"] == "limit"


def test_the_table(site, patient):
    answer = site.client.get(f"/patients/{patient}/timeline.csv")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.data.startswith(b'\xef\xbb\xbf"visit",')
    rows = list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert len(rows) == 4
    assert (rows[2]["visit"], rows[2]["lesion"], rows[2]["longest_diameter_mm"]) == ("2", "GTV_MetIA_1", "12.00")
    assert (rows[2]["sum_of_diameters_mm"], rows[2]["radiographic_response"]) == ("20.00", "PR")


def test_the_page(site, patient):
    answer = site.client.get(f"/patients/{patient}/report.pdf")
    assert (answer.status_code, answer.content_type) == (200, "application/pdf")
    assert answer.data.startswith(b"%PDF")


@pytest.mark.parametrize("what", ["timeline", "timeline.csv", "report.pdf", "changes"])
def test_there_is_no_such_patient(site, what):
    assert problem(site.client.get(f"/patients/77/{what}"), 404)["type"] == "urn:metia:problem:patient-not-found"


def test_what_is_not_there(site):
    problem(site.client.get(f"/studies/{study_of(9)}/lesions"), 404)
    problem(site.client.get("/studies/x/lesions"), 400)
    problem(site.client.patch("/lesions/9", json={"version": 1}), 404)
    problem(site.client.post("/changes/9/undo"), 404)
    problem(site.client.post(f"/visits/{study_of(9)}/assessment", json={"version": 0}), 404)


# -- Decisions -----------------------------------------------------------------------------------------------------


def test_who_and_when_and_back_again(site, patient):
    lesion = timeline_of(site, patient)["lesions"][0]
    answer = site.client.patch(
        f"/lesions/{lesion['id']}", json={"name": "left frontal"}, headers={"If-Match": '"1"', "X-User": "ana"}
    )
    assert answer.get_json()["lesion"] | {"name": "left frontal", "version": 2} == answer.get_json()["lesion"]
    assert answer.headers["ETag"] == '"2"'
    (change,) = site.client.get(f"/patients/{patient}/changes").get_json()["changes"]
    assert (change["by"], change["before"], change["after"]) == (
        "ana",
        {"name": "GTV_MetIA_1"},
        {"name": "left frontal"},
    )
    assert change["at"].endswith("+00:00")
    undone = site.client.post(f"/changes/{change['id']}/undo").get_json()["change"]
    assert (undone["undoes"], undone["by"]) == (change["id"], "anonymous")
    assert timeline_of(site, patient)["lesions"][0]["name"] == "GTV_MetIA_1"
    site.client.patch(f"/lesions/{lesion['id']}", json={"name": "right", "version": 3})
    listed = site.client.get(f"/patients/{patient}/changes").get_json()["changes"]
    assert [one["undoes"] for one in listed] == [None, change["id"], None]
    assert [one["to_undo"] for one in listed] == [True, False, False], "what was undone is not undone again"


def test_who_undoes_is_read_as_who_changes(site, patient):
    lesion = timeline_of(site, patient)["lesions"][0]
    site.client.patch(f"/lesions/{lesion['id']}", json={"name": "mine", "version": 1})

    def changes():
        return site.client.get(f"/patients/{patient}/changes").get_json()["changes"]

    undo = f"/changes/{changes()[0]['id']}/undo"
    assert "nonsense" in problem(site.client.post(undo, json={"user": "ana", "nonsense": 1}), 400)["detail"]
    problem(site.client.post(undo, json={"user": 7}), 400)
    problem(site.client.post(undo, json=["ana"]), 400)
    problem(site.client.post(undo, data="user=ana", content_type="text/plain"), 415)
    assert len(changes()) == 1
    assert site.client.post(undo, json={"user": "ana"}).get_json()["change"]["by"] == "ana"
    again = f"/changes/{changes()[0]['id']}/undo"
    told = site.client.post(again, data=b"", content_type="application/json", headers={"X-User": "eva"})
    assert told.get_json()["change"]["by"] == "eva"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_name_in_a_header_comes_as_it_was_sent(site, patient, encoding):
    header = "Müller".encode(encoding).decode("latin-1")
    path = f"/lesions/{timeline_of(site, patient)['lesions'][0]['id']}"
    site.client.patch(path, json={"name": "mine", "version": 1}, headers={"X-User": header})
    (change,) = site.client.get(f"/patients/{patient}/changes").get_json()["changes"]
    assert change["by"] == "Müller"


def test_the_second_editor_gets_409_and_nothing_is_lost(site, patient):
    path = f"/lesions/{timeline_of(site, patient)['lesions'][0]['id']}"
    assert site.client.patch(path, json={"name": "mine", "version": 1, "user": "ana"}).status_code == 200
    document = problem(site.client.patch(path, json={"name": "yours", "version": 1, "user": "ben"}), 409)
    assert document["type"] == "urn:metia:problem:edit-conflict"
    assert timeline_of(site, patient)["lesions"][0]["name"] == "mine"


def test_a_version_that_a_proxy_has_weakened_is_the_same(site, patient):
    """nginx does so where it compresses the answer."""
    path = f"/lesions/{timeline_of(site, patient)['lesions'][0]['id']}"
    operation = site.client.get("/openapi.json").get_json()["paths"]["/lesions/{lesion}"]["patch"]
    (described,) = (one["schema"]["pattern"] for one in operation["parameters"] if one["name"] == "If-Match")
    assert re.search(described, 'W/"1"')
    assert site.client.patch(path, json={"name": "mine"}, headers={"If-Match": 'W/"1"'}).status_code == 200
    problem(site.client.patch(path, json={"name": "yours"}, headers={"If-Match": 'W/"1"'}), 409)


def test_a_change_without_a_version_is_428(site, patient):
    path = f"/lesions/{timeline_of(site, patient)['lesions'][0]['id']}"
    problem(site.client.patch(path, json={"name": "mine"}), 428)
    operation = site.client.get("/openapi.json").get_json()["paths"]["/lesions/{lesion}"]["patch"]
    (described,) = (one["schema"]["pattern"] for one in operation["parameters"] if one["name"] == "If-Match")
    assert re.search(described, '"1"')
    for tag in ("*", "W/", 'W/W/"1"', '"1", "2"', "9" * 5000):
        told = problem(site.client.patch(path, json={"name": "mine", "version": 1}, headers={"If-Match": tag}), 400)
        assert "is no version" in told["detail"], tag
        assert not re.search(described, tag)


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "a" * 65},
        {"name": "a\\b"},
        {"name": "a\nb"},
        {"name": 5},
        {"target": "yes"},
        {"not_a_lesion": None},
        {"merged_into": True},
        {"merged_into": "2"},
        {"merged_into": 10**30},
        {"split_at": None},
        {"split_at": "visit 2"},
        {"version": -1},
        {"version": True},
        {"version": "1"},
        {"version": 10**30},
        {"user": 5},
        {"user": 0},
        {"user": None},
        {"colour": "red"},
    ],
)
def test_changes_that_cannot_be_meant(site, patient, body):
    lesion = timeline_of(site, patient)["lesions"][0]
    problem(site.client.patch(f"/lesions/{lesion['id']}", json={"version": 1} | body), 400)
    assert timeline_of(site, patient)["lesions"][0] == lesion


@pytest.mark.parametrize(
    "body",
    [
        {"corticosteroid_mg": -1},
        {"corticosteroid_mg": "4"},
        {"corticosteroid_mg": True},
        {"corticosteroid_mg": 1e9},
        {"corticosteroid_mg": float("nan")},
        {"clinical_status": "fine"},
        {"immunotherapy": "yes"},
        {"immunotherapy": 1},
        {"note": 5},
        {"note": "x" * 4001},
        {"baseline": 1},
        {"judgements": "equivocal"},
        {"judgements": [["2.25.1", "equivocal"]]},
        {"judgements": {"2.25.1": "perhaps"}},
        {"judgements": {"2.25.1": ["new"]}},
        {"judgements": {"GTV": "new"}},
        {"verified": True},
        {"verified": "GTV"},
    ],
)
def test_assessments_that_cannot_be_meant(site, patient, body):
    problem(site.client.post(f"/visits/{study_of(1)}/assessment", json={"version": 0} | body), 400)


def beyond(schema):
    """Give what a schema just allows, and what is just too little or too much."""
    if "minimum" in schema:
        yield schema["minimum"], schema["minimum"] - 1
    if "maximum" in schema:
        yield schema["maximum"], schema["maximum"] + 1
    if "maxLength" in schema and "pattern" not in schema:
        yield "x" * schema["maxLength"], "x" * (schema["maxLength"] + 1)


def test_bounds_that_are_described_are_those_that_are_checked(site, patient):
    schemas = site.client.get("/openapi.json").get_json()["components"]["schemas"]
    lesion = f"/lesions/{timeline_of(site, patient)['lesions'][0]['id']}"
    checked = set()
    for method, path, name in (
        ("patch", lesion, "LesionChange"),
        ("post", f"/visits/{study_of(1)}/assessment", "AssessmentChange"),
    ):
        for key, schema in schemas[name]["properties"].items():
            for allowed, refused in beyond(schema):
                checked.add(key)
                for value, is_refused in ((allowed, False), (refused, True)):
                    answer = site.client.open(path, method=method, json={"version": 7, key: value})
                    assert (answer.status_code == 400) is is_refused, (key, value)
    assert checked == {"name", "user", "version", "merged_into", "corticosteroid_mg", "note"}


def test_the_assessment_of_a_visit_makes_the_overall_response(site, patient):
    for number, dose in ((1, 4), (2, 2.5)):
        body = {"corticosteroid_mg": dose, "clinical_status": "stable", "note": "two\nlines", "version": 0}
        answer = site.client.post(f"/visits/{study_of(number)}/assessment", json=body)
        assert answer.get_json()["version"] == 1
    seen = timeline_of(site, patient)["visits"][1]
    assert (seen["overall"]["response"], seen["assessment"]["note"]) == ("PR", "two\nlines")
    problem(site.client.post(f"/visits/{study_of(2)}/assessment", json={"note": "", "version": 0}), 409)


def test_immunotherapy_is_said_of_a_visit(site, patient):
    visit(site.database, site.number, 3, [sized(1, 12.0), sized(2, 8.0), sized(3, 9.0)], patient_id="A/1 é%")
    assert timeline_of(site, patient)["visits"][2]["radiographic"]["response"] == "PD"
    address = f"/visits/{study_of(2)}/assessment"
    answer = site.client.post(address, json={"immunotherapy": True, "version": 0}).get_json()
    assert (answer["immunotherapy"], answer["version"]) == (True, 1)
    _, second, third = timeline_of(site, patient)["visits"]
    assert (second["assessment"]["immunotherapy"], third["assessment"]["immunotherapy"]) == (True, None)
    assert second["under_immunotherapy"] is third["under_immunotherapy"] is True
    assert third["radiographic"]["response"] == "SD"
    assert "no progression on that ground alone: GTV_MetIA_3" in third["radiographic"]["reason"]
    (change,) = site.client.get(f"/patients/{patient}/changes").get_json()["changes"]
    assert (change["before"], change["after"]) == ({"immunotherapy": None}, {"immunotherapy": True})
    # What is not named stays, null takes it back.
    assert site.client.post(address, json={"note": "x", "version": 1}).get_json()["immunotherapy"] is True
    assert site.client.post(address, json={"immunotherapy": None, "version": 2}).get_json()["immunotherapy"] is None
    assert timeline_of(site, patient)["visits"][2]["radiographic"]["response"] == "PD"


def test_a_reader_judges_a_lesion_of_a_visit(site, patient):
    visit(site.database, site.number, 3, [sized(1, 12.0), sized(2, 8.0), sized(3, 9.0)], patient_id="A/1 é%")
    third = timeline_of(site, patient)["visits"][2]
    assert (third["radiographic"]["response"], third["judgeable"]) == ("PD", {"2.25.3": ["new", "equivocal"]})
    address = f"/visits/{study_of(3)}/assessment"
    answer = site.client.post(address, json={"judgements": {"2.25.3": "equivocal"}, "version": 0}).get_json()
    assert (answer["judgements"], answer["version"]) == ({"2.25.3": "equivocal"}, 1)
    (change,) = site.client.get(f"/patients/{patient}/changes").get_json()["changes"]
    assert (change["subject"], change["subject_id"]) == ("visit", third["id"])
    third = timeline_of(site, patient)["visits"][2]
    assert (third["assessment"]["judgements"], third["equivocal_lesions"]) == ({"2.25.3": "equivocal"}, ["2.25.3"])
    assert third["radiographic"]["response"] == "PR"
    table = csv.DictReader(io.StringIO(site.client.get(f"/patients/{patient}/timeline.csv").data.decode("utf-8-sig")))
    assert [row["judgement"] for row in table if row["visit"] == "3"] == ["", "", "equivocal"]
    problem(site.client.post(address, json={"judgements": {"2.25.9": "new"}, "version": 1}), 422)
    answer = site.client.post(address, json={"judgements": {"2.25.3": None}, "version": 1}).get_json()
    assert (answer["judgements"], timeline_of(site, patient)["visits"][2]["radiographic"]["response"]) == ({}, "PD")


def verify(site, seen, number=2):
    body = {"verified": seen["followed"], "version": seen["assessment"]["version"], "user": "ana"}
    return site.client.post(f"/visits/{study_of(number)}/assessment", json=body)


def test_a_doubt_is_over_when_a_person_has_looked_until_it_is_another(site, patient):
    def seen():
        return timeline_of(site, patient)["visits"][1]

    job = visit(site.database, site.number, 2, [sized(1, 12.0), sized(2, 8.0)], patient_id="A/1 é%")
    put_in_doubt(site.database, job)
    doubtful = seen()
    assert doubtful["notes"][0].startswith("How GTV_MetIA_1, GTV_MetIA_2 were followed is not sure")
    assert verify(site, doubtful).get_json()["verified"] == doubtful["followed"]
    found_right = ["A person has looked at how GTV_MetIA_1, GTV_MetIA_2 were followed, and found it right."]
    assert seen()["notes"] == found_right
    assert not any(lesion["sizes"][1]["ambiguous"] for lesion in timeline_of(site, patient)["lesions"])
    # It is a decision like any other.
    (change,) = site.client.get(f"/patients/{patient}/changes").get_json()["changes"]
    assert (change["by"], change["after"]) == ("ana", {"verified": doubtful["followed"]})
    undone = site.client.post(f"/changes/{change['id']}/undo").get_json()["change"]
    assert seen()["notes"] == doubtful["notes"]
    assert site.client.post(f"/changes/{undone['id']}/undo").status_code == 200
    assert seen()["notes"] == found_right
    # A lesion that is none after all, or has another name, is what was looked at; another lesion is not.
    first = timeline_of(site, patient)["lesions"][0]
    site.client.patch(f"/lesions/{first['id']}", json={"not_a_lesion": True, "version": 1})
    assert seen()["notes"] == ["A person has looked at how GTV_MetIA_2 was followed, and found it right."]
    site.client.patch(f"/lesions/{first['id']}", json={"split_at": study_of(2), "version": 2})
    assert seen()["notes"][0].startswith("How GTV_MetIA_2 was followed is not sure")
    problem(verify(site, doubtful | {"assessment": seen()["assessment"]}), 409)


def test_what_was_verified_is_in_doubt_again_when_the_visit_is_segmented_again(site, patient):
    for _ in range(2):
        job = visit(site.database, site.number, 2, [sized(1, 12.0), sized(2, 8.0)], patient_id="A/1 é%")
        put_in_doubt(site.database, job)
        seen = timeline_of(site, patient)["visits"][1]
        assert "were followed is not sure" in seen["notes"][0]
        assert verify(site, seen).status_code == 200


def test_what_was_verified_is_in_doubt_again_when_people_have_merged_what_it_shows(site, patient):
    def seen():
        return timeline_of(site, patient)["visits"][1]

    lesions = [sized(number, 12.0) for number in (1, 2, 3)]
    put_in_doubt(site.database, visit(site.database, site.number, 2, lesions, patient_id="A/1 é%"))
    assert verify(site, seen()).status_code == 200
    first, second, _ = timeline_of(site, patient)["lesions"]
    body = {"merged_into": first["id"], "version": second["version"]}
    site.client.patch(f"/lesions/{second['id']}", json=body)
    assert seen()["notes"][-1].startswith("How GTV_MetIA_1, GTV_MetIA_3 were followed is not sure")
    site.client.patch(f"/lesions/{second['id']}", json={"merged_into": None, "version": second["version"] + 1})
    assert seen()["notes"][-1].endswith("and found it right."), "it is again what was looked at"


def test_what_was_verified_is_in_doubt_again_when_its_links_are_others(site, patient):
    def seen():
        return timeline_of(site, patient)["visits"][1]

    job = visit(site.database, site.number, 2, [sized(1, 12.0), sized(2, 8.0)], patient_id="A/1 é%")
    assert verify(site, seen()).status_code == 200, "before following has found a doubt"
    put_in_doubt(site.database, job, "new: nothing was here")
    assert "were followed is not sure" in seen()["notes"][0]
    assert verify(site, seen()).status_code == 200
    put_in_doubt(site.database, job, "new: nothing was here at 2 visits")
    assert "found it right" in seen()["notes"][0], "the same link, with other numbers"
    put_in_doubt(site.database, job, "persisting: they may be two lesions")
    assert "were followed is not sure" in seen()["notes"][0]


# -- Pictures ------------------------------------------------------------------------------------------------------


def picture(site, lesion, **headers):
    return site.client.get(f"/studies/{STUDY}/lesions/{lesion['tracking_uid']}/image.png", headers=headers)


def test_every_lesion_has_its_picture(site, segmented):
    shown = [picture(site, lesion) for lesion in segmented]
    assert all(one.status_code == 200 and one.content_type == "image/png" for one in shown)
    assert all(one.data.startswith(b"\x89PNG") for one in shown)
    assert len({one.data for one in shown}) == len(segmented) == 3


def test_a_picture_is_sent_again_only_when_it_is_another(site, segmented):
    first = picture(site, segmented[0])
    again = picture(site, segmented[0], **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert first.headers["Cache-Control"] == "private, no-cache", "kept by the browser alone: it shows a patient"
    assert picture(site, segmented[1], **{"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_there_is_no_such_picture(site, segmented):
    gone = problem(site.client.get(f"/studies/{STUDY}/lesions/2.25.9/image.png"), 404)
    assert gone["type"] == "urn:metia:problem:key-image-not-found"
    uid = segmented[0]["tracking_uid"]
    assert problem(site.client.get(f"/studies/1.2.3/lesions/{uid}/image.png"), 404)["type"].endswith("visit-not-found")
    problem(site.client.get(f"/studies/{STUDY}/lesions/x/image.png"), 400)


def test_a_picture_survives_what_people_say(site, segmented):
    before = [picture(site, lesion).data for lesion in segmented]
    first, second, third = segmented
    site.client.patch(f"/lesions/{first['id']}", json={"name": "left frontal", "version": 1})
    site.client.patch(f"/lesions/{second['id']}", json={"not_a_lesion": True, "version": 1})
    site.client.patch(f"/lesions/{third['id']}", json={"merged_into": first["id"], "version": 1})
    site.work()
    site.worker.recover()
    site.work()
    assert [picture(site, lesion).data for lesion in segmented] == before


def test_a_new_segmentation_has_new_pictures_and_the_old_ones_go(site, segmented):
    before = picture(site, segmented[0]).data
    for dataset in MR:
        assert str(dataset.SOPInstanceUID) in site.archive.instances
    predict = site.predictor.predict

    def smaller(image, affine, on_progress):
        found = predict(image, affine, on_progress)
        found.mask[:] = ndimage.binary_erosion(found.mask)
        found.probability[:] = found.mask
        return found

    site.predictor.predict = smaller
    site.post()
    site.work()
    assert picture(site, segmented[0]).data != before
    with site.database.reading() as session:
        kept = session.scalar(select(func.count()).select_from(KeyImage))
    assert kept == len(site.client.get(f"/studies/{STUDY}/lesions").get_json()["lesions"])


# -- Names reach the archive ---------------------------------------------------------------------------------------


@pytest.fixture
def segmented(site):
    """A study that was segmented by the worker; gives its lesions."""
    site.post()
    site.work()
    return site.client.get(f"/studies/{STUDY}/lesions").get_json()["lesions"]


def names_in(site, modality):
    (written,) = [one for one in site.archive.instances.values() if one.Modality == modality]
    if modality == "SEG":
        return [(str(item.SegmentLabel), str(item.TrackingUID)) for item in written.SegmentSequence]
    return [str(item.ROIName) for item in written.StructureSetROISequence]


def test_a_new_name_reaches_seg_and_rtstruct(site, segmented):
    before = site.archive.series()
    first = segmented[0]
    body = {"name": "left frontal", "version": first["version"]}
    answer = site.client.patch(f"/lesions/{first['id']}", json=body).get_json()
    assert site.archive.series() == before, "the web process writes nothing"
    site.work()
    job = site.client.get(answer["jobs"][0]).get_json()
    assert (job["state"], job["purpose"], job["version"]) == ("done", "relabel", 2), job["problem"]
    assert names_in(site, "RTSTRUCT")[0] == "left frontal"
    assert names_in(site, "SEG")[0] == ("left frontal", first["tracking_uid"])
    assert not site.archive.series() & (before - {SERIES}), "the old version is taken out"
    assert store.queue_relabelling(site.database, Rules()) == []


def test_what_is_no_lesion_leaves_the_seg_and_comes_back(site, segmented):
    source = read_series(MR)

    def voxels():
        (seg,) = [one for one in site.archive.instances.values() if one.Modality == "SEG"]
        return (read_seg(seg, source) > 0).sum()

    everything = voxels()
    second = segmented[1]
    path = f"/lesions/{second['id']}"
    assert site.client.patch(path, json={"not_a_lesion": True, "version": 1}).get_json()["jobs"]
    site.work()
    assert second["name"] not in names_in(site, "RTSTRUCT")
    assert len(names_in(site, "SEG")) == len(segmented) - 1
    assert voxels() < everything
    assert site.client.patch(path, json={"not_a_lesion": False, "version": 2}).get_json()["jobs"]
    site.work()
    assert names_in(site, "RTSTRUCT") == [one["name"] for one in segmented]
    assert voxels() == everything


def test_segmented_again_it_keeps_its_name_and_stays_no_lesion(site, segmented):
    first, second = segmented[:2]
    site.client.patch(f"/lesions/{first['id']}", json={"name": "left frontal", "version": 1})
    site.client.patch(f"/lesions/{second['id']}", json={"not_a_lesion": True, "version": 1})
    site.work()
    site.worker.recover()
    site.work()
    site.post()
    site.work()
    site.worker.recover()  # as the heartbeat does
    site.work()
    assert names_in(site, "RTSTRUCT") == ["left frontal", segmented[2]["name"]]


def test_a_study_that_the_archive_has_no_more(site, segmented):
    site.archive.instances.clear()
    answer = site.client.patch(f"/lesions/{segmented[0]['id']}", json={"name": "left frontal", "version": 1})
    site.work()
    job = site.client.get(answer.get_json()["jobs"][0]).get_json()
    assert (job["state"], job["problem"]["status"]) == ("failed", 404)
    assert site.client.get(f"/studies/{STUDY}/lesions").get_json()["lesions"][0]["name"] == "left frontal"
    timeline = timeline_of(site, patient_key(site.database))
    assert timeline["lesions"][0]["name"] == "left frontal"
    assert store.queue_relabelling(site.database, Rules()) == [], "it is not tried for ever"


def test_a_change_while_the_series_is_busy_is_written_later(site, segmented):
    site.post()  # queued, not run
    changed = site.client.patch(f"/lesions/{segmented[0]['id']}", json={"name": "left frontal", "version": 1})
    assert changed.get_json()["jobs"] == []
    site.work()
    site.worker.recover()
    site.work()
    assert names_in(site, "RTSTRUCT")[0] == "left frontal"
