"""``python -m unetr``: its help, volumes written once, and a model's figures."""

import argparse
import functools
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests import factory
from tests.tiny_model import tiny_bundle
from unetr import pictures
from unetr.__main__ import COMMANDS, main
from unetr.commands import synthesize, volumes
from unetr.commands.nifti import as_axial, read_image, read_mask

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SLAB = (160, 40, 40)


def save_nifti(folder: Path, lesions=factory.LESIONS, plane: str = "axial", seg: bool = True) -> None:
    """Write a phantom as ``t1.nii.gz`` and its lesions, value 4, as ``seg.nii.gz``."""
    folder.mkdir()
    volume = factory.volume(plane, lesions=lesions)
    affine = LPS_TO_RAS @ volume.affine
    nib.save(nib.Nifti1Image(volume.array.astype(np.int16), affine), folder / "t1.nii.gz")
    if seg:
        labels = 4 * (factory.label_map(volume, lesions) > 0).astype(np.uint8)
        nib.save(nib.Nifti1Image(labels, affine), folder / "seg.nii.gz")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[1]
    environ = os.environ | {"COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environ, capture_output=True, text=True, check=True
    )


def test_help_is_there_for_everyone():
    shown = python("-m", "unetr", "--help").stdout
    for command, purpose in COMMANDS.items():
        assert command in shown
        assert purpose in shown


@pytest.mark.parametrize("arguments", [["--help"], ["models", "--help"], ["models", "models/unetr"]])
def test_what_needs_no_torch_does_not_import_it(arguments):
    code = f"""
import sys
from unetr.__main__ import main
try:
    main({arguments})
except SystemExit:
    pass
print("slow" if {{"torch", "monai"}} & set(sys.modules) else "quick")
"""
    assert python("-c", code).stdout.splitlines()[-1] == "quick"


def test_every_command_is_listed():
    folder = Path(importlib.import_module("unetr.commands").__file__ or "").parent
    described = {path.stem for path in folder.glob("*.py") if "def describe(" in path.read_text("utf-8")}
    assert described == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_by_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"python -m unetr {command}" in capsys.readouterr().out.split("examples:")[1]


def test_lists_the_models(tmp_path, capsys):
    tiny_bundle(tmp_path / "one", name="one")
    tiny_bundle(tmp_path / "two", name="two")
    (tiny_bundle(tmp_path / "three") / "models" / "model.safetensors").unlink()
    assert main(["models", str(tmp_path / "two")]) == 0
    shown = capsys.readouterr().out
    assert shown.index("two 1.0  (default)") < shown.index("one 1.0\n") < shown.index("three cannot be used\n")
    assert "window 64 x 64 x 64, ras-1mm" in shown
    assert "model.safetensors (or model.pt, model.ts) are missing." in shown
    assert main(["models", str(tmp_path / "three")]) == 1


def test_a_command_is_needed(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_volumes_are_written_once(tmp_path, monkeypatch):
    monkeypatch.setattr(synthesize, "synthesize", functools.partial(synthesize.synthesize, grid=SLAB))
    options = ["--seed", "40", "--lesions", "2", "--stripped", "--device", "cpu"]
    assert main(["synthesize", str(tmp_path / "pool"), "--count", "1", *options]) == 0
    names = {f"synthetic_000040_{part}.nii" for part in ("image", "brain", "fraction")}
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "pool").iterdir()}
    assert set(files) == names
    assert main(["synthesize", str(tmp_path / "pool"), "--count", "1", *options]) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "pool").iterdir()} == files
    image = nib.Nifti1Image.from_filename(tmp_path / "pool" / "synthetic_000040_image.nii")
    assert image.shape == SLAB
    assert float(np.asarray(image.dataobj)[:3].max()) == 0  # stripped


