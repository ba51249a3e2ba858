"""``python -m unetr``: its help, volumes written once, and a model's figures."""

import argparse
import functools
import gzip
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from tests import factory
from tests.metia_factory import save_checkpoint
from tests.tiny_model import tiny_bundle
from unetr import pictures
from unetr.__main__ import COMMANDS, main
from unetr.bundle import Postprocessing, read_bundle
from unetr.commands import evaluate, synthesize, volumes
from unetr.commands.cases import find_images
from unetr.commands.nifti import as_axial, check, check_labels, read_brain, read_image, read_lesions, write_on_grid_of
from unetr.commands.postprocessing import as_options
from unetr.commands.volumes import LabelledVolume
from unetr.components import label
from unetr.engines.memory import NotEnoughMemoryError
from unetr.errors import ModelError
from unetr.predictor import centred
from unetr.preprocessing import NothingToSegmentError
from unetr.slices import average_slices
from unetr.volume_error import VolumeError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SLAB = (160, 40, 40)


def save_nifti(folder: Path, lesions=factory.LESIONS, plane: str = "axial", seg: bool = True, **kind: Any) -> None:
    """Write a phantom as ``t1.nii.gz`` and its lesions, value 4, as ``seg.nii.gz``; ``kind`` as of the phantom."""
    folder.mkdir()
    volume = factory.volume(plane, lesions=lesions, **kind)
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


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that ends with 1."""
    try:
        assert main(arguments) == 1
    except SystemExit as ended:
        return str(ended)
    return capsys.readouterr().err


def test_help_is_there_for_everyone():
    shown = python("-m", "unetr", "--help").stdout
    for command, purpose in COMMANDS.items():
        assert command in shown
        assert purpose in shown


@pytest.mark.parametrize("arguments", [["--help"], ["models", "--help"], ["compare", "--help"]])
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


@pytest.mark.parametrize(
    ("place", "example"),
    [
        ("export --help", r"with one of (0\.4), (0\.75) is the network's own (0\.67) "),
        ("docs/models.md", r"threshold of (0\.4), a peak of (0\.75) is (0\.67) of the network's own"),
    ],
)
def test_what_is_said_of_the_peak_is_what_it_is_compared_with(capsys, place, example):
    if place.endswith(".md"):
        text = (Path(__file__).parents[1] / place).read_text("utf-8")
    else:
        with pytest.raises(SystemExit):
            main(place.split())
        text = capsys.readouterr().out
    said = re.search(example, " ".join(text.split()))
    assert said
    threshold, peak, own = map(float, said.groups())
    assert float(centred(torch.tensor(own), threshold)) == pytest.approx(peak, abs=0.005)


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


def test_a_model_whose_weights_do_not_fit_is_told_from_one_that_would_be_loaded(tmp_path, capsys):
    tiny_bundle(tmp_path / "one", name="one")
    inference = tiny_bundle(tmp_path / "two", name="two") / "configs" / "inference.json"
    inference.write_text(inference.read_text("utf-8").replace('"feature_size": 2', '"feature_size": 4'), "utf-8")
    assert main(["models", str(tmp_path / "one")]) == 0
    shown = capsys.readouterr().out
    assert "one 1.0  (default)" in shown
    assert "two 1.0" not in shown
    reason = shown.partition("two cannot be used\n")[2]
    assert re.search(r"belong to another network than UNETR as defined: 0 tensors are missing, \d+ do not fit", reason)
    assert len(reason.splitlines()) == 1
    assert main(["models", str(tmp_path / "two")]) == 1


def test_of_a_file_it_is_told_whether_the_worker_could_convert_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))
    checkpoint = save_checkpoint(tmp_path / "metia.cpkt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "plain.pt")
    assert main(["models", str(checkpoint)]) == 0
    assert "metia.cpkt  (default)\n" in (shown := capsys.readouterr().out)
    assert "a MetIA checkpoint; the worker converts it once" in shown
    assert main(["models", str(tmp_path / "plain.pt")]) == 1
    shown = capsys.readouterr().out
    assert "plain.pt cannot be used\n" in shown
    assert "holds plain weights, which go into a bundle" in shown
    assert not (tmp_path / "var").exists()


def test_a_command_is_needed(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_an_interruption_while_libraries_are_loaded_is_one_line(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupted)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_volumes_are_written_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(synthesize, "synthesize", functools.partial(synthesize.synthesize, grid=SLAB))
    options = ["--seed", "40", "--lesions", "2", "--stripped", "--device", "cpu"]
    assert main(["synthesize", str(tmp_path / "pool"), "--count", "1", *options]) == 0
    names = {f"synthetic_000040_{part}.nii" for part in ("image", "brain", "fraction")}
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "pool").iterdir()}
    assert set(files) == names
    assert main(["synthesize", str(tmp_path / "pool"), "--count", "1", *options]) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "pool").iterdir()} == files
    others = ["synthesize", str(tmp_path / "pool"), "--count", "3", "--seed", "39", "--lesions", "0", "--device", "cpu"]
    said = refusal(others, capsys)
    assert "000040_fraction.nii was made with lesions 2, stripped, where lesions 0, either kind is asked for" in said
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
    scores = json.loads((tmp_path / "scores.json").read_text("utf-8"))["volumes"]
    assert [score["name"] for score in scores] == ["one", "two"]
    assert [len(score["lesions"]) for score in scores] == [3, 2]
    assert all(lesion["found"] for score in scores for lesion in score["lesions"])
    assert all(score["dice"] > 0.95 for score in scores)
    assert all(score["false_lesions_mm"] == [] for score in scores)
    assert scores[0]["reference_volume_ml"] == pytest.approx(4 / 3 * np.pi * (8**3 + 5**3 + 3.5**3) / 1000, rel=0.05)
    table = capsys.readouterr().out
    assert "false lesions         0.00 (0.00-1.84) a volume" in table


def test_two_evaluations_of_the_same_volumes_are_compared(tmp_path, tiny_model, capsys):
    save_nifti(tmp_path / "one")
    save_nifti(tmp_path / "two", lesions=factory.LESIONS[:2])
    blind = tiny_bundle(tmp_path / "blind", name="blind", minimum_volume_mm3=1e6)
    cases = ["--images", str(tmp_path / "*" / "t1.nii.gz"), "--mask", "seg.nii.gz"]
    paths = [tmp_path / f"{name}.json" for name in ("tiny", "blind")]
    for model, path in zip((tiny_model, blind), paths, strict=True):
        assert main(["evaluate", "--model", str(model), *cases, "--json", str(path)]) == 0
    capsys.readouterr()
    assert main(["compare", *map(str, paths)]) == 0
    shown = capsys.readouterr().out
    assert f"A  tiny 1.0, weights {read_bundle(tiny_model).sha256[:12]}, threshold 0.5, peak 0.5, from 10 mm3" in shown
    assert "B  blind 1.0" in shown
    assert re.search(r"sensitivity, 10-20 mm +\d +1\.000 +0\.000 +-1\.000", shown)
    asked = json.loads(paths[0].read_text("utf-8"))["evaluated"]
    assert (asked["images"], asked["mask"], asked["synthetic"], asked["left_out"]) == (cases[1], cases[3], None, [])

    save_nifti(tmp_path / "three")
    assert main(["evaluate", "--model", str(tiny_model), *cases, "--json", str(paths[0])]) == 0
    said = "these are not of the same volumes: only the first has three: evaluate both models with the same options"
    assert said in refusal(["compare", *map(str, paths)], capsys)


def test_healthy_heads_in_thick_slices_are_not_those_in_thin_ones(tmp_path, tiny_model, capsys):
    save_nifti(tmp_path / "one", plane="sagittal", lesions=())
    cases = ["--model", str(tiny_model), "--images", str(tmp_path / "*" / "t1.nii.gz")]
    thin, thick = (str(tmp_path / f"{name}.json") for name in ("thin", "thick"))
    assert main(["evaluate", *cases, "--json", thin]) == 0
    assert main(["evaluate", *cases, "--json", thick, "--slices", "3"]) == 0
    said = refusal(["compare", thin, thick], capsys)
    assert "not of the same volumes: slices as they are and 3 mm: evaluate both models with the same options" in said


def test_evaluates_in_thick_slices(tmp_path, tiny_model, capsys):
    save_nifti(tmp_path / "one", plane="sagittal", lesions=factory.LESIONS[:1])
    cases = ["--images", str(tmp_path / "*" / "t1.nii.gz"), "--mask", "seg.nii.gz", "--labels", "4"]
    options = ["--model", str(tiny_model), *cases, "--json", str(tmp_path / "scores.json"), "--slices"]
    assert main(["evaluate", *options, "5"]) == 0
    (score,) = json.loads((tmp_path / "scores.json").read_text("utf-8"))["volumes"]
    (lesion,) = score["lesions"]
    assert lesion["diameter_mm"] == pytest.approx(16, rel=0.05)
    assert lesion["found"]
    assert lesion["dice"] > 0.85
    assert score["false_lesions_mm"] == []
    assert main(["evaluate", *options, "1"]) == 1
    assert "one is left out: slices of 1.50 mm cannot be made into thinner ones of 1 mm" in capsys.readouterr().err


@pytest.mark.parametrize("thickness", ["0", "-5", "nan", "inf", "thick"])
def test_slices_have_a_thickness(tiny_model, capsys, thickness):
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--model", str(tiny_model), "--synthetic", "1", "--slices", thickness])
    assert ended.value.code == 2
    assert f"argument --slices: {thickness} is no number above 0" in capsys.readouterr().err


def test_synthetic_heads_in_thick_slices_are_averaged_by_fraction(monkeypatch):
    monkeypatch.setattr(volumes, "synthesize", functools.partial(volumes.synthesize, grid=SLAB))
    parser = argparse.ArgumentParser()
    volumes.add_options(parser, seed=40)
    options = ["--synthetic", "1", "--lesions", "4"]
    thin, thick = (
        volumes.labelled_volumes(parser.parse_args(one))["synthetic 40"]()
        for one in (options, [*options, "--slices", "5"])
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
    mask = nib.nifti1.load(tmp_path / "one" / "seg.nii.gz")
    values = np.array(mask.dataobj)
    values[:2, :2, :2] = 1
    nib.save(nib.Nifti1Image(values, mask.affine), tmp_path / "one" / "seg.nii.gz")
    options = ["--mask", "seg.nii.gz", "--labels", "1", "--json", str(tmp_path / "scores.json")]
    main(["evaluate", "--model", str(tiny_model), "--images", str(tmp_path / "one" / "t1.nii.gz"), *options])
    (score,) = json.loads((tmp_path / "scores.json").read_text("utf-8"))["volumes"]
    assert [lesion["found"] for lesion in score["lesions"]] == [False]
    assert len(score["false_lesions_mm"]) == 3


def store_as_int16(values, affine):
    """Let nibabel scale it: 1 comes back as 1.00002, or so."""
    image = nib.Nifti1Image(values.astype(np.float32), affine)
    image.set_data_dtype(np.int16)
    return image


def store_as_share_of_255(values, affine):
    image = nib.Nifti1Image(255 * values.astype(np.uint8), affine)
    image.header.set_slope_inter(1 / 255, 0)
    return image


STORED = {
    "255": lambda values, affine: nib.Nifti1Image(255 * values.astype(np.uint8), affine),
    "int16": store_as_int16,
    "1/255": store_as_share_of_255,
    "instances": lambda values, affine: nib.Nifti1Image(label(values).astype(np.uint8), affine),
    "not a number": lambda values, affine: nib.Nifti1Image(np.where(values, 1, np.nan), affine),
    "NIfTI-2": lambda values, affine: nib.Nifti2Image(values.astype(np.uint8), affine),
}


@pytest.mark.parametrize("how", STORED)
def test_without_labels_a_lesion_is_whatever_is_not_0(tmp_path, how):
    save_nifti(tmp_path / "one")
    mask = nib.nifti1.load(tmp_path / "one" / "seg.nii.gz")
    lesion = np.asarray(mask.dataobj) > 0
    nib.save(STORED[how](lesion, mask.affine), tmp_path / "stored.nii.gz")
    np.testing.assert_array_equal(read_lesions(tmp_path / "stored.nii.gz", tmp_path / "one" / "t1.nii.gz"), lesion)


@pytest.mark.parametrize("how", ["int16", "1/255"])
def test_a_scaled_label_is_that_label(tmp_path, how):
    save_nifti(tmp_path / "one")
    image = tmp_path / "one" / "t1.nii.gz"
    mask = nib.nifti1.load(tmp_path / "one" / "seg.nii.gz")
    lesion = np.asarray(mask.dataobj) > 0
    nib.save(STORED[how](lesion, mask.affine), tmp_path / "stored.nii.gz")
    np.testing.assert_array_equal(read_lesions(tmp_path / "stored.nii.gz", image, [1]), lesion)


def test_labels_that_no_mask_holds_are_refused(tmp_path):
    for name in ("a", "b", "c"):
        save_nifti(tmp_path / name)
    images = [tmp_path / name / "t1.nii.gz" for name in ("a", "b", "c")]
    mask = nib.nifti1.load(tmp_path / "a" / "seg.nii.gz")

    def hold(name: str, *held: int) -> None:
        values = np.zeros(mask.shape, np.uint8)
        values.ravel()[: len(held)] = held
        nib.save(nib.Nifti1Image(values, mask.affine), tmp_path / name / "seg.nii.gz")

    hold("a")
    with pytest.raises(VolumeError, match=r"b.seg\.nii\.gz holds 4, and no mask 1 or 2: name .* with --labels"):
        check_labels(images, "seg.nii.gz", [1, 2])
    hold("b", *range(20))
    with pytest.raises(VolumeError, match=r"holds 1, 2, 3, 4, 5, 6, \.\.\., and no mask 40"):
        check_labels(images, "seg.nii.gz", [40])
    (tmp_path / "b" / "seg.nii.gz").write_bytes(b"no image")  # it is named when its turn comes
    check_labels(images, "seg.nii.gz", [4])
    check_labels(images[:2], "seg.nii.gz", [4])  # healthy
    hold("c", 2)
    with pytest.raises(VolumeError, match=r"c.seg\.nii\.gz holds 2, and no mask 4"):
        check_labels(images, "seg.nii.gz", [4])


def test_a_head_whose_mask_holds_other_structures_alone_is_measured_as_healthy(tmp_path, tiny_model, capsys):
    save_nifti(tmp_path / "ill")
    save_nifti(tmp_path / "healthy", lesions=())
    mask = nib.nifti1.load(tmp_path / "healthy" / "seg.nii.gz")
    values = np.zeros(mask.shape, np.uint8)
    values[:5, :5, :5] = 2
    nib.save(nib.Nifti1Image(values, mask.affine), tmp_path / "healthy" / "seg.nii.gz")
    command = ["evaluate", "--model", str(tiny_model), "--images", str(tmp_path / "*" / "t1.nii.gz")]
    options = ["--mask", "seg.nii.gz", "--json", str(tmp_path / "scores.json"), "--labels"]
    assert main([*command, *options, "4"]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text("utf-8"))["volumes"]
    assert {score["name"]: len(score["lesions"]) for score in scores} == {"healthy": 0, "ill": 3}
    assert "healthy/seg.nii.gz holds 2, and no mask 7" in refusal([*command, *options, "7"], capsys)


@pytest.mark.parametrize("brain_only", [True, False])
def test_an_image_whose_mean_was_taken_off_is_refused(tmp_path, brain_only):
    save_nifti(tmp_path / "one")
    path = tmp_path / "one" / "t1.nii.gz"
    image = nib.nifti1.load(path)
    values = image.get_fdata()
    tissue = values > 150 if brain_only else values > -1
    scored = np.where(tissue, (values - values[tissue].mean()) / values[tissue].std(), 0)
    nib.save(nib.Nifti1Image(scored.astype(np.float32), image.affine), path)
    with pytest.raises(
        VolumeError, match=r"t1\.nii\.gz goes down to -\d.*, as after a z-score.*: .* as it was acquired"
    ):
        read_image(path)
    ringing = values + np.random.default_rng(0).normal(0, 0.01 * values.max(), values.shape)
    nib.save(nib.Nifti1Image(ringing.astype(np.float32), image.affine), path)
    assert read_image(path)[0].min() < 0


def test_a_smoothed_mask_is_refused(tmp_path):
    save_nifti(tmp_path / "one")
    mask = nib.nifti1.load(tmp_path / "one" / "seg.nii.gz")
    soft = nib.Nifti1Image(np.asarray(mask.dataobj) * np.float32(0.1), mask.affine)
    nib.save(soft, tmp_path / "soft.nii.gz")
    with pytest.raises(VolumeError, match=r"soft\.nii\.gz holds 0\.4, where labels are whole numbers"):
        read_lesions(tmp_path / "soft.nii.gz", tmp_path / "one" / "t1.nii.gz")


def test_a_healthy_head_has_no_dice(tmp_path, tiny_model):
    save_nifti(tmp_path / "one", lesions=(), seg=False)
    options = ["--json", str(tmp_path / "scores.json")]
    main(["evaluate", "--model", str(tiny_model), "--images", str(tmp_path / "*" / "t1.nii.gz"), *options])
    text = (tmp_path / "scores.json").read_text("utf-8")
    assert "NaN" not in text
    (score,) = json.loads(text)["volumes"]
    assert score["dice"] is None
    assert score["false_lesions_mm"] == []


@pytest.mark.parametrize(("radius_mm", "counts"), [(0.5, False), (2.2, True)])  # one voxel of 5 mm3, and seven
def test_lesions_below_the_smallest_do_not_count(tmp_path, tiny_model, radius_mm, counts):
    speck = factory.Sphere(tuple(factory.affine()[:3] @ [24, 32, 28, 1]), radius_mm)
    save_nifti(tmp_path / "one", lesions=[speck], seg=False)
    options = ["--json", str(tmp_path / "scores.json")]
    main(["evaluate", "--model", str(tiny_model), "--images", str(tmp_path / "*" / "t1.nii.gz"), *options])
    (score,) = json.loads((tmp_path / "scores.json").read_text("utf-8"))["volumes"]
    assert (score["predicted_volume_ml"] > 0) == counts


def test_evaluates_synthetic_volumes(tmp_path, tiny_model, monkeypatch, capsys):
    monkeypatch.setattr(volumes, "synthesize", functools.partial(volumes.synthesize, grid=SLAB))
    path = tmp_path / "scores.json"
    options = ["--synthetic", "1", "--seed", "7", "--lesions", "3", "--json", str(path)]
    monkeypatch.setenv("MODEL_PATH", str(tiny_model))
    assert main(["evaluate", *options]) == 0
    (score,) = json.loads(path.read_text("utf-8"))["volumes"]
    assert score["name"] == "synthetic 7"
    assert len(score["lesions"]) >= 1
    assert "sensitivity" in capsys.readouterr().out


def test_skull_stripping_is_all_that_differs(monkeypatch):
    monkeypatch.setattr(volumes, "synthesize", functools.partial(volumes.synthesize, grid=SLAB))
    parser = argparse.ArgumentParser()
    volumes.add_options(parser, seed=40)
    heads = [parser.parse_args(["--synthetic", "1", "--lesions", "4", kind]) for kind in ("--whole-head", "--stripped")]
    whole, stripped = (volumes.labelled_volumes(head)["synthetic 40"]() for head in heads)
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
    assert lines[-1].startswith(f"--threshold {float(chosen[0])} --peak {float(chosen[1])} --minimum-volume")
    assert chosen[2:5] == ["1.00", "nan", "0.00"]
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    "tuned",
    [
        Postprocessing(),
        Postprocessing(0.45, 0.85, 15.0, 0.25, 0.4, True),
        Postprocessing(0.2, 0.95, 0.0, 0.0, 0.0, False),
    ],
)
def test_what_tune_says_export_writes(tuned, monkeypatch):
    written: list[Postprocessing] = []

    def noted(checkpoint: object, folder: Path, metadata: dict[str, Any], before: object) -> None:
        written.append(Postprocessing(**metadata["postprocessing"]))

    monkeypatch.setattr("unetr.commands.export.read_checkpoint", lambda path: {})
    monkeypatch.setattr("unetr.commands.export.export_bundle", noted)
    assert main(["export", "run", "bundle", "--name", "a", "--version", "1", *as_options(tuned).split()]) == 0
    assert written == [tuned]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing to evaluate"),
        (["--images", "none/*/t1.nii.gz"], "none/.* matches no image"),
        (["--images", "none/*/t1.nii.gz", "--synthetic", "3"], "none/.* matches no image"),
    ],
)
def test_nothing_to_evaluate(tiny_model, options, said, capsys):
    assert re.search(said, refusal(["evaluate", "--model", str(tiny_model), *options], capsys))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--images", "*", "--labels", "1"], "--labels says nothing without --mask: give both, or neither"),
        (["--synthetic", "1", "--mask", "seg.nii.gz"], "--mask says nothing without --images"),
        (["--synthetic", "1", "--labels", "1"], "--labels says nothing without --mask"),
        (["--images", "*", "--lesions", "0"], "--lesions says nothing without --synthetic"),
        (["--images", "*", "--whole-head"], "--whole-head or --stripped says nothing without --synthetic"),
        (["--images", "*", "--anatomy", "t1.nii", "brain.nii"], "--anatomy says nothing without --synthetic"),
    ],
)
def test_an_option_is_not_passed_over_in_silence(tmp_path, tiny_model, options, said, capsys):
    commands = [["evaluate", "--model", str(tiny_model)], ["tune", str(tiny_model)]]
    commands += [["adopt", str(tmp_path / "pool")]] if "--labels" in options and "--images" in options else []
    for command in commands:
        assert said in refusal([*command, *options], capsys)
    assert not (tmp_path / "pool").exists()


def test_a_mask_is_read_on_its_image_s_grid_in_whatever_order_of_axes_it_is_stored(tmp_path):
    save_nifti(tmp_path / "one")
    image, mask = tmp_path / "one" / "t1.nii.gz", tmp_path / "one" / "seg.nii.gz"
    expected = read_lesions(mask, image, [4])
    stored = nib.nifti1.load(mask)
    turned = stored.as_reoriented(np.array([[1, -1], [2, 1], [0, -1]]))
    assert turned.shape != stored.shape
    nib.save(turned, tmp_path / "turned.nii.gz")
    found = read_lesions(tmp_path / "turned.nii.gz", image, [4])
    assert expected.any()
    np.testing.assert_array_equal(found, expected)


def test_files_that_cannot_be_used_are_named_before_anything_is_computed(tmp_path, tiny_model, capsys):
    for name in ("a", "b"):
        save_nifti(tmp_path / name)
    command = ["evaluate", "--model", str(tiny_model), "--images", str(tmp_path / "*" / "t1.nii.gz"), "--mask"]

    def spoil(array, affine):
        nib.save(nib.Nifti1Image(array, affine), tmp_path / "b" / "other.nii.gz")
        nib.save(nib.nifti1.load(tmp_path / "a" / "seg.nii.gz"), tmp_path / "a" / "other.nii.gz")

    assert re.search(r"a.absent.nii.gz cannot be read", refusal([*command, "absent.nii.gz"], capsys))
    mask = nib.nifti1.load(tmp_path / "b" / "seg.nii.gz")
    values = np.asarray(mask.dataobj)
    moved = mask.affine.copy()
    moved[0, 3] += 0.5
    for array, affine in ((values, moved), (values[:-1], mask.affine)):
        spoil(array, affine)
        assert re.search(r"b.other.nii.gz lies on another grid", refusal([*command, "other.nii.gz"], capsys))
    spoil(np.stack([values, values], -1), mask.affine)
    assert "has 4 dimensions" in refusal([*command, "other.nii.gz"], capsys)
    (tmp_path / "b" / "other.nii.gz").write_bytes(b"no image")
    assert re.search(r"b.other.nii.gz cannot be read", refusal([*command, "other.nii.gz"], capsys))


def test_one_mask_is_no_mask_of_several_images(tmp_path, tiny_model, capsys):
    save_nifti(tmp_path / "flat")
    shutil.copy(tmp_path / "flat" / "t1.nii.gz", tmp_path / "flat" / "t2.nii.gz")
    command = ["evaluate", "--model", str(tiny_model), "--images", str(tmp_path / "flat" / "t*.nii.gz")]
    assert "seg.nii.gz lies beside both t1.nii.gz and t2.nii.gz" in refusal([*command, "--mask", "seg.nii.gz"], capsys)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("cases/*/t1ce.nii.gz", ["a", "b"]),
        ("cases/a/t1ce.nii.gz", ["a"]),
        ("cases/?/t1*.nii*", ["a_t1ce", "b_t1ce"]),
        ("bids/sub-*/anat/t1.nii", ["sub-01", "sub-02"]),
        ("bids/*/*/t1.nii", ["sub-01_anat", "sub-02_anat"]),
        ("**/t1.nii", ["bids_sub-01_anat", "bids_sub-02_anat"]),
        ("bids/sub-01/anat/**/t1.nii", ["anat"]),
        ("flat/*.nii.gz", ["head0", "head1"]),
    ],
)
def test_a_case_is_called_after_what_its_pattern_leaves_open(tmp_path, pattern, names):
    for name in ("cases/a/t1ce.nii.gz", "cases/b/t1ce.nii.gz", "flat/head0.nii.gz", "flat/head1.nii.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("bids/sub-01/anat/t1.nii", "bids/sub-02/anat/t1.nii"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert [image.name for image in find_images(str(tmp_path / pattern))] == names


def test_no_two_cases_have_one_name(tmp_path):
    for name in ("head.nii", "head.nii.gz"):
        (tmp_path / name).touch()
    with pytest.raises(VolumeError, match=r"head\.nii and .*head\.nii\.gz would both be called head"):
        find_images(str(tmp_path / "*"))


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def unpacked(path: Path) -> Path:
    """Keep it uncompressed, under a name that says so."""
    nib.save(nib.nifti1.load(path), path.with_suffix(""))
    return path.with_suffix("")


def emptied(path: Path) -> None:
    image = nib.nifti1.load(path)
    nib.save(nib.Nifti1Image(0 * np.asarray(image.dataobj), image.affine), path)


def coloured(path: Path) -> None:
    image = nib.nifti1.load(path)
    nib.save(nib.Nifti1Image(np.zeros(image.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]), image.affine), path)


def with_head(path: Path, **entries: object) -> None:
    """Write other entries into its head, which nibabel itself would not write."""
    image = nib.nifti1.load(path)
    values = np.asarray(image.dataobj)
    for entry, value in entries.items():
        image.header[entry] = value
    with gzip.open(path, "wb") as file:
        file.write(image.header.binaryblock + bytes(4) + values.tobytes(order="F"))


@pytest.mark.parametrize("row", [[0, 0, 0, 9], [np.nan, 0, 0, 0], [0, 0, 1.5, np.inf]])
def test_an_image_whose_voxels_lie_nowhere_is_named(tmp_path, row):
    save_nifti(tmp_path / "one")
    path = tmp_path / "one" / "t1.nii.gz"
    with_head(path, sform_code=1, qform_code=0, srow_x=[2, 0, 0, 0], srow_y=[0, 2, 0, 0], srow_z=row)
    with pytest.raises(VolumeError, match=r"t1\.nii\.gz does not say where its voxels lie") as refused:
        read_image(path)
    assert "\n" not in str(refused.value)


def test_an_image_whose_affine_nobody_has_set_is_named(tmp_path):
    save_nifti(tmp_path / "one")
    image, mask = tmp_path / "one" / "t1.nii.gz", tmp_path / "one" / "seg.nii.gz"
    expected = read_image(image)[1]
    qform = nib.nifti1.load(image).affine
    for form in ({"sform_code": 0, "qform_code": 1}, {"sform_code": 1, "qform_code": 0}):
        nifti = nib.nifti1.load(image)
        nifti.set_qform(qform)
        nib.save(nifti, image)
        with_head(image, **form)
        np.testing.assert_allclose(read_image(image)[1], expected, atol=1e-4)  # either is enough
    with_head(mask, sform_code=0, qform_code=0)
    with pytest.raises(VolumeError, match=r"seg\.nii\.gz does not say where its voxels lie \(sform and qform"):
        read_lesions(mask, image)
    with_head(image, sform_code=0, qform_code=0)
    with pytest.raises(VolumeError, match=r"t1\.nii\.gz does not say .*, or set its sform"):
        read_image(image)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: cut(path, 0.5),
        lambda path: cut(unpacked(path), 0.5),
        lambda path: path.write_bytes(path.read_bytes()[:60]),
        lambda path: path.write_bytes(b""),
        emptied,
        coloured,
        lambda path: with_head(path, dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]),
    ],
    ids=["half of .nii.gz", "half of .nii", "a part of the head", "no byte", "all 0", "colours", "a huge size"],
)
def test_a_damaged_image_is_named(tmp_path, damage):
    save_nifti(tmp_path / "one")
    path = tmp_path / "one" / "t1.nii.gz"
    damage(path)
    path = path.with_suffix("") if path.with_suffix("").exists() else path
    with pytest.raises(VolumeError, match=r"t1\.nii.* (cannot be read|is nowhere above 0): \w") as refused:
        read_image(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "read"),
    [("t1.nii.gz", read_image), ("seg.nii.gz", lambda path: read_lesions(path, path.parent / "t1.nii.gz"))],
)
def test_a_packed_image_or_mask_that_is_not_what_was_packed_is_named(tmp_path, name, read):
    save_nifti(tmp_path / "one")
    path = tmp_path / "one" / name
    packed = bytearray(path.read_bytes())
    packed[-8] ^= 1  # of the checksum: as after a bit turned anywhere before it that can be unpacked
    path.write_bytes(packed)
    with pytest.raises(VolumeError, match=rf"{re.escape(name)} cannot be read: CRC check failed"):
        read(path)


def save_values(folder: Path, values: np.ndarray, voxel_mm: float = 5.0) -> Path:
    path = folder / "other.nii.gz"
    nib.save(nib.Nifti1Image(values, np.diag([voxel_mm] * 3 + [1.0])), path)
    return path


RAMP = np.arange(30**3, dtype=np.float32).reshape(30, 30, 30)


@pytest.mark.parametrize(
    ("values", "voxel_mm", "said"),
    [
        (RAMP.astype(np.complex64), 5.0, "its values are complex"),
        (np.zeros(RAMP.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]), 5.0, r"its values are colours \(RGB\)"),
        (RAMP, 0.005, r"voxels of 0\.005 x 0\.005 x 0\.005 mm.* are these mm\?"),
        (RAMP, 900.0, r"voxels of 900 x 900 x 900 mm"),
        (RAMP[..., :3], 5.0, r"15 mm thick \(3 slices\)"),
    ],
)
def test_an_image_that_no_head_can_be_is_told_by_its_head(tmp_path, values, voxel_mm, said):
    path = save_values(tmp_path, values, voxel_mm)
    with pytest.raises(VolumeError, match=said):
        check([path])


def test_an_image_that_is_the_same_everywhere_shows_nothing(tmp_path):
    with pytest.raises(VolumeError, match=r"is 7 everywhere"):
        read_image(save_values(tmp_path, np.full((30, 30, 30), 7, np.int16)))


def test_a_series_of_a_few_thick_slices_is_a_head(tmp_path):
    assert read_image(save_values(tmp_path, RAMP[..., :20], 6.0))[0].shape == (30, 30, 20)


@pytest.fixture
def boxed_brain(tmp_path) -> tuple[Path, np.ndarray]:
    """An image, ``t1.nii.gz``, of voxels of 5 mm, and where it has 1.2 litres of brain."""
    brain = np.zeros((40, 44, 40), bool)
    brain[10:30, 10:34, 10:30] = True
    save_coarse(np.ones(brain.shape), tmp_path / "t1.nii.gz")
    return tmp_path / "t1.nii.gz", brain


def save_coarse(values: np.ndarray, path: Path) -> None:
    nib.save(nib.Nifti1Image(values.astype(np.float32), np.diag([5, 5, 5, 1.0])), path)


def test_a_brain_s_mask_may_be_a_probability(tmp_path, boxed_brain):
    image, brain = boxed_brain
    save_coarse(np.where(brain, 0.4, 0.1), tmp_path / "brain.nii.gz")
    np.testing.assert_array_equal(read_brain(tmp_path / "brain.nii.gz", image), brain)
    values = np.where(brain, 1, 0.0)
    values[0, 0, 0] = np.nan
    save_coarse(values, tmp_path / "brain.nii.gz")
    np.testing.assert_array_equal(read_brain(tmp_path / "brain.nii.gz", image), brain)


@pytest.mark.parametrize(
    ("marks", "litres"),
    [
        (lambda brain: 0 * brain, "0"),
        (lambda brain: -1.0 * brain - 1, "0"),
        (lambda brain: np.eye(1, brain.size).reshape(brain.shape), "0.00012"),
        (lambda brain: ~brain, "7.6"),
    ],
    ids=["nothing", "below 0", "a voxel", "all but the brain"],
)
def test_a_brain_s_mask_is_a_mask_of_a_brain(tmp_path, boxed_brain, marks, litres):
    image, brain = boxed_brain
    save_coarse(marks(brain), tmp_path / "brain.nii.gz")
    with pytest.raises(VolumeError, match=rf"brain\.nii\.gz marks {litres} litres as brain, where a .* 0\.5 to 2\.5"):
        read_brain(tmp_path / "brain.nii.gz", image)


def test_an_anatomy_that_cannot_be_registered_is_named(tmp_path, boxed_brain, capsys):
    image, brain = boxed_brain
    save_coarse(~brain, image)  # nothing is to be seen in its brain
    save_coarse(brain, tmp_path / "brain.nii.gz")
    anatomy = ["--anatomy", str(image), str(tmp_path / "brain.nii.gz")]
    said = refusal(["synthesize", str(tmp_path / "own"), *anatomy], capsys)
    assert re.search(r"t1\.nii\.gz cannot be laid over the template: ITK ERROR: .*Mass of the image was zero", said)


@pytest.fixture
def one_of_three_damaged(tmp_path) -> list[str]:
    """The options that name them."""
    for name in ("a", "b", "c"):
        save_nifti(tmp_path / name)
    cut(tmp_path / "b" / "t1.nii.gz", 0.5)
    return ["--images", str(tmp_path / "*" / "t1.nii.gz"), "--mask", "seg.nii.gz"]


def test_a_damaged_volume_is_left_out_and_the_others_are_measured(tmp_path, tiny_model, one_of_three_damaged, capsys):
    scores, options = tmp_path / "scores.json", ["--model", str(tiny_model), *one_of_three_damaged]
    assert main(["evaluate", *options, "--json", str(scores)]) == 1
    written = json.loads(scores.read_text("utf-8"))
    assert [score["name"] for score in written["volumes"]] == ["a", "c"]
    assert written["evaluated"]["left_out"] == ["b"]
    shown = capsys.readouterr()
    assert re.search(r"b is left out: .*b.t1\.nii\.gz cannot be read", shown.err)
    assert "1 of 3 volumes were not measured and are left out" in shown.out
    assert "n = 2" in shown.out


@pytest.mark.parametrize("error", [ModelError, VolumeError, NothingToSegmentError, NotEnoughMemoryError])
def test_whatever_is_wrong_with_one_volume_the_others_are_measured(error, capsys):
    def measure(volume: LabelledVolume) -> str:
        if volume.name == "odd":
            raise error("no answer")
        return volume.name

    empty = np.zeros((1, 1, 1), np.float32)
    loads = {name: functools.partial(LabelledVolume, name, empty, np.eye(4), empty > 0) for name in ("a", "odd", "c")}
    assert volumes.measure_each(loads, measure) == ["a", "c"]
    assert "odd is left out: no answer" in capsys.readouterr().err


def test_what_was_measured_before_ctrl_c_is_told(capsys):
    def measure(volume: LabelledVolume) -> str:
        if volume.name == "third":
            raise KeyboardInterrupt
        return volume.name

    empty = np.zeros((1, 1, 1), np.float32)
    names = ("first", "second", "third", "fourth")
    loads = {name: functools.partial(LabelledVolume, name, empty, np.eye(4), empty > 0) for name in names}
    assert volumes.measure_each(loads, measure) == ["first", "second"]
    assert "2 of 4 volumes were not measured" in capsys.readouterr().out


def test_a_model_is_tuned_on_the_volumes_that_can_be_read(tiny_model, one_of_three_damaged, capsys):
    assert main(["tune", str(tiny_model), *one_of_three_damaged]) == 1
    shown = capsys.readouterr()
    assert "b is left out" in shown.err
    assert shown.out.startswith("1 of 3 volumes")
    assert shown.out.splitlines()[-1].startswith("--threshold")


def test_where_no_volume_can_be_read_nothing_is_summarised(tmp_path, tiny_model, capsys):
    save_nifti(tmp_path / "one")
    emptied(tmp_path / "one" / "t1.nii.gz")
    options = ["--model", str(tiny_model), "--images", str(tmp_path / "*" / "t1.nii.gz")]
    said = refusal(["evaluate", *options], capsys)
    assert "t1.nii.gz is nowhere above 0" in said
    assert "none of 1 volumes was measured" in said


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("--picture", "picture.txt", "picture.txt does not end in one of these: .*png"),
        ("--picture", "picture", "picture does not end in one of these"),
        ("--json", "folder", "folder is a folder: name a file"),
        ("--json", "file/scores.json", "scores.json cannot be written"),
    ],
)
def test_where_results_cannot_be_written_nothing_is_computed(tmp_path, tiny_model, monkeypatch, option, name, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(evaluate, "labelled_volumes", lambda _: pytest.fail("looked for volumes"))
    with pytest.raises(SystemExit, match=said):
        main(["evaluate", "--model", str(tiny_model), "--synthetic", "1", option, str(tmp_path / name)])


@pytest.mark.parametrize("command", [["synthesize"], ["adopt", "--images", "*"]])
@pytest.mark.parametrize("place", ["file", "file/pool"])
def test_a_file_is_no_folder_for_volumes(tmp_path, command, place, capsys):
    (tmp_path / "file").touch()
    said = f"{tmp_path / place} cannot be a folder: {tmp_path / 'file'} is none"
    assert said in refusal([*command, str(tmp_path / place)], capsys)


@pytest.mark.parametrize("options", [["--count", "0"], ["--seed", "-1"], ["--lesions", "-1"]])
def test_heads_are_counted_from_0_or_1(tmp_path, options, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["synthesize", str(tmp_path / "pool"), *options])
    assert ended.value.code == 2
    assert f"argument {options[0]}: {options[1]} is no whole number" in capsys.readouterr().err


def test_the_folder_for_results_is_made(tmp_path, tiny_model):
    save_nifti(tmp_path / "one")
    results = tmp_path / "new" / "results"
    written = ["--json", str(results / "scores.json"), "--picture", str(results / "picture.PNG")]
    images = ["--images", str(tmp_path / "one" / "t1.nii.gz"), "--mask", "seg.nii.gz"]
    assert main(["evaluate", "--model", str(tiny_model), *images, *written]) == 0
    assert {path.name for path in results.iterdir()} == {"scores.json", "picture.PNG"}


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


MM = {"shape": (96, 96, 98), "spacing": (1.0, 1.0, 1.0)}
"""A phantom on the network's own voxels."""


