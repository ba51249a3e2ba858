"""Labelled real volumes as training cases: each copy deformed and acquired anew, every other one with lesions added."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from scipy import ndimage

from unetr.preprocessing import Grid, NothingToSegmentError, normalise
from unetr.preprocessing.ras import AIR
from unetr.synthesis.acquisition import acquire
from unetr.synthesis.fields import Rng, euler
from unetr.synthesis.generator import SyntheticVolume
from unetr.synthesis.head import Head
from unetr.synthesis.lesions import draw_lesions, paint

_MARGIN = 6
_SMALLEST = 112
"""Voxels an axis has at least, so that a patch of 96 fits in wherever it is cut."""

_WHITE = 0.75
"""This quantile of the brain is white matter, which lesions are painted relative to."""


def adopt(
    image: np.ndarray, affine: np.ndarray, reference: np.ndarray, seed: int, *, brain: np.ndarray | None = None
) -> SyntheticVolume:
    """Make a training volume from a real one.

    Parameters
    ----------
    image
        T1; 0 outside the brain unless ``brain`` is given.
    affine
        Index to patient LPS mm, 4x4.
    reference
        bool, ``image``'s shape: its lesions.
    seed
        Everything random follows from it. An odd one also paints synthetic lesions into the rest of the brain.
    brain
        bool, ``image``'s shape: the brain of a whole head, which two of five copies then show without its skull.

    Returns
    -------
    SyntheticVolume
        On 1 mm voxels, axes right, anterior, superior; its ``lesions`` are the painted ones, and ``label_map`` numbers
        them; the real ones are in ``fraction`` alone.

    Raises
    ------
    NothingToSegmentError
        When the image has no tissue, or no brain without lesion.
    """
    rng = Rng(seed)
    grid = Grid.of(image.shape, affine)
    scaled = normalise(grid.forward(image))
    where = (scaled > 0).float() if brain is None else grid.forward(brain)
    stack = torch.stack([scaled, grid.forward(reference), where])
    values, fraction, filled = _deformed(_cropped(stack), rng)
    healthy = values[(filled > 0.5) & (fraction < 0.1)]
    if not len(healthy):
        raise NothingToSegmentError("the image shows no brain beside its lesions")
    values = values / healthy.quantile(_WHITE)
    inside = torch.from_numpy(ndimage.binary_fill_holes(filled.numpy() > 0.5))
    depth = torch.from_numpy(ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)).float()
    if brain is None:
        values = values * inside
    label_map = torch.zeros(values.shape, dtype=torch.int32)
    shapes = []
    if seed % 2:
        apart = torch.from_numpy(ndimage.distance_transform_edt(fraction.numpy() < 0.1)) > 8
        solid = (values > 0.65).float()
        maps = {"grey": 0.5 * solid, "white": 0.5 * solid * apart, "depth": depth, "ventricles": 1 - solid}
        shapes = draw_lesions(Head(values, maps), rng, round(rng.log_uniform(1, 16)))
        free = torch.sigmoid(3 * depth) * apart
        for number, shape in enumerate(shapes, start=1):
            part = paint(values, free, shape, rng)
            fraction = torch.maximum(fraction, part)
            label_map[part >= 0.5] = number
    if brain is None:
        acquired = acquire(values, depth, rng, stripped=False) * inside
    else:
        acquired = acquire(values, depth, rng, stripped=rng.chance(0.4))
    return SyntheticVolume(acquired, fraction, inside, label_map, [(s.kind, s.diameter_mm) for s in shapes])


def _cropped(stack: torch.Tensor) -> torch.Tensor:
    """The box around the head with a margin, padded where it is small."""
    there = (stack[0] > AIR) | (stack[2] > 0)
    for axis in range(3):
        found = torch.nonzero(there.any(dim=tuple(a for a in range(3) if a != axis))).flatten()
        low, high = int(found[0]) - _MARGIN, int(found[-1]) + _MARGIN + 1
        missing = max(0, _SMALLEST - (high - low))
        low, high = low - missing // 2, high + missing - missing // 2
        size = stack.shape[axis + 1]
        stack = stack.narrow(axis + 1, max(0, low), min(size, high) - max(0, low))
        padding = [0, 0] * 3
        padding[2 * (2 - axis)], padding[2 * (2 - axis) + 1] = max(0, -low), max(0, high - size)
        stack = F.pad(stack, padding)
        there = (stack[0] > AIR) | (stack[2] > 0)
    return stack


def _deformed(stack: torch.Tensor, rng: Rng) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All maps through one random affine and elastic deformation, mirrored half of the time."""
    shape = stack.shape[1:]
    matrix = euler([rng.uniform(-0.25, 0.25) for _ in range(3)])
    matrix = matrix @ torch.diag(torch.tensor([1 + rng.uniform(-0.12, 0.12) for _ in range(3)]))
    if rng.chance(0.5):
        matrix = matrix @ torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in shape]
    points = torch.einsum("ij,jxyz->ixyz", matrix, torch.stack(torch.meshgrid(*axes, indexing="ij")))
    for scale, amplitude in ((40, rng.uniform(0, 3.0)), (18, rng.uniform(0, 1.2))):
        points = points + amplitude * torch.stack([rng.smooth(shape, scale) for _ in range(3)])
    half = (torch.tensor(shape, dtype=torch.float32).view(3, 1, 1, 1) - 1) / 2
    unit = (points / half).flip(0).movedim(0, -1)
    image, fraction, brain = F.grid_sample(stack[None], unit[None], align_corners=True)[0]
    return image, fraction, brain
