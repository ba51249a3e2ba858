"""Metastases of known size painted into a head: solid, ring, partly cystic or faint, with oedema around them."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from scipy import ndimage

from unetr.components import label
from unetr.synthesis.fields import Rng, towards
from unetr.synthesis.head import Head


@dataclass(frozen=True)
class LesionShape:
    """What is asked of one lesion, before it is painted.

    Attributes
    ----------
    centre
        Position in voxels (mm from voxel 0's centre) of the head's 1 mm grid.
    diameter_mm
        Mean diameter.
    kind
        ``solid``, ``ring``, ``partial`` (a rim that is open), ``mixed`` (cysts inside) or ``faint``.
    roughness
        Depth of the surface's bumps relative to the radius; 0 is a smooth ellipsoid.
    elongation
        Ratio by which the three semi-axes may differ from the mean: 0.2 means 0.8 to 1.2 times; 0 is a sphere.
    enhancement
        Intensity of the enhancing tissue, white matter being 1.
    oedema_mm
        Width of the dark rim around it.
    """

    centre: tuple[float, float, float]
    diameter_mm: float
    kind: str = "solid"
    roughness: float = 0.0
    elongation: float = 0.0
    enhancement: float = 1.8
    oedema_mm: float = 0.0


_KINDS_LARGE = {"solid": 0.30, "ring": 0.40, "partial": 0.08, "faint": 0.05, "mixed": 0.17}
_KINDS_SMALL = {"solid": 0.85, "ring": 0.08, "faint": 0.07}


def draw_lesions(head: Head, rng: Rng, count: int) -> list[LesionShape]:
    """``count`` random lesions, 2-40 mm, most of them small, most at the grey-white junction."""
    junction = (head.maps["grey"] * head.maps["white"] * 4).clamp(0, 1)
    likely = (0.08 + junction) * (head.maps["depth"] > 2) * (head.maps["ventricles"] < 0.5)
    coarse = F.avg_pool3d(likely[None, None], 4)[0, 0]
    weights = coarse.flatten().cpu()
    shapes = []
    for _ in range(count):
        diameter = rng.log_uniform(2.5, 12) if rng.chance(0.6) else rng.log_uniform(8, 40)
        cell = torch.unravel_index(torch.tensor(rng.pick(weights)), coarse.shape)
        kind = rng.choice(_KINDS_LARGE if diameter >= 7 else _KINDS_SMALL)
        shapes.append(
            LesionShape(
                centre=tuple(4 * int(c) + rng.uniform(0, 4) for c in cell),  # type: ignore[arg-type]
                diameter_mm=diameter,
                kind=kind,
                roughness=rng.uniform(0.0, 0.2) if diameter < 15 else rng.uniform(0.03, 0.32),
                elongation=rng.uniform(0.0, 0.28),
                enhancement=rng.uniform(1.12, 1.35) if kind == "faint" else rng.uniform(1.3, 2.7),
                oedema_mm=rng.uniform(0, 1) ** 2 * (4 + 0.9 * diameter) if diameter > 5 else rng.uniform(0, 3),
            )
        )
    return shapes


def paint(image: torch.Tensor, inside_brain: torch.Tensor, shape: LesionShape, rng: Rng) -> torch.Tensor:
    """Paint one lesion into ``image``, in place, and return how much of each voxel it fills.

    Parameters
    ----------
    image
        Head on a 1 mm grid, changed in place.
    inside_brain
        0-1 map of where a lesion may be: what lies outside is cut away. The lesion is in one piece before that; all
        pieces that are left of it are painted, and count, as they would be seen in a brain.

    Returns
    -------
    Tensor of ``image``'s shape: the lesion's fraction of each voxel, 0-1.
    """
    radius = shape.diameter_mm / 2
    reach = math.ceil(radius * (1.6 + shape.elongation) + 1.6 * shape.oedema_mm + 4)
    low = [max(0, round(c) - reach) for c in shape.centre]
    high = [min(n, round(c) + reach + 1) for c, n in zip(shape.centre, image.shape, strict=True)]
    fraction = torch.zeros_like(image)
    if any(h - b < 4 for b, h in zip(low, high, strict=True)):
        return fraction
    box = tuple(slice(b, h) for b, h in zip(low, high, strict=True))
    size = [h - b for b, h in zip(low, high, strict=True)]
    depth = _depth_below_surface(shape, box, size, rng, image.device)
    allowed = inside_brain[box]
    part = image[box]
    if shape.oedema_mm > 1:
        halo = depth + shape.oedema_mm * (1 + 0.5 * rng.smooth(size, max(4.0, radius * 0.6)))
        part = part * (1 - torch.sigmoid(1.2 * halo) * allowed * rng.uniform(0.08, 0.4))
    weight = torch.sigmoid(rng.uniform(2.0, 4.0) * depth) * allowed
    image[box] = towards(part, _tissue(shape, depth, size, rng), weight)
    fraction[box] = (depth + 0.5).clamp(0, 1) * (allowed > 0.5)
    return fraction


def _depth_below_surface(
    shape: LesionShape, box: tuple[slice, ...], size: list[int], rng: Rng, device: torch.device
) -> torch.Tensor:
    """Signed distance in mm to the lesion's surface, positive inside (exact for a sphere, close to it otherwise).

    The inside is one component, voxels that share a corner being connected.
    """
    axes = [
        torch.arange(s.start, s.stop, dtype=torch.float32, device=device) - c
        for s, c in zip(box, shape.centre, strict=True)
    ]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    radius = shape.diameter_mm / 2
    stretch = torch.tensor([1 + shape.elongation * rng.uniform(-1, 1) for _ in range(3)])
    stretch = stretch / stretch.prod() ** (1 / 3)  # the volume stays that of the sphere
    squeeze = torch.diag(1 / stretch) @ rng.rotation()
    q = torch.einsum("ij,jxyz->ixyz", squeeze.to(device), points)
    norm = q.norm(dim=0)
    slope = torch.einsum("ji,jxyz->ixyz", squeeze.to(device), q).norm(dim=0) / norm.clamp(min=1e-3)
    depth = (radius - norm) / slope.clamp(min=0.3)
    if shape.roughness > 0:
        bumps = 0.8 * rng.smooth(size, max(2.5, 0.8 * radius)) + 0.35 * rng.smooth(size, max(2.0, 0.35 * radius))
        depth = _in_one_piece(depth + radius * shape.roughness * bumps)
    return depth


_LEVELS_MM = (0.0, -0.5, -1.0)
"""Depths at the surface, where the fraction ends, and where at most an eighth of the brightness is left."""


def _in_one_piece(depth: torch.Tensor) -> torch.Tensor:
    """Sink the bumps that came off a lesion: no second lesion was asked for.

    The lesion is the largest component inside the surface. What is nearer to something apart from it, down to specks
    too thin to hold a voxel's centre, becomes as deep outside as the lesion is away, so that enhancement, oedema and
    fraction all end there. Everything else keeps its depth to the last bit.
    """
    values = depth.cpu().numpy()
    pieces = label(values >= 0)
    if not pieces.any():
        return depth
    own = pieces == 1 + np.bincount(pieces[pieces > 0])[1:].argmax()
    others = np.zeros_like(own)
    for level in _LEVELS_MM:
        pieces = label(values >= level)
        others |= (pieces > 0) & (pieces != pieces[own][0])
    if not others.any():
        return depth
    away = ndimage.distance_transform_edt(~own)
    nearer = ndimage.distance_transform_edt(~others) < away
    return torch.from_numpy(np.where(nearer, np.minimum(values, -away), values).astype(values.dtype)).to(depth.device)


def _tissue(shape: LesionShape, depth: torch.Tensor, size: list[int], rng: Rng) -> torch.Tensor:
    """What fills the lesion: enhancing tissue, and a core where its kind has one."""
    radius = shape.diameter_mm / 2
    tissue = shape.enhancement * (1 + rng.uniform(0, 0.12) * rng.smooth(size, max(2.0, 0.3 * radius)))
    if shape.kind in ("ring", "partial", "mixed"):
        width = min(0.75 * radius, rng.uniform(1.2, 2.0) + rng.uniform(0, 0.35) * radius)
        rim = width * (1 + rng.uniform(0, 0.5) * rng.smooth(size, max(2.5, 0.5 * radius))).clamp(0.25, 3)
        core = torch.sigmoid((depth - rim) * rng.uniform(1.5, 3))
        if shape.kind == "mixed":
            cysts = torch.sigmoid((rng.smooth(size, max(2.5, 0.35 * radius)) - rng.uniform(-0.2, 0.9)) * 4)
            core = cysts * torch.sigmoid((depth - 1) * 2)
        necrosis = rng.uniform(0.25, 0.95) * (1 + rng.uniform(0, 0.15) * rng.smooth(size, max(2.0, 0.4 * radius)))
        if shape.kind == "partial":
            gap = torch.sigmoid((rng.smooth(size, max(4.0, radius)) - rng.uniform(0, 0.8)) * 4)
            tissue = towards(tissue, rng.uniform(0.85, 1.15), gap)
        tissue = towards(tissue, necrosis, core)
    return tissue
