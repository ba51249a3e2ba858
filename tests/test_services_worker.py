"""The worker process: who is alive, and what stops a start."""

import errno
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from BDD import migrate, store
from BDD.models import Worker
from BDD.worker_store import SILENT_SECONDS
from services import outages, worker
from services.processes import WRONG_SETTINGS
from settings import ROOT, load_settings

FULL_DISK = OSError(errno.ENOSPC, "No space left on device")
FULL_SQLITE = sqlite3.OperationalError("database or disk is full")
FULL_SQLITE.sqlite_errorcode = sqlite3.SQLITE_FULL


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_processes() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert worker._is_running(os.getpid())
    assert not worker._is_running(gone.pid) or os.name == "nt"


def test_the_heart_goes_on_when_a_beat_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.01)
    beats: list[int] = []
    enough = threading.Event()

    def duty() -> None:
        beats.append(1)
        if len(beats) == 3:
            enough.set()
        raise RuntimeError("the database is down")

    worker._repeat("heartbeat", duty, enough).join(60)
    assert len(beats) == 3


def test_the_heart_beats_while_the_queue_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(worker, "END_SECONDS", 0.01)
    settings = load_settings({"VAR_DIR": str(tmp_path)}, None)
    hangs, beats, over = threading.Event(), threading.Event(), threading.Event()
    seen = store.worker_seen

    def worker_seen(database: store.Database, number: int) -> None:
        seen(database, number)
        if hangs.is_set():
            beats.set()

    class Stub:
        queue = None

        def __init__(self, *_: object) -> None:
            self.started = False

        def recover(self) -> None:
            if self.started:
                hangs.set()
                over.wait(60)
            self.started = True

        def tidy(self) -> None:
            pass

        def work(self) -> None:
            assert hangs.wait(60)
            assert beats.wait(5)

    monkeypatch.setattr(store, "worker_seen", worker_seen)
    monkeypatch.setattr(worker, "Models", lambda *_: None)
    monkeypatch.setattr(worker, "Worker", Stub)
    try:
        assert worker.work(settings) == 0
    finally:
        over.set()


