"""/jobs: looking, cancelling, running again; and nothing of the patient in any answer."""

import json

import pytest
from sqlalchemy import event

from Orthanc.archive import ArchiveUnavailableError
from routes.schemas import SCHEMAS
from tests import factory
from tests.api_factory import SERIES, STUDY, ApiSite
from tests.store_factory import queued_job
from tests.test_api import problem


@pytest.fixture
def site(tmp_path):
    site = ApiSite(tmp_path)
    yield site
    site.close()


PYTHON: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def matches(value, schema) -> bool:
    """Check a value against the few words of JSON schema that ``routes.schemas`` uses."""
    if "$ref" in schema:
        return matches(value, SCHEMAS[schema["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in schema:
        return any(matches(value, one) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, PYTHON[kind]) for kind in kinds):
        return False
    if isinstance(value, list):
        return all(matches(one, schema["items"]) for one in value)
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema["required"]) <= set(value) <= set(schema["properties"]), set(value)
        return all(matches(one, schema["properties"][key]) for key, one in value.items())
    return True


def test_every_member_is_as_described(site):
    waiting = site.post().get_json()
    site.work()
    done = site.client.get(f"/jobs/{waiting['id']}").get_json()
    for job in (waiting, done):
        assert matches(job, SCHEMAS["Job"])
    assert set(done) == set(SCHEMAS["Job"]["properties"])
    assert matches(site.client.get("/jobs").get_json(), SCHEMAS["Jobs"])


def test_a_done_job_tells_what_was_found(site):
    job_id = site.post().get_json()["id"]
    site.work()
    job = site.client.get(f"/jobs/{job_id}").get_json()
    assert len(job["lesions"]) == len(factory.LESIONS)
    largest = job["lesions"][0]
    assert largest["longest_diameter_mm"] == pytest.approx(16, abs=2)
    assert largest["centroid_lps_mm"] == pytest.approx(factory.LESIONS[0].centre_lps, abs=1)
    slices = {dataset.SOPInstanceUID for dataset in site.archive.instances.values() if dataset.Modality == "MR"}
    for which in ("first", "last", "measured"):
        assert largest[f"{which}_slice_sop_instance_uid"] in slices
    assert job["model"]["name"] == "stub"
    assert job["model"]["statement"]
    assert set(job["timings"]) == {"fetching", "reading", "segmenting", "measuring", "writing"}
    assert "not a medical device" in job["notice"]
    assert job["created"] <= job["started"] <= job["finished"]


def test_what_the_archive_does_not_have_yet_is_no_result(site, monkeypatch):
    job_id = site.post().get_json()["id"]
    whole, listed = site.archive.store, []

    def results():
        return site.client.get(f"/jobs/{job_id}").get_json()["results"]

    def store_and_look(datasets, source=None):
        listed.append(results())
        whole(datasets, source)

    monkeypatch.setattr(site.archive, "store", store_and_look)
    site.work()
    assert listed[0] == []
    assert results()


def test_nothing_of_the_patient_is_shown(site):
    site.post()
    site.work()
    assert "Synthetic" not in json.dumps(site.client.get("/jobs").get_json())
    assert "TEST-001" not in json.dumps(site.client.get("/jobs").get_json())


def test_a_failed_job_tells_why_and_where(site):
    job_id = site.post().get_json()["id"]
    for uid in sorted(site.archive.instances)[3:5]:
        del site.archive.instances[uid]
    site.work()
    job = site.client.get(f"/jobs/{job_id}").get_json()
    assert (job["state"], job["stage"], job["problem"]["status"]) == ("failed", "reading", 422)
    assert matches(job, SCHEMAS["Job"])


def test_a_job_that_waits_for_the_archive_tells_so(tmp_path):
    site = ApiSite(tmp_path)
    site.worker._retry_delays = (60.0,)
    job_id = site.post().get_json()["id"]
    site.archive.fail = raise_unavailable
    site.worker.run_job(job_id)
    job = site.client.get(f"/jobs/{job_id}").get_json()
    assert (job["state"], job["attempts"], job["problem"]["status"]) == ("queued", 1, 502)
    assert job["next_attempt"] > job["started"]
    site.close()


def raise_unavailable(_):
    raise ArchiveUnavailableError("GET /x")


@pytest.mark.parametrize(("method", "path"), [("get", ""), ("delete", ""), ("post", "/retry")])
def test_an_unknown_job_is_404(site, method, path):
    assert problem(getattr(site.client, method)(f"/jobs/nothing{path}"))["type"].endswith(":job-not-found")


def test_the_list_is_filtered(site):
    job_id = site.post().get_json()["id"]

    def ids(query: str) -> list[str]:
        return [job["id"] for job in site.client.get(f"/jobs{query}").get_json()["jobs"]]

    assert ids("") == ids("?state=queued") == ids(f"?StudyInstanceUID={STUDY}") == ids("?limit=1") == [job_id]
    assert ids("?state=done") == ids("?StudyInstanceUID=1.2.3") == []


def test_how_a_study_stands_can_be_asked_for_alone(site):
    ids = []
    for _ in range(2):
        ids.append(site.post().get_json()["id"])
        site.work()
    for query, listed in ((f"?StudyInstanceUID={STUDY}&which=current", ids[1:]), ("?which=all", ids[::-1])):
        assert [job["id"] for job in site.client.get(f"/jobs{query}").get_json()["jobs"]] == listed


@pytest.mark.parametrize(
    "query", ["?state=lost", "?StudyInstanceUID=x", "?limit=0", "?limit=many", "?sort=up", "?which=old"]
)
def test_a_wrong_filter_is_400(site, query):
    assert problem(site.client.get(f"/jobs{query}"))["status"] == 400


def test_a_waiting_job_is_cancelled(site):
    job_id = site.post().get_json()["id"]
    response = site.client.delete(f"/jobs/{job_id}")
    assert (response.status_code, response.get_json()["state"]) == (200, "cancelled")
    site.work()
    assert site.client.get(f"/jobs/{job_id}").get_json()["state"] == "cancelled"
    assert site.archive.series() == {SERIES}


def test_a_running_job_is_cancelled(site):
    job_id = site.post().get_json()["id"]
    seen = []
    site.predictor.during = lambda: seen.append(site.client.delete(f"/jobs/{job_id}"))
    site.worker.run_job(job_id)
    job = site.client.get(f"/jobs/{job_id}").get_json()
    assert seen[0].status_code == 202
    assert seen[0].get_json()["cancel_requested"]
    assert job["state"] == "cancelled"
    assert site.archive.series() == {SERIES}


def test_an_ended_job_is_not_cancelled(site):
    job_id = site.post().get_json()["id"]
    site.work()
    assert problem(site.client.delete(f"/jobs/{job_id}"))["status"] == 409


def test_a_failed_job_runs_again(site):
    job_id = site.post().get_json()["id"]
    site.archive.fail = raise_unavailable
    site.work()
    assert site.client.get(f"/jobs/{job_id}").get_json()["state"] == "failed"
    site.archive.fail = lambda _: None
    response = site.client.post(f"/jobs/{job_id}/retry")
    assert response.status_code == 202
    assert response.headers["Location"] == f"/jobs/{job_id}"
    site.work()
    assert site.client.get(f"/jobs/{job_id}").get_json()["state"] == "done"
    assert problem(site.client.post(f"/jobs/{job_id}/retry"))["status"] == 409


def test_no_second_job_of_a_series_by_retry(site):
    job_id = site.post().get_json()["id"]
    site.client.delete(f"/jobs/{job_id}")
    other = site.post()
    document = problem(site.client.post(f"/jobs/{job_id}/retry"))
    assert (document["status"], document["job"]) == (409, other.headers["Location"])


def test_waiting_for_a_job(site):
    job_id = site.post().get_json()["id"]
    assert site.client.get(f"/jobs/{job_id}?wait=0.1").status_code == 202
    site.work()
    assert site.client.get(f"/jobs/{job_id}?wait=10").status_code == 200


def test_a_long_list_asks_the_database_no_more_than_a_short_one(site):
    asked: list[str] = []
    engine = site.app.extensions["metia"].database.engine
    event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    counts = []
    for n in range(6):
        queued_job(site.database, study=f"1.2.{n}", series=f"1.2.{n}.1")
        asked.clear()
        jobs = site.client.get("/jobs").get_json()["jobs"]
        assert [job["queue_position"] for job in jobs] == list(range(n + 1, 0, -1))
        counts.append(len(asked))
    assert len(set(counts)) == 1
