"""What tests of every room share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from BDD.store import Database

os.environ.setdefault("ENGINE", "torch-cpu")  # whoever starts a worker need not wait for a compiler of networks


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model bundle's folder: a small UNETR that finds the bright spheres of ``tests.factory``."""
    from tests.tiny_model import tiny_bundle  # torch is not needed by every test

    return tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Give an empty database."""
    from tests.store_factory import new_database

    database = new_database(tmp_path)
    yield database
    database.dispose()


@pytest.fixture
def worker(database: Database) -> int:
    """Give the key of a worker that has its model."""
    from tests.store_factory import new_worker

    return new_worker(database)