def test_evaluates_labelled_nifti(tmp_path, tiny_model, capsys):
    save_nifti(tmp_path / "one")
    save_nifti(tmp_path / "two", plane="sagittal", lesions=factory.LESIONS[:2])
    pattern = str(tmp_path / "*" / "t1.nii.gz")
    options = ["--mask", "seg.nii.gz", "--labels", "1", "4", "--json", str(tmp_path / "scores.json")]
    assert main(["evaluate", "--model", str(tiny_model), "--images", pattern, *options]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text("utf-8"))
    assert [score["name"] for score in scores] == ["one", "two"]
    assert [len(score["lesions"]) for score in scores] == [3, 2]
    assert all(found for score in scores for _, found, _ in score["lesions"])
    assert all(score["dice"] > 0.95 for score in scores)
    assert all(score["false_lesions_mm"] == [] for score in scores)
    assert scores[0]["reference_volume_ml"] == pytest.approx(4 / 3 * np.pi * (8**3 + 5**3 + 3.5**3) / 1000, rel=0.05)
    table = capsys.readouterr().out
    assert "false lesions         0.00 (0.00-1.84) a volume" in table


def test_evaluates_in_thick_slices(tmp_path, tiny_model, capsys):
    save_nifti(tmp_path / "one", plane="sagittal", lesions=factory.LESIONS[:1])
    cases = ["--images", str(tmp_path / "*" / "t1.nii.gz"), "--mask", "seg.nii.gz", "--labels", "4"]
    options = ["--model", str(tiny_model), *cases, "--json", str(tmp_path / "scores.json"), "--slices"]
    assert main(["evaluate", *options, "5"]) == 0
    (score,) = json.loads((tmp_path / "scores.json").read_text("utf-8"))
    ((diameter, found, dice),) = score["lesions"]
    assert diameter == pytest.approx(16, rel=0.05)
    assert found
    assert dice > 0.85
    assert score["false_lesions_mm"] == []
    with pytest.raises(SystemExit, match=r"one: slices of 1\.50 mm cannot be made into thinner ones of 1 mm"):
        main(["evaluate", *options, "1"])


def test_synthetic_heads_in_thick_slices_are_averaged_by_fraction(monkeypatch):
    monkeypatch.setattr(volumes, "synthesize", functools.partial(volumes.synthesize, grid=SLAB))
    parser = argparse.ArgumentParser()
    volumes.add_options(parser, seed=40)
    options = ["--synthetic", "1", "--lesions", "4"]
    (thin,), (thick,) = (
        list(volumes.labelled_volumes(parser.parse_args(one))[1]) for one in (options, [*options, "--slices", "5"])
    )
    assert thick.image.shape == (8, *thin.image.shape[1:])
    np.testing.assert_allclose(thick.fraction, thin.fraction.reshape(8, 5, *thin.image.shape[1:]).mean(1), atol=1e-5)
    np.testing.assert_array_equal(thick.reference, thick.fraction >= 0.5)


@pytest.mark.parametrize("plane", factory.PLANES)
def test_any_array_is_turned_to_axial_slices(plane):
    volume = factory.volume(plane, shape=(6, 9, 7))
    turned, affine = as_axial(volume.array, volume.affine)
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    np.testing.assert_array_equal(np.argmax(np.abs(directions), axis=0), [2, 1, 0])
    assert directions[2, 0] < 0 < min(directions[1, 1], directions[0, 2])
    index = np.argwhere(turned == turned.max())[0]
    expected = np.argwhere(volume.array == turned.max())[0]
    np.testing.assert_allclose(affine @ [*index, 1], volume.affine @ [*expected, 1], atol=1e-9)


def test_other_labels_are_no_lesion(tmp_path, tiny_model):
    save_nifti(tmp_path / "one")
    options = ["--mask", "seg.nii.gz", "--labels", "1", "--json", str(tmp_path / "scores.json")]
    main(["evaluate", "--model", str(tiny_model), "--images", str(tmp_path / "one" / "t1.nii.gz"), *options])
    (score,) = json.loads((tmp_path / "scores.json").read_text("utf-8"))
    assert score["lesions"] == []
    assert len(score["false_lesions_mm"]) == 3


