"""Who may ask: pages of other origins change nothing, and the server answers to its own names only."""

import pytest

from tests.api_factory import STUDY, ApiSite

VIEWER = "http://viewer.example:3000"
FOREIGN = "https://evil.example"


@pytest.fixture
def site(tmp_path):
    site = ApiSite(tmp_path, CORS_ORIGINS=VIEWER)
    yield site
    site.close()


def refused(answer):
    assert (answer.status_code, answer.content_type) == (403, "application/problem+json")
    return answer.get_json()


# -- Pages ---------------------------------------------------------------------------------------------------------


def test_a_foreign_page_undoes_and_retries_nothing(site):
    """What a browser sends for any page without asking first: a POST with no body, or with a form's."""
    job = site.post().get_json()["id"]
    site.work()
    (lesion, *_) = site.client.get("/patients/1/timeline").get_json()["lesions"]
    edit = {"target": False, "version": lesion["version"]}
    assert site.client.patch(f"/lesions/{lesion['id']}", json=edit).status_code == 200
    (change,) = site.client.get("/patients/1/changes").get_json()["changes"]
    for origin in (FOREIGN, "null", "http://localhost:3000"):
        for address in (f"/changes/{change['id']}/undo", f"/jobs/{job}/retry", "/uploadDicom/", "/nothing"):
            answer = site.client.post(address, data="x", content_type="text/plain", headers={"Origin": origin})
            assert "CORS_ORIGINS" in refused(answer)["what_to_do"]
    assert len(site.client.get("/patients/1/changes").get_json()["changes"]) == 1
    assert site.client.get(f"/jobs/{job}").get_json()["attempts"] == 1


def test_every_method_that_changes_something_is_guarded_and_no_other(site):
    headers = {"Origin": FOREIGN}
    for method in ("post", "put", "patch", "delete"):
        refused(getattr(site.client, method)("/jobs/x", headers=headers))
    for method in ("get", "head", "options"):
        assert getattr(site.client, method)("/health", headers=headers).status_code == 200


@pytest.mark.parametrize("origin", [None, "http://localhost", "https://LOCALHOST", VIEWER])
def test_programs_and_known_pages_may(site, origin):
    headers = {"Origin": origin} if origin else {}
    job = site.post().get_json()["id"]
    assert site.client.delete(f"/jobs/{job}", headers=headers).status_code == 200
    assert site.client.post(f"/jobs/{job}/retry", headers=headers).status_code == 202


def test_the_published_front_end_is_told_in_its_own_form(site):
    answer = site.client.post(f"/segmentation/{STUDY}", headers={"Origin": FOREIGN})
    assert answer.status_code == 403
    assert list(answer.get_json()) == ["error"]
    assert "CORS_ORIGINS" in answer.get_json()["error"]
