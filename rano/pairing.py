"""How well two lesions of different visits go together, in common coordinates."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

from rano.outline import equivalent_radius
from rano.rigid import RigidTransform
from rano.shape import LesionShape

Floats = npt.NDArray[np.float64]

NEAR_MM = 2.5
"""Masks are dilated by this much before they are asked whether they overlap."""
SAME_PLACE_MM = 1.0
"""What lies no further than this from a lesion lies in it, give or take the registration's error."""
LEAST_CONTACT = 0.1
"""Lesions have to do with each other when at least this share of one of them lies near the other."""
LEAST_OVERLAP = 0.25
"""Lesions may be the same when at least this share of one of them lies near the other."""


class Placed:
    """A lesion in common coordinates."""

    def __init__(self, shape: LesionShape, to_common: RigidTransform) -> None:
        self.points = to_common.apply(shape.points)
        self.centroid = to_common.apply(shape.centroid_lps_mm)
        self.volume_mm3 = shape.volume_mm3
        self.radius = equivalent_radius(shape.volume_mm3)
        self.reach = float(np.linalg.norm(self.points - self.centroid, axis=1).max()) + shape.cell_mm
        # Cells touch the surface on average a quarter of a cell outside their centres.
        self.slack = shape.cell_mm / 4
        self.tree = KDTree(self.points)

    def distances_to(self, other: "Placed") -> Floats:
        """Return how far each of its points lies from the other lesion's surface or inside (0), mm."""
        distances, _ = other.tree.query(self.points, distance_upper_bound=NEAR_MM + other.slack + 1e-6)
        return np.asarray(np.maximum(distances - other.slack, 0))


@dataclass(frozen=True)
class Pair:
    """What speaks for a lesion now being one known from before.

    Attributes
    ----------
    overlap
        The larger share of the one lesion that lies near (``NEAR_MM``) the other.
    now_within, before_within
        The share of the lesion now that lies in the place of the one before, and the other way round.
    distance_mm
        Between the centroids.
    likeness
        How well they go together, up to 1: the share of both volumes that lies near the other, less half the distance
        as a share of the distance at which they could no longer touch.
    """

    overlap: float
    now_within: float
    before_within: float
    distance_mm: float
    likeness: float

    @property
    def in_place(self) -> float:
        return max(self.now_within, self.before_within)


def compare(now: Placed, before: Placed) -> Pair | None:
    """Return what speaks for two lesions being the same; None when nothing does."""
    distance = float(np.linalg.norm(now.centroid - before.centroid))
    if distance > now.reach + before.reach + NEAR_MM:
        return None
    forth, back = now.distances_to(before), before.distances_to(now)
    near = [float((distances <= NEAR_MM).mean()) for distances in (forth, back)]
    if max(near) < LEAST_CONTACT:
        return None
    common = near[0] * now.volume_mm3 + near[1] * before.volume_mm3
    likeness = common / (now.volume_mm3 + before.volume_mm3)
    likeness -= distance / (now.radius + before.radius + NEAR_MM) / 2
    within = [float((distances <= SAME_PLACE_MM).mean()) for distances in (forth, back)]
    return Pair(max(near), within[0], within[1], distance, likeness)


def assign(weights: Floats) -> dict[int, int]:
    """Choose the pairs whose weights add up to the most (Hungarian algorithm).

    Parameters
    ----------
    weights
        Shape (lesions now, lesions before); 0 where a pair is out of the question, else more.

    Returns
    -------
    dict
        Now to before, 0-based.
    """
    rows, columns = linear_sum_assignment(weights, maximize=True)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if weights[row, column] > 0}
