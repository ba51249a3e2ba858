"""Contrast-to-noise ratios of lesions whose contrast and noise are known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from unetr.contrast import contrast_to_noise
from unetr.figures import summarise
from unetr.metrics import ScoredLesion, score_labels


def scene(contrast: float, noise: float, spacing: tuple[float, float, float] = (1, 1, 1)) -> tuple[np.ndarray, ...]:
    """A cube of 6 mm in noise: image, labels, affine."""
    rng = np.random.default_rng(0)
    shape = tuple(round(30 / s) for s in spacing)
    labels = np.zeros(shape, np.int32)
    labels[tuple(slice(round(12 / s), round(18 / s)) for s in spacing)] = 1
    return rng.normal(1, noise, shape) + contrast * (labels > 0), labels, np.diag([*spacing, 1.0])


@pytest.mark.parametrize("spacing", [(1, 1, 1), (3, 0.5, 0.5), (0.5, 1, 2)])
@pytest.mark.parametrize("contrast", [0.5, 2.0])
def test_contrast_over_noise(contrast, spacing):
    image, labels, affine = scene(contrast, 0.1, spacing)
    (ratio,) = contrast_to_noise(image, labels, affine)
    # The brighter half of noise lies 0.8 standard deviations above its mean.
    assert ratio == pytest.approx(contrast / 0.1 + math.sqrt(2 / math.pi), rel=0.1)


def test_a_ring_stands_out_by_its_rim():
    image, labels, affine = scene(1.0, 0.1)
    image[13:17, 13:17, 13:17] -= 1.5  # 64 of 216 voxels
    assert contrast_to_noise(image, labels, affine)[0] > 9


def test_scale_and_offset_of_the_intensities_do_not_matter():
    image, labels, affine = scene(1.0, 0.1)
    assert contrast_to_noise(image * 350 + 20, labels, affine) == pytest.approx(
        contrast_to_noise(image, labels, affine)
    )


@pytest.mark.parametrize("beside", [slice(20, 22), slice(8, 10)])
def test_a_vessel_beside_it_counts_as_noise_and_another_lesion_does_not(beside):
    image, labels, affine = scene(1.0, 0.1)
    (alone,) = contrast_to_noise(image, labels, affine)
    image[beside, 10:20, 10:20] += 1.0
    assert contrast_to_noise(image, labels, affine)[0] < alone / 2
    labels[beside, 10:20, 10:20] = 2
    assert contrast_to_noise(image, labels, affine)[0] == pytest.approx(alone, rel=0.1)


def test_at_the_edge_of_the_volume_and_with_nothing_around():
    image, labels, affine = scene(1.0, 0.1)
    assert contrast_to_noise(image[12:], labels[12:], affine)[0] == pytest.approx(10.8, rel=0.15)
    cut = np.s_[12:18, 12:18, 12:18]
    assert math.isnan(contrast_to_noise(image[cut], labels[cut], affine)[0])
    assert contrast_to_noise(image, np.zeros_like(labels), affine) == ()


def test_the_table_tells_small_lesions_apart_by_it():
    image, labels, affine = scene(1.0, 0.1)
    found, missed = (score_labels("a", labels, mask, 1.0) for mask in (labels, np.zeros_like(labels)))
    rows = summarise(
        [
            type(found)(**vars(found) | {"contrasts": contrast_to_noise(image, labels, affine)}),
            type(missed)(**vars(missed) | {"contrasts": (1.0,)}),
        ]
    ).splitlines()
    assert next(row for row in rows if row.startswith("over 3.0")).split()[2:5] == ["1", "1", "1.00"]
    assert next(row for row in rows if row.startswith("below 1.5")).split()[2:5] == ["1", "0", "0.00"]
    assert "contrast" not in summarise([found])


def test_lesions_that_are_not_small_are_no_part_of_that_table():
    _, labels, _ = scene(1.0, 0.1)
    lesions = ScoredLesion(12.0, True, 1.0), ScoredLesion(2.0, False, 0.0)
    found = replace(score_labels("a", labels, labels, 1.0), lesions=lesions)
    rows = summarise([replace(found, contrasts=(5.0, 1.0))]).splitlines()
    for name in ("below 1.5", "over 3.0"):
        assert next(row for row in rows if row.startswith(name)).split()[2:4] == ["0", "0"]


@pytest.mark.filterwarnings("error")
def test_the_scale_of_an_image_does_not_matter():
    image = np.random.default_rng(0).normal(1, 0.1, (20, 20, 20)).astype(np.float32)
    labels = np.zeros(image.shape, int)
    labels[8:12, 8:12, 8:12] = 1
    once = contrast_to_noise(image, labels, np.eye(4))
    np.testing.assert_allclose(contrast_to_noise(image * np.float32(1e30), labels, np.eye(4)), once, rtol=1e-4)