def test_a_healthy_head_has_no_dice(tmp_path, tiny_model):
    save_nifti(tmp_path / "one", lesions=(), seg=False)
    options = ["--json", str(tmp_path / "scores.json")]
    main(["evaluate", "--model", str(tiny_model), "--images", str(tmp_path / "*" / "t1.nii.gz"), *options])
    text = (tmp_path / "scores.json").read_text("utf-8")
    assert "NaN" not in text
    (score,) = json.loads(text)
    assert score["dice"] is None
    assert score["false_lesions_mm"] == []


def test_lesions_below_the_smallest_do_not_count(tmp_path, tiny_model):
    speck = factory.Sphere(tuple(factory.affine()[:3] @ [24, 32, 28, 1]), 0.5)
    save_nifti(tmp_path / "one", lesions=[speck], seg=False)  # one voxel of 5 mm3
    options = ["--json", str(tmp_path / "scores.json")]
    main(["evaluate", "--model", str(tiny_model), "--images", str(tmp_path / "*" / "t1.nii.gz"), *options])
    (score,) = json.loads((tmp_path / "scores.json").read_text("utf-8"))
    assert score["predicted_volume_ml"] == 0


def test_evaluates_synthetic_volumes(tmp_path, tiny_model, monkeypatch, capsys):
    monkeypatch.setattr(volumes, "synthesize", functools.partial(volumes.synthesize, grid=SLAB))
    path = tmp_path / "scores.json"
    options = ["--synthetic", "1", "--seed", "7", "--lesions", "3", "--json", str(path)]
    monkeypatch.setenv("MODEL_PATH", str(tiny_model))
    assert main(["evaluate", *options]) == 0
    (score,) = json.loads(path.read_text("utf-8"))
    assert score["name"] == "synthetic 7"
    assert len(score["lesions"]) >= 1
    assert "sensitivity" in capsys.readouterr().out


def test_skull_stripping_is_all_that_differs(monkeypatch):
    monkeypatch.setattr(volumes, "synthesize", functools.partial(volumes.synthesize, grid=SLAB))
    parser = argparse.ArgumentParser()
    volumes.add_options(parser, seed=40)
    heads = [parser.parse_args(["--synthetic", "1", "--lesions", "4", kind]) for kind in ("--whole-head", "--stripped")]
    (whole,), (stripped,) = (list(volumes.labelled_volumes(head)[1]) for head in heads)
    np.testing.assert_array_equal(whole.reference, stripped.reference)
    assert whole.reference.any()
    assert (stripped.image > 0).sum() < 0.9 * (whole.image > 0).sum()


def test_draws_the_best_the_median_and_the_worst(tmp_path, tiny_model, monkeypatch):
    for number, edge in enumerate((4, 0, 8, 2)):  # of a cube that the reference has too much
        folder = tmp_path / f"case{number}"
        save_nifti(folder)
        mask = nib.nifti1.load(folder / "seg.nii.gz")
        values = np.array(mask.dataobj)
        values[:edge, :edge, :edge] = 1
        nib.save(nib.Nifti1Image(values, mask.affine), folder / "seg.nii.gz")
    drawn: list[str] = []

    def noted(views: list[pictures.View], path: Path) -> None:
        drawn.extend(view.title.split(":")[0] for view in views)
        pictures.draw(views, path)

    monkeypatch.setattr("unetr.commands.evaluate.draw", noted)
    picture = tmp_path / "picture.png"
    options = ["--mask", "seg.nii.gz", "--labels", "1", "4", "--picture", str(picture)]
    assert main(["evaluate", "--model", str(tiny_model), "--images", str(tmp_path / "*" / "t1.nii.gz"), *options]) == 0
    assert drawn == ["case1", "case0", "case2"]
    assert picture.stat().st_size > 20_000


def test_healthy_heads_can_be_drawn_too(tmp_path, tiny_model):
    save_nifti(tmp_path / "one", lesions=())
    picture = tmp_path / "picture.png"
    options = ["--images", str(tmp_path / "one" / "t1.nii.gz")]
    assert main(["evaluate", "--model", str(tiny_model), *options, "--picture", str(picture)]) == 0
    assert picture.stat().st_size > 5_000


