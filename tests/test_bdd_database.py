"""The connection: SQLite's settings, UTC, transactions that wait for each other."""

import os
import sqlite3
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import ArgumentError, IntegrityError, StatementError

from BDD import store
from BDD.database import hide_values, open_database
from BDD.models import Patient, Study, Worker
from tests.store_factory import count_in_threads, finish, lesion, running_job, series_record


def test_sqlite_is_set_up(database):
    with database.reading() as session:
        values = [session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "foreign_keys", "busy_timeout")]
    assert values == ["wal", 1, 15_000]


def test_programs_that_open_a_new_file_together(tmp_path):
    """To begin the write-ahead log fails at once where two do it, however long they would wait otherwise."""

    def first_look(number: int, together: Barrier) -> str | None:
        database = open_database(f"sqlite:///{tmp_path.as_posix()}/{number}.db")
        together.wait()
        with database.reading() as session:
            mode = session.scalar(text("PRAGMA journal_mode"))
        database.dispose()
        return mode

    with ThreadPoolExecutor(4) as pool:
        for number in range(50):
            together = Barrier(4)
            looks = [pool.submit(first_look, number, together) for _ in range(4)]
            assert [one.result() for one in looks] == ["wal"] * 4


def off(connection, _record):
    """Have SQLite leave in its files what is deleted, as it does where it was built so."""
    connection.execute("PRAGMA secure_delete = OFF")


def test_no_file_of_sqlite_keeps_who_was_forgotten(database, worker, tmp_path, monkeypatch):
    monkeypatch.setattr("BDD.database.LOG_TIMEOUT_MS", 100)
    database.dispose()
    event.listen(database.engine, "connect", off, insert=True)
    names = [f"Forgotten{number}^Jane" for number in range(3)]
    for number, name in enumerate(names):
        job = running_job(database, worker, study=f"1.2.{number}", series=f"1.2.{number}.1")
        uids = {"study_instance_uid": f"1.2.{number}", "series_instance_uid": f"1.2.{number}.1"}
        finish(database, job, worker, [lesion(1)], series=series_record(patient_id=name, patient_name=name, **uids))
    with database.reading() as session:
        assert session.query(Patient).count() == 3
        assert store.forget_study(database, "1.2.0"), "whoever reads meanwhile is no hindrance"
    for number in (1, 2):
        assert store.forget_study(database, f"1.2.{number}")
    assert kept(names, tmp_path) == []


def kept(names: list[str], folder: Path) -> list[str]:
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    return [name for name in names if name.encode() in content]


def test_a_log_in_which_somebody_reads_is_emptied_once_nobody_does(database, worker, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("BDD.database.LOG_TIMEOUT_MS", 100)
    job = running_job(database, worker, study="1.2.0", series="1.2.0.1")
    uids = {"study_instance_uid": "1.2.0", "series_instance_uid": "1.2.0.1"}
    name = "Forgotten^Jane"
    finish(database, job, worker, [lesion(1)], series=series_record(patient_id=name, patient_name=name, **uids))
    with database.reading() as backup:
        assert backup.query(Patient).count() == 1
        assert store.forget_study(database, "1.2.0")
        assert kept([name], tmp_path) == [name]
        assert not database.empty_log()
    (told,) = (one.getMessage() for one in caplog.records)
    assert "reads the database" in told
    assert name not in told
    assert database.empty_log()
    assert kept([name], tmp_path) == []
    with database.reading() as session:
        assert session.scalar(text("PRAGMA busy_timeout")) == 15_000, "others still wait as long as before"


def test_an_error_shows_nothing_of_a_row(database):
    with pytest.raises(IntegrityError) as raised, database.writing() as session:
        session.add_all([Patient(patient_id="A-1", patient_name="Secret^Jane") for _ in range(2)])
    assert "Secret" not in str(raised.value)


@pytest.mark.skipif(os.name != "posix", reason="a user's folders are closed on Windows already")
def test_a_new_file_is_for_nobody_else(tmp_path):
    before = os.umask(0o022)
    try:
        store.open_database(f"sqlite:///{tmp_path.as_posix()}/new.db").dispose()
    finally:
        os.umask(before)
    assert (tmp_path / "new.db").stat().st_mode & 0o077 == 0


def test_foreign_keys_hold(database):
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), database.writing() as session:
        session.add(Study(patient_key=999, study_instance_uid="1.2"))


def test_times_come_back_in_utc(database):
    noon_in_paris = datetime(2024, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    with database.writing() as session:
        session.add(Worker(host="h", pid=1, started_at=noon_in_paris, seen_at=noon_in_paris))
    with database.reading() as session:
        seen = session.query(Worker).one().seen_at
    assert seen == noon_in_paris
    assert seen.tzinfo is UTC


def test_a_time_without_zone_is_refused(database):
    naive = datetime(2024, 7, 1)
    with pytest.raises(StatementError, match="without a time zone"), database.writing() as session:
        session.add(Worker(host="h", pid=1, started_at=naive, seen_at=naive))


class UniqueViolation(sqlite3.IntegrityError):
    """As psycopg raises it."""

    sqlstate = "23505"


def test_an_error_quotes_no_row(database):
    number = "A-0042"

    def refuse(*_):
        raise UniqueViolation(f"duplicate key value\nDETAIL:  Key (patient_id)=({number}) already exists.")

    event.listen(database.engine, "do_execute", refuse)
    event.listen(database.engine, "handle_error", hide_values)
    with pytest.raises(IntegrityError) as caught, database.writing() as session:
        session.add(Patient(patient_id=number, patient_name="Doe^Jane"))
    told = "".join(traceback.format_exception(caught.value))
    assert number not in told
    assert str(caught.value).startswith("(UniqueViolation) SQLSTATE 23505\n")


def test_postgresql_quotes_no_row(monkeypatch):
    driver = SimpleNamespace(__version__="2.9.9", paramstyle="pyformat", extras=None)  # no server to talk to
    monkeypatch.setitem(sys.modules, "psycopg2", driver)
    engine = open_database("postgresql+psycopg2://user:password@host/name").engine
    assert event.contains(engine, "handle_error", hide_values)
    assert engine.hide_parameters


def test_the_package_that_postgresql_needs_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ArgumentError, match=r'PostgreSQL needs one more package: pip install "psycopg\[binary\]"'):
        open_database("postgresql+psycopg://user:password@host/name")


def test_an_exception_rolls_back(database):
    def write_and_fail() -> None:
        with database.writing() as session:
            session.add(Patient(patient_id="1", patient_name=""))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    with database.reading() as session:
        assert session.query(Patient).count() == 0


def test_writers_wait_for_each_other(database):
    """Read, then write what was read plus one: without the lock at the start some of these would fail or be lost."""
    assert count_in_threads(database, 4, 10) == 40
