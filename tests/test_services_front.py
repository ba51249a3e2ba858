"""What is written into nginx's configuration, and when nginx is used at all."""

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests

from services import front, launcher, orthanc
from services.addresses import api_url
from services.processes import ServiceError, Services, free_port
from settings import Settings, load_settings

ACCOUNT = {"ORTHANC_USERNAME": "metia", "ORTHANC_PASSWORD": "se:cret"}


def settings_from(**environ: str) -> Settings:
    return load_settings(ACCOUNT | environ, None)


def test_every_name_is_filled_in_and_nginx_keeps_its_own(tmp_path: Path) -> None:
    text = front.configuration(settings_from(API_PORT="5001", ORTHANC_URL="http://127.0.0.1:8043"), tmp_path)
    assert "${" not in text
    assert "$http_host" in text
    assert "server 127.0.0.1:5001;" in text
    assert "server 127.0.0.1:8043;" in text
    assert "listen 127.0.0.1:8080;" in text
    assert text.count(f"client_max_body_size {2 << 30};") == 2
    assert "Basic bWV0aWE6c2U6Y3JldA==" in text
    assert "cret" not in text.replace("Y3JldA==", "")
    assert text.count("{") == text.count("}")


@pytest.mark.skipif(os.name == "nt", reason="no such names on Windows")
@pytest.mark.parametrize("name", ['Klinik "Süd"', "back\\new", "semi;x{y}", "dollar$x"])
def test_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    nginx, folder = front.find_nginx(), tmp_path / name
    if nginx is None:
        pytest.skip("nginx is not installed")
    folder.mkdir()
    (folder / "nginx.conf").write_text(front.configuration(settings_from(), folder), encoding="utf-8")
    command = [nginx, "-t", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "test is successful" in told
    assert (folder / "body").is_dir()


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Echo(BaseHTTPRequestHandler):
    """A server that answers anything with its own port."""

    def do_GET(self) -> None:
        said = str(self.connection.getsockname()[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def echo(port: int, handler: type[Echo] = Echo) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def test_while_the_api_restarts_nginx_says_so_as_the_api_would(tmp_path: Path) -> None:
    if front.find_nginx() is None:
        pytest.skip("nginx is not installed")
    api, archive = free_port(26100), free_port(26200)
    settings = settings_from(
        API_PORT=str(api),
        ORTHANC_URL=f"http://127.0.0.1:{archive}",
        FRONT_PORT=str(free_port(28200)),
        VAR_DIR=str(tmp_path),
    )
    with Services(tmp_path / "log") as services:
        with echo(api), echo(archive):
            origin = front.url(front.start(services, settings))

        def ask(path: str, status: int, method: str = "GET", **more: object) -> dict[str, object]:
            answer = requests.request(method, f"{origin}{path}", timeout=30, **more)  # type: ignore[arg-type]
            assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), path
            problem: dict[str, object] = answer.json()
            assert problem["status"] == status
            assert problem.keys() >= {"type", "title", "detail", "what_to_do", "error"}
            assert answer.headers["Vary"] == "Accept"
            return problem

        image = "/dicom-web/studies/1.2.3/metadata"
        for path in ("/jobs", "/dicom-web/studies", image):
            assert ask(path, 502)["title"] == "MetIA server does not answer"
        assert "starting" in str(ask("/segmentation/1.2.3", 502, "POST")["error"])
        with echo(archive):
            assert requests.get(f"{origin}{image}", timeout=30).text == str(archive), "images need no API"
            ask(image, 502, headers={"Host": "metia.hospital.example"})  # a name, which the API is to tell
        ask("/rename-roi", 413, "POST", data=bytes(2_000_000))

        for path, status, data in (("/ohif/", 502, b""), (image, 502, b""), ("/follow-up", 413, bytes(2_000_000))):
            page = requests.get(f"{origin}{path}", headers={"Accept": BROWSER}, data=data, timeout=30)
            assert (page.status_code, page.headers["Content-Type"]) == (status, "text/html"), path
            assert f"Error {status}" in page.text
            assert '<a href="">Try again</a>' in page.text
            assert page.headers["Vary"] == "Accept"


class WhatComes(Echo):
    """A server that answers with what it is told of a body, and how its addresses are to begin."""

    def do_GET(self) -> None:
        told = ("Content-Length", "Transfer-Encoding", "Forwarded")
        said = " ".join(str(self.headers[name]) for name in told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


PAGE = f"https://{'viewer.' * 30}hospital.example:3000"


@pytest.fixture
def before_the_archive(tmp_path: Path) -> Iterator[str]:
    """An nginx whose archive is ``WhatComes``."""
    if front.find_nginx() is None:
        pytest.skip("nginx is not installed")
    api, archive = free_port(26500), free_port(26600)
    ports = {"API_PORT": str(api), "FRONT_PORT": str(free_port(28400)), "ORTHANC_URL": f"http://127.0.0.1:{archive}"}
    settings = settings_from(**ports, VAR_DIR=str(tmp_path), CORS_ORIGINS=f"http://[::1]:3000,{PAGE}")
    with Services(tmp_path / "log") as services, echo(api), echo(archive, WhatComes):
        yield front.url(front.start(services, settings))


def test_who_asks_for_an_image_sends_the_archive_nothing_else(before_the_archive: str) -> None:
    for body in (b"x" * 20, iter([b"x" * 20])):
        answer = requests.get(f"{before_the_archive}/dicom-web/studies/1.2.3/metadata", data=body, timeout=30)
        assert answer.text.startswith("None None "), body


def test_the_archive_is_told_how_its_addresses_are_to_begin(before_the_archive: str) -> None:
    """Orthanc takes quotes for a part of the name."""
    port = before_the_archive.rpartition(":")[2]
    for host in (f"localhost:{port}", f"[::1]:{port}", "10.1.2.3"):
        address = f"{before_the_archive}/dicom-web/studies/1.2.3/metadata"
        assert requests.get(address, headers={"Host": host}, timeout=30).text.endswith(f" host={host};proto=http")


@pytest.mark.parametrize(
    ("origin", "may"), [(PAGE, True), ("http://[::1]:3000", True), (f"{PAGE}0", False), (None, False)]
)
def test_pages_of_named_origins_read_images_too(before_the_archive: str, origin: str | None, may: bool) -> None:
    address = f"{before_the_archive}/dicom-web/studies/1.2.3/metadata"
    answer = requests.get(address, headers={"Origin": origin} if origin else {}, timeout=30)
    assert answer.headers.get("Access-Control-Allow-Origin") == (origin if may else None)
    assert "Origin" in answer.headers["Vary"]


class WhoAsks(Echo):
    """A server that answers with what it is told of the asker."""

    def do_GET(self) -> None:
        said = f"{self.headers['X-User']} {self.headers['Authorization']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


@pytest.mark.skipif(os.name == "nt", reason="made with openssl")
def test_the_api_is_told_who_has_logged_in_and_nothing_else_is_believed() -> None:
    if front.find_nginx() is None:
        pytest.skip("nginx is not installed")
    api = free_port(26300)
    # Started by root, nginx reads as another account, which has no way into the folders of tests.
    with tempfile.TemporaryDirectory() as folder, echo(api, WhoAsks), Services(Path(folder) / "log") as services:
        Path(folder).chmod(0o755)
        users = Path(folder) / "users"
        settings = settings_from(API_PORT=str(api), FRONT_PORT=str(free_port(28300)), VAR_DIR=f"{folder}/var")
        free, claimed = front.start(services, settings), {"X-User": "bruno"}
        assert requests.get(front.url(free), headers=claimed, timeout=30).text == "bruno None"
        services.stop("nginx")
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "secret"], capture_output=True, text=True, check=True
        ).stdout
        users.write_text(f"anna:{hashed}")
        users.chmod(0o644)
        locked = front.url(front.start(services, replace(settings, front_users=users)))
        assert requests.get(locked, headers=claimed, timeout=30).status_code == 401
        assert requests.get(locked, headers=claimed, auth=("anna", "secret"), timeout=30).text == "anna None"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="root alone starts nginx as another account")