def in_a_file(path: Path) -> np.ndarray:
    return np.asarray(nib.nifti1.load(path).dataobj)


def segmented(folder: Path, model: Path) -> tuple[np.ndarray, np.ndarray]:
    """Lesions and probabilities that ``segment`` writes of the one case in a folder."""
    images, found = str(folder / "*" / "t1.nii.gz"), folder / "found"
    assert main(["segment", str(found), "--images", images, "--model", str(model), "--probability"]) == 0
    return in_a_file(found / "one_lesions.nii.gz"), in_a_file(found / "one_probability.nii.gz")


def read_as_documented(probability: np.ndarray, peak: float, smallest: int) -> np.ndarray:
    """Pieces of 0.5 or more that reach the peak and have so many voxels: what the help says that lesions are."""
    pieces = label(probability >= 0.5)
    numbers = range(1, pieces.max() + 1)
    kept = [n for n in numbers if probability[pieces == n].max() >= peak and (pieces == n).sum() >= smallest]
    return np.isin(pieces, kept)


def with_a_faint_sphere(folder: Path, **kind: Any) -> np.ndarray:
    """Write a phantom as case ``one``; give where a sphere is brighter than a lesion's surface, but not by much."""
    save_nifti(folder / "one", lesions=factory.LESIONS[:1], **kind)
    image = nib.nifti1.load(folder / "one" / "t1.nii.gz")
    volume = factory.volume(lesions=factory.LESIONS[:1], **kind)
    faint = factory.sphere_mask(volume, factory.LESIONS[1].centre_lps, 6.0)
    values = np.array(image.dataobj)
    values[faint] = 1.8 * np.median(values[values > 200])
    nib.save(nib.Nifti1Image(values, image.affine), folder / "one" / "t1.nii.gz")
    return faint


