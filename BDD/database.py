"""The connection to the database: one engine, short transactions, and SQLite set up to be trusted.

Reading transactions see one moment of the database. Writing transactions take SQLite's write lock at their start, so
that two processes wait for each other instead of failing half way.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, DateTime, Dialect, Engine, ExceptionContext, TypeDecorator, create_engine, event
from sqlalchemy.orm import Session

BUSY_TIMEOUT_MS = 15_000


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC; SQLite itself knows no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a time without a time zone: {value}")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


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

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _session(self, *, read_only: bool) -> Iterator[Session]:
        engine = self.engine.execution_options(read_only=read_only)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session


def open_database(url: str) -> Database:
    """Connect to ``url`` (SQLite or PostgreSQL); an SQLite file and its folder are made for nobody else on the machine.

    Errors do not show the values of a statement or of a row: a patient's name may be among them.
    """
    if not url.startswith("sqlite"):
        engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
        event.listen(engine, "handle_error", hide_values)
        return Database(engine)
    engine = create_engine(url, hide_parameters=True)
    if engine.url.database and engine.url.database != ":memory:":
        path = Path(engine.url.database)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)  # SQLite gives the files that it lays beside it the same mode
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return Database(engine)


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
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
