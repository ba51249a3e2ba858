"""Compiled networks are whole or not there, and stay as long as somebody uses them."""

import os
import time
from pathlib import Path

import pytest

from unetr.engines import kept
from unetr.engines.engine import key_of

DAY = 86_400.0


def file(folder: Path, name: str, days: float) -> Path:
    """A file last used so many days ago."""
    path = folder / name
    path.write_bytes(b"network")
    os.utime(path, (time.time() - days * DAY,) * 2)
    return path


def test_what_nobody_has_used_for_long_is_removed(tmp_path):
    used, unused, cut_off, being_written = (key_of(number) for number in range(4))
    gone = [file(tmp_path, f"{unused}.blob", 31), file(tmp_path, f"{cut_off}.4711", 31)]
    stay = [
        file(tmp_path, f"{used}.blob", 29),
        file(tmp_path, f"{being_written}.4712", 0),
        file(tmp_path, f"{unused}.json", 400),  # a measurement: small
        file(tmp_path, "mine.blob", 400),
        file(tmp_path, "README.md", 400),
    ]
    kept.remove_unused(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(stay)
    assert not any(path.exists() for path in gone)


def test_what_another_process_removes_first_is_no_error(tmp_path, monkeypatch):
    path = file(tmp_path, f"{key_of(1)}.blob", 31)

    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "unlink", gone)
    kept.remove_unused(tmp_path)
    assert path.exists()


def test_use_keeps_a_file_and_is_noted_once_a_day(tmp_path, monkeypatch):
    path, now = file(tmp_path, f"{key_of(1)}.blob", 400), [0.0]
    monkeypatch.setattr(kept.time, "monotonic", lambda: now[0])
    use = kept.Use(path)
    use.note()
    kept.remove_unused(tmp_path)
    assert path.exists()
    for hours, noted in ((1, False), (25, True)):
        file(tmp_path, path.name, 400)
        now[0] = hours * 3600.0
        use.note()
        assert (time.time() - path.stat().st_mtime < DAY) == noted
    path.unlink()
    now[0] += 2 * DAY
    use.note()
    assert not path.exists()


def test_a_full_disk_costs_a_warning_and_leaves_nothing(tmp_path, monkeypatch, caplog):
    path, write = tmp_path / "engines" / f"{key_of(1)}.blob", Path.write_bytes

    def full(self: Path, content: memoryview) -> int:
        write(self, bytes(content)[:2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        kept.keep(path, b"network")
    assert "No space left on device" in caplog.text
    assert list(path.parent.iterdir()) == []
    kept.keep(path, b"network")
    assert [one.read_bytes() for one in path.parent.iterdir()] == [b"network"]


@pytest.mark.parametrize("pid", [os.getpid()])
def test_a_part_is_named_as_what_is_removed(tmp_path, monkeypatch, pid):
    monkeypatch.setattr(Path, "replace", lambda *_: None)  # killed just before
    kept.keep(tmp_path / f"{key_of(1)}.blob", b"network")
    (part,) = tmp_path.iterdir()
    os.utime(part, (0, 0))
    kept.remove_unused(tmp_path)
    assert not part.exists()
