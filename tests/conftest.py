"""What tests of every room share."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("ENGINE", "torch-cpu")  # whoever starts a worker need not wait for a compiler of networks


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model bundle's folder: a small UNETR that finds the bright spheres of ``tests.factory``."""
    from tests.tiny_model import tiny_bundle  # torch is not needed by every test

    return tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")
