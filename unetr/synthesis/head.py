"""A lesion-free, contrast-enhanced T1 head: warped template, remapped contrast, and everything else that lights up.

Intensities are relative: white matter is about 1. What enhances here and is no lesion (sinuses, veins, arteries,
choroid plexus, dura, falx, tentorium, mucosa, scalp fat) is what a network must learn to leave alone.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

from unetr.synthesis.anatomy import CHANNELS, ORIGIN, SHAPE, Anatomy
from unetr.synthesis.fields import Rng, blur, euler, towards

_WIDEST_MM = 5.0
"""Radius of the widest vessel, a large sinus: where a wider one ended, it looked like a lesion of 2 cm."""


@dataclass(frozen=True)
class Head:
    """A head on a 1 mm grid, axes right, anterior, superior.

    Attributes
    ----------
    image
        Intensities, white matter about 1, background about 0.
    maps
        The warped anatomy maps, by channel name; ``maps["depth"] > 0`` is the brain.
    """

    image: torch.Tensor
    maps: dict[str, torch.Tensor]


def make_head(anatomy: Anatomy, rng: Rng, grid: tuple[int, int, int], *, variety: float = 1.0) -> Head:
    """Draw one head.

    Parameters
    ----------
    anatomy
        The template.
    grid
        Shape of the result, 1 mm voxels, centred on the template.
    variety
        0 gives the template's own shape, 1 the full range of sizes, poses and deformations.
    """
    maps = _warped(anatomy, rng, grid, variety)
    image, fluid = _brain(maps, rng)
    image = torch.where(maps["depth"] > 0, image, _outside(maps, fluid, rng))
    return Head(_enhance(image, maps, rng).clamp(min=0), maps)


def _warped(anatomy: Anatomy, rng: Rng, grid: tuple[int, int, int], variety: float) -> dict[str, torch.Tensor]:
    """Sample the template through a random affine, an elastic field and a swelling of the ventricles."""
    device = anatomy.maps.device
    axes = [torch.arange(n, dtype=torch.float32, device=device) - (n - 1) / 2 for n in grid]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    angles = [rng.uniform(-0.25, 0.25) * variety for _ in range(3)]
    scales = [1 + rng.uniform(-0.12, 0.13) * variety for _ in range(3)]
    matrix = euler(angles) @ torch.diag(torch.tensor(scales))
    if rng.chance(0.5):
        matrix = matrix @ torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    points = torch.einsum("ij,jxyz->ixyz", matrix.to(device), points)
    points += torch.tensor([rng.uniform(-5, 5) * variety for _ in range(3)], device=device).view(3, 1, 1, 1)
    for scale, amplitude in ((48, rng.uniform(0, 3.5)), (20, rng.uniform(0, 1.5))):
        points += torch.stack([rng.smooth(grid, scale) for _ in range(3)]) * (amplitude * variety)
    template_centre = torch.tensor([o + (n - 1) / 2 for o, n in zip(ORIGIN, SHAPE, strict=True)], device=device)
    points += template_centre.view(3, 1, 1, 1)
    if rng.chance(0.5):  # wide ventricles: magnify the space around each lateral ventricle's body
        strength = rng.uniform(0.1, 0.45) * variety
        extent = torch.tensor([14.0, 30.0, 14.0], device=device).view(3, 1, 1, 1)
        for side in (-1, 1):
            away = points - torch.tensor([side * 12.0, -16.0, 14.0], device=device).view(3, 1, 1, 1)
            points = points - away * strength * torch.exp(-(away / extent).pow(2).sum(0) / 2)
    origin = torch.tensor(ORIGIN, device=device).view(3, 1, 1, 1)
    size = torch.tensor(SHAPE, device=device).view(3, 1, 1, 1)
    unit = 2 * (points - origin) / (size - 1) - 1
    sampled = F.grid_sample(
        anatomy.maps[None], unit.flip(0).movedim(0, -1)[None], align_corners=True, padding_mode="border"
    )[0]
    maps = dict(zip(CHANNELS, sampled, strict=True))
    maps["height"] = points[2]
    maps["front"] = points[1]
    return maps


def _brain(maps: dict[str, torch.Tensor], rng: Rng) -> tuple[torch.Tensor, float]:
    """Brain intensities and the fluid's: the template's own T1, remapped, blended with random tissue means."""
    t1, crisp = maps["t1"].clamp(0, 2.5), rng.chance(0.5)
    white, grey, csf = _crisp(maps, rng) if crisp else (maps["white"], maps["grey"], maps["csf"])
    # Below 0.65: gradient echoes with an inversion pulse, in which white matter stands out as much as a lesion may.
    cortex, fluid = rng.uniform(0.45, 1.0), rng.uniform(0.1, 0.55)
    knots = sorted([rng.uniform(0.25, 0.5), rng.uniform(0.65, 0.85)])
    levels = [0.0, fluid * rng.uniform(0.6, 1.1), cortex, 1.0]
    edges = [0.0, *knots, 1.0]
    remapped = (t1 - 1).clamp(min=0) * rng.uniform(0.5, 1.2)
    for low, high, start, end in zip(edges, edges[1:], levels, levels[1:], strict=False):
        remapped = remapped + (t1.clamp(low, high) - low) * ((end - start) / (high - low))
    tissues = (white + cortex * grey + fluid * csf) * (1 + rng.uniform(0, 0.06) * rng.smooth(t1.shape, 3))
    own = (0.0, 0.4) if crisp else (0.0, 1.0) if rng.chance(0.4) else (0.75, 1.0)
    share = rng.uniform(*own)
    image = towards(tissues, remapped, torch.tensor(share, device=t1.device))
    image = image * (1 + rng.uniform(0, 0.05) * rng.smooth(t1.shape, 6))
    for _ in range(rng.integer(0, 3)):  # white-matter disease, old infarcts: dark, and no lesion of interest
        patch = torch.sigmoid((rng.smooth(t1.shape, rng.uniform(6, 14)) - rng.uniform(1.6, 2.4)) * 4)
        image = image * (1 - patch * white * rng.uniform(0.1, 0.5))
    return image, fluid


def _crisp(maps: dict[str, torch.Tensor], rng: Rng) -> torch.Tensor:
    """White matter, grey matter and fluid of one person instead of an average of many: sharp, and folded at random.

    Gives their fractions, shape (3, ...); raising a mixture's fractions to a power leaves little of all but one. Chance
    has its say in proportion: more of it would strew islands of grey matter, large as lesions, over the white.
    """
    fractions = torch.stack([maps["white"], maps["grey"], maps["csf"]]).clamp(min=0.02)
    chance = rng.uniform(0, 0.3) * torch.stack([rng.smooth(maps["t1"].shape, rng.uniform(1.5, 4)) for _ in range(3)])
    return torch.softmax(rng.uniform(1.5, 5) * (fractions.log() + chance), 0)


def _outside(maps: dict[str, torch.Tensor], fluid: float, rng: Rng) -> torch.Tensor:
    """Subarachnoid space, skull with marrow, scalp fat, and below the brain a neck and face of mixed tissue."""
    away = -maps["depth"]
    shape = away.shape
    ripple = rng.smooth(shape, 25)
    inner = rng.uniform(0.8, 3) + 0.8 * ripple
    outer = inner + rng.uniform(3, 8) + ripple
    skin = outer + rng.uniform(3, 9) + ripple
    bone = torch.sigmoid(2 * (away - inner)) * torch.sigmoid(2 * (outer - away))
    scalp = torch.sigmoid(2 * (away - outer)) * torch.sigmoid(2 * (skin - away))
    image = fluid * 0.7 * torch.sigmoid(2 * (inner - away)) + rng.uniform(0.02, 0.25) * bone
    image = image + rng.uniform(0.8, 2.4) * scalp * (1 + 0.3 * rng.smooth(shape, 6))
    if rng.chance(0.6):
        image = image + bone * torch.sigmoid(3 * (rng.smooth(shape, 10) - 0.5)) * rng.uniform(0.3, 1.2)
    below = torch.sigmoid((-28 - maps["height"] + 0.25 * (maps["front"] + 20).clamp(min=0)) / 3)
    body = torch.sigmoid((38 - away + 6 * rng.smooth(shape, 30)) / 2)
    texture, kinds = rng.smooth(shape, 9), rng.smooth(shape, 14)
    soft = rng.uniform(0.45, 0.8) * (1 + 0.2 * texture)
    soft = towards(soft, rng.uniform(1.2, 2.2), torch.sigmoid(5 * (kinds - rng.uniform(0.2, 0.9))))  # fat
    soft = towards(soft, 0.03, torch.sigmoid(5 * (-kinds - rng.uniform(0.6, 1.4))))  # air
    soft = towards(soft, rng.uniform(1.2, 2.2), torch.sigmoid(6 * (texture - 1.5)))  # mucosa, glands
    return towards(image, soft * body, below * torch.sigmoid(away - inner))


def _enhance(image: torch.Tensor, maps: dict[str, torch.Tensor], rng: Rng) -> torch.Tensor:
    """Add what takes up gadolinium in a healthy head."""
    shape, depth, csf = image.shape, maps["depth"], maps["csf"]
    blood = rng.uniform(1.4, 3.0)
    if rng.chance(0.7):  # dura and leptomeninges: a patchy shell at the brain's surface
        thickness = (rng.uniform(0.4, 2.0) + 0.8 * rng.smooth(shape, 14)).clamp(min=0)
        shell = torch.sigmoid((thickness / 2 - (depth + rng.uniform(-1.5, 1.5)).abs()) * 3)
        image = image + (rng.uniform(0.8, 1.8) - image).clamp(min=0) * shell

    if rng.chance(0.9):
        image = _vessel(image, maps["sinuses"], rng.uniform(1.5, 5), blood, rng)
    if rng.chance(0.9):
        image = _vessel(image, maps["veins"], rng.uniform(0.6, 2.2), blood * rng.uniform(0.75, 1), rng)
    if rng.chance(0.8):
        image = _vessel(image, maps["arteries"], rng.uniform(0.6, 1.8), blood * rng.uniform(0.6, 1), rng)
    for name, value in (("tentorium", rng.uniform(1.2, 2.4)), ("falx", rng.uniform(1.1, 2.2))):
        if rng.chance(0.8):
            patchy = rng.smooth(shape, 12)
            near = rng.uniform(0.4, 1.3) * (1 + 0.5 * patchy) - (maps[name] + 1.2 * rng.smooth(shape, 30)).abs()
            sheet = torch.sigmoid(near * 2.5) * (0.35 + 0.65 * torch.sigmoid(3 * (patchy + rng.uniform(0, 1.2))))
            between = (0.3 + csf + maps["grey"]).clamp(0, 1) * torch.sigmoid(depth + 3)
            image = image + (value - image).clamp(min=0) * sheet * between
    if rng.chance(0.92):
        width = rng.log_uniform(0.8, 4.5) * (1 + 0.3 * rng.smooth(shape, 8))
        plexus = torch.sigmoid((width - maps["choroid"]) * 2) * (0.15 + 2 * csf).clamp(0, 1)
        image = towards(image, rng.uniform(1.1, 2.7) * (1 + 0.12 * rng.smooth(shape, 5)), plexus)
    for _ in range(rng.integer(1, 4)):
        image = _vessel_network(image, maps, blood, rng)
    return image


def _vessel(image: torch.Tensor, distance: torch.Tensor, radius: float, value: float, rng: Rng) -> torch.Tensor:
    """A vessel of uneven width around where ``distance`` (mm) is 0; never in pieces, for those look like lesions."""
    uneven = 1 + 0.25 * rng.smooth(image.shape, 12) + 0.2 * rng.smooth(image.shape, 30)
    width = (radius * uneven.clamp(0.5, 1.7)).clamp(max=_WIDEST_MM)
    return towards(image, value, torch.sigmoid((width - distance) * 2.5))


def _vessel_network(image: torch.Tensor, maps: dict[str, torch.Tensor], blood: float, rng: Rng) -> torch.Tensor:
    """Small vessels everywhere: the curves along which two smooth random fields are both zero."""
    shape, scale = image.shape, rng.uniform(7, 18)
    squared_distance = torch.zeros_like(image)
    for _ in range(2):
        field = rng.smooth(shape, scale)
        slope = sum(g * g for g in torch.gradient(field))
        squared_distance += field * field / torch.as_tensor(slope).clamp(min=1e-5)
    if rng.chance(0.75):  # mostly in the sulci and near the surface
        near_fluid = blur(maps["csf"], (3, 3, 3))  # not fluid itself: a vessel would be seen in pieces
        where = torch.sigmoid(rng.uniform(4, 14) - maps["depth"]) * (0.25 + 2 * near_fluid).clamp(0, 1)
    else:
        where = torch.full_like(image, rng.uniform(0.2, 0.7))
    width = rng.uniform(0.5, 1.3) * (1 + 0.3 * rng.smooth(shape, 10))
    vessel = torch.sigmoid((width - squared_distance.sqrt()) * 3) * where * torch.sigmoid(1.5 * (maps["depth"] + 2))
    return towards(image, blood * rng.uniform(0.6, 1.0), vessel)
