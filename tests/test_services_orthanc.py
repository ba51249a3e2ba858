"""Which Orthanc the launcher takes, in which order."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from services import known_archive, orthanc
from services.known_archive import KnownArchive
from services.orthanc import OWN, Account, Plan, plan
from services.processes import ServiceError, Services

WANTED = Account("http://127.0.0.1:8042", "metia", "secret")
OURS = KnownArchive(OWN, WANTED.digest)
THEIRS = KnownArchive(WANTED.url, WANTED.digest)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bool]:
    """A machine of which each way to get Orthanc can be switched on."""
    has = {"answer": False, "named": False, "taken": False}
    has |= {"installed": False, "plugin": True, "apt": False, "root": True, "docker": False}
    programs = {"apt-get": "apt", "docker": "docker"}
    monkeypatch.setattr(Account, "missing", lambda self: None if has["answer"] else "401")
    monkeypatch.setattr(Account, "name", lambda _: "MetIA" if has["named"] else "Orthanc")
    monkeypatch.setattr(orthanc, "find_executable", lambda: Path("/usr/sbin/Orthanc") if has["installed"] else None)
    monkeypatch.setattr(orthanc, "find_plugin", lambda _: tmp_path if has["plugin"] else None)
    monkeypatch.setattr(orthanc.shutil, "which", lambda name: name if has[programs[name]] else None)
    monkeypatch.setattr(orthanc.os, "geteuid", lambda: 0 if has["root"] else 1000, raising=False)
    monkeypatch.setattr(orthanc, "_succeeds", lambda *command: has["docker"])
    monkeypatch.setattr(orthanc, "free_port", lambda port: port + 1 if has["answer"] or has["taken"] else port)
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


def test_a_running_one_keeps_its_address(machine: dict[str, bool]) -> None:
    machine.update(answer=True, installed=True)
    chosen = plan(WANTED)
    assert (chosen.account, chosen.place) == (WANTED, WANTED.url)


def test_whoever_refuses_the_password_may_be_the_archive_that_is_meant(machine: dict[str, bool]) -> None:
    machine.update(taken=True, installed=True)
    changed = KnownArchive(OWN, replace(WANTED, password="former").digest)
    for known in (known_archive.NOTHING, KnownArchive(OWN), changed, THEIRS):
        with pytest.raises(ServiceError, match=r"8042.*taken.*401.*ORTHANC_USERNAME and ORTHANC_PASSWORD.*8043") as met:
            plan(WANTED, known)
        assert "secret" not in str(met.value)


def test_an_own_one_avoids_a_port_that_nobody_else_was_meant_by(machine: dict[str, bool]) -> None:
    machine.update(taken=True, installed=True)
    for chosen in (plan(WANTED, generated=True), plan(WANTED, OURS)):
        assert chosen.account == Account("http://127.0.0.1:8043", "metia", "secret")
        assert chosen.place == OWN
        assert "8042 is taken: 401" in chosen.words


def test_none_of_our_own_takes_the_place_of_one_that_is_down(machine: dict[str, bool]) -> None:
    machine["installed"] = True
    assert plan(WANTED).account == WANTED
    assert plan(WANTED, KnownArchive(OWN, "of another password")).account == WANTED
    for known in (THEIRS, KnownArchive(orthanc.PLACES["docker"], WANTED.digest)):
        with pytest.raises(ServiceError, match=f"images in {re.escape(known.place)}.*401.*archive.txt"):
            plan(WANTED, known)


def test_what_answers_is_our_own_by_its_name_and_our_password(machine: dict[str, bool]) -> None:
    machine.update(answer=True, installed=True, named=True)
    for known in (OURS, KnownArchive(OWN)):
        chosen = plan(WANTED, known)
        assert (chosen.way, chosen.account, chosen.place) == ("running", WANTED, OWN)
    elsewhere = replace(WANTED, password="another's")
    for known in (OURS, THEIRS):
        assert plan(elsewhere, known).place == WANTED.url


def test_one_that_asks_for_no_password_does_not_take_the_place_of_our_own(machine: dict[str, bool]) -> None:
    """Debian's package starts one on the same port, which answers whatever password it gets."""
    machine.update(answer=True, installed=True)
    chosen = plan(WANTED, OURS)
    assert (chosen.account.port, chosen.place) == (8043, OWN)
    assert "named 'Orthanc'" in chosen.words
    assert plan(WANTED, KnownArchive(OWN)).account == WANTED


def test_what_was_noted_is_known_and_shows_no_password(tmp_path: Path) -> None:
    assert known_archive.read(tmp_path / "none", OWN) == known_archive.NOTHING
    (tmp_path / "orthanc").mkdir()
    assert known_archive.read(tmp_path, OWN) == KnownArchive(OWN)
    known_archive.note(tmp_path, THEIRS)
    assert known_archive.read(tmp_path, OWN) == THEIRS
    assert "secret" not in (tmp_path / known_archive.FILE).read_text(encoding="utf-8")


def test_our_own_has_the_name_it_is_known_by() -> None:
    lines = orthanc.CONFIGURATION.read_text(encoding="utf-8").splitlines()
    assert f'  "Name": {json.dumps(orthanc.NAME)},' in lines


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


def test_any_password_stands_in_the_configuration_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Orthanc and docker-compose put what the environment has between quotes, as it is."""
    password = 'pä"s\\s ${HOME}'
    given: list[dict[str, str]] = []
    monkeypatch.setattr(orthanc, "_run", lambda _command, _log, environment: given.append(environment))
    monkeypatch.setattr(orthanc.subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(Account, "missing", lambda _: None)
    chosen = Plan("docker", replace(WANTED, password=password), "", "")
    with Services(tmp_path) as services:
        orthanc.carry_out(chosen, services, tmp_path, lambda _: None)
    (environment,) = given
    assert json.loads(f'"{environment["ORTHANC_PASSWORD"]}"') == password
    assert "$" not in environment["ORTHANC_PASSWORD"]
