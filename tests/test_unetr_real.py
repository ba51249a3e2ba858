"""Real volumes as training cases: what is lesion stays where the image shows it, and lesions are added beside it."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from unetr.__main__ import main
from unetr.commands.nifti import RAS_TO_LPS
from unetr.synthesis.pool import case_names, read_case
from unetr.synthesis.real import adopt

SHAPE = (90, 100, 70)
CENTRE = np.array([30.0, 50.0, 40.0])
"""Of the one real lesion, in voxels."""
AFFINE = RAS_TO_LPS @ np.diag([1.2, 1.2, 1.5, 1.0])


def brain() -> tuple[np.ndarray, np.ndarray]:
    """A skull-stripped ellipsoid of even tissue with a bright sphere in it: image and reference."""
    index = np.indices(SHAPE) - np.array(SHAPE)[:, None, None, None] / 2
    inside = (index / np.array([36, 42, 30])[:, None, None, None]).__pow__(2).sum(0) < 1
    away = np.linalg.norm(
        (np.indices(SHAPE) - CENTRE[:, None, None, None]) * np.array([1.2, 1.2, 1.5])[:, None, None, None], axis=0
    )
    reference = away < 9
    image = 300.0 * inside + 300.0 * reference
    return image.astype(np.float32), reference


@pytest.mark.parametrize("seed", [0, 2, 4, 6])
def test_the_lesion_moves_with_the_image(seed):
    volume = adopt(brain()[0], AFFINE, brain()[1], seed)
    lesion, tissue = volume.fraction > 0.9, (volume.fraction == 0) & volume.brain
    assert volume.image.shape == volume.fraction.shape == volume.brain.shape
    assert min(volume.image.shape) >= 112
    away = torch.from_numpy(ndimage.distance_transform_edt(~lesion.numpy()))
    ring = tissue & (away > 3) & (away < 6)  # just outside: a lesion that did not move along would lie in it
    assert float(volume.image[lesion].quantile(0.2)) > 1.2 * float(volume.image[ring].quantile(0.8))
    assert (volume.brain | (volume.fraction < 0.5)).all()
    assert (volume.image[~volume.brain] == 0).all()
    middles = [torch.nonzero(one).double().mean(0) for one in (lesion, volume.brain)]
    right, _, up = (middles[0] - middles[1]).abs()
    assert right > up, "18 mm to one side of the middle, 7.5 mm above it"


def test_every_other_copy_gets_lesions_and_they_keep_away_from_the_real_ones():
    image, reference = brain()
    plain, painted = adopt(image, AFFINE, reference, 4), adopt(image, AFFINE, reference, 5)
    assert plain.lesions == []
    assert not plain.label_map.any()
    assert painted.lesions
    added = painted.label_map > 0
    real = (painted.fraction > 0.5) & ~added
    assert added.any()
    assert real.any()
    assert ndimage.distance_transform_edt(~real.numpy())[added.numpy()].min() > 4
    assert (painted.brain | ~added).all()


def test_a_seed_makes_one_volume():
    image, reference = brain()
    first, again, other = (adopt(image, AFFINE, reference, seed) for seed in (7, 7, 9))
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, other.image)


def whole_head() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same brain, with its lesion, inside a thin dark skull and a scalp: image, reference and brain."""
    image, reference = brain()
    inside = image > 0
    away = ndimage.distance_transform_edt(~inside)
    return image + 200.0 * ((away > 3) & (away < 6)), reference, inside


def test_a_whole_head_keeps_its_scalp_unless_it_is_shown_stripped():
    image, reference, inside = whole_head()
    kept = []
    for seed in range(0, 12, 2):
        volume = adopt(image.astype(np.float32), AFFINE, reference, seed, brain=inside)
        beyond = torch.from_numpy(ndimage.distance_transform_edt(~volume.brain.numpy()) > 3)
        kept.append(float(volume.image[beyond].max()) > 0.3)
        assert (volume.brain | (volume.fraction < 0.5)).all()
    assert set(kept) == {True, False}


def test_painted_lesions_are_as_bright_beside_white_matter_however_bright_that_is():
    """Half of this brain, and with it the median, is as dark as grey matter."""
    image, reference, inside = whole_head()
    image[: SHAPE[0] // 2][inside[: SHAPE[0] // 2]] *= 0.5
    image[reference] /= 2
    bright = []
    for seed in (1, 3, 5):
        volume = adopt(image.astype(np.float32), AFFINE, np.zeros_like(reference), seed, brain=inside)
        white = float(volume.image[volume.brain].quantile(0.75))
        for number, (kind, diameter) in enumerate(volume.lesions, start=1):
            if kind == "solid" and diameter > 6 and (volume.label_map == number).sum() > 100:
                bright.append(float(volume.image[volume.label_map == number].median()) / white)
    assert len(bright) >= 3
    assert np.median(bright) > 1.3


@pytest.fixture
def cases(tmp_path: Path) -> Callable[..., None]:
    def write(*names: str) -> None:
        image, reference = brain()
        for name in names:
            (tmp_path / "cases" / name).mkdir(parents=True)
            nib.save(nib.Nifti1Image(image, RAS_TO_LPS @ AFFINE), tmp_path / "cases" / name / "t1ce.nii.gz")
            marked = nib.Nifti1Image((4 * reference).astype(np.uint8), RAS_TO_LPS @ AFFINE)
            nib.save(marked, tmp_path / "cases" / name / "seg.nii.gz")

    return write


def command(folder: Path, *more: str) -> list[str]:
    images = ["--images", str(folder / "cases" / "*" / "t1ce.nii.gz")]
    return ["adopt", str(folder / "pool"), *images, "--mask", "seg.nii.gz", "--labels", "1", "4", *more]


def test_a_pool_of_real_cases_leaves_out_those_kept_for_validation(tmp_path, cases, capsys):
    cases("a", "b")
    assert main(command(tmp_path, "--copies", "2", "--leave-out", "a")) == 0
    assert case_names(tmp_path / "pool") == ["real_b_00", "real_b_01"]
    read = read_case(tmp_path / "pool", "real_b_00")
    assert read.fraction.max() == 255
    assert read.brain.any()
    healthy = tmp_path / "healthy"
    assert main(["adopt", str(healthy), *command(tmp_path)[2:4], "--leave-out", "b", "--copies", "1"]) == 0
    assert not read_case(healthy, "real_a_00").fraction.any()  # no mask: no lesion
    assert main(command(tmp_path, "--copies", "2", "--labels", "4")) == 1
    said = capsys.readouterr().err
    assert "real_b_00_fraction.nii was made with mask seg.nii.gz, labels 1 4, skull-stripped, where" in said


def test_all_cases_left_out_are_none_to_adopt(tmp_path, cases, capsys):
    cases("a", "b")
    assert main(command(tmp_path, "--leave-out", "a", "b")) == 1
    assert "--leave-out leaves no image to adopt" in capsys.readouterr().err


@pytest.fixture
def adopted(monkeypatch) -> dict[str, int]:
    """The volumes that commands write, and the seeds they are made from, without making them."""
    made: dict[str, int] = {}
    monkeypatch.setattr("unetr.commands.adopt.adopt", lambda image, affine, reference, seed, brain: seed)

    def write(folder: Path, name: str, seed: int, made_with: str) -> None:
        made[name] = seed
        nib.save(nib.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.eye(4)), folder / f"{name}_fraction.nii")

    monkeypatch.setattr("unetr.commands.adopt.write_case", write)
    return made


