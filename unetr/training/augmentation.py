"""A patch as another patient or another scanner would have shown it: turned, stretched, with another contrast."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from scipy import ndimage
from scipy.spatial.transform import Rotation

_TURNED = 0.5
"""Share of patches that are interpolated; the others keep their voxels, as volumes do that come on the 1 mm grid."""
_LARGEST_TURN = 0.26
"""Radians about an axis that points anywhere."""
_STRETCH = (0.87, 1.2)
"""Voxels of the volume to one of the patch, for each axis."""


def draw_axes(rng: np.random.Generator, *, varied: bool = True) -> np.ndarray:
    """Where one voxel along each axis of a patch leads in the volume: columns of a float64 (3, 3) matrix, in voxels.

    Half of them mirror left and right; the brain has no other plane of symmetry. Unless ``varied`` that is all.
    """
    axes = np.diag([-1.0 if rng.random() < 0.5 else 1.0, 1.0, 1.0])
    if not varied or rng.random() >= _TURNED:
        return axes
    direction = rng.normal(size=3)
    turn = Rotation.from_rotvec(rng.uniform(0, _LARGEST_TURN) * direction / np.linalg.norm(direction))
    return turn.as_matrix() @ axes @ np.diag(rng.uniform(*_STRETCH) * rng.uniform(0.95, 1.05, 3))


def sample(arrays: list[np.ndarray], middle: np.ndarray, axes: np.ndarray, size: int) -> torch.Tensor:
    """A cube of ``size`` voxels out of volumes of one shape, linearly interpolated; 0 beyond their edges.

    Parameters
    ----------
    arrays
        n volumes, each of shape (a, b, c).
    middle
        Of the cube, in voxels of the volumes, 0-based: a half for an even ``size`` on their grid.
    axes
        As ``draw_axes`` gives them.

    Returns
    -------
    torch.Tensor
        float32, shape (n, size, size, size).
    """
    half = (size - 1) / 2
    reach = np.abs(axes).sum(1) * half
    low = np.clip(np.floor(middle - reach).astype(int), 0, None)
    high = np.minimum(np.ceil(middle + reach).astype(int) + 1, arrays[0].shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    stack = torch.stack([torch.from_numpy(array[box].astype(np.float32)) for array in arrays])
    along_grid = stack.shape[1:] == (size,) * 3 and np.array_equal(np.abs(axes), np.eye(3))
    if along_grid:  # the same voxels, in a fifth of the time
        return stack.flip([1 + axis for axis in range(3) if axes[axis, axis] < 0])
    unit = 2 / (high - low - 1)
    theta = np.column_stack([unit[:, None] * axes * half, unit * (middle - low) - 1])
    theta = np.column_stack([theta[::-1, 2::-1], theta[::-1, 3]])  # torch counts the last axis first
    grid = F.affine_grid(torch.from_numpy(theta).float()[None], [1, 1, size, size, size], align_corners=True)
    return F.grid_sample(stack[None], grid, align_corners=True)[0]


def recolour(image: np.ndarray, rng: np.random.Generator, *, varied: bool = True) -> np.ndarray:
    """Another brightness and, if ``varied``, now and then another contrast curve, blur or noise; brain stays near 1."""
    if varied and rng.random() < 0.3:
        image = image.clip(0) ** rng.uniform(0.8, 1.25)
    if varied and rng.random() < 0.2:
        image = ndimage.gaussian_filter(image, rng.uniform(0, 0.7, 3))
    if varied and rng.random() < 0.3:
        image = image + rng.normal(0, rng.uniform(0, 0.06), image.shape) * (image > 0)
    return (image * rng.uniform(0.85, 1.18)).astype(np.float32)
