"""The viewer's files, and /dicom-web as far as no archive is needed."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import pytest

from settings import ROOT
from tests.api_factory import ApiSite

SCRIPT = "app.bundle.0123456789abcdef.js"
CODE = b"let viewer = 1;" * 100


@pytest.fixture
def ohif(tmp_path: Path) -> Path:
    folder = tmp_path / "viewer"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>OHIF</title>")
    (folder / SCRIPT).write_bytes(CODE)
    (folder / f"{SCRIPT}.gz").write_bytes(gzip.compress(CODE))
    (folder / "assets" / "icon.png").write_bytes(b"png")
    (folder / "secret.txt").write_text("not for the web")
    return folder


@pytest.fixture
def site(tmp_path: Path, ohif: Path) -> Iterator[ApiSite]:
    site = ApiSite(
        tmp_path, OHIF_DIR=str(ohif), ORTHANC_URL="http://127.0.0.1:9", ORTHANC_USERNAME="u", ORTHANC_PASSWORD="hidden"
    )
    yield site
    site.close()


@pytest.mark.parametrize("address", ["/ohif/", "/ohif/viewer?StudyInstanceUIDs=1.2", "/ohif/any/page"])
def test_every_page_of_the_viewer_is_its_one_page(site: ApiSite, address: str) -> None:
    answer = site.client.get(address)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert b"OHIF" in answer.data
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def test_the_usual_address_leads_there(site: ApiSite) -> None:
    answer = site.client.get("/viewer?StudyInstanceUIDs=1.2.3")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/ohif/viewer?StudyInstanceUIDs=1.2.3")


def test_files_are_sent_compressed_to_those_who_take_it_and_kept_for_ever(site: ApiSite) -> None:
    plain = site.client.get(f"/{SCRIPT}")
    packed = site.client.get(f"/{SCRIPT}", headers={"Accept-Encoding": "br, gzip"})
    refused = site.client.get(f"/{SCRIPT}", headers={"Accept-Encoding": "gzip;q=0"})
    assert plain.data == refused.data == gzip.decompress(packed.data) == CODE
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    for answer in (plain, packed):
        assert answer.mimetype == "text/javascript"
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert "immutable" in answer.headers["Cache-Control"]
    again = site.client.get(f"/{SCRIPT}", headers={"If-None-Match": plain.headers["ETag"]})
    assert again.status_code == 304


def test_pictures_lie_in_a_folder(site: ApiSite) -> None:
    answer = site.client.get("/assets/icon.png")
    assert (answer.data, answer.mimetype, answer.headers["Cache-Control"]) == (b"png", "image/png", "no-cache")


def test_our_configuration_and_every_module_of_the_extension(site: ApiSite) -> None:
    assert site.client.get("/app-config.js").data == (ROOT / "Orthanc" / "ohif" / "app-config.js").read_bytes()
    modules = sorted((ROOT / "Orthanc" / "ohif" / "metia").iterdir())
    assert modules
    for module in modules:
        answer = site.client.get(f"/ohif/extension/{module.name}")
        assert answer.data == module.read_bytes()
        assert answer.mimetype == ("text/css" if module.suffix == ".css" else "text/javascript")


@pytest.mark.parametrize(
    "address",
    [
        "/nothing.js",
        "/secret.txt",
        "/assets/../secret.txt",
        "/..%2fapi.js",
        "/assets/%2e%2e/index.js",
        "/ohif/extension/none.js",
    ],
)
def test_nothing_else_is_given_away(site: ApiSite, address: str) -> None:
    assert site.client.get(address).status_code == 404


def test_our_own_addresses_are_no_files_of_the_viewer(site: ApiSite, ohif: Path) -> None:
    (ohif / "openapi.json").write_text("OHIF")
    assert site.client.get("/openapi.json").get_json()["openapi"]


def test_without_a_viewer_everything_else_runs(tmp_path: Path) -> None:
    site = ApiSite(tmp_path, OHIF_DIR=str(tmp_path / "none"))
    try:
        answer = site.client.get("/ohif/viewer")
        assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
        assert "npm" in answer.get_json()["what_to_do"]
        assert site.client.get("/health").status_code == 200
    finally:
        site.close()


@pytest.mark.parametrize(
    "address", ["servers", "servers/x/get", "studies/%2e%2e/servers", "studies/..%2f..%2finstances"]
)
def test_the_archives_own_services_are_out_of_reach(site: ApiSite, address: str) -> None:
    answer = site.client.get(f"/dicom-web/{address}")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


@pytest.mark.parametrize("study", ["..", "%2e%2e", "."])
def test_nothing_is_stored_above_the_studies(site: ApiSite, study: str) -> None:
    answer = site.client.post(f"/dicom-web/studies/{study}", data=b"x", content_type="multipart/related; boundary=x")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_what_a_page_of_another_origin_may_send_is_not_stored(site: ApiSite) -> None:
    for kind in ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded"):
        assert site.client.post("/dicom-web/studies", data=b"x", content_type=kind).status_code == 415
    assert site.client.post("/dicom-web/studies/1.2/series", data=b"x").status_code == 405


def test_an_archive_that_is_down(site: ApiSite) -> None:
    stow = {"data": bytes(2 << 20), "content_type": "multipart/related; boundary=x"}
    for answer in (site.client.get("/dicom-web/studies?limit=1"), site.client.post("/dicom-web/studies", **stow)):
        assert (answer.status_code, answer.mimetype) == (502, "application/problem+json")
        assert "is Orthanc running" in answer.get_json()["detail"]
        assert "hidden" not in answer.text


class Refusing(BaseHTTPRequestHandler):
    """Answers as the address says, ``.../STATUS/TYPE``, and, as Orthanc does, with the address in the body."""

    def do_GET(self) -> None:
        path = unquote(self.path)
        *_, status, kind = path.split("/")
        body = path.encode()
        self.send_response(int(status))
        self.send_header("Content-Length", str(len(body)))
        if kind != "none":
            self.send_header("Content-Type", f"application/{kind}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def refusing(tmp_path: Path) -> Iterator[ApiSite]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        site = ApiSite(tmp_path, ORTHANC_URL=f"http://127.0.0.1:{server.server_port}")
        yield site
        site.close()
        server.shutdown()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("404/none", "application/problem+json"),
        ("400/json", "application/problem+json"),
        ("500/none", "application/problem+json"),
        ("200/none", "application/octet-stream"),
        ("409/dicom+json", "application/dicom+json"),
    ],
)
def test_what_the_archive_repeats_of_an_address_is_no_page(tmp_path: Path, answer: str, kind: str) -> None:
    """Orthanc names no type then, and the browser would show a form in it as one of ours."""
    with refusing(tmp_path) as site:
        for _ in range(2):  # a refusal that is not read to its end spoils no connection
            given = site.client.get(f"/dicom-web/studies/1/%3Cform%3E/{answer}")
            assert (str(given.status_code), given.mimetype) == (answer.partition("/")[0], kind)
            assert (b"<form>" in given.data.partition(b'"instance"')[0]) is ("problem" not in kind)
