"""Masks and polygons of one plane: the exact outline along voxel edges, and back.

Coordinates are (row, column), 0-based, with voxel centres at whole numbers; voxel edges lie at halves.
"""

from itertools import pairwise

import numpy as np
from contourpy import FillType, contour_generator
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Polygon = NDArray[np.float64]
"""Corners (row, column), shape (n, 2); the last is joined to the first."""


def edge_polygons(mask: Mask) -> list[Polygon]:
    """Outline a mask along its voxel edges.

    Parameters
    ----------
    mask
        Shape (row, column).

    Returns
    -------
    list of Polygon
        One per 4-connected part of the mask, so voxels that meet in a corner only are outlined one by one. A hole is
        cut in through a channel of no width (the keyhole technique of DICOM PS3.3 C.8.8.6.3), from its upper left
        corner to the left. The polygons' areas sum up to the number of voxels, exactly.
    """
    generator = contour_generator(z=np.pad(mask, 1).astype(float), fill_type=FillType.OuterOffset)
    polygons = []
    for points, offsets in zip(*generator.filled(0.5, np.inf), strict=True):
        # contourpy gives (column, row) in the padded mask, and each ring's first point again as its last.
        rings = [_corners(points[start : stop - 1, ::-1] - 1.0) for start, stop in pairwise(offsets.tolist())]
        outline, holes = rings[0], [_from_upper_left(ring) for ring in rings[1:]]
        # From above, then from the left: what a channel runs into has always been joined to the outline before.
        for hole in sorted(holes, key=lambda ring: tuple(ring[0])):
            outline = _cut_in(outline, hole)
        polygons.append(outline)
    return polygons


def fill(polygon: Polygon, shape: tuple[int, int]) -> Mask:
    """Return the voxels whose centre lies inside a polygon, by the even-odd rule.

    Parameters
    ----------
    polygon
        Any simple or keyholed polygon; parts outside of the plane are cut off.
    shape
        Rows and columns of the plane.
    """
    mask = np.zeros(shape, bool)
    first, last = np.ceil(polygon[:, 0].min()), np.floor(polygon[:, 0].max())
    rows = np.arange(max(int(first), 0), min(int(last), shape[0] - 1) + 1)
    if not len(rows):
        return mask
    start, stop = polygon, np.roll(polygon, -1, axis=0)
    # Each row of voxel centres is crossed by some edges; from every crossing on, inside and outside change places.
    crossed = (start[:, 0] <= rows[:, None]) != (stop[:, 0] <= rows[:, None])
    row, edge = np.nonzero(crossed)
    along = (rows[row] - start[edge, 0]) / (stop[edge, 0] - start[edge, 0])
    column = start[edge, 1] + along * (stop[edge, 1] - start[edge, 1])
    changes = np.zeros((len(rows), shape[1] + 1), int)
    np.add.at(changes, (row, np.clip(np.ceil(column), 0, shape[1]).astype(int)), 1)
    mask[rows] = np.cumsum(changes, axis=1)[:, :-1] % 2 == 1
    return mask


def _corners(middles: Polygon) -> Polygon:
    """Return the corners of a ring of voxel edges, given the middle of each edge.

    At the level halfway between inside and outside, contourpy's points are exactly these middles. An edge between
    two rows has its row at a half, one between two columns its column; where one kind follows the other they share
    a corner, which has the half of each.
    """
    following = np.roll(middles, -1, axis=0)
    between_rows = middles[:, 0] % 1.0 == 0.5
    turns = between_rows != np.roll(between_rows, -1)
    kind = between_rows[:, None] == np.array([True, False])
    corners: Polygon = np.where(kind, middles, following)[turns]
    return corners


def _from_upper_left(ring: Polygon) -> Polygon:
    """Return the ring so that it starts at its uppermost corner, the leftmost of those."""
    return np.roll(ring, -int(np.lexsort((ring[:, 1], ring[:, 0]))[0]), axis=0)


def _cut_in(outline: Polygon, hole: Polygon) -> Polygon:
    """Join a hole to the outline around it by a channel of no width from the hole's first corner to the left."""
    row, column = hole[0]
    ends = np.roll(outline, -1, axis=0)
    upright = outline[:, 1] == ends[:, 1]
    spans = (np.minimum(outline[:, 0], ends[:, 0]) <= row) & (row <= np.maximum(outline[:, 0], ends[:, 0]))
    candidates = np.where(upright & spans & (outline[:, 1] < column), outline[:, 1], -np.inf)
    edge = int(np.argmax(candidates))
    landing = np.array([[row, candidates[edge]]])
    joined = np.concatenate([outline[: edge + 1], landing, hole, hole[:1], landing, outline[edge + 1 :]])
    return joined[np.any(joined != np.roll(joined, 1, axis=0), axis=1)]
