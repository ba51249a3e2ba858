"""What is asked within the house goes to whom it is for, and with the same login by every way."""

import base64
import http.server
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from Orthanc.archive import ArchiveUnavailableError, StudyNotFoundError
from Orthanc.dicomweb import OrthancArchive
from Orthanc.direct import direct_session
from Orthanc.relay import Relay
from services.front import _missing
from services.launcher import not_ready

PASSWORD = "Größe-Zażółć"


class Server:
    """Answers 200 to everything, and keeps who asked for what."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.asked: list[str] = []
        self.logins: set[str | None] = set()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.logins.add(self.headers["Authorization"])
                body = json.dumps({"Last": 7}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def new(certificate: Path | None = None) -> Server:
        servers.append(Server(certificate))
        return servers[-1]

    yield new
    for server in servers:
        server.close()


def test_no_proxy_hears_of_it(start: Callable[[], Server], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, house = start(), start()
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert OrthancArchive(house.url, "metia", PASSWORD).last_change() == 7
    assert not_ready(f"{house.url}/health")() is None
    assert _missing(f"{house.url}/health") is None
    assert len(house.asked) == 3
    assert not proxy.asked


def test_every_way_logs_in_alike(start: Callable[[], Server]) -> None:
    """Orthanc knows its users' passwords in UTF-8."""
    house = start()
    OrthancArchive(house.url, "metia", PASSWORD).last_change()
    answer = Relay(house.url, "metia", PASSWORD, timeout=5).ask("GET", "studies", b"", {})
    assert b"".join(answer.body)
    assert house.logins == {"Basic " + base64.b64encode(f"metia:{PASSWORD}".encode()).decode()}


@pytest.mark.skipif(not shutil.which("openssl"), reason="it makes the certificate")
def test_whom_no_authority_vouches_for_gets_no_password(
    start: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "house.pem"
    names = ["-subj", "/CN=house", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(certificate), "-out", str(tmp_path / "public.pem")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, *files], check=True)
    with certificate.open("ab") as file:
        file.write((tmp_path / "public.pem").read_bytes())
    house = start(certificate)
    ways: list[Callable[[], object]] = [
        lambda: OrthancArchive(house.url, "metia", PASSWORD).last_change(),
        lambda: list(Relay(house.url, "metia", PASSWORD, timeout=5).ask("GET", "studies", b"", {}).body),
    ]
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    for ask in ways:
        with pytest.raises(ArchiveUnavailableError):
            ask()
    assert not house.logins
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "public.pem"))
    assert all(ask() for ask in ways)


def test_the_authority_of_the_house_goes_on_being_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    assert direct_session().verify is True
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "house.pem"))
    assert direct_session().verify == str(tmp_path / "house.pem")


class Forgetful:
    """Answers the first request of each connection, and closes it on the second, as Orthanc does a kept one."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            answered = False

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.asked.append(self.command)
                self.close_connection = self.answered
                if not self.answered:
                    self.answered = True
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(b"[]")

            do_GET = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def forgetful() -> Iterator[Forgetful]:
    server = Forgetful()
    yield server
    server.close()


@pytest.mark.parametrize(("method", "path"), [("GET", "/x"), ("HEAD", "/x"), ("POST", "/tools/lookup")])
def test_what_only_reads_is_asked_again_where_a_kept_connection_was_closed(
    forgetful: Forgetful, method: str, path: str
) -> None:
    with direct_session() as session:
        assert all(session.request(method, forgetful.url + path).ok for _ in range(2))
    assert forgetful.asked == [method] * 3


@pytest.mark.parametrize(("method", "path"), [("POST", "/dicom-web/studies"), ("DELETE", "/studies/x")])
def test_what_changes_something_is_never_sent_twice(forgetful: Forgetful, method: str, path: str) -> None:
    with direct_session() as session:
        session.get(forgetful.url)
        with pytest.raises(requests.ConnectionError):
            session.request(method, forgetful.url + path)
    assert forgetful.asked == ["GET", method]


def test_dicomweb_asks_again_too(forgetful: Forgetful) -> None:
    archive = OrthancArchive(forgetful.url)
    assert archive.study_identifiers() == []
    with pytest.raises(StudyNotFoundError):
        archive.list_series("1.2.3")
