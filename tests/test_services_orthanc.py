"""Which Orthanc the launcher takes, in which order."""

from pathlib import Path

import pytest

from services import orthanc
from services.orthanc import Account, plan
from services.processes import ServiceError

WANTED = Account("http://127.0.0.1:8042", "metia", "secret")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bool]:
    """A machine of which each way to get Orthanc can be switched on."""
    has = {"answer": False, "installed": False, "plugin": True, "apt": False, "root": True, "docker": False}
    programs = {"apt-get": "apt", "docker": "docker"}
    monkeypatch.setattr(Account, "missing", lambda self: None if has["answer"] else "401")
    monkeypatch.setattr(orthanc, "find_executable", lambda: Path("/usr/sbin/Orthanc") if has["installed"] else None)
    monkeypatch.setattr(orthanc, "find_plugin", lambda _: tmp_path if has["plugin"] else None)
    monkeypatch.setattr(orthanc.shutil, "which", lambda name: name if has[programs[name]] else None)
    monkeypatch.setattr(orthanc.os, "geteuid", lambda: 0 if has["root"] else 1000, raising=False)
    monkeypatch.setattr(orthanc, "_succeeds", lambda *command: has["docker"])
    monkeypatch.setattr(orthanc, "free_port", lambda port: port + 1)
    return has


def test_each_way_in_its_turn(machine: dict[str, bool]) -> None:
    machine.update(answer=True, installed=True, apt=True, docker=True)
    assert plan(WANTED).way == "running"
    machine["answer"] = False
    assert plan(WANTED).way == "installed"
    machine["installed"] = False
    assert plan(WANTED).way == "apt"
    machine["root"] = False
    assert plan(WANTED).way == "docker"
    machine["docker"] = False
    with pytest.raises(ServiceError, match=r"sudo apt-get install orthanc .*ORTHANC_URL"):
        plan(WANTED)


def test_a_running_one_keeps_its_address_and_an_own_one_avoids_a_taken_port(machine: dict[str, bool]) -> None:
    machine.update(answer=True, installed=True)
    assert plan(WANTED).account == WANTED
    machine["answer"] = False
    chosen = plan(WANTED)
    assert chosen.account == Account("http://127.0.0.1:8043", "metia", "secret")
    assert "8042 is taken: 401" in chosen.words


def test_never_replaces_an_orthanc_on_another_machine(machine: dict[str, bool]) -> None:
    machine["installed"] = True
    with pytest.raises(ServiceError, match="another machine"):
        plan(Account("http://pacs.example:8042", "metia", "secret"))


def test_an_installation_without_the_plugin_is_named(machine: dict[str, bool]) -> None:
    machine.update(installed=True, plugin=False)
    with pytest.raises(ServiceError, match="no DICOMweb plugin"):
        plan(WANTED)


def test_an_own_orthanc_needs_a_password(machine: dict[str, bool]) -> None:
    machine["installed"] = True
    with pytest.raises(ServiceError, match="ORTHANC_PASSWORD"):
        plan(Account("http://127.0.0.1:8042", "metia", ""))
