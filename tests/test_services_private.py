"""What others on the machine may see of patients: nothing, whoever made the folder, and in whatever order."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import api
from services import launcher, private
from services.private import keep_private
from services.processes import ServiceError
from settings import ROOT, Settings, SettingsError, load_settings
from tests.store_factory import new_database, new_worker

pytestmark = pytest.mark.skipif(os.name == "nt", reason="modes as on Linux and macOS")


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def settings_in(folder: Path, **environ: str) -> Settings:
    return load_settings({"VAR_DIR": str(folder)} | environ, None)


def open_to_others(folder: Path) -> list[str]:
    """Names below a folder that its owner alone should be able to reach, and others can."""
    if not stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return []
    return [path.name for path in sorted(folder.iterdir()) if stat.S_IMODE(path.stat().st_mode) & 0o077]


def test_a_new_folder_and_what_is_written_into_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "var"
    keep_private(settings_in(folder))
    (folder / "metia.db").touch()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "metia.db").stat().st_mode) == 0o600


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    new_worker(new_database(tmp_path))  # leaves the database's other files
    (tmp_path / "queue.db").touch()
    for name in ("log", "ohif-scratch", "lost+found"):
        (tmp_path / name).mkdir()
    for path in (tmp_path, *tmp_path.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    keep_private(settings_in(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o700
    for path in (*tmp_path.glob("metia.db*"), tmp_path / "queue.db"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_is_shared_stays_open_and_the_database_in_it_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o755)
    for name in ("metia.db", "somebody's notes"):
        (tmp_path / name).touch(mode=0o644)
    keep_private(settings_in(tmp_path))
    assert open_to_others(tmp_path) == ["somebody's notes"]
    assert f"VAR_DIR={tmp_path} can be looked into by others" in caplog.text
    assert "it holds somebody's notes" in caplog.text


def test_what_is_anothers_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    keep_private(settings_in(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_folder_that_cannot_be_had_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (Path("/proc/none/var"), tmp_path / "file", tmp_path / "file" / "var"):
        with pytest.raises(SettingsError, match=f"VAR_DIR={folder} cannot be used: "):
            keep_private(settings_in(folder))


@pytest.mark.parametrize("amiss", ["var", ".env", ".env's encoding"])
def test_the_launcher_says_in_one_line_what_is_amiss_with_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], amiss: str
) -> None:
    env, var = tmp_path / ".env", tmp_path / "var"
    if amiss == "var":
        var.touch()
    elif amiss == ".env":
        env = tmp_path / "none" / ".env"
    else:
        env.write_bytes("# Einstellungen\n# für Müller\n".encode("latin-1"))
    monkeypatch.setattr(launcher, "ENV", env)
    monkeypatch.setattr(launcher, "obey_interrupts", lambda: None)
    monkeypatch.setattr(launcher, "start", lambda *_: pytest.fail("nothing is started"))
    monkeypatch.setenv("VAR_DIR", str(var))
    assert launcher.main([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(var if amiss == "var" else env) in line
    assert ("line 2" in line) is (amiss == ".env's encoding")


def test_a_database_is_closed_whoever_makes_it(tmp_path: Path) -> None:
    """The API too, started by hand, and where it is not in VAR_DIR."""
    folder = tmp_path / "elsewhere"
    url = f"sqlite:///{folder.as_posix()}/metia.db"
    code = "import sys; from BDD import migrate; migrate.upgrade(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, url], cwd=ROOT, check=True, umask=0o022)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "metia.db").stat().st_mode) == 0o600


def test_the_api_alone_keeps_it_private_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    var = tmp_path / "deep" / "var"
    (tmp_path / ".env").write_text("ORTHANC_PASSWORD=secret\n", encoding="utf-8")
    monkeypatch.setattr(private, "ROOT", tmp_path)
    monkeypatch.setattr(api, "load_settings", lambda: settings_in(var))
    monkeypatch.setattr(api.BaseWSGIServer, "channel_class", api.BaseWSGIServer.channel_class)
    monkeypatch.setattr(api.waitress, "serve", lambda *_, **__: None)
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert api.main() == 0
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / ".env", var, *var.iterdir())}
    assert {".env", "var", "metia.db", "queue.db"} <= set(names)
    assert not [name for name, mode in names.items() if mode & 0o077]


def test_the_launcher_closes_it_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def start(*_: object) -> None:
        seen.extend(stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "var", *(tmp_path / "var").iterdir()))
        raise KeyboardInterrupt

    monkeypatch.setattr(launcher, "ENV", tmp_path / ".env")
    monkeypatch.setattr(launcher, "start", start)
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))
    monkeypatch.setattr(launcher, "obey_interrupts", lambda: None)
    launcher.main([])
    assert seen
    assert not [mode for mode in seen if mode & 0o077]


def test_what_the_launcher_says_is_kept_and_for_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[BaseException] = [ServiceError("Worker ended with status -9"), KeyboardInterrupt()]

    def start(*_: object) -> None:
        launcher.say("Archive: a test's")
        raise ends.pop(0)

    monkeypatch.setattr(launcher, "ENV", tmp_path / ".env")
    monkeypatch.setattr(launcher, "start", start)
    monkeypatch.setattr(launcher, "obey_interrupts", lambda: None)
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))
    assert [launcher.main([]), launcher.main([])] == [1, launcher.INTERRUPTED]
    first, second = (tmp_path / "var" / "log" / name for name in ("launcher.log.1", "launcher.log"))
    assert "Archive: a test's" in first.read_text(encoding="utf-8")
    assert first.read_text(encoding="utf-8").endswith(" ERROR launcher: Worker ended with status -9\n")
    assert second.read_text(encoding="utf-8").endswith("ended by Ctrl-C or a signal\n")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (first.parent, first, second)] == [0o700, 0o600, 0o600]
