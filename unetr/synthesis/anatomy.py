"""The template every synthetic head is warped from: MNI152 tissues, and distances to the structures that enhance.

The T1, grey and white matter maps are the ICBM 2009a templates that ship inside nilearn. The enhancing structures
(venous sinuses, deep veins, arteries, choroid plexus, tentorium, falx) are drawn from their known courses as
polylines and surfaces in MNI coordinates: they are the look-alikes a network has to learn to leave alone.
"""

from dataclasses import dataclass
from functools import cache

import nibabel as nib
import numpy as np
import torch
from nilearn import datasets
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

SHAPE = (184, 224, 192)
"""Voxels of the template grid, 1 mm, axes towards right, anterior, superior."""
ORIGIN = (-92.0, -128.0, -90.0)
"""MNI coordinates (RAS, mm) of the grid's voxel (0, 0, 0)."""

Line = list[tuple[float, float, float]]

_FAR_MM = 20.0
"""Distances to the enhancing structures are cut here."""

_SINUSES: list[Line] = [
    [(0, 58, 22), (0, 46, 57), (0, 12, 75), (0, -28, 77), (0, -68, 58), (0, -94, 22), (0, -99, -4)],
    [(0, -99, -4), (28, -93, -13), (54, -73, -23), (61, -46, -30), (50, -38, -46)],
    [(0, -99, -4), (-28, -93, -13), (-54, -73, -23), (-61, -46, -30), (-50, -38, -46)],
    [(0, -43, 7), (0, -62, 4), (0, -82, -3), (0, -97, -5)],
]
_VEINS: list[Line] = [
    [(3, -2, 14), (2, -20, 13), (0, -37, 8), (0, -44, 6)],
    [(-3, -2, 14), (-2, -20, 13), (0, -37, 8)],
    [(12, -10, -14), (18, -25, -6), (10, -36, 2), (0, -42, 6)],
    [(-12, -10, -14), (-18, -25, -6), (-10, -36, 2), (0, -42, 6)],
    [(40, -10, -10), (46, 8, -4), (50, -20, 6), (44, -44, 24)],
    [(-40, -10, -10), (-46, 8, -4), (-50, -20, 6), (-44, -44, 24)],
]
_ARTERIES: list[Line] = [
    [(0, -32, -50), (0, -26, -36), (0, -20, -25), (0, -16, -18)],
    [(0, -16, -18), (18, -22, -14), (24, -32, -6), (16, -62, 0)],
    [(0, -16, -18), (-18, -22, -14), (-24, -32, -6), (-16, -62, 0)],
    [(14, 4, -38), (14, 6, -27), (13, 2, -20), (30, 2, -18), (42, 0, -12), (44, -16, 2), (46, -34, 18)],
    [(-14, 4, -38), (-14, 6, -27), (-13, 2, -20), (-30, 2, -18), (-42, 0, -12), (-44, -16, 2), (-46, -34, 18)],
    [(13, 4, -20), (3, 14, -16), (2, 32, 0), (1, 22, 28), (1, 0, 36), (1, -26, 40)],
    [(-13, 4, -20), (-3, 14, -16), (-2, 32, 0), (-1, 22, 28), (-1, 0, 36), (-1, -26, 40)],
    [(0, 4, -33), (0, 6, -27)],
]
_CHOROID: list[Line] = [
    [(5, -2, 12), (11, -18, 19), (21, -35, 16), (25, -42, 10), (28, -31, -8), (30, -18, -16)],
    [(-5, -2, 12), (-11, -18, 19), (-21, -35, 16), (-25, -42, 10), (-28, -31, -8), (-30, -18, -16)],
    [(8, -48, -36), (0, -47, -34), (-8, -48, -36)],
]

CHANNELS = (
    "t1",
    "grey",
    "white",
    "csf",
    "depth",
    "sinuses",
    "veins",
    "arteries",
    "choroid",
    "tentorium",
    "falx",
    "ventricles",
)


@dataclass(frozen=True)
class Anatomy:
    """Maps on one 1 mm grid.

    Attributes
    ----------
    maps
        Float tensor (channel, right, anterior, superior), channels as in :data:`CHANNELS`: T1 with white matter
        at 1, tissue fractions, ``depth`` in mm below the brain's surface (negative outside), distances in mm to
        the enhancing structures (clipped at 20), ``ventricles`` a 0-1 map.
    """

    maps: torch.Tensor

    def to(self, device: torch.device | str) -> "Anatomy":
        return Anatomy(self.maps.to(device))


