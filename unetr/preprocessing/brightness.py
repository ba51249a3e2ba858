"""How bright the brain is, found without knowing where it is: deep in the upper part of whatever is in the image."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from scipy import ndimage

from unetr.preprocessing.prepared import tissue_median

_COARSE_MM = 6
_DEPTH_MM = 18.0
"""Scalp, skull and the muscles of the temple lie closer than this to the head's surface."""
_HEIGHT_MM = 110.0
"""Face and neck lie further than this below the top of the head."""
_SLICE_MM2 = 1500.0
"""The topmost slice with so much tissue is the top."""
_ENOUGH_MM3 = 100_000.0
"""With less than this to look at, all tissue is looked at."""


def brain_brightness(volume: torch.Tensor) -> float:
    """Median brightness of the tissue 18 mm or more below the head's surface, in the head's upper 110 mm.

    That is brain in a whole head and in a skull-stripped one alike. The median of all tissue is not: with face and neck
    in the image it lies far below the brain's, whose white matter then looks as bright as a lesion.

    Parameters
    ----------
    volume
        1 mm voxels, axes towards right, anterior, superior; any scale.

    Raises
    ------
    NothingToSegmentError
        When the image has no tissue, or a voxel that is no finite number.
    """
    every = float(tissue_median(volume))
    block = [min(_COARSE_MM, size) for size in volume.shape]  # a slab may be thinner
    pooled = F.avg_pool3d(volume[None, None], block, ceil_mode=True)[0, 0].cpu().numpy()
    tissue = pooled > 0.2 * every
    head = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(tissue, 3), iterations=2))[3:-3, 3:-3, 3:-3]
    below_surface = ndimage.distance_transform_edt(np.pad(head, 1))[1:-1, 1:-1, 1:-1] * _COARSE_MM
    slices = np.flatnonzero(head.sum((0, 1)) * _COARSE_MM**2 > _SLICE_MM2)
    if not len(slices):
        return every
    below_top = (slices[-1] - np.arange(head.shape[2])) * _COARSE_MM
    deep = pooled[tissue & (below_surface >= _DEPTH_MM) & (below_top <= _HEIGHT_MM)]
    return float(np.median(deep)) if deep.size * _COARSE_MM**3 >= _ENOUGH_MM3 else every
