"""Brings a database to the newest tables: Alembic, configured here rather than in an ini file.

A new migration is made with ``python -m BDD.migrate revision "what changes"`` and then read, corrected and tested.
"""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine

from BDD.database import open_database

MIGRATIONS = Path(__file__).parent / "migrations"


class NewerDatabaseError(Exception):
    """The database was made by a newer version of this server; the message says what to do."""


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at ``url`` to ``revision``; a new one is made, an up-to-date one is left as it is.

    Processes that start together may all call this: on SQLite the first takes the write lock, the others then find
    nothing to do.

    Raises
    ------
    NewerDatabaseError
        When its tables are of a revision that is not among ``MIGRATIONS``.
    """
    database = open_database(url)
    try:
        command.upgrade(_config(database.engine), revision)
    except CommandError as error:
        raise NewerDatabaseError(
            f"the database of DATABASE_URL was made by a newer version of this server ({error}): install that version, "
            "or restore the copy of the database made before"
        ) from error
    finally:
        database.dispose()


def _config(engine: Engine) -> Config:
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix().replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["engine"] = engine
    return config


def main(arguments: list[str]) -> None:
    """Write a new migration: the difference between an upgraded database of this checkout and ``models``."""
    from settings import load_settings

    if len(arguments) != 2 or arguments[0] != "revision":
        raise SystemExit('usage: python -m BDD.migrate revision "what changes"')
    url = load_settings().database_url
    upgrade(url)
    command.revision(_config(open_database(url).engine), message=arguments[1], autogenerate=True)


if __name__ == "__main__":
    main(sys.argv[1:])
