"""Numbering of a mask's connected components."""

import numpy as np
import pytest

from rano.components import label_lesions

AFFINE = np.diag([3.0, 1.0, 0.5, 1.0])  # voxels of 1.5 mm3


@pytest.fixture
def mask():
    mask = np.zeros((6, 20, 20), bool)
    mask[1, 1, 1:3] = True  # 3 mm3
    mask[1:4, 5:8, 5:8] = True  # 40.5 mm3
    mask[4, 15, 15] = True  # 1.5 mm3
    mask[0, 10, 10:12] = True  # 3 mm3, and the first in the array
    return mask


def test_largest_first_and_of_equals_the_first_in_the_array(mask):
    labels = label_lesions(mask, AFFINE, 0)
    assert labels.dtype == np.int32
    assert labels.shape == mask.shape
    assert [labels[2, 6, 6], labels[0, 10, 10], labels[1, 1, 1], labels[4, 15, 15]] == [1, 2, 3, 4]
    assert np.array_equal(labels > 0, mask)


@pytest.mark.parametrize(("minimum", "left"), [(1.5, 4), (1.6, 3), (3.0, 3), (3.1, 1), (40.5, 1), (41, 0)])
def test_components_below_the_minimum_are_background(mask, minimum, left):
    assert label_lesions(mask, AFFINE, minimum).max() == left


@pytest.mark.parametrize("axes", [[1, 1, 1, 1], [-1, 1, 1, 1]], ids=["right-handed", "left-handed"])
def test_a_component_of_just_the_minimum_is_a_lesion(axes):
    mask = np.zeros((4, 4, 12), bool)
    mask[1, 1, 1:11] = True
    assert label_lesions(mask, np.diag(axes), 10).max() == 1


def test_more_components_than_a_byte_can_count_are_in_the_order_of_the_array_where_they_are_equal():
    mask = np.zeros((2, 40, 40), bool)
    mask[0, ::2, ::2] = True
    labels = label_lesions(mask, AFFINE, 0)
    assert np.array_equal(labels[mask], np.arange(1, 401))
    mask[1, ::4, ::4] = True  # every other one of every other row is larger
    labels = label_lesions(mask, AFFINE, 0)
    larger = mask[1] & mask[0]
    assert np.array_equal(labels[0][larger], np.arange(1, 101))
    assert np.array_equal(labels[0][mask[0] & ~larger], np.arange(101, 401))


@pytest.mark.parametrize("step", [(0, 0, 1), (0, 1, 1), (1, 1, 1), (1, -1, 1)])
def test_voxels_that_share_a_face_edge_or_corner_are_connected(step):
    mask = np.zeros((4, 4, 4), bool)
    mask[1, 1, 1] = mask[tuple(np.add(1, step))] = True
    assert label_lesions(mask, np.eye(4), 0).max() == 1


def test_empty_and_full_masks():
    empty, full = np.zeros((3, 4, 5), bool), np.ones((3, 4, 5), bool)
    assert not label_lesions(empty, AFFINE, 0).any()
    assert (label_lesions(full, AFFINE, 0) == 1).all()


def test_the_mask_is_left_alone_whatever_its_type_and_order(mask):
    before = mask.copy()
    numbers = label_lesions(np.asfortranarray(mask), AFFINE, 0)
    assert np.array_equal(mask, before)
    assert np.array_equal(numbers, label_lesions(mask.astype(np.uint8), AFFINE, 0))
