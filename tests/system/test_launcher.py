"""The launcher with the real Orthanc, and stand-ins for the API and the worker that are quick to start."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from services.front import find_nginx
from services.orthanc import Account, start
from services.processes import Services, free_port
from settings import ROOT, load_settings
from tests.system.conftest import RunningOrthanc

pytestmark = [
    pytest.mark.system,
    pytest.mark.usefixtures("orthanc"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals as on Linux and macOS"),
]

API = """
import http.server, os
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if os.path.exists("worker") else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["API_PORT"])), Ready).serve_forever()
"""
WORKER = """
import os, pathlib, time
pathlib.Path("worker").write_text(os.environ["ORTHANC_URL"])
while not os.path.exists("die"):
    time.sleep(0.05)
print("the model file is truncated")
raise SystemExit(2)
"""
LAUNCH = """
import sys, pathlib
from services import launcher
root = pathlib.Path(sys.argv[1])
launcher.ROOT, launcher.ENV = root, root / ".env"
sys.exit(launcher.main(sys.argv[2:]))
"""


class Site:
    """A checkout's worth of files in a temporary folder, and launchers run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.orthanc_port, self.api_port, self.front_port = free_port(28042), free_port(25000), free_port(28080)
        self.launchers: list[subprocess.Popen[str]] = []
        (folder / "api.py").write_text(API, encoding="utf-8")
        (folder / "jobs.py").write_text(WORKER, encoding="utf-8")
        (folder / "ohif").mkdir()
        (folder / "ohif" / "index.html").write_text("a viewer of the site's own", encoding="utf-8")

    def launch(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "ORTHANC_URL": f"http://127.0.0.1:{self.orthanc_port}",
            "API_PORT": str(self.api_port),
            "FRONT_PORT": str(self.front_port),
            "OHIF_DIR": str(self.folder / "ohif"),
            "VAR_DIR": str(self.folder / "var"),
        }
        launcher = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(self.folder), *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.launchers.append(launcher)
        return launcher

    def read_until(self, launcher: subprocess.Popen[str], words: str) -> str:
        assert launcher.stdout is not None
        seen = ""
        for line in launcher.stdout:
            seen += line
            if words in line:
                return seen
        raise AssertionError(f"{words!r} never came: {seen}")

    def is_silent(self) -> bool:
        """Nothing listens on any of our ports any more."""
        for port in (self.orthanc_port, self.api_port, self.front_port):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return False
        return True


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for launcher in site.launchers:
        if launcher.poll() is None:
            launcher.terminate()
        launcher.communicate(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_starts_all_and_ends_all(site: Site, number: signal.Signals) -> None:
    launcher = site.launch()
    shown = site.read_until(launcher, "Ctrl-C")
    assert f"http://127.0.0.1:{site.api_port}" in shown
    assert "\x1b" not in shown
    (viewer,) = [line.split()[1] for line in shown.splitlines() if line.split()[:1] == ["Viewer"]]
    assert viewer == f"http://127.0.0.1:{site.front_port if find_nginx() else site.api_port}/ohif/"
    assert requests.get(viewer, timeout=5).ok
    settings = load_settings({}, site.folder / ".env")
    account = Account(f"http://127.0.0.1:{site.orthanc_port}", settings.orthanc_username, settings.orthanc_password)
    assert account.missing() is None
    assert settings.orthanc_password not in shown
    launcher.send_signal(number)
    launcher.communicate(timeout=30)
    assert launcher.returncode == 0
    assert site.is_silent()


def test_a_killed_launcher_leaves_nothing_behind(site: Site) -> None:
    launcher = site.launch()
    site.read_until(launcher, "Ctrl-C")
    launcher.kill()
    launcher.wait()
    give_up = time.monotonic() + 20
    while sys.platform == "linux" and not site.is_silent():
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_a_second_launcher_is_refused(site: Site) -> None:
    site.read_until(site.launch(), "Ctrl-C")
    second = site.launch()
    output, _ = second.communicate(timeout=30)
    assert second.returncode == 1
    assert "already running" in output


def test_a_worker_that_cannot_work_ends_everything_and_says_why(site: Site) -> None:
    launcher = site.launch()
    site.read_until(launcher, "Ctrl-C")
    (site.folder / "die").touch()
    output, _ = launcher.communicate(timeout=30)
    assert launcher.returncode == 1
    assert "Worker ended with status 2" in output
    assert "the model file is truncated" in output
    assert site.is_silent()


def test_passes_by_ports_that_something_else_has(site: Site) -> None:
    taken = [socket.create_server(("127.0.0.1", port)) for port in (site.orthanc_port, site.api_port)]
    launcher = site.launch()
    shown = site.read_until(launcher, "Ctrl-C")
    _, _, addresses = shown.partition("MetIA server is ready")
    assert f"http://127.0.0.1:{site.api_port}" not in addresses
    assert f"http://127.0.0.1:{site.orthanc_port}" not in addresses
    assert (site.folder / "worker").read_text(encoding="utf-8") in addresses
    assert f"port {site.orthanc_port} is taken" in shown
    launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=30)
    assert "is taken" in site.read_until(site.launch(), "Ctrl-C"), "it is our own archive the second time, too"
    for server in taken:
        server.close()


