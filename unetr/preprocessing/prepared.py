"""What every preset makes of a volume, how bright its tissue is, and what is refused."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

_SAMPLE = 500_000
"""Voxels at least, or all there are, that tell how bright tissue is."""
_PART = 1 << 22
"""Voxels looked at together."""


class NothingToSegmentError(ValueError):
    """The image is empty, or holds values that are no numbers."""


@dataclass(frozen=True)
class Prepared:
    """A volume as the network wants it, and the way back.

    Attributes
    ----------
    volume
        float32, the network's axes, spacing and intensities; windows are cut from it.
    air
        What is at most this bright in ``volume`` is air or bone.
    left_right
        The axis of ``volume``, 0-based, that runs between left and right, or nearest to that.
    back
        Brings a tensor of ``volume``'s shape, on any device, to the source array's grid, trilinear; 0 where ``volume``
        does not reach. Leaves the tensor as it is.
    """

    volume: torch.Tensor
    air: float
    left_right: int
    back: Callable[[torch.Tensor], torch.Tensor]


def as_tensor(image: np.ndarray, device: torch.device | str) -> torch.Tensor:
    """Give an array as float32 on a device, copied only where it must be.

    By way of a flat one: numpy takes any step along an axis of length 1 for contiguous, also a step back, as turning
    a single slice leaves it; torch does not.
    """
    return torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32).ravel()).view(image.shape).to(device)


def tissue_median(image: torch.Tensor) -> torch.Tensor:
    """Median brightness of the tissue, a tensor of one element.

    Tissue is what is brighter than a fifth of the 98th percentile of the non-zero voxels: air and bone fall out. With
    face and neck in the image the median lies far below the brain's: see ``unetr.preprocessing.brightness``.

    Raises
    ------
    NothingToSegmentError
        When the image has no tissue, or a voxel that is no finite number.
    """
    count = int(torch.count_nonzero(image > 0))
    if count == 0 or not torch.stack(image.aminmax()).isfinite().all():
        raise NothingToSegmentError("the image holds no positive intensity, or values that are no finite numbers")
    sample = _bright(image, max(1, count // _SAMPLE))
    return sample[sample > 0.2 * torch.quantile(sample, 0.98)].median()


def _bright(image: torch.Tensor, step: int) -> torch.Tensor:
    """Every so many-th of the positive voxels; some at a time, for choosing by a mask takes 24 bytes a voxel."""
    chosen, skip = [], 0
    for part in image.flatten().split(_PART):
        bright = part[part > 0]
        chosen.append(bright[skip::step])
        skip = (skip - bright.numel()) % step
    return torch.cat(chosen)