def test_one_visit_of_each_subject_is_a_case_of_its_own(tmp_path, cases, adopted):
    cases(*(f"sub-0{n}/anat" for n in (1, 2, 3)))
    images = ["--images", str(tmp_path / "cases" / "*" / "anat" / "t1ce.nii.gz"), "--copies", "1"]
    assert main(["adopt", str(tmp_path / "pool"), *images, "--leave-out", "sub-02"]) == 0
    assert list(adopted) == ["real_sub-01_00", "real_sub-03_00"]


def test_a_subject_is_left_out_with_all_visits(tmp_path, cases, adopted):
    cases("sub-01/ses-1", "sub-01/ses-2", "sub-02/ses-1")
    images = ["--images", str(tmp_path / "cases" / "*" / "*" / "t1ce.nii.gz"), "--copies", "1"]
    assert main(["adopt", str(tmp_path / "pool"), *images, "--leave-out", "sub-01"]) == 0
    assert list(adopted) == ["real_sub-02_ses-1_00"]


def test_a_name_that_is_no_case_is_not_left_out_in_silence(tmp_path, cases, adopted, capsys):
    cases("a", "b")
    assert main(command(tmp_path, "--leave-out", "B")) == 1
    assert "--leave-out B is none of the cases: those are called a, b" in capsys.readouterr().err
    assert not adopted


def test_a_folder_that_holds_a_case_to_be_left_out_is_refused(tmp_path, cases, adopted, capsys):
    cases("a", "b", "b_0")
    assert main(command(tmp_path, "--copies", "1", "--leave-out", "b")) == 0
    assert main(command(tmp_path, "--copies", "1", "--leave-out", "b")) == 0
    assert main(command(tmp_path, "--copies", "2", "--leave-out", "b", "b_0")) == 1
    assert "pool holds real_b_0_00, of a case to be left out" in capsys.readouterr().err


def test_a_case_becomes_the_same_volumes_whatever_others_there_are(tmp_path, cases, adopted):
    cases("a", "b", "c")
    main(command(tmp_path, "--copies", "3"))
    every = dict(adopted)
    assert len(set(every.values())) == 9
    for path in (tmp_path / "pool").iterdir():
        path.unlink()
    adopted.clear()
    main(command(tmp_path, "--copies", "3", "--leave-out", "a"))
    assert adopted.items() < every.items()
    assert [seed % 2 for seed in adopted.values()] == 2 * [0, 1, 0]  # every other copy gets lesions


@pytest.mark.parametrize("noise", [0, 5])
def test_a_whole_head_is_not_taken_for_a_brain(tmp_path, cases, adopted, capsys, noise):
    cases("a")
    image, _, inside = whole_head()
    image += noise * (1 + np.random.default_rng(0).random(SHAPE))  # in the air too
    scanned = nib.Nifti1Image(image.astype(np.float32), np.diag([2.25, 2.25, 2.25, 1]))
    nib.save(scanned, tmp_path / "cases" / "a" / "t1ce.nii.gz")
    brains = nib.Nifti1Image(inside.astype(np.uint8), scanned.affine)
    nib.save(brains, tmp_path / "cases" / "a" / "brain.nii.gz")
    images = command(tmp_path)[:4]
    assert main(images) == 1
    assert "t1ce.nii.gz looks like a whole head: give --brain; " in capsys.readouterr().err
    assert not adopted
    assert main([*images, "--brain", "brain.nii.gz"]) == 0
    assert adopted


def test_a_case_that_cannot_be_adopted_is_named(tmp_path, cases, capsys):
    cases("a")
    mask = nib.nifti1.load(tmp_path / "cases" / "a" / "seg.nii.gz")
    everywhere = nib.Nifti1Image(np.full(mask.shape, 4, np.uint8), mask.affine)
    nib.save(everywhere, tmp_path / "cases" / "a" / "seg.nii.gz")
    assert main(command(tmp_path)) == 1
    assert "t1ce.nii.gz cannot be adopted: the image shows no brain beside its lesions" in capsys.readouterr().err