@pytest.mark.parametrize("plane", factory.PLANES)
def test_lesions_are_written_on_their_image_s_own_grid_the_largest_first(tmp_path, tiny_model, plane, capsys):
    save_nifti(tmp_path / "one", plane=plane)
    image = nib.nifti1.load(tmp_path / "one" / "t1.nii.gz")
    image.set_sform(image.affine, code="mni")
    image.set_qform(image.affine, code="scanner")
    nib.save(image, tmp_path / "one" / "t1.nii.gz")
    lesions, probability = segmented(tmp_path, tiny_model)
    reference = in_a_file(tmp_path / "one" / "seg.nii.gz") > 0
    assert 2 * (reference & (lesions > 0)).sum() / (reference.sum() + (lesions > 0).sum()) > 0.95
    sizes = np.bincount(lesions.ravel())[1:]
    assert len(sizes) == 3
    assert list(sizes) == sorted(sizes, reverse=True)
    assert probability.dtype == np.float32
    assert 0 <= probability.min() < 0.1 < 0.9 < probability.max() <= 1
    for name in ("lesions", "probability"):
        written = nib.nifti1.load(tmp_path / "found" / f"one_{name}.nii.gz")
        for form, code in (("get_sform", 4), ("get_qform", 1)):
            affine, said = getattr(written, form)(coded=True)
            assert said == code
            np.testing.assert_allclose(affine, image.affine, atol=1e-4)
        said = written.header["descrip"].item().decode()
        assert said == f"not a medical device; tiny 1.0, weights {read_bundle(tiny_model).sha256[:12]}"
    shown = capsys.readouterr().out
    assert f"tiny 1.0: threshold 0.5, peak 0.5, from 10 mm3\n{read_bundle(tiny_model).statement}\n" in shown
    assert f"one: lesions 3, {(lesions > 0).sum() * np.prod((2.0, 1.5, 1.75)) / 1000:.2f} ml in all" in shown


