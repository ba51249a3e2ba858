"""A model's folder is described in full, or refused in one sentence that says what is wrong with it."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from tests.tiny_model import STATEMENT, tiny_bundle
from unetr.bundle import SPACING_MM, ModelError, Postprocessing, read_bundle
from unetr.preprocessing import PRESETS

METADATA, INFERENCE = "configs/metadata.json", "configs/inference.json"


def change(bundle: Path, file: str, **entries: Any) -> None:
    """Set entries of one of the bundle's JSON files; None takes an entry out."""
    path = bundle / file
    content = json.loads(path.read_text("utf-8")) | entries
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}), "utf-8")


def refusal(bundle: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_bundle(bundle)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert str(bundle) in message
    return message


def test_describes_the_model(tmp_path):
    info = read_bundle(tiny_bundle(tmp_path, threshold=0.4, peak=0.8, minimum_volume_mm3=25.0, overlap=0.25))
    assert (info.name, info.version, info.statement) == ("tiny", "1.0", STATEMENT)
    assert info.postprocessing == Postprocessing(0.4, 0.8, 25.0, 0.25)
    assert info.sha256 == hashlib.sha256((tmp_path / "models" / "model.safetensors").read_bytes()).hexdigest()
    shown = json.loads(json.dumps(info.to_json()))
    assert shown["network"] == "monai.networks.nets.UNETR"
    assert shown["window"] == [64, 64, 64]
    assert shown["postprocessing"]["peak"] == 0.8
    assert shown["spacing_mm"] == [1.0, 1.0, 1.0]
    assert shown["inputs"]["image"]["num_channels"] == 1
    assert shown["labels"]["0"] == "brain metastasis"
    assert shown["outputs"] == {"sigmoid": True, "lesion": [0], "brain": None}


def test_what_is_not_said_has_defaults(tmp_path):
    change(tiny_bundle(tmp_path / "mine"), METADATA, postprocessing=None, name=None, statement=None)
    info = read_bundle(tmp_path / "mine")
    assert (info.name, info.statement) == ("mine", "Not a medical device. Not measured here.")
    assert (info.postprocessing, info.preprocessing) == (Postprocessing(), "ras-1mm")


def test_preprocessing_of_its_own_that_is_not_run_is_said(tmp_path):
    change(tiny_bundle(tmp_path), METADATA, statement=None)
    change(tmp_path, INFERENCE, preprocessing={"_target_": "Compose", "transforms": ["$import os"]})
    assert "prepared as ras-1mm, not as its own bundle says" in read_bundle(tmp_path).statement
    change(tmp_path, METADATA, preprocessing="ras-1mm")
    assert "as its own" not in read_bundle(tmp_path).statement


def test_unknown_preprocessing(tmp_path):
    change(tiny_bundle(tmp_path), METADATA, preprocessing="mine")
    assert "preprocessing 'mine' is not one of ras-1mm" in refusal(tmp_path)
    change(tmp_path, METADATA, preprocessing=["ras-1mm"])
    assert "preprocessing ['ras-1mm']" in refusal(tmp_path)


def test_a_path_in_words_will_do(tmp_path):
    assert read_bundle(str(tiny_bundle(tmp_path))).path == tmp_path  # type: ignore[arg-type]


def test_no_folder(tmp_path):
    assert "MODEL_PATH" in refusal(tmp_path / "none")
    file = tmp_path / "model.pt"
    file.touch()
    assert "no bundle but a file" in refusal(file)


@pytest.mark.parametrize("file", [METADATA, INFERENCE, "models/model.safetensors"])
def test_a_missing_file(tmp_path, file):
    (tiny_bundle(tmp_path) / file).unlink()
    assert file in refusal(tmp_path)


@pytest.mark.parametrize("file", [METADATA, INFERENCE])
@pytest.mark.parametrize("content", [b'{"name": ', b"", b"\xff\xfe\x00", b"[1, 2]", b"null"])
def test_a_broken_file(tmp_path, file, content):
    (tiny_bundle(tmp_path) / file).write_bytes(content)
    assert file in refusal(tmp_path)


@pytest.mark.parametrize("network", [None, "UNETR", {"in_channels": 1}])
def test_no_network(tmp_path, network):
    change(tiny_bundle(tmp_path), INFERENCE, network_def=network)
    assert "_target_" in refusal(tmp_path)


def test_metadata_that_say_too_little(tmp_path):
    change(tiny_bundle(tmp_path), METADATA, version=None, statement=["so so"])
    assert refusal(tmp_path).endswith("lacks version, statement.")
    change(tmp_path, METADATA, version="1.0", statement="so so", name=["x"])
    assert refusal(tmp_path).endswith("lacks name.")


def test_a_version_that_is_a_number_is_told_as_such(tmp_path):
    change(tiny_bundle(tmp_path), METADATA, version=1.0)
    assert "version 1.0 is no text: put it in quotes" in refusal(tmp_path)


@pytest.mark.parametrize("file", [METADATA, INFERENCE])
def test_json_nested_without_end(tmp_path, file):
    (tiny_bundle(tmp_path) / file).write_text('{"a":' * 100_000, "utf-8")
    assert file in refusal(tmp_path)


def test_the_overlap_of_the_inferer_counts_unless_the_metadata_say_one(tmp_path):
    change(tiny_bundle(tmp_path), INFERENCE, inferer={"overlap": 0.625}, size=[64, 64, 64])
    assert read_bundle(tmp_path).postprocessing.overlap == 0.625
    change(tmp_path, METADATA, postprocessing={"overlap": 0.25})
    assert read_bundle(tmp_path).postprocessing.overlap == 0.25


def test_names_of_the_weights(tmp_path):
    models = tiny_bundle(tmp_path) / "models"
    whole = (models / "model.safetensors").rename(models / "best.safetensors")
    assert read_bundle(tmp_path).weights == whole
    (models / "worst.safetensors").write_bytes(whole.read_bytes())
    assert "best.safetensors, worst.safetensors: call one model.safetensors" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 3000, -1])
