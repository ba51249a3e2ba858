"""False and missed lesions are found where they are, and shown as often as was asked for."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from unetr.synthesis.pool import Case
from unetr.training.mining import find_mistakes
from unetr.training.patches import Patches

SHAPE = (48, 40, 44)
FOUND, MISSED, VESSEL = (10, 10, 10), (34, 28, 12), (12, 28, 34)


class Bright(nn.Module):
    """Calls lesion what is brighter than 2; its second output is the brain's."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(4.0))

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        logits = self.gain * (window - 2)
        return torch.cat([logits, torch.zeros_like(logits)], 1)


def blob(centre: tuple[int, int, int], radius: float = 3) -> np.ndarray:
    x, y, z = (axis - c for axis, c in zip(np.ogrid[tuple(map(slice, SHAPE))], centre, strict=True))
    return x**2 + y**2 + z**2 <= radius**2


@pytest.fixture
def head() -> tuple[np.ndarray, np.ndarray]:
    image = np.ones(SHAPE, np.float16)
    image[blob(FOUND)] = 3
    image[blob(VESSEL)] = 3
    image[VESSEL] = 3.5
    image[blob(MISSED)] = 1.5
    image[MISSED] = 1.75
    return image, np.where(blob(FOUND) | blob(MISSED), 255, 0).astype(np.uint8)


def test_one_voxel_for_each_mistake_and_none_for_what_is_right(head):
    assert find_mistakes(Bright(), head[0], head[1], window=16).tolist() == [list(VESSEL), list(MISSED)]


def test_a_lesion_drawn_too_large_is_no_mistake(head):
    image, fraction = head
    image[blob(FOUND, 5)] = 3
    assert list(FOUND) not in find_mistakes(Bright(), image, fraction, window=16).tolist()


def test_no_mistake_gives_an_empty_list():
    image, fraction = np.ones(SHAPE, np.float16), np.zeros(SHAPE, np.uint8)
    assert find_mistakes(Bright(), image, fraction, window=16).shape == (0, 3)


def test_the_network_goes_on_training_afterwards(head):
    network = Bright().train()
    find_mistakes(network, head[0], head[1], window=16)
    assert network.training
    assert network.gain.requires_grad


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 90), (0.5, 110, 160), (1.0, 200, 200)])
def test_patches_show_mistakes_as_often_as_asked(head, monkeypatch, share, least, most):
    image, fraction = head
    image, fraction = np.tile(image, (1, 1, 3)), np.tile(fraction, (1, 1, 3))  # room for patches elsewhere
    monkeypatch.setattr("unetr.training.patches.normalise", lambda volume: volume)
    patches = Patches(
        [Case("a", image, fraction, np.ones_like(fraction))], 12, lesion_share=0.0, hard_share=share, seed=1
    )
    assert patches.mine(Bright(), 16) == 6
    shown = sum(
        bool(((patch["image"] > 2.4) & (patch["fraction"] == 0)).any() or (patch["fraction"] > 0).any())
        for patch in itertools.islice(patches, 200)
    )
    assert least <= shown <= most