def test_on_the_network_s_own_voxels_the_map_read_as_documented_gives_the_lesions(tmp_path):
    faint = with_a_faint_sphere(tmp_path, **MM)
    model = tiny_bundle(tmp_path / "model", threshold=0.4, peak=0.95, minimum_volume_mm3=50.0)
    lesions, probability = segmented(tmp_path, model)
    assert (probability[faint] >= 0.5).any()  # nothing is taken out of the map
    assert not lesions[faint].any()
    np.testing.assert_array_equal(read_as_documented(probability, 0.95, 50), lesions > 0)


def test_without_a_peak_it_does_on_every_grid(tmp_path):
    faint = with_a_faint_sphere(tmp_path)
    lesions, probability = segmented(tmp_path, tiny_bundle(tmp_path / "model", threshold=0.4))
    assert lesions[faint].any()
    np.testing.assert_array_equal(read_as_documented(probability, 0.5, 2), lesions > 0)


def test_on_other_voxels_lesions_lie_within_pieces_that_need_not_reach_the_peak(tmp_path):
    (tmp_path / "one").mkdir()
    volume = factory.volume(lesions=[factory.Sphere(factory.LESIONS[0].centre_lps, 3.0)])
    thick, affine = average_slices(volume.array.astype(np.float32), volume.affine, 4.0)
    nib.save(nib.Nifti1Image(thick, LPS_TO_RAS @ affine), tmp_path / "one" / "t1.nii.gz")
    lesions, probability = segmented(tmp_path, tiny_bundle(tmp_path / "model", peak=0.9))
    assert (lesions > 0).any()
    assert (probability[lesions > 0] >= 0.5).all()
    assert not read_as_documented(probability, 0.9, 1).any()