def test_a_predecessor_that_falls_silent_after_the_start_is_buried_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died a moment ago: at the start it could still be a worker that lives."""
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.01)
    settings = load_settings({"VAR_DIR": str(tmp_path)}, None)
    database = migrate.open_newest(settings.database_url)
    before = store.worker_started(database, pid=os.getpid())

    def is_buried() -> bool:
        return before not in {row.id for row in store.live_workers(database)}

    def work() -> None:
        assert not is_buried()
        with database.writing() as session:
            session.get_one(Worker, before).seen_at -= timedelta(seconds=SILENT_SECONDS + 1)
        until = time.monotonic() + 5
        while not is_buried():
            assert time.monotonic() < until
            time.sleep(0.01)

    monkeypatch.setattr(worker, "Models", lambda *_: None)
    monkeypatch.setattr(worker, "Worker", lambda *_: MagicMock(work=work))
    assert worker.work(settings) == 0


@pytest.mark.parametrize(("setting", "kept"), [("0", None), ("1", 7)])
def test_a_worker_that_starts_without_auto_segment_forgets_how_far_the_log_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, kept: int | None
) -> None:
    settings = load_settings({"VAR_DIR": str(tmp_path), "AUTO_SEGMENT": setting}, None)
    database = migrate.open_newest(settings.database_url)
    store.begin_log(database, settings.orthanc_url, 7)
    monkeypatch.setattr(worker, "Models", lambda *_: None)
    monkeypatch.setattr(worker, "Worker", lambda *_: MagicMock())
    monkeypatch.setattr(worker.AutoRouter, "run", lambda *_: None)
    assert worker.work(settings) == 0
    assert store.log_position(database, settings.orthanc_url) == kept


def test_trouble_is_told_once_and_its_end_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.01)
    enough = threading.Event()
    away, fault = ConnectionRefusedError("the queue is away"), RuntimeError("a fault of ours")
    troubles = [None, away, away, None, None, fault, fault, None]

    def duty() -> None:
        trouble = troubles.pop(0)
        if not troubles:
            enough.set()
        if trouble:
            raise trouble

    worker._repeat("heartbeat", duty, enough).join(60)
    assert [record.getMessage() for record in caplog.records] == [
        "heartbeat: ConnectionRefusedError: the queue is away",
        "heartbeat: all is well again",
        "heartbeat: RuntimeError: a fault of ours",
        "heartbeat: all is well again",
    ]
    assert [bool(record.exc_info) for record in caplog.records] == [False, False, True, False]


def test_a_fault_that_lasts_is_told_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(outages, "_AGAIN_SECONDS", 0.0)
    enough = threading.Event()
    beats: list[int] = []

    def duty() -> None:
        beats.append(1)
        if len(beats) == 3:
            enough.set()
        raise FileNotFoundError(2, "No such file or directory")

    worker._repeat("heartbeat", duty, enough).join(60)
    assert [bool(record.exc_info) for record in caplog.records] == [True] * 3


def test_a_file_that_cannot_be_read_is_not_blamed_on_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_models(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/models/none")

    monkeypatch.setattr(worker, "Models", no_models)
    settings = load_settings({"VAR_DIR": str(tmp_path)}, None)
    monkeypatch.setattr(worker, "load_settings", lambda: settings)
    assert worker.main() == 1, "it may be tried again"
    assert "the worker cannot work: [Errno 13] Permission denied: '/models/none'" in caplog.text
    assert "DATABASE_URL" not in caplog.text
    told = store.last_worker(store.open_database(settings.database_url))
    assert told is not None
    assert "/models/none" in str(told.error)


@pytest.mark.parametrize(
    ("opens", "full", "key"),
    [
        ("jobs.SqliteHuey", FULL_SQLITE, "QUEUE_URL"),
        ("jobs.SqliteHuey", FULL_DISK, "QUEUE_URL"),
        ("BDD.migrate._config", FULL_DISK, "DATABASE_URL"),
    ],
)
def test_a_full_disk_is_told_by_its_key_and_tried_again(
    opens: str,
    full: Exception,
    key: str,
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise full

    monkeypatch.setattr(opens, fail)
    settings = load_settings({"VAR_DIR": str(tmp_path), "MODEL_PATH": str(tiny_model)}, None)
    monkeypatch.setattr(worker, "load_settings", lambda: settings)
    assert worker.main() == 1
    assert f"of {key} cannot be used: " in caplog.text


def test_a_model_that_cannot_be_used_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings({"VAR_DIR": str(tmp_path), "MODEL_PATH": str(tmp_path / "none")}, None)
    monkeypatch.setattr(worker, "load_settings", lambda: settings)
    assert worker.main() == WRONG_SETTINGS


@pytest.mark.parametrize("program", ["api.py", "jobs.py"])
@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"API_PORT": "many"}, "API_PORT='many' is not usable"),
        ({"DATABASE_URL": "sqlite:////proc/none/metia.db"}, "/proc/none"),
        ({"VAR_DIR": "/proc/none"}, "VAR_DIR=/proc/none cannot be"),
        ({"DATABASE_URL": "sqlite:///NEWER"}, "made by a newer version of this server"),
        ({"DATABASE_URL": "sqlite:///TEXT"}, "the database of DATABASE_URL cannot be used: "),
        ({"QUEUE_URL": "sqlite:////proc/none/queue.db"}, "the queue of QUEUE_URL cannot be used: "),
        ({"QUEUE_URL": "sqlite:///TEXT"}, "the queue of QUEUE_URL cannot be used: file is not a database"),
    ],
)
def test_what_stops_a_start_is_said_in_one_line(
    program: str, environ: dict[str, str], words: str, tmp_path: Path, tiny_model: Path
) -> None:
    newer, text = tmp_path / "newer.db", tmp_path / "text.db"
    text.write_text("no database " * 100)
    with closing(sqlite3.connect(newer)) as database:
        database.execute("CREATE TABLE alembic_version AS SELECT '0999' AS version_num")
        database.commit()
    files = {"NEWER": newer.as_posix(), "TEXT": text.as_posix()}
    environ = {key: re.sub("NEWER|TEXT", lambda name: files[name[0]], value) for key, value in environ.items()}
    everything = {**os.environ, "VAR_DIR": str(tmp_path), "MODEL_PATH": str(tiny_model), **environ}
    done = subprocess.run(
        [sys.executable, program], cwd=ROOT, env=everything, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == WRONG_SETTINGS
    assert words in done.stderr
    assert "Traceback" not in done.stderr
