"""Brings a database to the newest tables: Alembic, configured here rather than in an ini file.

An SQLite file is copied before its tables are changed; docs/operations.md says how to go back to the copy.

A new migration is made with ``python -m BDD.migrate revision "what changes"`` and then read, corrected and tested.
"""

import logging
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.exc import SQLAlchemyError

from BDD.database import Database, open_database
from settings import SettingsError, sqlite_path

MIGRATIONS = Path(__file__).parent / "migrations"
PATIENCE_MS = 300_000
"""So long a process waits for another that migrates an SQLite file, which takes a copy of it first."""

logger = logging.getLogger(__name__)
# What it says at every start is of no use to anybody, and "non-transactional DDL" is not so here; we say what is done.
logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)


class NewerDatabaseError(SettingsError):
    """The database was made by a newer version of this server; the message says what to do."""


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at ``url`` to ``revision``; a new one is made, an up-to-date one is left as it is.

    Processes that start together may all call this: the first takes the write lock, the others then find nothing to do.

    Raises
    ------
    NewerDatabaseError
        When its tables are of a revision that is not among ``MIGRATIONS``.
    OSError
        When an SQLite file cannot be copied; it is left as it is then.
    """
    database, file = open_database(url), sqlite_path(url)
    if file:
        event.listen(database.engine, "connect", _let_tables_be_remade)
    try:
        with database.engine.begin() as connection:
            config = _config(connection)
            _before(connection, ScriptDirectory.from_config(config), revision, file)
            command.upgrade(config, revision)
            if file:
                _check_references(connection)
    except CommandError as error:
        copy = f"the copy made before ({file.name}.before-...: docs/operations.md)" if file else "what pg_dump wrote"
        raise NewerDatabaseError(
            f"the database of DATABASE_URL was made by a newer version of this server ({error}): install that version, "
            f"or restore {copy}"
        ) from error
    finally:
        database.dispose()


def open_newest(url: str) -> Database:
    """Connect to the database at ``url``, brought to its newest tables.

    Raises
    ------
    SettingsError
        When it cannot be used, or was made by a newer version of this server.
    """
    try:
        upgrade(url)
        return open_database(url)
    except (SQLAlchemyError, OSError) as error:
        raise SettingsError(f"the database of DATABASE_URL cannot be used: {error}") from error


def _let_tables_be_remade(connection: Any, _record: object) -> None:
    """Wait long, and let a table go that others refer to: SQLite changes most of a table by making it anew.

    This cannot be said within a transaction (https://sqlite.org/lang_altertable.html#otheralter).
    """
    connection.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
    connection.execute("PRAGMA foreign_keys = OFF")


def _check_references(connection: Connection) -> None:
    """Check what SQLite did not while tables were made anew; raises SettingsError, and all is as it was before."""
    broken = sorted({str(row.table) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")})
    if broken:
        raise SettingsError(
            f"the tables of the database cannot be brought up to date: rows of {', '.join(broken)} refer to rows that "
            "are not there. Nothing was changed; restore a backup, or stay with the earlier version"
        )


def _before(connection: Connection, script: ScriptDirectory, revision: str, file: Path | None) -> None:
    """Say that tables are about to change, and copy the file that they are in; nothing where there is nothing to do."""
    current = MigrationContext.configure(connection).get_current_revision()
    newest, *older = [one.revision for one in script.walk_revisions(head=revision)]
    if current not in older:  # new, up to date, or of a newer version
        return
    logger.info("the tables of the database are brought from revision %s to %s", current, newest)
    if file:
        copy = file.with_name(f"{file.name}.before-{newest}")
        _copy(file, copy)
        logger.info("the database as it was before is kept in %s", copy)


def _copy(file: Path, copy: Path) -> None:
    """Copy an SQLite file with what is only in its log yet; the copy is private, and whole or not there."""
    part = copy.with_name(f"{copy.name}.part")
    try:
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
        part.replace(copy)
    except (OSError, sqlite3.Error) as error:
        part.unlink(missing_ok=True)
        raise OSError(f"it cannot be copied to {copy} before its tables are changed: {error}") from error


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix().replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def main(arguments: list[str]) -> None:
    """Write a new migration: the difference between an upgraded database of this checkout and ``models``."""
    from settings import load_settings

    if len(arguments) != 2 or arguments[0] != "revision":
        raise SystemExit('usage: python -m BDD.migrate revision "what changes"')
    url = load_settings().database_url
    upgrade(url)
    with open_database(url).engine.begin() as connection:
        command.revision(_config(connection), message=arguments[1], autogenerate=True)


if __name__ == "__main__":
    main(sys.argv[1:])
