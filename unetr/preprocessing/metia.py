"""The preset "metia": what the published MetIA weights were trained on, kept to the voxel.

Their network sees the stored matrix, not the patient: axes rows, columns, slices, each voxel taken as 1 mm wide
whatever its spacing; brightness as a share of the brightest voxel; the rows turned round (MetIA's "LAS" of an array
without an orientation); every 1.5th row and column and every second slice, interpolated.

One thing is assumed. MetIA stacked slices by InstanceNumber, which the volume does not hold; slices are ordered here by
position along rows x columns, for an axial series from feet to head. So most scanners number them, and where one counts
the other way the network sees the head mirrored, which it was trained to bear (random flips).
"""

import numpy as np
import torch

from unetr.preprocessing.prepared import Prepared, as_tensor, tissue_median

_ORDER = (1, 2, 0)
"""Rows, columns, slices, as axes of the source."""
_STEPS = (1.5, 1.5, 2.0)
"""Voxels of the network's grid, in voxels of the source."""
_BRIGHTEST = 255.0
_LOW, _HIGH = -200.0, 300.0
"""What becomes 0 and 1: air is 0.4."""


def prepare(image: np.ndarray, affine: np.ndarray, device: torch.device | str) -> Prepared:
    """Prepare a volume; see :data:`unetr.preprocessing.Preset`. Nothing is cut away: windows lie as MetIA's did."""
    source = as_tensor(image, device)
    median, brightest = tissue_median(source), source.max()
    flips = (0, 2) if _against_normal(affine) else (0,)

    volume = source.permute(_ORDER).flip(flips)
    sizes = volume.shape
    for axis, step in enumerate(_STEPS):
        size = round((sizes[axis] - 1) / step + 1)
        volume = _sample(volume, axis, torch.arange(size, device=device) * step)
    volume = _scaled(volume, brightest).clamp(0, 1)

    def back(tensor: torch.Tensor) -> torch.Tensor:
        for axis, step in enumerate(_STEPS):  # on whichever device the tensor came to be
            tensor = _sample(tensor, axis, torch.arange(sizes[axis], device=tensor.device) / step)
        return tensor.flip(flips).permute(2, 0, 1).contiguous()

    across = np.asarray(affine, float)[0, :3] / np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)
    left_right = _ORDER.index(int(np.argmax(np.abs(across))))
    return Prepared(volume, float(_scaled(0.2 * median, brightest)), left_right, back)


def _against_normal(affine: np.ndarray) -> bool:
    """Tell whether the slices run against rows x columns, as those of a right-handed volume do."""
    slices, down, right = np.asarray(affine, float)[:3, :3].T
    return float(np.cross(right, down) @ slices) < 0


def _scaled(values: torch.Tensor, brightest: torch.Tensor) -> torch.Tensor:
    return (values / brightest * _BRIGHTEST - _LOW) / (_HIGH - _LOW)


def _sample(volume: torch.Tensor, axis: int, positions: torch.Tensor) -> torch.Tensor:
    """Interpolate linearly along an axis at these indices; beyond the last voxel its value goes on."""
    last = volume.shape[axis] - 1
    positions = positions.clamp(max=last)
    low = positions.long()
    weight = (positions - low).view([-1 if a == axis else 1 for a in range(3)])
    return torch.lerp(volume.index_select(axis, low), volume.index_select(axis, (low + 1).clamp(max=last)), weight)
