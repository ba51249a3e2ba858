"""Patches turned, stretched, recoloured: still one place in image and truth; nothing beyond the volume counts."""

import numpy as np
import pytest
from scipy import ndimage

from unetr.training.augmentation import draw_axes, recolour, sample

SHAPE = (40, 52, 46)
MIDDLE = np.array([20, 26, 22]) - 0.5


def volume(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE).astype(np.float32)


def turned(seed: int) -> np.ndarray:
    """Axes that were turned: about half are."""
    rng = np.random.default_rng(seed)
    return next(axes for axes in (draw_axes(rng) for _ in range(100)) if abs(axes[0, 0]) != 1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_axes_along_the_grid_keep_the_voxels(mirrored):
    axes = np.diag([-1.0 if mirrored else 1.0, 1, 1])
    cut = volume()[12:28, 18:34, 14:30]
    got = sample([volume()], MIDDLE, axes, 16)[0].numpy()
    assert got == pytest.approx(cut[::-1] if mirrored else cut, abs=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_a_turned_patch_is_what_scipy_makes_of_it(seed):
    axes = turned(seed)
    expected = ndimage.affine_transform(volume(), axes, MIDDLE - axes @ np.full(3, 7.5), (16,) * 3, order=1)
    assert sample([volume()], MIDDLE, axes, 16)[0].numpy() == pytest.approx(expected, abs=1e-4)


def test_all_arrays_show_the_same_place():
    one = volume()
    both = sample([one, (one * 100).astype(np.float16)], MIDDLE, turned(3), 24)
    assert both[1].numpy() == pytest.approx(both[0].numpy() * 100, abs=0.1)


def test_beyond_the_volume_there_is_nothing():
    corner = sample([np.ones(SHAPE, np.uint8)], np.array([4, 4, 4]) - 0.5, turned(0), 24)[0]
    assert corner.min() == 0
    assert corner.max() == pytest.approx(1)
    assert float(corner[:2, :2, :2].max()) == 0


def test_lengths_change_by_little_and_half_of_all_are_mirrored():
    rng = np.random.default_rng(1)
    drawn = [draw_axes(rng) for _ in range(400)]
    lengths = np.array([np.linalg.svd(axes, compute_uv=False) for axes in drawn])
    assert 0.8 < lengths.min() < 0.9
    assert 1.1 < lengths.max() < 1.3
    assert 150 < sum(np.linalg.det(axes) < 0 for axes in drawn) < 250
    assert 150 < sum(abs(axes[0, 0]) == 1 for axes in drawn) < 250
    # The crown stays up: no place in the head looks like another one turned round.
    assert min(axes[2, 2] / np.linalg.norm(axes[:, 2]) for axes in drawn) > np.cos(0.3)


def test_another_contrast_keeps_air_dark_brain_near_one_and_bright_above():
    image = np.zeros((12, 12, 12), np.float32)
    image[3:] = 1
    image[8:] = 2
    rng = np.random.default_rng(2)
    drawn = [recolour(image, rng) for _ in range(200)]
    assert all(one.dtype == np.float32 for one in drawn)
    air, brain, bright = (np.array([float(one[plane].mean()) for one in drawn]) for plane in (0, 5, 11))
    assert np.abs(air).max() < 0.05
    assert (brain > 0.8).all()
    assert (brain < 1.25).all()
    assert (bright > 1.5 * brain).all()
    assert len({tuple(np.round(one[5].ravel(), 4)) for one in drawn}) > 150


def test_unless_varied_voxels_and_curve_stay():
    rng = np.random.default_rng(3)
    assert {tuple(np.diag(draw_axes(rng, varied=False))) for _ in range(40)} == {(1, 1, 1), (-1, 1, 1)}
    for _ in range(20):
        ratio = recolour(volume(), rng, varied=False) / volume()
        assert ratio.min() == pytest.approx(ratio.max(), rel=1e-5)


def test_what_is_drawn_follows_from_the_seed():
    for draw in (draw_axes, lambda rng: recolour(volume(), rng)):
        first, again = (draw(np.random.default_rng(7)) for _ in range(2))
        assert np.array_equal(first, again)