def test_a_chosen_operating_point_gives_what_it_promises(tmp_path, tiny_model, capsys):
    save_nifti(tmp_path / "one")
    cases = ["--images", str(tmp_path / "*" / "t1.nii.gz"), "--mask", "seg.nii.gz", "--labels", "1", "4"]
    picture = tmp_path / "trade-off.png"
    assert main(["tune", str(tiny_model), *cases, "--picture", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (chosen,) = [line.split() for line in lines if line.endswith("<- chosen")]
    assert lines[-1] == f"--threshold {float(chosen[0])} --peak {float(chosen[1])}"
    assert chosen[2:5] == ["1.00", "nan", "0.00"]
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing to evaluate"),
        (["--images", "none/*/t1.nii.gz"], "none/.* matches no image"),
        (["--images", "none/*/t1.nii.gz", "--synthetic", "3"], "none/.* matches no image"),
    ],
)
def test_nothing_to_evaluate(tiny_model, options, said):
    with pytest.raises(SystemExit, match=said):
        main(["evaluate", "--model", str(tiny_model), *options])


def test_a_mask_is_read_on_its_image_s_grid_in_whatever_order_of_axes_it_is_stored(tmp_path):
    save_nifti(tmp_path / "one")
    image, mask = tmp_path / "one" / "t1.nii.gz", tmp_path / "one" / "seg.nii.gz"
    expected = read_mask(mask, image, [1, 4])
    stored = nib.nifti1.load(mask)
    turned = stored.as_reoriented(np.array([[1, -1], [2, 1], [0, -1]]))
    assert turned.shape != stored.shape
    nib.save(turned, tmp_path / "turned.nii.gz")
    found = read_mask(tmp_path / "turned.nii.gz", image, [1, 4])
    assert expected.any()
    np.testing.assert_array_equal(found, expected)


def test_files_that_cannot_be_used_are_named_before_anything_is_computed(tmp_path, tiny_model):
    for name in ("a", "b"):
        save_nifti(tmp_path / name)
    command = ["evaluate", "--model", str(tiny_model), "--images", str(tmp_path / "*" / "t1.nii.gz"), "--mask"]

    def spoil(array, affine):
        nib.save(nib.Nifti1Image(array, affine), tmp_path / "b" / "other.nii.gz")
        nib.save(nib.nifti1.load(tmp_path / "a" / "seg.nii.gz"), tmp_path / "a" / "other.nii.gz")

    with pytest.raises(SystemExit, match=r"a.absent.nii.gz cannot be read"):
        main([*command, "absent.nii.gz"])
    mask = nib.nifti1.load(tmp_path / "b" / "seg.nii.gz")
    values = np.asarray(mask.dataobj)
    moved = mask.affine.copy()
    moved[0, 3] += 0.5
    for array, affine in ((values, moved), (values[:-1], mask.affine)):
        spoil(array, affine)
        with pytest.raises(SystemExit, match=r"b.other.nii.gz lies on another grid"):
            main([*command, "other.nii.gz"])
    spoil(np.stack([values, values], -1), mask.affine)
    with pytest.raises(SystemExit, match="has 4 dimensions"):
        main([*command, "other.nii.gz"])
    (tmp_path / "b" / "other.nii.gz").write_bytes(b"no image")
    with pytest.raises(SystemExit, match=r"b.other.nii.gz cannot be read"):
        main([*command, "other.nii.gz"])


def test_what_is_no_number_around_a_brain_is_air(tmp_path):
    save_nifti(tmp_path / "one")
    image = nib.nifti1.load(tmp_path / "one" / "t1.nii.gz")
    values = image.get_fdata(dtype=np.float32)
    values[:3] = np.nan
    nib.save(nib.Nifti1Image(values[..., None], image.affine), tmp_path / "nan.nii.gz")
    found, affine = read_image(tmp_path / "nan.nii.gz")
    assert found.shape == image.shape
    assert not found[:3].any()
    np.testing.assert_array_equal(found[3:], values[3:])
    np.testing.assert_allclose(affine, np.diag([-1, -1, 1, 1]) @ image.affine)
