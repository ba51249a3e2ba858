"""Random patches from volumes held in memory: half around lesions, half anywhere in the head."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy import ndimage
from torch.utils.data import IterableDataset

from unetr.preprocessing import normalise
from unetr.synthesis.pool import Case


class Patches(IterableDataset[dict[str, torch.Tensor]]):
    """An endless stream of ``{"image", "fraction", "brain"}``, each float32 of shape (1, p, p, p).

    Parameters
    ----------
    cases
        Volumes on the 1 mm grid; each at least ``size`` voxels wide on every axis.
    size
        Edge of a patch in voxels.
    lesion_share
        Share of patches that are centred near a lesion voxel; the others are centred in tissue.
    """

    def __init__(self, cases: Sequence[Case], size: int, *, lesion_share: float = 0.5, seed: int = 0) -> None:
        self._size, self._lesion_share, self._seed = size, lesion_share, seed
        for case in cases:
            if min(case.image.shape) < size:
                raise ValueError(f"{case.name} has {case.image.shape} voxels: too few for patches of {size}")
        self._volumes = [_prepare(case) for case in cases]

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        rng = np.random.default_rng(self._seed)
        while True:
            image, fraction, brain, lesion_voxels, tissue_voxels = self._volumes[rng.integers(len(self._volumes))]
            near_lesion = len(lesion_voxels) > 0 and rng.random() < self._lesion_share
            centres = lesion_voxels if near_lesion else tissue_voxels
            jitter = self._size // 3 if near_lesion else self._size // 2
            centre = centres[rng.integers(len(centres))] + rng.integers(-jitter, jitter + 1, 3)
            start = np.clip(centre - self._size // 2, 0, np.array(image.shape) - self._size)
            box = tuple(slice(s, s + self._size) for s in start)
            patch = torch.from_numpy(image[box].astype(np.float32))
            lesion = torch.from_numpy(fraction[box].astype(np.float32) / 255)
            inside = torch.from_numpy(brain[box].astype(np.float32))
            if rng.random() < 0.5:  # left and right
                patch, lesion, inside = patch.flip(0), lesion.flip(0), inside.flip(0)
            gain = float(rng.uniform(0.85, 1.18))
            yield {"image": patch[None] * gain, "fraction": lesion[None], "brain": inside[None]}


def _prepare(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    image = normalise(torch.from_numpy(case.image.astype(np.float32))).numpy().astype(np.float16)
    lesions = np.argwhere(case.fraction[::2, ::2, ::2] > 127) * 2
    if len(lesions):  # by diameter, not volume: else the largest lesion would be all that is seen
        lesions = _balanced(case.fraction > 127, lesions)
    tissue = np.argwhere(image[::6, ::6, ::6] > 0.3) * 6
    return image, case.fraction, case.brain, lesions, tissue


def _balanced(mask: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())
    picked = []
    rng = np.random.default_rng(0)
    flat = labels[tuple(voxels.T)]
    for label in range(1, count + 1):
        members = voxels[flat == label]
        if len(members) == 0:  # smaller than the coarse grid: look at it in full
            members = np.argwhere(labels == label)
        diameter = (6 / np.pi * sizes[label]) ** (1 / 3)
        picked.append(members[rng.integers(len(members), size=max(8, round(4 * diameter)))])
    return np.concatenate(picked)
