"""Calipers against brute force, and on outlines whose chords are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from rano.calipers import longest_chord, longest_diameter, longest_distance

# Whole numbers make points that repeat, lie on one line, or form parallel edges; fractions make none of these.
coordinates = st.integers(-4, 4).map(float) | st.floats(-50, 50, allow_subnormal=False).map(lambda x: round(x, 3))


def points(dimensions: int, least: int):
    return st.lists(st.tuples(*[coordinates] * dimensions), min_size=least, max_size=60).map(np.array)


@given(points(2, 1))
def test_longest_diameter_is_that_of_brute_force(cloud):
    start, end = longest_diameter(cloud)
    brute = pdist(cloud).max(initial=0)
    assert np.linalg.norm(end - start) == pytest.approx(brute, abs=1e-9)
    assert start.tolist() in cloud.tolist()
    assert end.tolist() in cloud.tolist()


@given(points(3, 2))
def test_longest_distance_is_that_of_brute_force(cloud):
    assert longest_distance(cloud) == pytest.approx(pdist(cloud).max(), abs=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_longest_diameter_of_an_outline_of_many_corners_nearly_as_far_apart(seed):
    """A rough circle away from the origin: the wrong one of its corners is wrong by little, but wrong."""
    rng = np.random.default_rng(seed)
    turn, radius = rng.uniform(0, 2 * np.pi, 200), rng.uniform(9.7, 10, 200)
    outline = [50, -30] + radius[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    start, end = longest_diameter(outline)
    assert np.linalg.norm(end - start) == pytest.approx(pdist(outline).max(), abs=1e-9)


def test_longest_diameter_of_a_regular_polygon():
    turn = np.arange(7) * 2 * np.pi / 7
    start, end = longest_diameter(10 * np.column_stack([np.cos(turn), np.sin(turn)]))
    assert np.linalg.norm(end - start) == pytest.approx(20 * np.cos(np.pi / 14))


@given(st.lists(st.floats(0.5, 20), min_size=3, max_size=40), st.floats(0, 2 * np.pi))
def test_longest_chord_is_that_of_brute_force_on_star_shaped_outlines(radii, turn):
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    outline = np.array(radii)[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    direction = np.array([np.cos(turn), np.sin(turn)])
    start, end = longest_chord(outline, direction)

    length = np.linalg.norm(end - start)
    assert np.cross([*(end - start), 0], [*direction, 0])[2] == pytest.approx(0, abs=1e-6)
    assert length >= _longest_of_many_lines(outline, direction) - 1e-6
    # Its middle lies inside, so it does not leave the outline there; and a line just beside it is no shorter.
    across = np.array([direction[1], -direction[0]])
    beside = [_longest_on_line(outline, direction, start @ across + step) for step in (-1e-7, 1e-7)]
    assert max(beside) == pytest.approx(length, abs=1e-3)


def test_longest_chord_stays_within_a_crescent():
    """A wide bowl 2 mm thick: its hull is 10 mm deep, no straight line within it is."""
    outline = np.array([[0, 0], [0, 10], [2, 10], [2, 2], [18, 2], [18, 10], [20, 10], [20, 0]], float)
    start, end = longest_chord(outline[:, ::-1], np.array([0.0, 1.0]))
    assert np.linalg.norm(end - start) == pytest.approx(20)
    bowl = np.array([[0, 10], [0, 8], [10, 0], [20, 8], [20, 10], [10, 2]], float)
    start, end = longest_chord(bowl, np.array([0.0, 1.0]))
    assert np.linalg.norm(end - start) == pytest.approx(2)


def test_longest_chord_of_a_square_across_and_along_its_diagonal():
    square = np.array([[0, 0], [0, 4], [4, 4], [4, 0]], float)
    for direction, length in (([0, 1], 4), ([1, 1], np.sqrt(32)), ([-1, 1], np.sqrt(32))):
        start, end = longest_chord(square, np.array(direction, float))
        assert np.linalg.norm(end - start) == pytest.approx(length)


def test_longest_chord_of_an_outline_without_area_is_a_point():
    line = np.array([[0, 0], [5, 0]], float)
    start, end = longest_chord(line, np.array([1.0, 0.0]))
    assert np.array_equal(start, end)


def _longest_of_many_lines(outline, direction):
    across = np.array([direction[1], -direction[0]])
    offsets = outline @ across
    return max(_longest_on_line(outline, direction, x) for x in np.linspace(offsets.min(), offsets.max(), 203)[1:-1])


def _longest_on_line(outline, direction, offset):
    """Cut one line with every edge and pair the crossings up."""
    across = np.array([direction[1], -direction[0]])
    start, end = outline, np.roll(outline, -1, axis=0)
    crossing = (start @ across > offset) != (end @ across > offset)
    start, end = start[crossing], end[crossing]
    part = (offset - start @ across) / ((end - start) @ across)
    heights = np.sort((start + part[:, None] * (end - start)) @ direction)
    return (heights[1::2] - heights[::2]).max(initial=0)
