"""A MetIA checkpoint at the front doors: ``python segmentation.py --model``, and ``MODEL_PATH`` of a worker."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmwrite
from sqlalchemy.exc import SQLAlchemyError

from BDD import store
from services.models import Models
from services.segment_folder import main
from settings import ROOT
from tests import factory
from tests.metia_factory import PARAMETERS, hand_made, network, save_checkpoint
from unetr.predictor import Predictor, load_predictor

LESIONS = (factory.Sphere((15.0, -17.0, 19.0), 9.0), factory.Sphere((-15.0, 7.0, 5.0), 7.0))


@pytest.fixture
def checkpoint(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))
    return save_checkpoint(tmp_path / "tiny.cpkt", *hand_made())


def study(folder: Path, plane: str) -> Path:
    folder.mkdir()
    for number, dataset in enumerate(factory.series_datasets(factory.volume(plane, lesions=LESIONS))):
        dcmwrite(folder / f"{number}.dcm", dataset, enforce_file_format=True)
    return folder


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_lesions_are_found_where_they_are(checkpoint, tmp_path, capsys, plane):
    out = tmp_path / "out"
    assert main([str(study(tmp_path / "study", plane)), "-o", str(out), "--model", str(checkpoint)]) == 0
    found = json.loads((out / "lesions.json").read_text("utf-8"))
    assert len(found) == len(LESIONS)
    for lesion, row in zip(LESIONS, found, strict=True):  # both by size
        np.testing.assert_allclose(row["centroid_lps_mm"], lesion.centre_lps, atol=1.0)
        assert row["volume_mm3"] == pytest.approx(4 / 3 * np.pi * lesion.radius_mm**3, rel=0.2)
    shown = capsys.readouterr().out
    assert "MetIA" in shown
    assert "not measured here" in shown
    assert len(list((tmp_path / "var" / "models").iterdir())) == 1


def test_a_file_that_is_no_checkpoint_is_one_sentence(checkpoint, tmp_path, capsys):
    checkpoint.write_text("not a checkpoint")
    arguments = [str(study(tmp_path / "study", "axial")), "-o", str(tmp_path / "out"), "--model", str(checkpoint)]
    assert main(arguments) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith(f"segmentation.py: {checkpoint} is no checkpoint")
    assert not list((tmp_path / "var").rglob("*.safetensors"))


def test_a_worker_takes_a_checkpoint_and_the_one_that_replaces_it(checkpoint, tmp_path):
    """It is converted once; a damaged one that takes its place leaves the network in service."""
    loaded: list[Path] = []

    def load(bundle: Path) -> Predictor:
        loaded.append(bundle)
        return load_predictor(bundle, "cpu", engine="torch-cpu")

    models = Models(checkpoint, tmp_path / "var", load)
    first = models(None)
    assert models("MetIA") is first
    assert first.info.preprocessing == "metia"
    assert len(loaded) == 1

    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    assert models(None) is first

    parameters = PARAMETERS | {"norm_name": "batch"}
    save_checkpoint(checkpoint, network(parameters), parameters)
    assert models(None).info.sha256 != first.info.sha256
    assert len(loaded) == len(set(loaded)) == 2
    assert list((tmp_path / "var" / "models").iterdir()) == [loaded[1]]


def test_the_worker_process_starts_on_a_checkpoint(checkpoint, tmp_path):
    var = tmp_path / "var"
    environ = {**os.environ, "VAR_DIR": str(var), "MODEL_PATH": str(checkpoint), "ENGINE": "torch-cpu"}
    worker = subprocess.Popen([sys.executable, "jobs.py"], cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True)
    try:
        database = f"sqlite:///{var / 'metia.db'}"
        ready = None
        while worker.poll() is None and ready is None:
            time.sleep(0.5)
            if (var / "metia.db").exists():
                ready = next(iter(models_of_workers(database)), None)
    finally:
        worker.terminate()
        _, log = worker.communicate(timeout=60)
    assert ready == "MetIA", log
    assert "is being converted to" in log


def models_of_workers(url: str) -> list[str]:
    try:
        database = store.open_database(url)
        workers = store.live_workers(database)
    except SQLAlchemyError:  # its tables are being made
        return []
    return [worker.model.name for worker in workers if worker.model is not None]