def test_weights_that_are_cut_off(tmp_path, keep):
    weights = tiny_bundle(tmp_path) / "models" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    assert f"{weights} are damaged or not yet copied in full" in refusal(tmp_path)


def test_a_pickle_that_is_cut_off(tmp_path):
    models = tiny_bundle(tmp_path) / "models"
    (models / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(10_000)}, models / "model.pt")
    read_bundle(tmp_path)
    (models / "model.pt").write_bytes((models / "model.pt").read_bytes()[:-100])
    assert "not yet copied in full" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("postprocessing", "named"),
    [
        ({"treshold": 0.5}, "'treshold' is unknown; known are threshold, peak, minimum_volume_mm3"),
        ({"threshold": 1.0}, "threshold = 1.0"),
        ({"threshold": "high"}, "str"),
        ({"peak": 0.0}, "peak = 0.0"),
        ({"peak": float("nan")}, "NaN is no number"),
        ({"peak": 1e400}, "Infinity is no number"),
        ({"minimum_volume_mm3": -1}, "minimum_volume_mm3 = -1"),
        ({"overlap": 1.0}, "overlap = 1.0"),
        ({"smoothing": -0.1}, "smoothing = -0.1"),
        ({"mirror": 2}, "mirror = 2"),
        ([0.5], "list"),
    ],
)
def test_postprocessing_that_cannot_be_done(tmp_path, postprocessing, named):
    change(tiny_bundle(tmp_path), METADATA, postprocessing=postprocessing)
    message = refusal(tmp_path)
    assert METADATA in message
    assert named in message


def test_is_read_without_torch():
    code = "import sys, unetr.bundle; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    root = Path(__file__).resolve().parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize("name", ["", "n" * 65])
def test_a_name_that_dicom_cannot_hold_is_refused(tmp_path, name):
    bundle = tiny_bundle(tmp_path)
    change(bundle, METADATA, name=name)
    assert "1 to 64 characters" in refusal(bundle)


def test_every_preset_has_its_spacing():
    assert set(SPACING_MM) == set(PRESETS)


def test_the_same_model_read_twice(tmp_path):
    first, second = read_bundle(tiny_bundle(tmp_path)), read_bundle(tmp_path)
    assert first.same_as(second)
    change(tmp_path, METADATA, postprocessing={"threshold": 0.4})
    assert not first.same_as(read_bundle(tmp_path))
    (tmp_path / "models" / "model.safetensors").write_bytes(tensors(b"others"))
    assert not second.same_as(read_bundle(tmp_path))


def tensors(content: bytes) -> bytes:
    """Give a safetensors file of one tensor."""
    return safetensors.torch.save({"a": torch.frombuffer(bytearray(content), dtype=torch.uint8)})