def test_users_that_nginx_cannot_read_are_told(tmp_path: Path) -> None:
    if front.find_nginx() is None:
        pytest.skip("nginx is not installed")
    users, api = tmp_path / "users", free_port(26400)
    users.touch(mode=0o600)
    settings = settings_from(API_PORT=str(api), VAR_DIR=str(tmp_path), FRONT_USERS=str(users))
    with echo(api), Services(tmp_path / "log") as services:
        with pytest.raises(front.NoFrontError, match=r"nginx answers 500 .* does not have, not 401: it cannot read"):
            front.start(services, settings)
        assert services.running == []


@pytest.fixture
def https(tmp_path: Path) -> dict[str, str]:
    """The files of https, as empty as the settings need them."""
    files = {"FRONT_CERTIFICATE": tmp_path / "a.pem", "FRONT_KEY": tmp_path / "a.key"}
    for file in files.values():
        file.touch()
    return {key: str(file) for key, file in files.items()}


def test_https_needs_both_files(tmp_path: Path, https: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "find_nginx", lambda: "nginx")
    settings = settings_from(**https)
    front.check(settings)
    text = front.configuration(settings, tmp_path)
    assert re.search(r"listen 127\.0\.0\.1:8080 ssl;", text)
    assert f'ssl_certificate_key "{settings.front_key}";' in text
    assert front.url(settings) == "https://127.0.0.1:8080"
    for wrong in ({"FRONT_KEY": ""}, {"FRONT_CERTIFICATE": ""}, {"FRONT_KEY": str(tmp_path / "none")}):
        (key,) = wrong
        with pytest.raises(ServiceError, match=f"{key} names no file"):
            front.check(settings_from(**https | wrong))


