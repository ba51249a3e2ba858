"""Who may ask: pages of other origins change nothing, and the server answers to its own names only."""

import socket

import pytest

from routes.guard import is_own, own_names
from settings import load_settings
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
    for origin in (FOREIGN, "null", "http://localhost:3000", f"{VIEWER}0"):
        for address in (f"/changes/{change['id']}/undo", f"/jobs/{job}/retry", "/uploadDicom/", "/nothing"):
            answer = site.client.post(address, data="x", content_type="text/plain", headers={"Origin": origin})
            assert "CORS_ORIGINS" in refused(answer)["what_to_do"]
    assert len(site.client.get("/patients/1/changes").get_json()["changes"]) == 1
    assert site.client.get(f"/jobs/{job}").get_json()["attempts"] == 1


@pytest.mark.parametrize(
    "origin", ["http://[::1", "http://[", "", "://", "localhost", "http://localhost/", "http://x@localhost"]
)
def test_what_is_no_origin_is_foreign(site, origin):
    assert "CORS_ORIGINS" in refused(site.client.post("/segment", json={}, headers={"Origin": origin}))["what_to_do"]


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


@pytest.mark.parametrize(
    ("forwarded", "origin", "may"),
    [
        ('host="localhost";proto=https', "http://localhost", False),
        ('host="localhost";proto=https', "https://localhost", True),
        ('for=10.1.2.3;Proto="HTTPS", for=10.1.2.4', "http://localhost", False),
        ('host="localhost";proto=http', "https://localhost", True),
        ('host="localhost";proto=http', "http://localhost", True),
        ('host="proto=https";proto=http', "http://localhost", True),
        ("", "http://localhost", True),
        ('host="localhost";proto=https', VIEWER, True),
    ],
)
def test_where_https_is_spoken_a_page_that_came_without_is_foreign(site, forwarded, origin, may):
    """Whoever stands between can make such a page. A proxy in front may speak https where nginx here does not."""
    answer = site.client.delete("/jobs/x", headers={"Origin": origin, "Forwarded": forwarded})
    assert answer.status_code == (404 if may else 403)


def test_the_published_front_end_is_told_in_its_own_form(site):
    answer = site.client.post(f"/segmentation/{STUDY}", headers={"Origin": FOREIGN})
    assert answer.status_code == 403
    assert list(answer.get_json()) == ["error"]
    assert "CORS_ORIGINS" in answer.get_json()["error"]


# -- Names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example:5000", "metia.hospital.example.evil.example", "127.0.0.1.evil.example"])
def test_a_name_that_somebody_points_here_opens_nothing(site, host):
    """For the browser the page is the server's own then, whatever it asks for."""
    headers = {"Host": host, "Origin": f"http://{host}"}
    for address in ("/patients", "/jobs", "/dicom-web/studies", "/ohif/", "/openapi.json", "/nothing"):
        problem = refused(site.client.get(address, headers=headers))
        assert "TRUSTED_HOSTS" in problem["what_to_do"]
        assert host in problem["detail"]
    assert "TRUSTED_HOSTS" in site.client.get("/followup-patients", headers=headers).get_json()["error"]
    assert site.client.delete(f"/delete-study/{STUDY}", headers=headers).status_code == 403
    assert site.archive.instances


@pytest.mark.parametrize(
    "host",
    [
        "localhost:5000",
        "LOCALHOST.",
        "127.0.0.1:5000",
        "10.1.2.3:8080",
        "[::1]:5000",
        "[fe80::1]",
        "metia.hospital.example",
        "Metia.Hospital.Example:8443",
        "srv_01:5000",
        "viewer.example:5000",
        socket.gethostname(),
    ],
)
def test_by_address_and_by_its_names_it_answers(tmp_path, host):
    settings = load_settings(
        {"API_HOST": "0.0.0.0", "TRUSTED_HOSTS": "metia.hospital.example, SRV_01", "CORS_ORIGINS": VIEWER}, None
    )
    assert is_own(host, own_names(settings))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "localhost@evil.example",
        "evil.example",
        "evil.localhost",
        "evillocalhost",
        "[evil.example]",
        "::1",
        "1.2.3",
    ],
)
def test_what_is_no_name_of_it(host):
    assert not is_own(host, own_names(load_settings({}, None)))


def test_the_hosts_it_listens_on_need_not_be_named():
    settings = load_settings({"API_HOST": "api.hospital.example", "FRONT_HOST": "metia.hospital.example"}, None)
    for host in (settings.api_host, settings.front_host):
        assert is_own(host, own_names(settings))


def test_a_program_that_sends_no_host_is_answered(site):
    def app_without_host(environ, start_response):
        del environ["HTTP_HOST"]
        return inner(environ, start_response)

    inner, site.app.wsgi_app = site.app.wsgi_app, app_without_host
    assert site.client.get("/health").status_code == 200
