"""The preset "ras-1mm": 1 mm voxels towards right, anterior, superior, the median of the brain at 1.

The axes are the nearest permutation and flip of the acquired ones: an oblique series is not rotated.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from unetr.preprocessing.brightness import brain_brightness
from unetr.preprocessing.prepared import Prepared, as_tensor

SPACING_MM = 1.0
_BRIGHTEST = 5.0
"""Intensities are cut here, in medians of the brain: a coil's hot spot must not drown the rest."""
AIR = 0.2
"""What is at most this bright is air or bone."""
_MARGIN = 4
"""Voxels kept around the head when the empty air is cut away."""


def prepare(image: np.ndarray, affine: np.ndarray, device: torch.device | str) -> Prepared:
    """Prepare a volume; see :data:`unetr.preprocessing.Preset`. Empty air around the head is cut away."""
    grid = Grid.of((image.shape[0], image.shape[1], image.shape[2]), affine)
    whole = normalise(grid.forward(image, device))
    box = _head_box(whole)
    cut = [(part.start, size - part.stop) for part, size in zip(box, whole.shape, strict=True)]
    around = [voxels for ends in reversed(cut) for voxels in ends]

    def back(tensor: torch.Tensor) -> torch.Tensor:
        return grid.back(F.pad(tensor, around))

    return Prepared(whole[box].clone(), AIR, 0, back)  # what is not needed any more is not kept


def normalise(image: torch.Tensor) -> torch.Tensor:
    """Scale an image so that the median of the brain is 1, and cut it to [0, 5].

    Raises
    ------
    NothingToSegmentError
        When the image has no tissue, or a voxel that is no finite number.
    """
    return (image / brain_brightness(image)).clamp_(0, _BRIGHTEST)


@dataclass(frozen=True)
class Grid:
    """The way from a source array to the network's grid, and back.

    Attributes
    ----------
    order, flips
        ``source.permute(order).flip(flips)`` has axes towards right, anterior, superior.
    source_shape
        Shape of the source array.
    shape
        Shape on the network's grid.
    """

    order: tuple[int, int, int]
    flips: tuple[int, ...]
    source_shape: tuple[int, int, int]
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, shape: tuple[int, int, int], affine: np.ndarray) -> "Grid":
        """The grid for an array with this affine (index to patient LPS mm, 4x4)."""
        columns = np.asarray(affine, float)[:3, :3]
        spacing = np.linalg.norm(columns, axis=0)
        towards = (np.diag([-1, -1, 1]) @ columns / spacing).T  # source axis -> right, anterior, superior
        order: list[int] = [0, 0, 0]
        remaining = np.abs(towards)
        for _ in range(3):  # the closest pair of axes first
            source, target = np.unravel_index(np.argmax(remaining), (3, 3))
            order[target] = int(source)
            remaining[source, :] = remaining[:, target] = -1.0
        flips = tuple(target for target in range(3) if towards[order[target], target] < 0)
        millimetres = [shape[source] * spacing[source] for source in order]
        size = tuple(max(1, round(mm / SPACING_MM)) for mm in millimetres)
        return cls((order[0], order[1], order[2]), flips, shape, (size[0], size[1], size[2]))

    def forward(self, image: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
        """Source array -> float32 tensor on the network's grid, trilinear, smoothed first where voxels get larger."""
        tensor = as_tensor(image, device).permute(self.order).flip(self.flips)
        if tuple(tensor.shape) == self.shape:
            return tensor.contiguous()
        return _resize(tensor, self.shape)

    def back(self, volume: torch.Tensor) -> torch.Tensor:
        """Tensor on the network's grid -> tensor on the source's grid, trilinear."""
        oriented = tuple(self.source_shape[axis] for axis in self.order)
        if tuple(volume.shape) != oriented:
            volume = _resize(volume, oriented)
        inverse = [self.order.index(axis) for axis in range(3)]
        volume = volume.flip(self.flips)
        return volume.permute(inverse).contiguous()


def _resize(volume: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Trilinear over the same box in space; axes that lose samples are averaged over the new voxel first."""
    fewer = [min(old, new) for old, new in zip(volume.shape, shape, strict=True)]
    for axis, size in enumerate(fewer):
        if volume.shape[axis] > 1.5 * size:
            part = list(volume.shape)
            part[axis] = size
            volume = F.interpolate(volume[None, None], size=part, mode="area")[0, 0]
    if tuple(volume.shape) == tuple(shape):
        return volume
    return F.interpolate(volume[None, None], size=tuple(shape), mode="trilinear", align_corners=False)[0, 0]


def _head_box(volume: torch.Tensor) -> tuple[slice, ...]:
    """The box around all tissue, with a margin."""
    box = []
    tissue = volume > AIR
    for axis, size in enumerate(volume.shape):
        other = tuple(a for a in range(3) if a != axis)
        # A slice counts once 1 in 1000 of its voxels is tissue: noise in the air does not.
        there = torch.nonzero(tissue.float().mean(other) > 1e-3).flatten()
        low, high = (int(there[0]), int(there[-1])) if len(there) else (0, size - 1)
        box.append(slice(max(0, low - _MARGIN), min(size, high + 1 + _MARGIN)))
    return tuple(box)
