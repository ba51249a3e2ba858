"""Where a lesion ends, on a few voxels whose fullness and surface are worked out by hand."""

import numpy as np
import pytest

from rano.outline import LEVEL, equivalent_radius, from_mask, from_probability, outlines, surface_points
from tests.reference_objects import grid, occupancy, sphere


def test_exactly_the_lesions_voxels_are_more_than_half_full_whatever_the_map_says():
    rng = np.random.default_rng(0)
    labels = np.pad(rng.choice([0, 1, 2], (6, 6, 6), p=[0.2, 0.7, 0.1]), 1)
    full = from_probability(labels, 1, rng.uniform(0, 1, labels.shape))
    assert np.array_equal(full > LEVEL, labels == 1)
    assert not full[labels == 2].any()


def test_voxels_deep_in_a_faint_lesion_are_full_and_those_at_its_border_as_full_as_they_are_likely():
    labels = np.pad(np.ones((3, 3, 3), int), 2)
    full = from_probability(labels, 1, np.where(labels, 0.7, 0.3))
    assert full[3, 3, 2:5].tolist() == [0.7, 1, 0.7]
    assert full[3, 3, :2].tolist() == [0, 0.3]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.5, 0.7)])
@pytest.mark.parametrize("diameter", [0.1, 4.0, 15.0])
def test_a_smoothed_mask_keeps_its_size(spacing, diameter):
    shape, affine = grid(spacing, np.eye(3), np.array([0.02, 0.04, 0.03]), diameter / 2)
    inside = occupancy(shape, affine, sphere(diameter).contains) >= 0.5
    inside[tuple(np.array(shape) // 2)] = True  # a ball of 0.1 mm is one voxel
    full = from_mask(inside, np.array(spacing))
    assert np.count_nonzero(full > LEVEL) == np.count_nonzero(inside)
    ordered = np.sort(full, axis=None)[::-1][np.count_nonzero(inside) - 1 :]
    assert ordered[0] + ordered[1] == pytest.approx(2 * LEVEL)


def test_a_ball_has_its_own_radius():
    assert equivalent_radius(4 / 3 * np.pi * 2**3) == pytest.approx(2)


def test_the_surface_cuts_the_line_between_voxels_where_their_fullness_is_one_half():
    full = np.zeros((3, 3, 3))
    full[1, 1, 1] = 0.8
    reach = (0.8 - LEVEL) / 0.8
    expected = 1 + np.concatenate([sign * reach * np.eye(3) for sign in (1, -1)])
    assert np.unique(surface_points(full), axis=0) == pytest.approx(np.unique(expected, axis=0))


def test_a_plane_has_one_outline_for_each_island_without_its_holes_each_point_once():
    section = np.zeros((9, 20))
    section[1:8, 1:8] = section[4, 15] = 1
    section[4, 4] = 0
    block, dot = sorted(outlines(section), key=len, reverse=True)
    assert len(block) == len(np.unique(block, axis=0)) == 28  # half a voxel around 7 x 7, its corners cut
    assert (block.min(), block.max()) == (0.5, 7.5)
    assert sorted(map(tuple, dot)) == [(3.5, 15), (4, 14.5), (4, 15.5), (4.5, 15)]
