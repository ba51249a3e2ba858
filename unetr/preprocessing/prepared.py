"""What every preset makes of a volume, how bright its tissue is, and what is refused."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


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
    back
        Brings a tensor of ``volume``'s shape to the source array's grid, trilinear; 0 where ``volume`` does not reach.
    """

    volume: torch.Tensor
    air: float
    back: Callable[[torch.Tensor], torch.Tensor]


def tissue_median(image: torch.Tensor) -> torch.Tensor:
    """Median brightness of the tissue, a tensor of one element.

    Tissue is what is brighter than a fifth of the 98th percentile of the non-zero voxels: air and bone fall out,
    and the median moves by a few percent only between a whole head and a skull-stripped one.

    Raises
    ------
    NothingToSegmentError
        When the image has no tissue, or a voxel that is no finite number.
    """
    bright = image[image > 0]
    if bright.numel() == 0 or not torch.isfinite(image).all():
        raise NothingToSegmentError("the image holds no positive intensity, or values that are no finite numbers")
    sample = bright[:: max(1, bright.numel() // 500_000)]
    return sample[sample > 0.2 * torch.quantile(sample, 0.98)].median()
