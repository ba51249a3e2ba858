"""One labelled synthetic volume from one seed: anatomy -> head -> lesions -> acquisition."""

from dataclasses import dataclass

import numpy as np
import torch

from unetr.synthesis.acquisition import acquire
from unetr.synthesis.anatomy import Anatomy
from unetr.synthesis.fields import Rng
from unetr.synthesis.head import make_head
from unetr.synthesis.lesions import draw_lesions, paint

GRID = (168, 208, 176)
"""Voxels of a synthetic volume: a whole head at 1 mm, axes right, anterior, superior."""


@dataclass(frozen=True)
class SyntheticVolume:
    """A training volume on a 1 mm grid, axes right, anterior, superior.

    Attributes
    ----------
    image
        float32, white matter about 1.
    fraction
        float32 0-1: how much of each voxel is lesion; 0.5 is the surface.
    brain
        bool: where the brain is, lesions and all.
    label_map
        int32: lesion n's voxels are n. Lesions that were painted over, or lie outside the brain, have none.
    lesions
        For each n (1-based, list index n-1) its kind and the diameter asked for, in mm.
    """

    image: torch.Tensor
    fraction: torch.Tensor
    brain: torch.Tensor
    label_map: torch.Tensor
    lesions: list[tuple[str, float]]

    @property
    def affine(self) -> np.ndarray:
        """Index to patient RAS mm (NIfTI's convention), 4x4, origin at the volume's centre."""
        affine = np.eye(4)
        affine[:3, 3] = [-(n - 1) / 2 for n in self.image.shape]
        return affine


def synthesize(
    anatomy: Anatomy,
    seed: int,
    *,
    lesions: int | None = None,
    stripped: bool | None = None,
    grid: tuple[int, int, int] = GRID,
) -> SyntheticVolume:
    """Draw a volume.

    Parameters
    ----------
    seed
        Everything random follows from it.
    lesions
        How many to paint; None draws 0-30, with one volume in fourteen free of lesions.
    stripped
        Skull-stripped or whole head; None draws one or the other.
    """
    rng = Rng(seed, anatomy.maps.device)
    if lesions is None:
        lesions = 0 if rng.chance(0.07) else round(rng.log_uniform(1, 30))
    if stripped is None:
        stripped = rng.chance(0.5)
    head = make_head(anatomy, rng, grid)
    image, depth = head.image, head.maps["depth"]
    inside = torch.sigmoid(3 * (depth + (1.5 if rng.chance(0.3) else 0.0)))
    fraction = torch.zeros_like(image)
    label_map = torch.zeros(image.shape, dtype=torch.int32, device=image.device)
    shapes = draw_lesions(head, rng, lesions)
    for number, shape in enumerate(shapes, start=1):
        part = paint(image, inside, shape, rng)
        fraction = torch.maximum(fraction, part)
        label_map[part >= 0.5] = number
    image = acquire(image, depth, rng, stripped=stripped)
    return SyntheticVolume(image, fraction, depth > 0, label_map, [(s.kind, s.diameter_mm) for s in shapes])
