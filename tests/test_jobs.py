"""The queue: ids go from process to process, as plain JSON, in order."""

import json
import re
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from huey import SqliteHuey

from jobs import JobQueue
from settings import SettingsError


def test_the_queue_hands_ids_from_process_to_process(tmp_path):
    """Two connections, as the API and the worker have; what one puts in, the other runs, in order."""
    url = f"sqlite:///{tmp_path.as_posix()}/folder/queue.db"
    ran: list[str] = []
    api, worker = JobQueue(url), JobQueue(url, ran.append)
    for job_id in ("a", "b", "a"):
        api.enqueue(job_id)
    assert worker.waiting() == {"a", "b"}
    while task := worker.huey.dequeue():
        worker.huey.execute(task)
    assert ran == ["a", "b", "a"]
    api.enqueue("later", delay=60)
    worker.huey.execute(worker.huey.dequeue())
    assert ran == ["a", "b", "a"], "not yet"
    assert worker.waiting() == {"later"}
    assert worker.huey.read_schedule(datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=50)) == []
    due = worker.huey.read_schedule(datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=70))
    assert [task.args for task in due] == [["later"]]


def test_the_queue_holds_no_pickles(tmp_path):
    JobQueue(f"sqlite:///{tmp_path.as_posix()}/queue.db").enqueue("a-job")
    with sqlite3.connect(tmp_path / "queue.db") as connection:
        (data,) = connection.execute("SELECT data FROM task").fetchone()
    assert json.loads(data)["args"] == ["a-job"]


def test_the_api_only_fills_the_queue(tmp_path):
    queue = JobQueue(f"sqlite:///{tmp_path.as_posix()}/queue.db")
    queue.enqueue("a")
    with pytest.raises(RuntimeError, match="only fills"):
        queue.huey.dequeue().execute()


@pytest.mark.parametrize(
    ("url", "package"), [("redis://localhost/0", "redis"), ("postgresql://h/n", "psycopg[binary]")]
)
def test_a_queue_whose_package_is_missing(url, package, monkeypatch):
    from huey import storage

    monkeypatch.setattr(storage, "Redis" if package == "redis" else "psycopg", None)
    with pytest.raises(SettingsError, match=re.escape(f'QUEUE_URL needs one more package: pip install "{package}"')):
        JobQueue(url)


@pytest.mark.parametrize("named", ["", "?connect_timeout=2&sslmode=disable"])
def test_a_silent_postgresql_is_not_waited_for_without_end(tmp_path, monkeypatch, named):
    asked = []

    def huey(**options):
        asked.append(options)
        return SqliteHuey(filename=str(tmp_path / "queue.db"))

    monkeypatch.setattr("jobs.PostgresHuey", huey)
    JobQueue(f"postgresql://somebody:secret@h/n{named}")
    (options,) = asked
    assert options["dsn"].endswith(f"/n{named}")
    assert options.get("connect_timeout") == (None if named else 5), "what the address names holds"
    assert options["tcp_user_timeout"] == 10_000
    assert options["keepalives_idle"] == 30
    assert options["options"] == "-c statement_timeout=10s"


def test_a_queue_that_does_not_answer_is_asked_once_more_and_then_left(tmp_path, monkeypatch, caplog):
    queue = JobQueue(f"sqlite:///{tmp_path.as_posix()}/queue.db")
    put, asked = queue._put, []

    def fail(job_id: str, delay: float) -> None:
        asked.append(job_id)
        if job_id == "lost" or len(asked) == 1:
            raise ConnectionError
        put(job_id, delay)

    monkeypatch.setattr(queue, "_put", fail)
    queue.enqueue("found")
    queue.enqueue("lost")
    assert asked == ["found", "found", "lost", "lost"]
    assert queue.waiting() == {"found"}
    assert "job lost: not in the queue yet" in caplog.text
