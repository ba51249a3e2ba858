"""When the requirements are installed again, that help and a dry run install nothing, and that versions are fixed."""

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from services import bootstrap

NOT_OURS = ("cuda-", "nvidia-", "triton", "setuptools")
"""Beginnings of the names of packages that torch itself names exactly, where it is a build for GPUs; Python's own."""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    (tmp_path / "requirements.txt").write_text("flask==1\n", encoding="utf-8")
    (tmp_path / "requirements-dev.txt").write_text("# tools\n-r requirements.txt\npytest==1\n", encoding="utf-8")
    return tmp_path


def lines_of(name: str) -> list[Requirement]:
    """Give what a requirements file of the project names, for this system and Python."""
    lines = (Path(__file__).parent.parent / name).read_text(encoding="utf-8").splitlines()
    named = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return [one for one in named if one.marker is None or one.marker.evaluate()]


def brought_along(requirements: list[Requirement]) -> set[str]:
    """Give the names of the installed packages that these need, they themselves among them."""
    found: set[tuple[str, str]] = set()
    waiting = [(one.name, extra) for one in requirements for extra in ("", *one.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (canonicalize_name(name), extra) in found:
            continue
        found.add((canonicalize_name(name), extra))
        for needed in map(Requirement, distribution(name).requires or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed.name, of) for of in ("", *needed.extras)]
    return {name for name, _ in found}


def pretend_installed(requirements: Path) -> None:
    bootstrap.venv_python().parent.mkdir(parents=True, exist_ok=True)
    bootstrap.venv_python().touch()
    bootstrap.marker(requirements).write_text(bootstrap.digest(requirements), encoding="utf-8")


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_installs_again_only_when_a_requirement_changed(checkout: Path, name: str) -> None:
    requirements = checkout / name
    assert not bootstrap.is_ready(requirements)
    pretend_installed(requirements)
    assert bootstrap.is_ready(requirements)
    (checkout / "requirements.txt").write_text("flask==2\n", encoding="utf-8")
    assert not bootstrap.is_ready(requirements)


def test_installs_again_when_a_version_of_what_comes_along_changed(checkout: Path) -> None:
    requirements = checkout / "requirements.txt"
    requirements.write_text("-c constraints.txt\nflask==1\n", encoding="utf-8")
    (checkout / "constraints.txt").write_text("click==1\n", encoding="utf-8")
    pretend_installed(requirements)
    assert bootstrap.is_ready(requirements)
    (checkout / "constraints.txt").write_text("click==2\n", encoding="utf-8")
    assert not bootstrap.is_ready(requirements)


def test_every_version_is_fixed_and_is_the_one_tested() -> None:
    direct = [one for kind in ("", "-servers", "-dev") for one in lines_of(f"requirements{kind}.txt")]
    fixed = {canonicalize_name(one.name): str(one.specifier) for one in [*direct, *lines_of("constraints.txt")]}
    needed = {name for name in brought_along(direct) if not name.startswith(NOT_OURS)}
    assert fixed == {name: f"=={distribution(name).version.partition('+')[0]}" for name in needed}


def test_installs_again_for_another_python(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution's upgrade leaves a .venv whose interpreter is there, and finds nothing that was installed."""
    requirements = checkout / "requirements.txt"
    pretend_installed(requirements)
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert not bootstrap.is_ready(requirements)


def test_a_dry_run_on_a_fresh_machine_changes_nothing(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(checkout.iterdir())
    assert bootstrap.main(["--dry-run"]) == 0
    assert "would make" in capsys.readouterr().out
    assert sorted(checkout.iterdir()) == before


def test_a_failed_installation_is_not_remembered(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_has_pip", lambda: True)
    monkeypatch.setattr(bootstrap, "venv_python", lambda: Path("false"))
    assert bootstrap.main(["--prepare", "requirements.txt"]) == 1
    assert not bootstrap.marker(checkout / "requirements.txt").exists()


def test_help_shows_examples_and_needs_nothing_installed() -> None:
    script = [sys.executable, "-I", "-S", str(Path(bootstrap.__file__)), "--help"]
    shown = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert "start_services --demo --stop" in shown
