"""The one convention of where a lesion ends: how full of it each voxel is, and the surface where that is one half.

With a probability map, the voxels on both sides of the mask's border are as full as they are likely (a voxel that the
border cuts in half is as likely lesion as not), and those deeper inside are full: a faint lesion does not shrink for
being faint. A mask alone knows its border only to a voxel, in steps and terraces whose corners stick out of the
lesion; it is smoothed as far as its terraces are wide, and keeps its size.

The volume is the sum of the fullness (of a mask, of its voxels). The outline is where the fullness, interpolated
linearly between voxel centres, is one half.
"""

from typing import cast

import numpy as np
import numpy.typing as npt
from contourpy import FillType, contour_generator
from scipy import ndimage

Floats = npt.NDArray[np.float64]

LEVEL = 0.5
MARGIN = 3
"""Voxels around a lesion's box that its surface, and the question whose neighbours they are, may reach into."""

_TOUCHING = ndimage.generate_binary_structure(3, 3)
# A voxel of the mask lies inside the outline even where its probability is no more than LEVEL.
_LEAST_INSIDE = LEVEL + 1e-3


def from_probability(labels: npt.NDArray[np.integer], label: int, probability: npt.NDArray[np.floating]) -> Floats:
    """Return how full of one lesion each voxel is, from a probability map.

    Parameters
    ----------
    labels
        A box cut from the label map, shape (slices, rows, columns): the lesion and ``MARGIN`` voxels around it, as far
        as the volume goes. What the volume cuts off goes on beyond it.
    label
        The lesion's value.
    probability
        The same box of the probability map, 0 to 1.

    Returns
    -------
    ndarray
        float64 of the box's shape. More than one half exactly in the lesion's voxels; zero in another lesion's, so
        that lesions that touch do not leak; a background voxel between two lesions is shared.
    """
    inside = labels == label
    near = ndimage.binary_dilation(inside, _TOUCHING) & (labels == 0)
    others = ndimage.binary_dilation((labels != 0) & ~inside, _TOUCHING)
    deep = ndimage.binary_erosion(inside, _TOUCHING, border_value=1)
    full = np.where(inside, np.maximum(probability, _LEAST_INSIDE), 0).astype(np.float64)
    full[deep] = 1
    full[near] = np.clip(probability[near], 0, LEVEL) * np.where(others[near], 0.5, 1)
    return full


def from_mask(inside: npt.NDArray[np.bool_], spacing: Floats) -> Floats:
    """Return a smooth stand-in for how full each voxel is, from a mask alone.

    On a ball of radius R, slices h apart make terraces about sqrt(2 R h) wide. A Gaussian of sqrt(R h) / 3 takes off
    their corners; scaling its result so that as many voxels as before lie above ``LEVEL`` undoes the shrinkage.

    Parameters
    ----------
    inside
        Shape (slices, rows, columns), False along its border.
    spacing
        Of slices, rows and columns, mm.

    Returns
    -------
    ndarray
        float64 of the same shape; its level set at ``LEVEL`` is the surface. Its sum is not the volume.
    """
    count = np.count_nonzero(inside)
    sigma = np.sqrt(equivalent_radius(count * spacing.prod()) * spacing.max()) / 3
    smooth = ndimage.gaussian_filter(inside.astype(np.float64), sigma / spacing, mode="constant", truncate=3)
    ordered = np.partition(smooth, [-count, -count - 1], axis=None)
    border: float = (ordered[-count] + ordered[-count - 1]) / 2
    return np.asarray(smooth * (LEVEL / border), np.float64)


def equivalent_radius(volume_mm3: float) -> float:
    """Return the radius in mm of the ball with the given volume."""
    return float(np.cbrt(0.75 / np.pi * volume_mm3))


def outlines(section: Floats) -> list[Floats]:
    """Return the outer outlines of one plane, holes left out.

    Parameters
    ----------
    section
        Fullness, shape (rows, columns), zero along its border.

    Returns
    -------
    list of ndarray
        One polygon per island, shape (n, 2), as (row, column), 0-based, not repeating its first point.
    """
    generator = contour_generator(z=section, fill_type=FillType.OuterOffset)
    polygons, offsets = cast(tuple[list[Floats], list[npt.NDArray[np.uint32]]], generator.filled(LEVEL, np.inf))
    return [polygon[: offset[1] - 1, ::-1] for polygon, offset in zip(polygons, offsets, strict=True)]


def surface_points(full: Floats) -> Floats:
    """Return where the lesion's surface cuts the lines between neighbouring voxel centres.

    These are the vertices that marching cubes would give, and those of the outlines of every plane.

    Parameters
    ----------
    full
        Fullness, shape (slices, rows, columns), zero along its border.

    Returns
    -------
    ndarray
        Shape (n, 3), as (slice, row, column), 0-based.
    """
    above = full > LEVEL
    points = []
    for axis in range(3):
        index = np.nonzero(np.diff(above, axis=axis))
        onwards = tuple(along + (number == axis) for number, along in enumerate(index))
        point = np.stack(index, axis=1).astype(np.float64)
        point[:, axis] += (LEVEL - full[index]) / (full[onwards] - full[index])
        points.append(point)
    return np.concatenate(points)
