"""How much a voxel counts in the loss: small lesions have few voxels to speak for them, so each of those counts more.

What is wrongly taken for a lesion counts as a true one of its size does: else being found would matter far more than
being right, and every small vessel would be called a lesion.
"""

import numpy as np
import torch
from scipy import ndimage

from unetr.components import label, only

SEEN = 0.3
"""A probability above this counts as a lesion seen."""
EMPHASIS = 8.0
"""The most that a voxel counts, unless said otherwise: with 20 a network of random weights learns next to nothing."""
_EVEN_MM = 20.0
"""A voxel of a lesion of this diameter counts as much as one of healthy tissue."""
_LEAST = 0.25
"""What a voxel inside the largest lesions counts."""


def weigh(labels: np.ndarray, emphasis: float) -> np.ndarray:
    """Weights of the voxels in and around lesions, such that all lesions count nearly the same.

    Parameters
    ----------
    labels
        Lesions, numbered from 1 on, on the 1 mm grid, shape (a, b, c).
    emphasis
        The most that a voxel counts, that of the smallest lesions.

    Returns
    -------
    np.ndarray
        float32, the shape of ``labels``; 1 more than 3 voxels away from all lesions.
    """
    diameters = (6 / np.pi * np.bincount(labels.ravel()).clip(min=1)) ** (1 / 3)
    per_lesion = np.clip((_EVEN_MM / diameters) ** 2.5, _LEAST, emphasis).astype(np.float32)
    per_lesion[0] = 1
    return ndimage.maximum_filter(per_lesion[labels], 7)  # the shell counts as much: else small lesions would swell


def find_false(probability: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """What is taken for a lesion and touches none, numbered; numbers may be missing. Both arrays of shape (a, b, c)."""
    return apart(probability > SEEN, fraction > 0)


def apart(mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The components of ``mask`` that neither meet nor touch ``others``, numbered; numbers may be missing."""
    labels = label(mask | others)
    keep = np.ones(int(labels.max()) + 1, bool)
    keep[labels[others]] = False
    return only(labels, keep)


def count_false(
    weight: torch.Tensor, probability: torch.Tensor, fraction: torch.Tensor, emphasis: float
) -> torch.Tensor:
    """``weight`` with false lesions raised to what true ones of their size count: all float32, (n, 1, a, b, c)."""
    counted = weight.clone()
    seen = (probability > SEEN).flatten(1).any(1).tolist()
    for patch in (index for index, any_seen in enumerate(seen) if any_seen):
        false = find_false(probability[patch, 0].cpu().numpy(), fraction[patch, 0].cpu().numpy())
        if false.any():
            raised = torch.from_numpy(weigh(false, emphasis)).to(weight.device)
            counted[patch, 0] = torch.maximum(counted[patch, 0], raised)
    return counted
