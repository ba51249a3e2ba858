"""The .env that a first start writes."""

import stat
import sys
from pathlib import Path

import pytest

from services.environment import prepare
from settings import ROOT, load_settings


def test_writes_every_key_and_a_password_only_its_owner_can_read(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    assert prepare(env, ROOT / ".env.example")
    settings = load_settings({}, env)
    assert len(settings.orthanc_password) >= 32
    assert settings.orthanc_username == "metia"
    example = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    written = env.read_text(encoding="utf-8").splitlines()
    assert [line for line in written if line not in example] == [f"ORTHANC_PASSWORD={settings.orthanc_password}"]
    if sys.platform != "win32":
        assert stat.S_IMODE(env.stat().st_mode) == 0o600


def test_each_machine_gets_its_own_password(tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare(tmp_path / name, ROOT / ".env.example")
    assert (tmp_path / "one").read_text(encoding="utf-8") != (tmp_path / "two").read_text(encoding="utf-8")


def test_what_an_existing_file_says_is_left_alone_and_nobody_else_reads_it(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("ORTHANC_PASSWORD=\n", encoding="utf-8")
    env.chmod(0o644)  # as a copy of .env.example is
    assert not prepare(env, ROOT / ".env.example")
    assert env.read_text(encoding="utf-8") == "ORTHANC_PASSWORD=\n"
    if sys.platform != "win32":
        assert stat.S_IMODE(env.stat().st_mode) == 0o600


def test_an_example_without_the_key_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "example").write_text("API_PORT=5000\n", encoding="utf-8")
    with pytest.raises(ValueError, match="ORTHANC_PASSWORD"):
        prepare(tmp_path / ".env", tmp_path / "example")
    assert not (tmp_path / ".env").exists()