@pytest.mark.parametrize(
    ("environ", "nginx", "words"),
    [
        ({"ORTHANC_URL": "https://archive.example"}, "nginx", "ORTHANC_URL=https://archive.example"),
        ({"ORTHANC_URL": "http://archive.example/orthanc"}, "nginx", "archive.example/orthanc"),
        ({}, None, "nginx is not installed"),
        ({"FRONT_KEY": "/none.key", "ORTHANC_URL": "https://archive.example"}, None, "FRONT_KEY names no file"),
    ],
)
def test_who_asks_for_https_never_gets_http(
    monkeypatch: pytest.MonkeyPatch, https: dict[str, str], environ: dict[str, str], nginx: str | None, words: str
) -> None:
    monkeypatch.setattr(front, "find_nginx", lambda: nginx)
    monkeypatch.setattr(launcher.orthanc, "plan", lambda *_, **__: pytest.fail("nothing is started before"))
    monkeypatch.setattr(launcher, "load_settings", lambda **_: settings_from(**https | environ))
    for start in (lambda: launcher.start(Services(Path("log")), settings_from(**https | environ)), launcher.describe):
        with pytest.raises(ServiceError, match=words):
            start()


@pytest.fixture
def users(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "users").touch()
    return {"FRONT_USERS": str(tmp_path / "users")}


