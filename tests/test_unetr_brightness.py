"""Brain is as bright with face and neck in the image as it is alone."""

import numpy as np
import pytest
import torch

from unetr.preprocessing.brightness import brain_brightness
from unetr.preprocessing.prepared import NothingToSegmentError, tissue_median

SHAPE = (190, 220, 250)
BRAIN, FACE, FAT = 100.0, 40.0, 180.0


def head(*, stripped: bool, neck: bool = True) -> torch.Tensor:
    """A brain of 140 x 170 x 120 mm with dark ventricles, under a skull and fat, on a neck less bright than itself."""
    x, y, z = np.ogrid[tuple(map(slice, SHAPE))]

    def ellipsoid(a: float, b: float, c: float) -> np.ndarray:
        return ((x - 95) / a) ** 2 + ((y - 110) / b) ** 2 + ((z - 170) / c) ** 2 < 1

    image = np.zeros(SHAPE, np.float32)
    if not stripped:
        if neck:
            image[((x - 95) / 70) ** 2 + ((y - 120) / 80) ** 2 + 0 * z < 1] = FACE
            image[:, :, 160:] = 0
        image[ellipsoid(82, 97, 72)] = FAT
        image[ellipsoid(76, 91, 66)] = 5
    image[ellipsoid(70, 85, 60)] = BRAIN
    image[ellipsoid(12, 30, 14)] = 25
    return torch.from_numpy(image)


@pytest.mark.parametrize("scale", [1.0, 0.01, 300.0])
def test_face_and_neck_change_nothing(scale):
    whole, stripped = (brain_brightness(scale * head(stripped=kind)) for kind in (False, True))
    assert stripped == pytest.approx(scale * BRAIN, rel=0.02)
    assert whole == pytest.approx(stripped, rel=0.02)
    assert float(tissue_median(head(stripped=False))) < 0.7 * BRAIN  # which is why it is not asked


def test_noise_around_the_head_changes_nothing():
    image = head(stripped=False) + 6 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))
    assert brain_brightness(image) == pytest.approx(BRAIN + 3, rel=0.03)


def test_a_head_cut_off_at_the_top_still_shows_its_brain():
    assert brain_brightness(head(stripped=False)[:, :, :195]) == pytest.approx(BRAIN, rel=0.03)


def test_in_a_few_slices_all_tissue_counts():
    slab = head(stripped=False)[:, :, 165:171]
    assert brain_brightness(slab) == float(tissue_median(slab))


def test_of_what_is_far_smaller_than_a_head_all_tissue_counts():
    image = torch.zeros(60, 60, 60)
    image[20:40, 20:40, 20:40] = 100
    assert brain_brightness(image) == 100


def test_an_empty_image_is_refused():
    with pytest.raises(NothingToSegmentError):
        brain_brightness(torch.zeros(20, 20, 20))
