"""Outlines along voxel edges: exact area, exact voxels, nothing but right angles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from matplotlib.path import Path

from results.contours import Polygon, edge_polygons, fill

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12), elements=st.booleans())


def area(polygon: Polygon) -> float:
    """Return the area of a polygon, in voxel faces (shoelace formula)."""
    rows, columns = (polygon - polygon[0]).T
    return abs(float(rows @ np.roll(columns, -1) - columns @ np.roll(rows, -1))) / 2.0


@settings(max_examples=300, deadline=None)
@given(masks)
def test_any_mask_comes_back_and_has_its_area(mask: np.ndarray) -> None:
    polygons = edge_polygons(mask)
    parts = [fill(polygon, mask.shape) for polygon in polygons]
    assert np.array_equal(np.sum([np.zeros(mask.shape, int), *parts], axis=0), mask.astype(int))  # none twice
    assert [area(polygon) for polygon in polygons] == [part.sum() for part in parts]


@settings(max_examples=300, deadline=None)
@given(masks)
def test_every_corner_is_a_voxel_corner_and_every_edge_follows_the_voxels(mask: np.ndarray) -> None:
    for polygon in edge_polygons(mask):
        assert len(polygon) >= 4
        assert np.all(polygon % 1.0 == 0.5)
        steps = np.roll(polygon, -1, axis=0) - polygon
        assert np.all((steps != 0).sum(axis=1) == 1)


@settings(max_examples=100, deadline=None)
@given(masks)
def test_another_rasteriser_agrees(mask: np.ndarray) -> None:
    centres = np.argwhere(np.ones(mask.shape, bool))
    found = np.zeros(mask.shape, bool)
    for polygon in edge_polygons(mask):
        found |= Path(np.vstack([polygon, polygon[:1]]), closed=True).contains_points(centres).reshape(mask.shape)
    assert np.array_equal(found, mask)


@pytest.mark.parametrize("corners", [[(2, 2), (2, 6), (6, 6), (6, 2)], [(1, 4), (4, 7), (7, 4), (4, 1)]])
def test_of_centres_on_the_outline_as_many_count_as_its_area_has(corners: list[tuple[int, int]]) -> None:
    polygon = np.array(corners, float)
    assert fill(polygon, (9, 9)).sum() == area(polygon)


def test_an_empty_mask_has_no_outline() -> None:
    assert edge_polygons(np.zeros((5, 4), bool)) == []


def test_a_box_has_four_corners() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:5, 3:8] = True
    (polygon,) = edge_polygons(mask)
    assert sorted(map(tuple, polygon)) == [(1.5, 2.5), (1.5, 7.5), (4.5, 2.5), (4.5, 7.5)]


def test_voxels_that_meet_in_a_corner_are_two_outlines() -> None:
    assert [len(polygon) for polygon in edge_polygons(np.eye(2, dtype=bool))] == [4, 4]


def test_a_hole_is_cut_in_by_a_keyhole() -> None:
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    (polygon,) = edge_polygons(mask)
    assert area(polygon) == 24
    assert not fill(polygon, mask.shape)[2, 2]
    corners = [tuple(corner) for corner in polygon]
    assert corners.count((1.5, 1.5)) == corners.count((1.5, -0.5)) == 2  # there and back again


@pytest.mark.parametrize("shift", [(-3, 0), (0, -3), (6, 0), (0, 6), (-20, 0), (20, 0), (0, -20), (0, 20)])
def test_what_lies_outside_of_the_plane_is_cut_off(shift: tuple[int, int]) -> None:
    shape = (9, 9)
    box = np.array([[0.5, 0.5], [0.5, 5.5], [5.5, 5.5], [5.5, 0.5]])
    rows, columns = np.indices(shape) - np.array(shift)[:, None, None]
    expected = (rows >= 1) & (rows <= 5) & (columns >= 1) & (columns <= 5)
    assert np.array_equal(fill(box + shift, shape), expected)


def test_slanted_edges_are_filled_by_voxel_centres() -> None:
    triangle = np.array([[0.2, 0.2], [0.2, 6.3], [6.3, 0.2]])
    rows, columns = np.indices((8, 8))
    assert np.array_equal(fill(triangle, (8, 8)), (rows >= 1) & (columns >= 1) & (rows + columns < 6.5))
