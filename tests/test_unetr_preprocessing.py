"""The way to the network's grid and back: every orientation, spacing and order; intensities on one scale."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tests import factory
from unetr.preprocessing import PRESETS, Grid, normalise

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
SIGNED_PERMUTATIONS = [
    np.eye(3)[:, list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((-1.0, 1.0), repeat=3)
]


def blob(shape, affine, centre_lps, sigma_mm=4.0) -> np.ndarray:
    """Return a Gaussian around a point in LPS mm."""
    index = np.moveaxis(np.indices(shape, dtype=float), 0, -1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    return np.exp(-0.5 * ((points - centre_lps) ** 2).sum(-1) / sigma_mm**2).astype(np.float32)


def centre_of_mass(array) -> np.ndarray:
    array = np.asarray(array, float)
    return np.array([(index * array).sum() / array.sum() for index in np.indices(array.shape)])


@st.composite
def acquisitions(draw, rotated: bool = True):
    """Draw a shape and an affine: any axes, any order, turned by up to 20 degrees, 0.5-3 mm, at least 56 mm wide."""
    axes = draw(st.sampled_from(SIGNED_PERMUTATIONS))
    spacing = np.array(draw(st.tuples(*[st.floats(0.5, 3.0)] * 3)))
    if rotated:
        turn = draw(st.tuples(*[st.floats(-12.0, 12.0)] * 3))
        axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() @ axes
    shape = tuple(int(n) for n in np.ceil(56.0 / spacing))
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    middle = np.array(draw(st.tuples(*[st.floats(-60.0, 60.0)] * 3)))
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return shape, affine, middle


@settings(max_examples=25, deadline=None)
@given(acquisitions(rotated=False), st.tuples(*[st.floats(-7.0, 7.0)] * 3))
def test_a_point_of_the_patient_lands_where_ras_says(acquisition, offset):
    shape, affine, middle = acquisition
    grid = Grid.of(shape, affine)
    point = middle + offset
    seen = centre_of_mass(grid.forward(blob(shape, affine, point)))
    corners = np.array(list(itertools.product(*[(-0.5, n - 0.5) for n in shape])))
    edges_ras = (corners @ affine[:3, :3].T + affine[:3, 3]) * LPS_TO_RAS
    voxel_mm = np.ptp(edges_ras, axis=0) / grid.shape
    np.testing.assert_allclose(voxel_mm, 1.0, atol=0.5 / 56)
    expected = (point * LPS_TO_RAS - edges_ras.min(0)) / voxel_mm - 0.5
    np.testing.assert_allclose(seen, expected, atol=0.1)


@settings(max_examples=25, deadline=None)
@given(acquisitions(), st.tuples(*[st.floats(-7.0, 7.0)] * 3))
def test_there_and_back_keeps_the_place(acquisition, offset):
    shape, affine, middle = acquisition
    grid = Grid.of(shape, affine)
    original = blob(shape, affine, middle + offset)
    there = grid.forward(original)
    assert tuple(there.shape) == grid.shape
    back = grid.back(there)
    assert tuple(back.shape) == shape
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    moved_mm = (centre_of_mass(back) - centre_of_mass(original)) * spacing
    np.testing.assert_array_less(np.abs(moved_mm), 0.1 * spacing.clip(min=1.0))  # a tenth of the larger grid's voxel


@settings(max_examples=25, deadline=None)
@given(acquisitions())
def test_each_axis_of_an_oblique_series_takes_its_nearest_direction(acquisition):
    shape, affine, _ = acquisition
    grid = Grid.of(shape, affine)
    ramp = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    for target, source in enumerate(grid.order):
        towards = LPS_TO_RAS * ramp[:, source] * (-1 if target in grid.flips else 1)
        assert np.argmax(towards) == target


def test_however_oblique_each_axis_takes_a_direction_of_its_own():
    for axes in Rotation.random(300, random_state=0).as_matrix():
        affine = np.eye(4)
        affine[:3, :3] = axes
        assert sorted(Grid.of((20, 30, 40), affine).order) == [0, 1, 2]


@pytest.mark.parametrize("axes", SIGNED_PERMUTATIONS, ids=str)
def test_one_millimetre_voxels_are_only_turned(axes):
    affine = np.eye(4)
    affine[:3, :3] = axes
    image = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    grid = Grid.of(image.shape, affine)
    there = grid.forward(image)
    np.testing.assert_array_equal(np.sort(there.numpy().ravel()), np.sort(image.ravel()))
    np.testing.assert_array_equal(grid.back(there).numpy(), image)


def test_constant_stays_constant_however_the_voxels_change():
    affine = np.diag([0.4, 3.3, 1.2, 1.0])
    grid = Grid.of((90, 12, 40), affine)
    assert grid.shape == (36, 40, 48)
    there = grid.forward(np.full((90, 12, 40), 7.0, np.float32))
    torch.testing.assert_close(there, torch.full(grid.shape, 7.0))
    torch.testing.assert_close(grid.back(there), torch.full((90, 12, 40), 7.0))


def test_fine_voxels_are_averaged_not_skipped():
    """A checkerboard of 0.25 mm becomes grey, not black or white."""
    board = (np.indices((64, 64, 64)).sum(0) % 2).astype(np.float32)
    there = Grid.of(board.shape, np.diag([0.25, 0.25, 0.25, 1.0])).forward(board)
    torch.testing.assert_close(there, torch.full((16, 16, 16), 0.5))


def test_integers_are_welcome():
    image = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    there = Grid.of(image.shape, np.diag([-1.0, -1.0, 1.0, 1.0])).forward(image)
    np.testing.assert_array_equal(there.numpy(), image.astype(np.float32))


def head(scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(factory.volume(seed=seed).array.astype(np.float32)) * scale


def test_normalise_puts_the_median_of_tissue_at_one():
    volume = factory.volume(lesions=())
    seen = normalise(torch.from_numpy(volume.array.astype(np.float32)))
    inside = factory.sphere_mask(volume, factory.HEAD_CENTRE_LPS, 30.0)
    assert float(seen[torch.from_numpy(inside)].median()) == pytest.approx(1.0, abs=0.07)


@given(st.floats(1e-3, 1e3))
@settings(max_examples=10, deadline=None)
def test_normalise_does_not_mind_the_scanners_scale(scale):
    torch.testing.assert_close(normalise(head(scale)), normalise(head()), rtol=1e-4, atol=1e-5)


def test_normalise_does_not_mind_air_and_hardly_stripping():
    image = head()
    padded = torch.nn.functional.pad(image, [20] * 6)
    torch.testing.assert_close(normalise(padded)[20:-20, 20:-20, 20:-20], normalise(image))
    volume = factory.volume()
    stripped = image * torch.from_numpy(factory.sphere_mask(volume, factory.HEAD_CENTRE_LPS, 30.0))
    ratio = normalise(stripped).max() / normalise(image).max()
    assert float(ratio) == pytest.approx(1.0, abs=0.08)


def test_normalise_cuts_hot_spots_and_negative_values():
    image = head()
    image[0, 0, 0], image[1, 1, 1] = 1e6, -50.0
    seen = normalise(image)
    assert float(seen.max()) == 5.0
    assert float(seen.min()) == 0.0


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_normalise_refuses_an_empty_image(value):
    with pytest.raises(ValueError, match="no positive intensity"):
        normalise(torch.full((8, 8, 8), value))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_normalise_refuses_what_is_no_number(value):
    image = head()
    image[3, 4, 5] = value
    with pytest.raises(ValueError, match="no finite numbers"):
        normalise(image)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("end", ["first", "last"])
def test_of_a_head_nothing_is_cut_away_however_little_of_a_slice_it_fills(axis, end):
    """The vertex fills a hundredth of its slice, and a lesion may lie there."""
    index = np.indices((80, 90, 100)) - 45
    image = np.where((index**2).sum(0) < 30**2, 300, 0).astype(np.float32)
    image.swapaxes(0, axis)[slice(0, 45) if end == "first" else slice(45, None), 40:45, 40:45] = 300
    prepared = PRESETS["ras-1mm"](image, np.eye(4), "cpu")
    assert prepared.volume.numel() < image.size, "the air is cut away"
    seen = prepared.back(torch.ones_like(prepared.volume)).numpy()
    assert (seen[image > 0] == 1).all()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("axis", range(3))
def test_a_single_slice_may_have_been_turned_round(preset, axis):
    image = np.random.default_rng(0).gamma(2.0, 150.0, (12, 12, 12)).astype(np.float32).take([0], axis)
    turned = np.flip(image, axis)
    assert turned.strides[axis] < 0
    affine = np.diag([-4.0, 3.0, 2.0, 1.0])
    expected, prepared = (PRESETS[preset](one, affine, "cpu").volume for one in (image, turned))
    torch.testing.assert_close(prepared, expected)
