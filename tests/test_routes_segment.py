"""POST /segment: what is asked, what is refused, and that a series is never segmented twice at a time."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from BDD import store
from Orthanc.archive import ArchiveTimeoutError, ArchiveUnavailableError
from routes.schemas import SCHEMAS
from tests import factory
from tests.api_factory import MR, SERIES, STUDY, ApiSite
from tests.jobs_factory import MemoryArchive
from tests.test_api import problem
from unetr.catalogue import Catalogue


@pytest.fixture
def site(tmp_path):
    site = ApiSite(tmp_path)
    yield site
    site.close()


def plain_series():
    return factory.series_datasets(
        series_number=3, series_description="T1 MPRAGE", contrast_agent=None, study_time="110000"
    )


def test_a_job_is_queued_and_done(site):
    response = site.post()
    job = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/jobs/{job['id']}"
    assert (job["state"], job["queue_position"], job["SeriesInstanceUID"]) == ("queued", 1, SERIES)

    site.work()
    job = site.client.get(response.headers["Location"]).get_json()
    assert (job["state"], job["percent"], job["queue_position"]) == ("done", 100, None)
    assert {result["kind"] for result in job["results"]} == {"SEG", "RTSTRUCT", "SR"}
    assert {result["SeriesInstanceUID"] for result in job["results"]} == site.archive.series() - {SERIES}


def test_the_choice_is_explained(tmp_path):
    site = ApiSite(tmp_path, MemoryArchive(*MR, *plain_series()))
    selection = site.post().get_json()["selection"]
    assert selection["chosen"]["SeriesInstanceUID"] == SERIES
    assert not selection["named_by_caller"]
    assert len(selection["candidates"]) == 2
    assert all(candidate["reasons"] for candidate in selection["candidates"])
    site.close()


def test_the_caller_may_name_the_series(tmp_path):
    plain = plain_series()
    site = ApiSite(tmp_path, MemoryArchive(*MR, *plain))
    job = site.post(SeriesInstanceUID=str(plain[0].SeriesInstanceUID)).get_json()
    assert job["SeriesInstanceUID"] == plain[0].SeriesInstanceUID
    assert job["selection"]["named_by_caller"]
    site.close()


def test_no_candidate_is_a_409_that_lists_them(tmp_path):
    site = ApiSite(tmp_path, MemoryArchive(*plain_series()))
    document = problem(site.post())
    assert document["status"] == 409
    assert [candidate["SeriesDescription"] for candidate in document["candidates"]] == ["T1 MPRAGE"]
    assert document["candidates"][0]["reasons"]
    assert "SeriesInstanceUID" in document["what_to_do"]
    assert store.list_jobs(site.database) == []
    site.close()


def test_a_tie_is_a_409_that_lists_them(tmp_path):
    twin = factory.series_datasets(series_number=8)
    site = ApiSite(tmp_path, MemoryArchive(*MR, *twin))
    document = problem(site.post())
    assert document["status"] == 409
    assert len(document["candidates"]) == 2
    site.close()


def test_not_mr_is_a_422(tmp_path):
    other = factory.series_datasets(series_number=9)
    for dataset in other:
        dataset.Modality = "CT"
    site = ApiSite(tmp_path, MemoryArchive(*MR, *other))
    document = problem(site.post(SeriesInstanceUID=str(other[0].SeriesInstanceUID)))
    assert document["status"] == 422
    assert "CT" in document["detail"]
    site.close()


def test_unknown_study_and_series_are_404(site):
    assert problem(site.post(StudyInstanceUID="1.2.3"))["type"].endswith(":study-not-found")
    assert problem(site.post(SeriesInstanceUID="1.2.3"))["type"].endswith(":series-not-found")
    assert store.list_jobs(site.database) == []


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize(
    "uid", ["", "1.2.", ".1", "1..2", "1.2a", "\ud800", "1.2/../3", "1.2\n", "1." + "2" * 63, 12, [], "١.٢"]
)
def test_a_malformed_uid_is_a_400_and_nobody_is_asked(site, keyword, uid):
    document = problem(site.post(**{keyword: uid}))
    assert document["status"] == 400
    assert keyword in document["detail"]
    assert site.archive.calls == []


def test_the_longest_uid_is_a_uid(site):
    assert problem(site.post(StudyInstanceUID="1." + "2" * 62))["status"] == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"StudyInstanceUID": None}, "StudyInstanceUID"),
        ({"outputs": []}, "SEG, RTSTRUCT"),
        ({"outputs": "SEG"}, "SEG, RTSTRUCT"),
        ({"outputs": ["PDF"]}, "SEG, RTSTRUCT, SR"),
        ({"outputs": [{}]}, "SEG, RTSTRUCT"),
        ({"outputs": ["SEG", "SEG"]}, "each once"),
        ({"Outputs": ["SEG"]}, "Unknown: Outputs"),
    ],
)
def test_wrong_values_are_400(site, body, words):
    document = problem(site.post(**body))
    assert document["status"] == 400
    assert words in document["detail"]


@pytest.mark.parametrize("query", ["?wait=soon", "?wait=-1", "?wait=nan", "?wiat=1"])
def test_wrong_queries_are_400(site, query):
    assert problem(site.post(query))["status"] == 400


@pytest.mark.parametrize(
    ("error", "status"),
    [(ArchiveUnavailableError("no connection for GET /x"), 502), (ArchiveTimeoutError("GET /x in 30 s"), 504)],
)
def test_an_archive_that_does_not_answer(site, error, status):
    def fail(_):
        raise error

    site.archive.fail = fail
    document = problem(site.post())
    assert document["status"] == status
    assert "GET /x" in document["detail"]
    assert store.list_jobs(site.database) == []


def test_while_a_series_is_open_its_job_is_the_answer(site):
    first = site.post()
    second = site.post()
    assert second.status_code == 202
    assert second.headers["Location"] == first.headers["Location"]
    assert len(site.worker.queue.huey.pending()) == 1
    site.work()
    assert site.post().headers["Location"] != first.headers["Location"]


@pytest.mark.parametrize(("first", "second"), [({}, {"model": "unetr"}), ({"model": "unetr"}, {})])
def test_the_default_model_is_the_same_by_its_name_and_without(site, monkeypatch, first, second):
    """Auto-routing names no model, the viewer names the one in its list."""
    models(monkeypatch, "unetr", "metia")
    location = site.post(**first).headers["Location"]
    response = site.post(**second)
    assert (response.status_code, response.headers["Location"]) == (202, location)
    document = problem(site.post(model="metia"))
    assert (document["status"], document["job"]) == (409, location)
    assert "with unetr" in document["detail"]


def test_a_job_of_the_study_that_the_series_was_moved_away_from_is_not_the_answer(tmp_path):
    slices = factory.series_datasets()
    site = ApiSite(tmp_path, MemoryArchive(*slices))
    location = site.post(StudyInstanceUID=slices[0].StudyInstanceUID).headers["Location"]
    for one in slices:
        one.StudyInstanceUID = "1.2.840.99.4"
    document = problem(site.post(StudyInstanceUID="1.2.840.99.4"))
    assert (document["status"], document["job"]) == (409, location)
    assert document["title"] == "The series is being segmented in another study"
    site.close()


def models(monkeypatch, *names):
    """Let there be models of these names, the first of them the default."""
    known: Any = {name: SimpleNamespace(name=name) for name in names}
    found = Catalogue(known, {"half": "The weights are missing."}, names[0], names[0])
    monkeypatch.setattr("routes.context.find_models", lambda *_: found)
    return found


@pytest.fixture
def renaming(site):
    """A job that is to write the segmented series again, under a new name; gives its address."""
    site.post()
    site.work()
    lesion = site.client.get(f"/studies/{STUDY}/lesions").get_json()["lesions"][0]
    body = {"name": "left frontal", "version": lesion["version"]}
    (job,) = site.client.patch(f"/lesions/{lesion['id']}", json=body).get_json()["jobs"]
    return job


def while_waiting(monkeypatch, happens):
    """Let something happen, and a minute pass, each time that the answer is held back."""
    now = [0.0]

    def sleep(_):
        happens()
        now[0] += 60.0

    monkeypatch.setattr("routes.context.time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))


@pytest.fixture
def finish_renaming(site, renaming):
    """The same job, at the moment when a worker stores what it wrote; gives what lets it go on to its end."""
    stores, may_go_on = threading.Event(), threading.Event()

    def hold(method):
        if method == "store":
            stores.set()
            may_go_on.wait(60)

    site.archive.fail = hold
    worker = threading.Thread(target=site.work)
    worker.start()
    assert stores.wait(60)

    def finish():
        may_go_on.set()
        worker.join()

    yield finish
    finish()


def test_a_renaming_is_no_segmentation(site, renaming, finish_renaming, monkeypatch):
    """While new names are written into a series, a segmentation of it waits, and is a job of its own."""
    while_waiting(monkeypatch, finish_renaming)
    response = site.post()
    assert site.client.get(renaming).get_json()["state"] == "done"
    assert response.status_code == 202
    assert response.headers["Location"] != renaming
    job = response.get_json()
    assert (job["purpose"], job["state"], job["queue_position"]) == ("segment", "queued", 1)
    site.work()
    assert site.client.get(response.headers["Location"]).get_json()["state"] == "done"


def test_a_renaming_that_does_not_end_is_a_409(site, renaming, finish_renaming, monkeypatch):
    while_waiting(monkeypatch, lambda: None)
    document = problem(site.post())
    assert (document["status"], document["job"]) == (409, renaming)
    assert "under changed names" in document["detail"]
    assert site.worker.queue.huey.pending() == []


def test_a_renaming_that_waits_gives_way_to_a_segmentation(site, renaming, monkeypatch):
    """It may wait for hours behind others; what it was to write, the segmentation writes."""
    while_waiting(monkeypatch, lambda: pytest.fail("nothing is to be waited for"))
    response = site.post()
    assert (response.status_code, response.get_json()["purpose"]) == (202, "segment")
    assert site.client.get(renaming).get_json()["state"] == "cancelled"
    site.work()
    job = site.client.get(response.headers["Location"]).get_json()
    assert job["state"] == "done"
    assert "left frontal" in [lesion["name"] for lesion in job["lesions"]]


@pytest.mark.parametrize("again", [False, True], ids=["new", "tried again"])
def test_names_are_written_though_the_segmentation_in_their_place_is_not_done(site, renaming, again):
    address = site.post().headers["Location"]
    site.client.delete(address)
    site.worker.recover()
    (open_job,) = store.list_jobs(site.database, states=["queued"])
    assert open_job.purpose == "relabel"
    if again:
        assert site.client.post(f"{address}/retry").status_code == 202
        site.client.delete(address)
        site.worker.recover()
    site.work()
    newest = store.list_jobs(site.database)[0]
    assert (newest.purpose, newest.state) == ("relabel", "done")
    assert "left frontal" in [lesion.name for lesion in newest.lesions]


def test_two_at_the_same_moment(site):
    locations, together = [], threading.Barrier(4)

    def post():
        client = site.app.test_client()
        together.wait()
        locations.append(client.post("/segment", json={"StudyInstanceUID": STUDY}).headers["Location"])

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(locations) == 4
    assert len(set(locations)) == 1
    assert len(store.list_jobs(site.database)) == 1


def test_the_same_series_with_other_outputs_has_to_wait(site):
    first = site.post()
    document = problem(site.post(outputs=["SEG"]))
    assert set(document) <= set(SCHEMAS["Problem"]["properties"])
    assert document["status"] == 409
    assert document["job"] == first.headers["Location"]


def test_outputs_are_kept_in_one_order(site):
    assert site.post(outputs=["RTSTRUCT", "SEG"]).get_json()["outputs"] == ["SEG", "RTSTRUCT"]


def test_wait_gives_the_ended_job(site):
    worker = threading.Timer(0.3, site.work)
    worker.start()
    response = site.post("?wait=30")
    worker.join()
    assert response.status_code == 200
    assert response.get_json()["state"] == "done"


def test_wait_ends_in_time(site):
    waiting = site.app.extensions["metia"].waiting
    places = waiting._value
    response = site.post("?wait=0.2")
    assert (response.status_code, response.get_json()["state"]) == (202, "queued")
    assert waiting._value == places, "the next may wait in its place"


def test_no_more_wait_than_there_are_threads_to_spare(tmp_path):
    """The second of two waiting requests is answered at once when only one thread may wait."""
    site = ApiSite(tmp_path, API_THREADS="2")
    held = threading.Thread(target=site.post, args=("?wait=20",))
    held.start()
    while not store.list_jobs(site.database):
        pass
    while site.app.extensions["metia"].waiting._value:
        pass
    assert site.app.test_client().post("/segment?wait=20", json={"StudyInstanceUID": STUDY}).status_code == 202
    assert held.is_alive()
    site.work()
    held.join()
    site.close()


def test_an_unknown_model_lists_the_known(site, monkeypatch):
    found = models(monkeypatch, "unetr", "metia")
    document = problem(site.post(model="other"))
    assert (document["status"], document["models"]) == (400, ["unetr", "metia"])
    assert document["refused"] == found.refused
    assert problem(site.post(model=3))["status"] == 400
    assert problem(site.post(model=["metia"]))["status"] == 400
    assert site.post(model="metia").get_json()["requested_model"] == "metia"


def test_a_model_asked_for_by_name_while_there_is_none(site):
    assert problem(site.post(model="unetr"))["status"] == 503
