"""A MetIA checkpoint at the front doors: ``python segmentation.py --model tiny.cpkt``."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmwrite

from services.segment_folder import main
from tests import factory
from tests.metia_factory import hand_made, save_checkpoint

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
