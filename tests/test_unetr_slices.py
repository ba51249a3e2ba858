"""Thick slices: nothing is lost, nothing moves, whatever the thickness and however the volume was acquired."""

import numpy as np
import pytest

from tests import factory
from unetr.commands.nifti import as_axial
from unetr.commands.volumes import LabelledVolume
from unetr.metrics import score
from unetr.slices import average_slices

SHEARED = factory.affine()
SHEARED[:3, 0] += 0.4 * SHEARED[:3, 1]


def centre_of_mass(fraction: np.ndarray, affine: np.ndarray) -> np.ndarray:
    index = np.argwhere(np.ones(fraction.shape, bool))
    return affine[:3, :3] @ np.average(index, axis=0, weights=fraction.ravel()) + affine[:3, 3]


def volume_mm3(fraction: np.ndarray, affine: np.ndarray) -> float:
    return float(fraction.sum(dtype=np.float64) * abs(np.linalg.det(affine[:3, :3])))


@pytest.mark.parametrize("plane", factory.PLANES)
@pytest.mark.parametrize("thickness", [2.0, 3.0, 4.7, 7.0])
def test_volume_and_place_of_a_lesion_are_kept(plane, thickness):
    source = factory.volume(plane, lesions=factory.LESIONS[:1])
    mask, affine = as_axial(factory.label_map(source, factory.LESIONS[:1]) > 0, source.affine)
    if np.linalg.norm(affine[:3, 0]) > thickness:
        pytest.skip("its slices are thicker")
    thick, moved = average_slices(mask, affine, thickness)
    assert volume_mm3(thick, moved) == pytest.approx(volume_mm3(mask, affine), rel=1e-5)
    np.testing.assert_allclose(centre_of_mass(thick, moved), centre_of_mass(mask, affine), atol=0.1)
    assert np.linalg.norm(moved[:3, 0]) == pytest.approx(thickness)
    np.testing.assert_array_equal(moved[:3, 1:3], affine[:3, 1:3])
    # The reference is cut at one half besides: partial volumes move a surface by a part of a slice.
    assert volume_mm3(thick >= 0.5, moved) == pytest.approx(volume_mm3(mask, affine), rel=0.15)
    cut = centre_of_mass(thick >= 0.5, moved)
    np.testing.assert_allclose(cut, factory.LESIONS[0].centre_lps, atol=0.1 + thickness / 5)


@pytest.mark.parametrize("affine", [factory.affine(), factory.affine("oblique25"), SHEARED])
def test_every_slice_lies_where_what_it_averages_lay(affine):
    array = np.random.default_rng(0).random((12, 3, 4)).astype(np.float32)
    thick, moved = average_slices(array, affine, 6.0)  # three slices of 2 mm each
    assert thick.shape == (4, 3, 4)
    np.testing.assert_allclose(thick, array.reshape(4, 3, 3, 4).mean(1), rtol=1e-5)
    for k in range(4):
        np.testing.assert_allclose(moved @ [k, 2, 1, 1], affine @ [3 * k + 1, 2, 1, 1], atol=1e-9)
        index = np.linalg.inv(affine) @ moved @ [k, 2, 1, 1]
        np.testing.assert_allclose(np.linalg.inv(moved) @ affine @ index, [k, 2, 1, 1], atol=1e-9)


def test_a_thickness_that_does_not_divide_the_extent():
    array = np.ones((10, 2, 2), np.float32)
    affine = factory.affine(shape=(10, 2, 2), spacing=(1.0, 1.0, 1.0))
    thick, moved = average_slices(array, affine, 4.0)
    np.testing.assert_allclose(thick[:, 0, 0], [0.75, 1.0, 0.75])  # 12 mm for 10, as much beyond either end
    np.testing.assert_allclose(moved @ [1, 0.5, 0.5, 1], affine @ [4.5, 0.5, 0.5, 1])
    ramp = np.arange(10, dtype=np.float32)[:, None, None] * array
    np.testing.assert_allclose(average_slices(ramp, affine, 4.0)[0][:, 0, 0], [3 / 4, 4.5, 24 / 4])
    assert average_slices(array, affine, 10.0)[0].shape == (1, 2, 2)
    assert average_slices(array, affine, 0.1 + 0.2 + 0.7)[0].shape == (10, 2, 2)


def test_its_own_thickness_changes_nothing():
    source = factory.volume("oblique25")
    thick, moved = average_slices(source.array, source.affine, 2.0)
    np.testing.assert_allclose(thick, source.array, rtol=1e-6)
    np.testing.assert_allclose(moved, source.affine, atol=1e-9)


def test_thinner_slices_cannot_be_made():
    with pytest.raises(ValueError, match=r"slices of 2\.00 mm cannot be made into thinner ones of 1\.5 mm"):
        average_slices(np.zeros((4, 4, 4)), factory.affine(), 1.5)


def test_what_fills_no_half_of_a_voxel_is_no_lesion_of_the_reference():
    fraction = np.zeros((20, 30, 30), np.float32)
    fraction[4:6, 4:7, 4:7] = 1  # 2 mm of a slice of 5
    fraction[10:18, 15:23, 15:23] = 1
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    volume = LabelledVolume("two", fraction, affine, fraction)
    thick = volume.in_slices(5.0)
    lesions = [score("", one.reference, one.reference, one.voxel_mm3).lesions for one in (volume, thick)]
    assert [len(found) for found in lesions] == [2, 1]
    assert thick.voxel_mm3 == pytest.approx(5.0)
    assert thick.image.shape == thick.reference.shape == (4, 30, 30)
    assert thick.image[0, 5, 5] == pytest.approx(0.2)  # and yet it is seen
