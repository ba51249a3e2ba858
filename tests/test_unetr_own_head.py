"""A real head becomes an anatomy: it comes to lie as the template does, and its tissues are told apart."""

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from unetr.__main__ import main
from unetr.commands.nifti import RAS_TO_LPS
from unetr.synthesis.anatomy import CHANNELS, ORIGIN, Anatomy, mni152, mni152_brain, mni152_t1
from unetr.synthesis.own_head import head_anatomy

SHAPE = (76, 92, 76)


def other_scan() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The template's head as another scanner might show it: oblique, 2.4 mm, slices from the right, larger, shaded."""
    turn = ndimage.affine_transform  # index of the scan -> index of the template
    angle = np.deg2rad(9)
    rotation = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    columns = rotation @ np.diag([-2.4, 2.4, 2.4])  # to RAS mm
    middle = np.array([7.0, -30.0, 24.0])
    to_ras = nib.affines.from_matvec(columns, middle - columns @ (np.array(SHAPE) - 1) / 2)
    size = 1.07  # the head is that much larger than the template
    matrix, offset = to_ras[:3, :3] / size, (to_ras[:3, 3] - [7, -12, 15]) / size - ORIGIN
    image, brain = (
        turn(array.astype(np.float32), matrix, offset, output_shape=SHAPE, order=1)
        for array in (mni152_t1(), mni152_brain())
    )
    shade = np.linspace(0.8, 1.25, SHAPE[1])[None, :, None]
    return (image * shade * 400).astype(np.float32), RAS_TO_LPS @ to_ras, brain > 0.5


@pytest.fixture(scope="module")
def own() -> Anatomy:
    return head_anatomy(*other_scan())


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.minimum(a, b).sum() / (a.sum() + b.sum())


def channel(anatomy: Anatomy, name: str) -> np.ndarray:
    return anatomy.maps[CHANNELS.index(name)].numpy()


def test_it_comes_to_lie_where_the_template_does(own):
    assert own.maps.shape == mni152().maps.shape
    assert overlap(channel(own, "depth") > 0, channel(mni152(), "depth") > 0) > 0.96


# The template itself, on its own grid, gives 0.87 and 0.91: an average of many heads has few voxels of one tissue.
@pytest.mark.parametrize("tissue", ["grey", "white"])
def test_its_tissues_are_told_apart(own, tissue):
    assert overlap(channel(own, tissue), channel(mni152(), tissue)) > 0.8


def test_white_matter_is_as_bright_in_front_as_behind(own):
    t1, white = channel(own, "t1"), channel(own, "white") > 0.9
    front, behind = (np.median(t1[:, half][white[:, half]]) for half in (slice(112, None), slice(112)))
    assert np.median(t1[white]) == pytest.approx(1)
    assert front / behind == pytest.approx(1, abs=0.1)


def test_a_command_makes_heads_of_it(own, monkeypatch, tmp_path):
    scan = other_scan()
    image, affine, brain = scan
    names = [tmp_path / "t1.nii.gz", tmp_path / "brain.nii.gz"]
    for name, array in zip(names, (image, brain.astype(np.uint8)), strict=True):
        nib.save(nib.Nifti1Image(array, RAS_TO_LPS @ affine), name)
    given: list[np.ndarray] = []
    warped: list[torch.Tensor] = []

    def made_before(*arrays: np.ndarray) -> Anatomy:
        given.extend(arrays)
        return own

    monkeypatch.setattr("unetr.synthesis.own_head.head_anatomy", made_before)
    monkeypatch.setattr("unetr.commands.synthesize.write_case", lambda *_: None)
    monkeypatch.setattr("unetr.commands.synthesize.synthesize", lambda anatomy, *_, **__: warped.append(anatomy.maps))
    command = ["synthesize", str(tmp_path / "own"), "--count", "2", "--device", "cpu", "--anatomy", *map(str, names)]
    assert main(command) == 0
    for array, expected in zip(given, scan, strict=True):
        np.testing.assert_allclose(array, expected, atol=1e-4)
    assert [maps is own.maps for maps in warped] == [True, True]
