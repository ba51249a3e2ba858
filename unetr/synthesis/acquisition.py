"""What the scanner and the export do to a head: stripping, blur, thick slices, bias field, noise, contrast curve."""

import torch
import torch.nn.functional as F  # noqa: N812

from unetr.synthesis.fields import Rng, blur


def acquire(image: torch.Tensor, depth: torch.Tensor, rng: Rng, *, stripped: bool) -> torch.Tensor:
    """Turn ideal intensities into an acquired image on the same 1 mm grid.

    Parameters
    ----------
    image
        Ideal intensities.
    depth
        Depth below the brain's surface in mm, for skull-stripping.
    stripped
        Take everything outside the brain away, as skull-stripping tools do: not always at the same depth.
    """
    if stripped:
        edge = rng.uniform(-1.5, 1.0) + (0.7 * rng.smooth(image.shape, 20) if rng.chance(0.6) else 0.0)
        brain = depth > edge
        image = image * brain
    sigmas = [rng.uniform(0, 0.55) for _ in range(3)]
    if rng.chance(0.25):
        sigmas[rng.integer(0, 2)] = rng.log_uniform(0.6, 2.0)
    image = blur(image, sigmas)
    if rng.chance(0.2):
        image = _thick_slices(image, rng.integer(0, 2), rng.uniform(2, 6))
    if rng.chance(0.1):
        image = _ghosts(image, rng)
    if rng.chance(0.8):
        image = image * torch.exp(rng.uniform(0.02, 0.2) * rng.smooth(image.shape, rng.uniform(50, 100)))
    if rng.chance(0.9):  # magnitude of a complex signal with noise in both channels
        sigma = rng.uniform(0.005, 0.07)
        image = ((image + sigma * rng.white(image.shape)) ** 2 + (sigma * rng.white(image.shape)) ** 2).sqrt()
    if rng.chance(0.3):
        image = image.clamp(min=0) ** rng.uniform(0.85, 1.15)
    return image * brain if stripped else image


def _thick_slices(image: torch.Tensor, axis: int, thickness: float) -> torch.Tensor:
    size = list(image.shape)
    size[axis] = max(8, int(size[axis] / thickness))
    thick = F.interpolate(image[None, None], size=size, mode="area")
    return F.interpolate(thick, size=image.shape, mode="trilinear", align_corners=False)[0, 0]


def _ghosts(image: torch.Tensor, rng: Rng) -> torch.Tensor:
    """Motion along one axis: faint shifted copies."""
    axis, shift = rng.integer(0, 2), rng.integer(3, 25)
    strength = rng.uniform(0.02, 0.1)
    return image * (1 - strength) + strength * 0.5 * (image.roll(shift, axis) + image.roll(-shift, axis))
