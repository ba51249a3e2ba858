"""Random numbers and smooth random fields, all drawn from one seed, on any device."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch user knows


class Rng:
    """Every draw of one synthetic volume; the same seed gives the same volume on the same kind of device."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._scalars = torch.Generator("cpu").manual_seed(seed)
        self._fields = torch.Generator(self.device).manual_seed(seed)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self._scalars))

    def log_uniform(self, low: float, high: float) -> float:
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def chance(self, probability: float) -> bool:
        return self.uniform(0.0, 1.0) < probability

    def integer(self, low: int, high: int) -> int:
        """One integer from ``low`` to ``high``, both included."""
        return int(torch.randint(low, high + 1, (), generator=self._scalars))

    def choice(self, weights: dict[str, float]) -> str:
        index = int(torch.multinomial(torch.tensor(list(weights.values())), 1, generator=self._scalars))
        return list(weights)[index]

    def rotation(self) -> torch.Tensor:
        """A rotation matrix, uniform over all orientations (QR of a Gaussian matrix), shape (3, 3)."""
        q, r = torch.linalg.qr(torch.randn(3, 3, generator=self._scalars))
        q = q * torch.sign(torch.diagonal(r))
        return q * torch.sign(torch.linalg.det(q))

    def pick(self, weights: torch.Tensor) -> int:
        """The index of one element of a 1-D tensor of weights, drawn in proportion to them."""
        cumulative = torch.cumsum(weights.double(), 0)
        return int(torch.searchsorted(cumulative, cumulative[-1] * self.uniform(0.0, 1.0)).clamp(max=len(weights) - 1))

    def white(self, shape: Sequence[int]) -> torch.Tensor:
        return torch.randn(tuple(shape), generator=self._fields, device=self.device)

    def smooth(self, shape: Sequence[int], scale: float) -> torch.Tensor:
        """Noise of unit variance whose correlation length is about ``scale`` voxels."""
        coarse = [max(3, round(n / scale) + 2) for n in shape]
        field = F.interpolate(self.white([1, 1, *coarse]), size=tuple(shape), mode="trilinear", align_corners=True)[
            0, 0
        ]
        return field / (field.std() + 1e-6)


def euler(angles: list[float]) -> torch.Tensor:
    """Rotation matrix of three angles in radians, about the first, second and third axis, shape (3, 3)."""
    matrix = torch.eye(3)
    for axis, angle in enumerate(angles):
        c, s = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
        i, j = [k for k in range(3) if k != axis]
        turn = torch.eye(3)
        turn[i, i] = turn[j, j] = c
        turn[i, j], turn[j, i] = -s, s
        matrix = matrix @ turn
    return matrix


def blur(image: torch.Tensor, sigmas: Sequence[float]) -> torch.Tensor:
    """Separable Gaussian blur of a 3-D tensor; ``sigmas`` in voxels, one per axis, below 0.2 is skipped."""
    for axis, sigma in enumerate(sigmas):
        if sigma < 0.2:
            continue
        radius = max(1, math.ceil(2.5 * sigma))
        steps = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
        kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
        kernel_shape = [1, 1, 1, 1, 1]
        kernel_shape[2 + axis] = -1
        padding = [0] * 6
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = radius
        padded = F.pad(image[None, None], padding, mode="replicate")
        image = F.conv3d(padded, (kernel / kernel.sum()).view(kernel_shape))[0, 0]
    return image


def towards(image: torch.Tensor, value: torch.Tensor | float, weight: torch.Tensor) -> torch.Tensor:
    """Blend ``image`` towards ``value`` where ``weight`` (0-1) says so."""
    return image + (value - image) * weight
