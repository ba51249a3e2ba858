"""How sure the network was of a lesion, from its probability map."""

import numpy as np
import numpy.typing as npt

from rano.lesion import Confidence


def confidence(probability: npt.NDArray[np.floating]) -> Confidence:
    """Sum up the probabilities of one lesion's voxels.

    Parameters
    ----------
    probability
        Any shape, at least one voxel, 0 to 1: the lesion's voxels alone.

    Raises
    ------
    ValueError
        When there is no voxel.
    """
    if probability.size == 0:
        raise ValueError("a lesion of no voxels has no confidence")
    p = np.asarray(probability, np.float64).ravel()
    inside = np.clip(p, np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg)
    entropy = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    return Confidence(mean_probability=float(p.mean()), entropy_bits=float(entropy.mean()))