def _on_grid(image: nib.Nifti1Image) -> np.ndarray:
    """Copy a 1 mm RAS template into the working grid; the grids differ by a whole-voxel shift."""
    data = np.asarray(image.dataobj, dtype=np.float32)
    shift = np.round(image.affine[:3, 3] - ORIGIN).astype(int)
    grid = np.zeros(SHAPE, np.float32)
    source = tuple(slice(max(0, -s), min(d, n - s)) for s, d, n in zip(shift, data.shape, SHAPE, strict=True))
    target = tuple(slice(s.start + k, s.stop + k) for s, k in zip(source, shift, strict=True))
    grid[target] = data[source]
    return grid


def _distance_to(lines: list[Line]) -> np.ndarray:
    free = np.ones(SHAPE, bool)
    for line in lines:
        points = np.array(line, float)
        along = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
        samples = PchipInterpolator(along, points)(np.linspace(0.0, along[-1], 4 * int(along[-1]) + 2))
        index = np.round(samples - ORIGIN).astype(int)
        inside = ((index >= 0) & (index < SHAPE)).all(1)
        free[tuple(index[inside].T)] = False
    return _clipped_distance(free)


def _clipped_distance(free: np.ndarray) -> np.ndarray:
    distance = np.full(SHAPE, _FAR_MM, np.float32)
    box = _box_around(~free, int(_FAR_MM))  # all beyond it is too far anyway
    distance[box] = np.minimum(ndimage.distance_transform_edt(free[box]), _FAR_MM)
    return distance


def _depth(brain: np.ndarray) -> np.ndarray:
    depth = -ndimage.distance_transform_edt(~brain)
    box = _box_around(brain, 1)
    depth[box] += ndimage.distance_transform_edt(brain[box])
    return depth


def _box_around(mask: np.ndarray, margin: int) -> tuple[slice, ...]:
    (box,) = ndimage.find_objects(mask.view(np.int8))
    return tuple(slice(max(0, s.start - margin), s.stop + margin) for s in box)


def _tentorium_and_falx() -> tuple[np.ndarray, np.ndarray]:
    x, y, z = (np.arange(n, dtype=np.float32) + o for n, o in zip(SHAPE, ORIGIN, strict=True))
    x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
    ridge = np.interp(y, [-98.0, -42.0], [-5.0, 7.0])
    notch = np.abs(x) > np.interp(y, [-45.0, -25.0], [0.0, 26.0])
    sheet = (np.abs(z - (ridge - 0.42 * np.abs(x))) < 0.7) & notch & (np.abs(x) < 62) & (y > -98) & (y < -22)
    arch = np.interp(y, [-98.0, -40.0, 0.0, 30.0, 60.0], [-4.0, 12.0, 38.0, 34.0, 0.0])
    blade = (np.abs(x) < 0.7) & (z > arch) & (y > -99) & (y < 62)
    return _clipped_distance(~sheet), _clipped_distance(~np.broadcast_to(blade, SHAPE))


@cache
def mni152() -> Anatomy:
    """The MNI152 template with its tissues and the structures around it (a few seconds, kept for the process)."""
    grey = _on_grid(datasets.load_mni152_gm_template(resolution=1)).clip(0, 1)
    white = _on_grid(datasets.load_mni152_wm_template(resolution=1)).clip(0, 1)
    return assemble(mni152_t1(), grey, white, mni152_brain())


def mni152_t1() -> np.ndarray:
    """The template's T1 on the working grid, float32."""
    return _on_grid(datasets.load_mni152_template(resolution=1))


def mni152_brain() -> np.ndarray:
    """The template's brain on the working grid, bool."""
    return ndimage.binary_fill_holes(_on_grid(datasets.load_mni152_brain_mask(resolution=1)) > 0.5)


def assemble(t1: np.ndarray, grey: np.ndarray, white: np.ndarray, brain: np.ndarray) -> Anatomy:
    """Complete a head that lies in the working grid as the template does with the structures that enhance.

    Parameters
    ----------
    t1
        Of any scale.
    grey, white
        Fractions of tissue, 0-1; what they leave of the brain is fluid.
    brain
        bool.
    """
    csf = (brain - grey - white).clip(0, 1)
    depth = _depth(brain)
    deep_csf = ndimage.binary_opening((csf > 0.5) & (depth > 14))
    tentorium, falx = _tentorium_and_falx()
    maps = {
        "t1": t1 / np.median(t1[white > 0.9]),
        "grey": grey,
        "white": white,
        "csf": csf,
        "depth": depth.clip(-45, 60),
        "sinuses": _distance_to(_SINUSES),
        "veins": _distance_to(_VEINS),
        "arteries": _distance_to(_ARTERIES),
        "choroid": _distance_to(_CHOROID),
        "tentorium": tentorium,
        "falx": falx,
        "ventricles": deep_csf,
    }
    stacked = np.stack([maps[name] for name in CHANNELS], dtype=np.float32, casting="same_kind")
    return Anatomy(torch.from_numpy(stacked))
