"""What every preset makes of a volume, and what it refuses."""

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