def test_a_wrong_password_starts_no_other_archive(site: Site, orthanc: RunningOrthanc) -> None:
    site.orthanc_port = int(orthanc.url.rpartition(":")[2])
    env = site.folder / ".env"
    env.write_text(f"ORTHANC_USERNAME={orthanc.username}\nORTHANC_PASSWORD=mistyped\n", encoding="utf-8")
    launcher = site.launch()
    output, _ = launcher.communicate(timeout=30)
    assert launcher.returncode == 1
    assert "check ORTHANC_USERNAME and ORTHANC_PASSWORD" in output
    assert "mistyped" not in output
    assert not (site.folder / "var" / "orthanc").exists()


def test_no_other_archive_is_started_while_the_one_in_use_is_down(site: Site, orthanc: RunningOrthanc) -> None:
    ours, site.orthanc_port = site.orthanc_port, int(orthanc.url.rpartition(":")[2])
    login = f"ORTHANC_USERNAME={orthanc.username}\nORTHANC_PASSWORD={orthanc.password}\n"
    (site.folder / ".env").write_text(login, encoding="utf-8")
    launcher = site.launch()
    site.read_until(launcher, "Ctrl-C")
    launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=30)
    site.orthanc_port = ours
    launcher = site.launch()
    output, _ = launcher.communicate(timeout=30)
    assert launcher.returncode == 1
    assert f"belong to the images in {orthanc.url}" in output
    assert not (site.folder / "var" / "orthanc").exists()


def test_goes_on_with_its_own_orthanc_of_a_start_that_was_killed(site: Site) -> None:
    launcher = site.launch()
    site.read_until(launcher, "Ctrl-C")
    launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=30)
    settings = load_settings({}, site.folder / ".env")
    account = Account(f"http://127.0.0.1:{site.orthanc_port}", settings.orthanc_username, settings.orthanc_password)
    with Services(site.folder / "left") as services:
        start(services, account, site.folder / "var" / "orthanc")
        launcher = site.launch()
        assert "our own of an earlier start" in site.read_until(launcher, "Ctrl-C")
        launcher.send_signal(signal.SIGINT)
        launcher.communicate(timeout=30)
    launcher = site.launch()
    assert f"Orthanc on port {site.orthanc_port}" in site.read_until(launcher, "Ctrl-C")


def test_uses_an_orthanc_that_answers_and_leaves_it_running(site: Site, orthanc: RunningOrthanc) -> None:
    site.orthanc_port = int(orthanc.url.rpartition(":")[2])
    login = f"ORTHANC_USERNAME={orthanc.username}\nORTHANC_PASSWORD={orthanc.password}\n"
    (site.folder / ".env").write_text(login, encoding="utf-8")
    launcher = site.launch()
    assert orthanc.url in site.read_until(launcher, "Ctrl-C")
    launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=30)
    assert orthanc.archive.check().startswith("Orthanc")
    assert not (site.folder / "var" / "orthanc").exists()


def test_an_own_orthanc_takes_any_password_and_any_folder(tmp_path: Path) -> None:
    account = Account(f"http://127.0.0.1:{free_port(28042)}", 'me"tia', 'pä"s\\s ${HOME}')
    storage = tmp_path / 'Klinik "Süd" \\neu' / "orthanc"
    with Services(tmp_path / "log") as services:
        start(services, account, storage)
        assert account.missing() is None
    assert (storage / "index").is_file()


def test_a_dry_run_starts_and_writes_nothing(site: Site) -> None:
    launcher = site.launch("--dry-run")
    output, _ = launcher.communicate(timeout=30)
    assert launcher.returncode == 0
    assert "would write" in output
    assert f"Orthanc on port {site.orthanc_port}" in output
    assert not (site.folder / ".env").exists()
    assert not (site.folder / "var").exists()
