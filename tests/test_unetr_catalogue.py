"""Models lie beside each other; one that cannot be used is listed with the reason."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_model import tiny_bundle
from unetr.bundle import ModelError
from unetr.catalogue import find_models


def test_the_default_first_then_its_neighbours(tmp_path):
    for folder, name in (("a", "first"), ("b", "second"), ("c", "first")):
        tiny_bundle(tmp_path / folder, name=name)
    (tmp_path / "d" / "models").mkdir(parents=True)
    (tmp_path / ".being copied" / "models").mkdir(parents=True)
    (tmp_path / "no model").mkdir()
    (tmp_path / "notes.txt").touch()
    found = find_models(tmp_path / "b", tmp_path / "var")
    assert (list(found.models), found.default) == (["second", "first"], "second")
    assert found.models["first"].path == tmp_path / "a"
    assert found.refused.keys() == {"c", "d"}
    assert f"name of {tmp_path / 'a'}, first" in found.refused["c"]
    assert "metadata.json is missing" in found.refused["d"]


@pytest.fixture
def closed(tmp_path, monkeypatch):
    """A folder that may not be looked into; modes of files tell root nothing."""
    folder = tmp_path / "lost+found"
    folder.mkdir()
    look = os.stat

    def looked_at(path, *arguments, **options):
        if not isinstance(path, int) and folder in Path(os.fsdecode(path)).parents:
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", looked_at)
    return folder


def test_a_folder_that_may_not_be_looked_into_is_no_model(tmp_path, closed):
    tiny_bundle(tmp_path / "fine", name="fine")
    found = find_models(tmp_path / "fine", tmp_path / "var")
    assert (list(found.models), found.refused) == (["fine"], {})


def test_a_default_that_may_not_be_looked_at_is_refused_with_the_reason(tmp_path, closed):
    found = find_models(closed / "model", tmp_path / "var")
    assert "Permission denied" in found.refused["model"]
    assert str(closed / "model") in found.refused["model"]


def test_a_model_that_cannot_be_read_is_refused_with_the_reason(tmp_path):
    tiny_bundle(tmp_path / "fine", name="fine")
    metadata = tiny_bundle(tmp_path / "odd") / "configs" / "metadata.json"
    metadata.unlink()
    metadata.mkdir()
    found = find_models(tmp_path / "fine", tmp_path / "var")
    assert list(found.models) == ["fine"]
    assert str(metadata) in found.refused["odd"]


def test_finding_by_name(tmp_path):
    for name in ("one", "two"):
        tiny_bundle(tmp_path / name, name=name)
    found = find_models(tmp_path / "two", tmp_path / "var")
    assert found.find(None) is found.find("two") is found.models["two"]
    assert found.find("one").path == tmp_path / "one"
    with pytest.raises(ModelError, match="no model three; there is two, one"):
        found.find("three")


def test_a_default_that_cannot_be_used(tmp_path):
    tiny_bundle(tmp_path / "fine", name="fine")
    (tiny_bundle(tmp_path / "broken") / "configs" / "metadata.json").write_text("{", "utf-8")
    found = find_models(tmp_path / "broken", tmp_path / "var")
    assert (list(found.models), found.default, found.folder) == (["fine"], None, "broken")
    assert found.find("fine").name == "fine"
    with pytest.raises(ModelError, match=r"metadata\.json is not valid JSON"):
        found.find(None)


def test_nothing_there(tmp_path):
    found = find_models(tmp_path / "none" / "at all", tmp_path / "var")
    assert not found.models
    with pytest.raises(ModelError, match="MODEL_PATH"):
        found.find(None)
    with pytest.raises(ModelError, match="no model x; there is none"):
        found.find("x")


def test_a_hostile_bundle_is_listed_and_runs_nothing(tmp_path):
    mark = tmp_path / "ran"
    hostile = tiny_bundle(tmp_path / "models" / "hostile")
    network = {"_target_": "os.system", "command": f"touch {mark}", "_requires_": f"$open('{mark}', 'w')"}
    (hostile / "configs" / "inference.json").write_text(json.dumps({"network_def": network}), "utf-8")
    tiny_bundle(tmp_path / "models" / "fine")
    found = find_models(tmp_path / "models" / "fine", tmp_path / "var")
    assert "names the network 'os.system'" in found.refused["hostile"]
    assert not mark.exists()


def test_is_read_without_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path; from unetr.catalogue import find_models; "
        "find_models(Path(sys.argv[1]), Path('var')); sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[1]
    bundle = tiny_bundle(tmp_path / "one")
    assert subprocess.run([sys.executable, "-c", code, bundle], cwd=root, check=False).returncode == 0


def test_a_checkpoint_that_is_not_converted_yet(tmp_path):
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.touch()
    found = find_models(checkpoint, tmp_path / "var")
    assert "not converted yet" in found.refused["best.ckpt"]
    assert found.default is None
