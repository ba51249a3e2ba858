"""A rigid motion of patient space: how one visit's coordinates become another's."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """A turn and a shift.

    Attributes
    ----------
    matrix
        4x4, LPS in mm to LPS in mm.
    """

    matrix: Floats

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, np.float64)
        turn = matrix[:3, :3] if matrix.shape == (4, 4) else np.zeros((3, 3))
        if not (np.allclose(turn @ turn.T, np.eye(3), atol=1e-6) and np.linalg.det(turn) > 0):
            raise ValueError(f"a rigid transform needs a 4x4 matrix that only turns and shifts, not {matrix.tolist()}")
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def identity(cls) -> "RigidTransform":
        return cls(np.eye(4))

    def apply(self, points: Floats) -> Floats:
        """Move points of shape (..., 3)."""
        return np.asarray(points @ self.matrix[:3, :3].T + self.matrix[:3, 3])

    def then(self, other: "RigidTransform") -> "RigidTransform":
        """Return this motion followed by another."""
        return RigidTransform(other.matrix @ self.matrix)

    def inverse(self) -> "RigidTransform":
        return RigidTransform(np.asarray(np.linalg.inv(self.matrix), np.float64))
