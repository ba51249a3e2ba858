"""Digital reference objects: shapes whose diameters and volumes are known from a formula, and their voxels.

Every shape is centred on the origin, in patient LPS mm, and turned by a rotation matrix of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ReferenceObject:
    """A shape and the truth about it.

    Attributes
    ----------
    name
        What it is, in words for a failure message.
    contains
        Tells of points of shape (..., 3), LPS mm, which lie inside.
    radius_mm
        Of a ball around the origin that holds it.
    volume_mm3, longest_mm, diameter_3d_mm
        Volume; largest distance between two of its points at the same height (z); and at any height.
    perpendicular_mm
        The longest chord at 90 degrees to the longest, at the same height, where a formula is known.
    """

    name: str
    contains: Callable[[Floats], npt.NDArray[np.bool_]]
    radius_mm: float
    volume_mm3: float
    longest_mm: float
    diameter_3d_mm: float
    perpendicular_mm: float | None = None


def sphere(diameter: float) -> ReferenceObject:
    """Return a ball."""
    return ellipsoid((diameter, diameter, diameter), np.eye(3), name=f"sphere {diameter:.2f} mm")


def ellipsoid(diameters: tuple[float, float, float], rotation: Floats, name: str = "") -> ReferenceObject:
    """Return an ellipsoid with the given full axes."""
    axes = np.array(diameters) / 2
    quadric = rotation @ np.diag(axes**-2.0) @ rotation.T
    # The axial plane through the centre cuts the largest of all similar ellipses; its long axis is the diameter.
    flattest, steepest = np.linalg.eigvalsh(quadric[:2, :2])
    return ReferenceObject(
        name=name or "ellipsoid {:.2f} x {:.2f} x {:.2f} mm".format(*diameters),
        contains=lambda points: np.einsum("...i,ij,...j->...", points, quadric, points) <= 1,
        radius_mm=float(axes.max()),
        volume_mm3=float(4 / 3 * np.pi * axes.prod()),
        longest_mm=float(2 / np.sqrt(flattest)),
        diameter_3d_mm=float(2 * axes.max()),
        perpendicular_mm=float(2 / np.sqrt(steepest)),
    )


def ring(diameter: float, core: float) -> ReferenceObject:
    """Return a ball without its concentric core, as a mask of the enhancing rim alone has it."""
    return ReferenceObject(
        name=f"ring {diameter:.2f} mm around {core:.2f} mm",
        contains=lambda points: _within(np.sum(points**2, axis=-1), (core / 2) ** 2, (diameter / 2) ** 2),
        radius_mm=diameter / 2,
        volume_mm3=np.pi / 6 * (diameter**3 - core**3),
        longest_mm=diameter,
        diameter_3d_mm=diameter,
        perpendicular_mm=diameter,
    )


def tube(length: float, diameter: float, direction: Floats) -> ReferenceObject:
    """Return a round tube with hemispherical ends: all points within half a diameter of a straight line."""
    radius, half = diameter / 2, (length - diameter) / 2
    sine = abs(float(direction[2]))
    cosine = np.sqrt(1 - sine**2)
    # It is convex and symmetrical about its centre, so its longest level chord passes there: it leaves through the
    # round ends where the tube lies flat, through the sides where it stands upright.
    reach = half * cosine + np.sqrt(max(radius**2 - (half * sine) ** 2, 0))
    if radius < half * sine or reach * cosine < half:
        reach = radius / sine

    def contains(points: Floats) -> npt.NDArray[np.bool_]:
        along = np.clip(points @ direction, -half, half)
        return np.sum((points - along[..., None] * direction) ** 2, axis=-1) <= radius**2

    return ReferenceObject(
        name=f"tube {length:.2f} x {diameter:.2f} mm at {np.degrees(np.arcsin(sine)):.0f} degrees",
        contains=contains,
        radius_mm=length / 2,
        volume_mm3=np.pi * radius**2 * (2 * half + 4 / 3 * radius),
        longest_mm=float(2 * reach),
        diameter_3d_mm=length,
    )


def touching_spheres(first: float, second: float, direction: Floats) -> ReferenceObject:
    """Return two balls that touch in one point, the line between their centres in the given direction."""
    centres = np.array([-second / 2, first / 2])[:, None] * direction
    radii = np.array([first, second]) / 2
    # At the height of the point of contact both cuts, as circles, touch; elsewhere they reach less far.
    level = (first + second) * np.sqrt(1 - direction[2] ** 2)
    return ReferenceObject(
        name=f"spheres {first:.2f} and {second:.2f} mm touching along {np.round(direction, 2)}",
        contains=lambda points: np.any(
            [np.sum((points - c) ** 2, axis=-1) <= r**2 for c, r in zip(centres, radii, strict=True)], axis=0
        ),
        radius_mm=(first + second) / 2,
        volume_mm3=np.pi / 6 * (first**3 + second**3),
        longest_mm=float(max(first, second, level)),
        diameter_3d_mm=first + second,
    )


def grid(
    spacing: tuple[float, float, float], rotation: Floats, centre: Floats, radius_mm: float
) -> tuple[tuple[int, int, int], Floats]:
    """Return shape and affine of a volume around the origin.

    Parameters
    ----------
    spacing
        Of slices, rows and columns, mm.
    rotation
        Its columns are the directions of the slice, row and column axes in LPS.
    centre
        Where the origin falls, as a fraction of a voxel along each axis.
    radius_mm
        What has to fit.
    """
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array(spacing)
    half = np.ceil(radius_mm / np.array(spacing)).astype(int) + 3
    affine[:3, 3] = -affine[:3, :3] @ (half + centre)
    slices, rows, columns = (2 * half + 1).tolist()
    return (slices, rows, columns), affine


def occupancy(
    shape: tuple[int, int, int], affine: Floats, contains: Callable[[Floats], npt.NDArray[np.bool_]]
) -> Floats:
    """Return the part of each voxel that a shape fills, 0 to 1, by sampling border voxels every 0.2 mm or finer."""

    def inside(index: Floats) -> npt.NDArray[np.bool_]:
        return contains(index @ affine[:3, :3].T + affine[:3, 3])

    index = np.moveaxis(np.indices(shape), 0, -1).astype(float)
    filled = inside(index).astype(float)
    full = np.ones((3, 3, 3))
    border = ndimage.binary_dilation(filled > 0, full, 2) & ~ndimage.binary_erosion(filled > 0, full, 2)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    counts = np.ceil(spacing / 0.2).astype(int)
    offsets = (np.moveaxis(np.indices(counts), 0, -1).reshape(-1, 3) + 0.5) / counts - 0.5
    filled[border] = np.mean([inside(index[border] + offset) for offset in offsets], axis=0)
    return filled


def _within(value: Floats, low: float, high: float) -> npt.NDArray[np.bool_]:
    return (value >= low) & (value <= high)
