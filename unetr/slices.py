"""Thick slices from thin ones, as a scanner with that slice thickness would have given them."""

import numpy as np


def average_slices(array: np.ndarray, affine: np.ndarray, thickness_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Average along the first axis into slices of one thickness, without gaps: the slice profile is a box.

    The stack keeps its middle and covers all of the volume; where it reaches beyond, by less than a slice in all, it
    sees nothing (0). What each voxel holds, summed over the volume, is kept.

    Parameters
    ----------
    array
        Intensities, or how much of each voxel is lesion (0-1, or bool); axes slice, row, column.
    affine
        Index to mm, 4x4; the slices may be sheared against each other.
    thickness_mm
        Along the normal of the slices.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        float32, fewer slices of as many rows and columns, and their affine.

    Raises
    ------
    ValueError
        When the slices are thicker than that already.
    """
    normal = np.cross(affine[:3, 1], affine[:3, 2])
    own_mm = float(abs(affine[:3, 0] @ normal) / np.linalg.norm(normal))
    if thickness_mm < own_mm * 0.999:
        raise ValueError(f"slices of {own_mm:.2f} mm cannot be made into thinner ones of {thickness_mm:g} mm")
    ratio = thickness_mm / own_mm
    count = len(array)
    thick = max(1, int(np.ceil(count / ratio - 1e-3)))  # no slice more for what rounding leaves
    first = (count - 1) / 2 - ratio * (thick - 1) / 2  # centre of the first thick slice, in indices of the thin ones
    centres = first + ratio * np.arange(thick)[:, None]
    thin = np.arange(count)
    upper = np.minimum(centres + ratio / 2, thin + 0.5)
    lower = np.maximum(centres - ratio / 2, thin - 0.5)
    share = (upper - lower).clip(min=0) / ratio  # of each thick slice (row) that a thin one (column) fills
    moved = affine.copy()
    moved[:3, 0] *= ratio
    moved[:3, 3] += affine[:3, 0] * first
    return np.tensordot(share.astype(np.float32), array.astype(np.float32, copy=False), 1), moved
