"""Connected components of a mask, each of them a lesion or what is taken for one: numbered, and some taken out."""

import numpy as np
from scipy import ndimage

TOUCHING = np.ones((3, 3, 3), bool)
"""Voxels are connected when they share a face, edge or corner."""


def label(mask: np.ndarray) -> np.ndarray:
    """Number the components from 1 on; 0 is none. int32, the mask's shape."""
    return ndimage.label(mask, TOUCHING)[0]


def only(labels: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Take out the components n for which ``keep[n]`` is false; the others keep their numbers."""
    return np.where(keep[labels], labels, 0)
