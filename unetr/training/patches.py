"""Random patches from volumes held in memory: around lesions, around past mistakes, anywhere in the head."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import nn
from torch.utils.data import IterableDataset
from tqdm import tqdm

from unetr.components import label
from unetr.preprocessing import normalise
from unetr.synthesis.pool import Case
from unetr.training.augmentation import draw_axes, recolour, sample
from unetr.training.mining import find_mistakes
from unetr.training.weight import EMPHASIS, weigh

_MINED = 100
"""Volumes looked through for mistakes: in more of them they are much the same."""
_CENTRES = 40
"""Voxels of a lesion that a patch may be centred on."""
_WEIGHT_UNIT = 4
"""Weights are kept as uint8, in quarters."""
MOST_EMPHASIS = np.iinfo(np.uint8).max // _WEIGHT_UNIT
"""A larger weight could not be kept."""


class Patches(IterableDataset[dict[str, torch.Tensor]]):
    """An endless stream of ``{"image", "fraction", "brain", "weight"}``, each float32 of shape (1, p, p, p).

    ``weight`` says how much a voxel counts: more in and around small lesions, which have few voxels to speak for them.

    Parameters
    ----------
    cases
        Volumes on the 1 mm grid; each at least ``size`` voxels wide on every axis. Gone through once.
    size
        Edge of a patch in voxels.
    lesion_share
        Share of patches that are centred near a lesion voxel; the others are centred in tissue.
    hard_share
        Share, before any other, of patches around what ``mine`` has found.
    emphasis
        The most that a voxel of the smallest lesions counts, 1 to ``MOST_EMPHASIS``.
    varied
        Turn, stretch and recolour patches, beyond the mirroring and the brightness that all of them get.

    Raises
    ------
    ValueError
        When a volume is too small, or the emphasis out of range.
    """

    def __init__(
        self,
        cases: Iterable[Case],
        size: int,
        *,
        lesion_share: float = 0.5,
        hard_share: float = 0.0,
        emphasis: float = EMPHASIS,
        varied: bool = False,
        seed: int = 0,
    ) -> None:
        self._size, self._lesion_share, self._hard_share, self._seed = size, lesion_share, hard_share, seed
        self._varied = varied
        if not 1 <= emphasis <= MOST_EMPHASIS:
            raise ValueError(f"emphasis of {emphasis}: 1 to {MOST_EMPHASIS} is possible")
        self._volumes = [_prepare(case, size, emphasis) for case in cases]
        self._hard: list[tuple[_Volume, np.ndarray]] = []

    def mine(self, network: nn.Module, window: int) -> int:
        """Look for false and missed lesions in some of the volumes, to be shown more often; returns how many."""
        picked = np.random.default_rng(self._seed).permutation(len(self._volumes))[:_MINED]
        self._hard = []
        for volume in tqdm([self._volumes[index] for index in picked], desc="mining", unit="volume"):
            voxels = find_mistakes(network, volume.image, volume.fraction, window)
            self._hard += [(volume, voxel) for voxel in voxels]
        return len(self._hard)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        rng = np.random.default_rng(self._seed)
        while True:
            volume, centre, jitter = self._centre(rng)
            centre = centre + rng.integers(-jitter, jitter + 1, 3)
            half = self._size // 2
            middle = np.clip(centre, half, np.array(volume.image.shape) - half) - 0.5
            arrays = [volume.image, volume.fraction, volume.brain, volume.weight]
            image, fraction, brain, weight = sample(arrays, middle, draw_axes(rng, varied=self._varied), self._size)
            yield {
                "image": torch.from_numpy(recolour(image.numpy(), rng, varied=self._varied))[None],
                "fraction": fraction[None] / 255,
                "brain": brain[None],
                "weight": weight[None] / _WEIGHT_UNIT,
            }

    def _centre(self, rng: np.random.Generator) -> tuple["_Volume", np.ndarray, int]:
        """A volume, the voxel that a patch is to show, and how far from the patch's middle that may lie."""
        if self._hard and rng.random() < self._hard_share:
            volume, voxel = self._hard[rng.integers(len(self._hard))]
            return volume, voxel, self._size // 3
        volume = self._volumes[rng.integers(len(self._volumes))]
        near_lesion = len(volume.lesion_voxels) > 0 and rng.random() < self._lesion_share
        centres = volume.lesion_voxels if near_lesion else volume.tissue_voxels
        return volume, centres[rng.integers(len(centres))], self._size // 3 if near_lesion else self._size // 2


@dataclass(frozen=True)
class _Volume:
    """A case ready to be cut: float16 image, uint8 fraction, brain and weight; voxels that patches are centred on."""

    image: np.ndarray
    fraction: np.ndarray
    brain: np.ndarray
    weight: np.ndarray
    lesion_voxels: np.ndarray
    tissue_voxels: np.ndarray


def _prepare(case: Case, size: int, emphasis: float) -> _Volume:
    if min(case.image.shape) < size:
        raise ValueError(f"{case.name} has {case.image.shape} voxels: too few for patches of {size}")
    image = normalise(torch.from_numpy(case.image.astype(np.float32))).numpy().astype(np.float16)
    labels = label(case.fraction > 127)
    return _Volume(
        image,
        case.fraction,
        case.brain,
        np.round(weigh(labels, emphasis) * _WEIGHT_UNIT).astype(np.uint8),
        lesion_voxels=_centres(labels),
        tissue_voxels=np.argwhere(image[::6, ::6, ::6] > 0.3) * 6,
    )


def _centres(labels: np.ndarray) -> np.ndarray:
    """As many voxels of each lesion: by volume, the largest would be all that is ever seen."""
    rng = np.random.default_rng(0)
    picked = [np.zeros((0, 3), int)]
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        members = np.argwhere(labels[box] == number) + [side.start for side in box]
        picked.append(members[rng.integers(len(members), size=_CENTRES)])
    return np.concatenate(picked)