@pytest.mark.parametrize("entries", [{"quatern_d": 1.0000005}, {"quatern_b": np.nan}, {"qoffset_x": np.inf}])
def test_a_qform_that_cannot_be_read_is_not_written(tmp_path, entries):
    save_nifti(tmp_path / "one")
    image, found = tmp_path / "one" / "t1.nii.gz", tmp_path / "found.nii.gz"
    with_head(image, qform_code=1, **{"quatern_b": 0, "quatern_c": 0} | entries)
    write_on_grid_of(image, np.zeros(nib.nifti1.load(image).shape, np.uint16), found, "zeros")
    written, grid = nib.nifti1.load(found), nib.nifti1.load(image)
    assert written.get_qform(coded=True) == (None, 0)
    np.testing.assert_array_equal(written.get_sform(), grid.get_sform())
    np.testing.assert_array_equal(written.affine, grid.affine)


def test_the_map_is_kept_only_where_it_is_asked_for(tmp_path, tiny_model):
    save_nifti(tmp_path / "one")
    images = ["--images", str(tmp_path / "one" / "t1.nii.gz"), "--model", str(tiny_model)]
    assert main(["segment", str(tmp_path / "found"), *images]) == 0
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["one_lesions.nii.gz"]


def test_an_image_that_cannot_be_segmented_is_left_out(tmp_path, tiny_model, capsys):
    for name in ("one", "two"):
        save_nifti(tmp_path / name)
    image = nib.nifti1.load(tmp_path / "two" / "t1.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine), tmp_path / "two" / "t1.nii.gz")
    command = ["segment", str(tmp_path / "found"), "--images", str(tmp_path / "*" / "t1.nii.gz")]
    assert main([*command, "--model", str(tiny_model)]) == 1
    assert "two is left out" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["one_lesions.nii.gz"]
