"""What part of the patient a visit's images cover: a lesion that lies elsewhere has not gone because it isn't seen."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

COVERED = 0.75
"""A lesion of which less lies within the images may be there without being seen."""
_RIM = 1.0
"""Voxels at the images' edge in which a lesion is easily missed or cut off, give or take the registration's error."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxels of a volume.

    Attributes
    ----------
    affine
        4x4, index to patient LPS in mm.
    shape
        Voxels along each axis.
    """

    affine: Floats
    shape: tuple[int, ...]

    def share_within(self, points: Floats) -> float:
        """Return the share of points (n, 3), LPS mm, that lies in the volume and not in its outermost voxels."""
        return float((self._depth(points) >= _RIM).mean())

    def cuts(self, points: Floats) -> bool:
        """Say whether any of the points (n, 3), LPS mm, lies in the outermost voxels."""
        return bool((self._depth(points) < _RIM).any())

    def _depth(self, points: Floats) -> Floats:
        """Return how many voxels each point lies within the nearest edge; less than 0 outside."""
        to_index = np.linalg.inv(self.affine)
        index = points @ to_index[:3, :3].T + to_index[:3, 3]
        return np.asarray(np.minimum(index + 0.5, np.array(self.shape) - 0.5 - index).min(axis=1))