@pytest.mark.parametrize(
    ("environ", "nginx", "words"),
    [
        ({}, None, "asks? for a login, which needs nginx: nginx is not installed"),
        ({"FRONT_USERS": "/none"}, "nginx", "FRONT_USERS names no file: /none"),
        ({"API_HOST": "0.0.0.0"}, "nginx", "others reach it at API_HOST=0.0.0.0: leave API_HOST empty"),
        (
            {"FRONT_HOST": "10.1.2.3"},
            "nginx",
            "cross the network for all to read: give FRONT_CERTIFICATE and FRONT_KEY",
        ),
    ],
)
def test_who_asks_for_a_login_never_goes_without(
    monkeypatch: pytest.MonkeyPatch, users: dict[str, str], environ: dict[str, str], nginx: str | None, words: str
) -> None:
    monkeypatch.setattr(front, "find_nginx", lambda: nginx)
    monkeypatch.setattr(launcher.orthanc, "plan", lambda *_, **__: pytest.fail("nothing is started before"))
    with pytest.raises(ServiceError, match=words):
        launcher.start(Services(Path("log")), settings_from(**users | environ))


@pytest.mark.parametrize("environ", [{}, {"FRONT_HOST": "localhost"}, {"FRONT_HOST": "::1", "API_HOST": "127.0.0.2"}])
def test_on_this_machine_a_login_needs_no_https(
    monkeypatch: pytest.MonkeyPatch, users: dict[str, str], environ: dict[str, str]
) -> None:
    monkeypatch.setattr(front, "find_nginx", lambda: "nginx")
    front.check(settings_from(**users | environ))


def test_on_the_network_a_login_has_https(
    monkeypatch: pytest.MonkeyPatch, users: dict[str, str], https: dict[str, str]
) -> None:
    monkeypatch.setattr(front, "find_nginx", lambda: "nginx")
    settings = settings_from(**users, **https, FRONT_HOST="0.0.0.0")
    front.check(settings)
    assert front.open_to_all(settings) == []


@pytest.mark.parametrize(
    ("environ", "nginx", "open_"),
    [
        ({}, "nginx", []),
        ({"FRONT_HOST": "0.0.0.0"}, "nginx", ["FRONT_HOST=0.0.0.0"]),
        ({"FRONT_HOST": "0.0.0.0"}, None, []),
        (
            {"API_HOST": "metia.hospital.example", "FRONT_HOST": "::"},
            "nginx",
            ["API_HOST=metia.hospital.example", "FRONT_HOST=::"],
        ),
    ],
)
def test_what_is_open_to_the_network_is_named(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], nginx: str | None, open_: list[str]
) -> None:
    monkeypatch.setattr(front, "find_nginx", lambda: nginx)
    settings = settings_from(**environ)
    assert front.open_to_all(settings) == open_
    told = launcher.addresses(settings, "http://localhost:8080", 1.0)[5:]
    assert told == [f"No login: by {one} everybody on the network sees and changes patients' data" for one in open_]


