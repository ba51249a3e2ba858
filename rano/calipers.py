"""Exact calipers: the longest diameter of a set of points, and the longest chord across an outline in one direction.

Everything here is plane (or solid) geometry in mm; which outline to measure, and in which plane, is decided in
``measuring``.
"""

import contextlib

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

Floats = npt.NDArray[np.float64]


def longest_diameter(points: Floats) -> tuple[Floats, Floats]:
    """Find the two points of a plane set that lie furthest apart (its maximum Feret diameter).

    Rotating calipers on the convex hull (Shamos 1978): the two ends are always an antipodal pair, one vertex touched
    by a line along a hull edge's direction and one end of that edge. O(n log n).

    Parameters
    ----------
    points
        Shape (n, 2), mm, n >= 1, in any order; they may repeat or lie on one line.

    Returns
    -------
    tuple
        Both ends, each of shape (2,), mm.
    """
    hull = _hull(points)
    edges = np.roll(hull, -1, axis=0) - hull
    # The hull is counter-clockwise, so its edges' directions ascend: a search finds the edge on the other side.
    angles = np.unwrap(np.arctan2(edges[:, 1], edges[:, 0]))
    turned = np.searchsorted(np.concatenate([angles, angles + 2 * np.pi]), angles + np.pi)
    edge = np.arange(len(hull))
    # One vertex to either side as well: rounding may have put parallel edges in the wrong order.
    near = np.add.outer(np.arange(2), edge).repeat(3, axis=0) % len(hull)
    far = np.tile(np.add.outer(np.arange(-1, 2), turned), (2, 1)) % len(hull)
    pair = np.unravel_index(np.argmax(np.linalg.norm(hull[near] - hull[far], axis=-1)), near.shape)
    return hull[near[pair]], hull[far[pair]]


def longest_chord(outline: Floats, direction: Floats) -> tuple[Floats, Floats]:
    """Find the longest straight line in one direction that stays within an outline.

    Lines in that direction through the outline's vertices cut it into slabs; within a slab the outline's edges pair
    up, in order, as the sides of trapezoids, and a trapezoid's longest chord is one of its two ends. Exact, and
    proportional to the number of vertices times the number of edges a line crosses (2 in a convex outline).

    Parameters
    ----------
    outline
        Simple polygon, shape (n, 2), mm, not repeating its first point. It may be concave; it has no holes.
    direction
        Shape (2,), of any length but zero.

    Returns
    -------
    tuple
        Both ends, each of shape (2,), mm. For an outline without an area: one point, twice.
    """
    along = direction / np.linalg.norm(direction)
    across = np.array([along[1], -along[0]])
    start = np.stack([outline @ across, outline @ along], axis=1)
    end = np.roll(start, -1, axis=0)
    cuts = np.unique(start[:, 0])

    # Each edge, once for every slab that it crosses from side to side.
    left, right = np.sort([np.searchsorted(cuts, start[:, 0]), np.searchsorted(cuts, end[:, 0])], axis=0)
    count = right - left
    if not count.any():
        return outline[0], outline[0]
    edge = np.repeat(np.arange(len(outline)), count)
    slab = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(left, count)
    slope = (end[edge, 1] - start[edge, 1]) / (end[edge, 0] - start[edge, 0])
    ends = np.stack([cuts[slab], cuts[slab + 1]])
    heights = start[edge, 1] + slope * (ends - start[edge, 0])

    order = np.lexsort((heights.sum(axis=0), slab))
    lower, upper = order[0::2], order[1::2]
    side, best = np.unravel_index(np.argmax(heights[:, upper] - heights[:, lower]), (2, len(lower)))
    offset = ends[side, lower[best]] * across
    return offset + heights[side, lower[best]] * along, offset + heights[side, upper[best]] * along


def longest_distance(points: Floats) -> float:
    """Return the largest distance between any two points in space, in mm.

    Both ends are vertices of the convex hull, and lie at least the diameter less the largest radius from any centre:
    most points fall out before the hull is made, and most pairs before they are measured.

    Parameters
    ----------
    points
        Shape (n, 3), mm, n >= 2.
    """
    radii = np.linalg.norm(points - points.mean(axis=0), axis=1)
    outermost = points[np.argmax(radii)]
    at_least = np.linalg.norm(points - outermost, axis=1).max()
    far = points[radii >= at_least - radii.max() - 1e-9]
    with contextlib.suppress(QhullError, ValueError):  # too few of them left for a hull, or flat
        far = far[ConvexHull(far).vertices]
    return float(pdist(far).max())


def _hull(points: Floats) -> Floats:
    """Return the convex hull's vertices, counter-clockwise; of points on one line its two ends."""
    try:
        return np.asarray(points[ConvexHull(points).vertices])
    except (QhullError, ValueError):
        order = np.lexsort(points.T)
        return points[order[[0, -1]]]
