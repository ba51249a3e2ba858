"""When the requirements are installed again, and that asking for help or a dry run installs nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from services import bootstrap


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    (tmp_path / "requirements.txt").write_text("flask==1\n", encoding="utf-8")
    (tmp_path / "requirements-dev.txt").write_text("# tools\n-r requirements.txt\npytest==1\n", encoding="utf-8")
    return tmp_path


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