@pytest.mark.parametrize(
    ("orthanc", "nginx", "possible"),
    [
        ("http://127.0.0.1:8042", "/usr/sbin/nginx", True),
        ("http://127.0.0.1:8042", None, False),
        ("https://archive.example", "/usr/sbin/nginx", False),
        ("http://archive.example/orthanc", "/usr/sbin/nginx", False),
    ],
)
def test_it_is_used_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, orthanc: str, nginx: str | None, possible: bool
) -> None:
    monkeypatch.setattr(front, "find_nginx", lambda: nginx)
    assert front.is_possible(settings_from(ORTHANC_URL=orthanc)) is possible


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the launcher says, where an archive answers and whatever it starts in ``tmp_path`` is ready at once."""
    said: list[str] = []
    monkeypatch.setattr(launcher, "say", said.append)
    monkeypatch.setattr(launcher.orthanc, "plan", lambda account, *_, **__: orthanc.Plan("running", account, "", ""))
    monkeypatch.setattr(launcher.ohif, "fetch", lambda *_: None)
    monkeypatch.setattr(launcher, "not_ready", lambda _: lambda: None)
    monkeypatch.setattr(launcher, "ROOT", tmp_path)
    return said


@pytest.mark.skipif(os.name == "nt", reason="stand-ins are shell scripts")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'nginx: [emerg] bind() failed' >&2; exit 1", "ended with status 1.*nginx: \\[emerg\\] bind"),
        ("sleep 60", "nginx was not ready"),
        (None, "No such file"),
    ],
)
def test_without_nginx_the_rest_goes_on_unless_https_is_asked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: list[str],
    https: dict[str, str],
    script: str | None,
    words: str,
) -> None:
    nginx = tmp_path / "stand-in"
    if script is not None:
        nginx.write_text(f"#!/bin/sh\n{script}\n")
        nginx.chmod(0o755)
    monkeypatch.setattr(front, "find_nginx", lambda: str(nginx))
    monkeypatch.setattr(front, "WAIT_SECONDS", 0.5 if script == "sleep 60" else 20.0)
    for program in ("api.py", "jobs.py"):
        (tmp_path / program).write_text("import time; time.sleep(60)")
    with Services(tmp_path / "log") as services:
        free = {"API_PORT": str(free_port(25000)), "VAR_DIR": str(tmp_path)}
        settings, origin = launcher.start(services, settings_from(**free))
        services.check()
        assert [service.name for service in services.running] == ["API", "Worker"]
        with pytest.raises(front.NoFrontError, match=words):
            launcher.start(services, settings_from(**free, **https))
    assert origin == api_url(settings)
    assert f"{origin}/ohif/" in launcher.viewer_url(origin)
    _, line, _ = said  # what is said of the archive, twice
    assert "\n" not in line
    assert re.search(words, line)


def test_another_port_than_the_one_of_the_settings_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr(front, "find_nginx", lambda: "nginx")
    monkeypatch.setattr(front, "start", lambda _, settings: replace(settings, front_port=settings.front_port + 1))
    with socket.create_server(("127.0.0.1", 0)) as server, Services(tmp_path / "log") as services:
        taken = server.getsockname()[1]
        settings, _ = launcher.start(services, settings_from(VAR_DIR=str(tmp_path), API_PORT=str(taken)))
    assert said[1:] == [
        f"API_PORT={taken} is taken by another program; {settings.api_port} is used instead",
        "FRONT_PORT=8080 is taken by another program; 8081 is used instead",
    ]


def test_nginx_is_asked_for_nothing_that_older_ones_do_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ubuntu 22.04 has 1.18; ``-e`` came with 1.19.5."""
    commands: list[list[str]] = []
    services = Services(tmp_path)
    monkeypatch.setattr(front, "find_nginx", lambda: "nginx")
    monkeypatch.setattr(services, "start", lambda _, command, *__: commands.append(command))
    monkeypatch.setattr(services, "wait_for", lambda *_: None)
    front.start(services, settings_from(VAR_DIR=str(tmp_path)))
    assert {word for word in commands[0] if word.startswith("-")} == {"-p", "-c", "-g"}


@pytest.mark.parametrize(
    ("listening", "listen", "asked"),
    [
        ("0.0.0.0", "0.0.0.0", "127.0.0.1"),
        ("10.1.2.3", "10.1.2.3", "10.1.2.3"),
        ("metia.hospital.example", "metia.hospital.example", "metia.hospital.example"),
        ("::", "[::]", "[::1]"),
        ("fd00::12", "[fd00::12]", "[fd00::12]"),
        ("[fd00::12]", "[fd00::12]", "[fd00::12]"),
    ],
)
def test_the_address_is_one_that_can_be_reached(tmp_path: Path, listening: str, listen: str, asked: str) -> None:
    settings = settings_from(
        FRONT_HOST=listening, FRONT_PORT="81", API_HOST=listening, ORTHANC_URL=f"http://{asked}:8043"
    )
    assert front.url(settings) == f"http://{asked}:81"
    assert api_url(settings) == f"http://{asked}:5000"
    text = front.configuration(settings, tmp_path)
    assert f" listen {listen}:81;" in text
    assert f" server {asked}:5000;" in text
    assert f" server {asked}:8043;" in text
