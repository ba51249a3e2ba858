"""The connection to the database: one engine, short transactions, the same promises on SQLite and on PostgreSQL.

Reading transactions see one moment of the database. Writing transactions take a write lock at their start, so that two
processes wait for each other instead of failing half way, or deciding on what the other is about to change.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    DateTime,
    Dialect,
    Engine,
    ExceptionContext,
    TypeDecorator,
    create_engine,
    event,
)
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from settings import unless_named

BUSY_TIMEOUT_MS = 15_000
LOG_TIMEOUT_MS = 1_000
"""So long whoever empties SQLite's log waits for those who read in it; nobody can write meanwhile."""
IDLE_TIMEOUT_MS = 60_000
"""So long PostgreSQL lets a transaction wait for its own program, which may be on a machine that has lost power."""
WRITE_LOCK = 0x4D657449
"""The name of PostgreSQL's lock; it is one within this database."""
ONE_MOMENT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
CONNECT_ARGS = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""libpq's: a server that has gone without a word is noticed after a minute, not after the system's two hours, or
fifteen minutes where a question is on its way."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC; SQLite itself knows no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a time without a time zone: {value}")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Give it in UTC: SQLite gives it without a zone, PostgreSQL in the zone that the server is set to."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


@dataclass(frozen=True)
class Database:
    """Opens transactions. What they return stays readable after their end, as far as it was loaded."""

    engine: Engine

    def reading(self) -> AbstractContextManager[Session]:
        """Open a session that only reads."""
        return self._session(read_only=True)

    def writing(self) -> AbstractContextManager[Session]:
        """Open a session that commits at its end, or rolls back when an exception leaves it."""
        return self._session(read_only=False)

    def empty_log(self) -> bool:
        """Have SQLite's files hold nothing of what was deleted; False while somebody, such as a backup, reads there.

        Then it is to be asked for again, as the worker does. PostgreSQL's log is its administrator's affair.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        with closing(self.engine.raw_connection()) as connection:  # in no transaction
            cursor = connection.cursor()
            try:
                cursor.execute(f"PRAGMA busy_timeout = {LOG_TIMEOUT_MS}")
                busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        return not busy

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _session(self, *, read_only: bool) -> Iterator[Session]:
        one_moment = ONE_MOMENT if read_only and self.engine.dialect.name == "postgresql" else {}
        engine = self.engine.execution_options(read_only=read_only, **one_moment)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session


def open_database(url: str) -> Database:
    """Connect to ``url`` (SQLite or PostgreSQL); an SQLite file and its folder are made for nobody else on the machine.

    Errors do not show the values of a statement or of a row: a patient's name may be among them.

    Raises
    ------
    sqlalchemy.exc.ArgumentError
        When the URL cannot be meant, or the package for PostgreSQL is missing.
    """
    if not url.startswith("sqlite"):
        return Database(_open_postgresql(url))
    engine = create_engine(url, hide_parameters=True)
    if engine.url.database and engine.url.database != ":memory:":
        path = Path(engine.url.database)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)  # SQLite gives the files that it lays beside it the same mode
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return Database(engine)


def _open_postgresql(url: str) -> Engine:
    connect_args = unless_named(url, CONNECT_ARGS)
    try:
        engine = create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=connect_args)
    except ImportError as error:
        raise ArgumentError(f'{error}; PostgreSQL needs one more package: pip install "psycopg[binary]"') from error
    event.listen(engine, "handle_error", hide_values)
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def hide_values(context: ExceptionContext) -> None:
    """Leave of PostgreSQL's words the SQLSTATE: they quote the row they are about, in whatever log the error ends.

    What comes before there is a connection knows no row, and says what is amiss with it.
    """
    error = context.original_exception
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)  # psycopg, psycopg2
    if state is None or context.connection is None:
        return
    error.args = (f"SQLSTATE {state}",)
    if context.sqlalchemy_exception is not None:
        context.sqlalchemy_exception.args = (f"({type(error).__name__}) SQLSTATE {state}",)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_sqlite, not guessed by the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    _keep_log(cursor)
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA secure_delete = ON")  # not every SQLite overwrites what is deleted by itself
    cursor.close()


def _keep_log(cursor: sqlite3.Cursor) -> None:
    """Have the file keep a write-ahead log, so that who reads waits for nobody.

    Programs that open a new file together get in each other's way here, and SQLite then fails at once, whatever its
    patience (https://sqlite.org/rescode.html#busy): so it is tried again for as long.
    """
    end = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("read_only", False):
        return
    connection.exec_driver_sql(
        f"SET LOCAL lock_timeout = {BUSY_TIMEOUT_MS}; SET LOCAL idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}"
    )
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
