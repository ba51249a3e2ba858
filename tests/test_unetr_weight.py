"""Lesions true and false count by their size, and what is false is told from what is only drawn too large."""

import numpy as np
import pytest
import torch

from unetr.training.weight import apart, count_false, find_false, weigh

SHAPE = (40, 40, 40)


def box(start: int, edge: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[(slice(start, start + edge),) * 3] = True
    return mask


def test_every_lesion_counts_the_same_within_the_limits():
    small, large = box(4, 6), box(20, 9)
    weight = weigh(small * 1 + large * 2, emphasis=60)
    # Weights go with diameter ** -2.5, volumes with diameter ** 3: in all, the larger counts a little more.
    assert (weight[small].sum() / weight[large].sum()) == pytest.approx((6 / 9) ** 0.5)
    assert (weight[box(14, 2)] == 1).all()


def test_emphasis_is_the_most_that_a_voxel_counts():
    assert weigh(box(4, 2).astype(int), emphasis=12.5).max() == 12.5
    assert weigh(np.zeros(SHAPE, int), emphasis=12.5).max() == 1


def test_a_lesion_drawn_too_large_or_beside_its_place_is_not_false():
    probability = np.where(box(5, 8) | box(30, 3), 0.9, 0.1)
    for truth in (box(7, 3), box(13, 3)):  # within; touching by a corner
        np.testing.assert_array_equal(find_false(probability, truth.astype(float)) > 0, box(30, 3))


def test_what_lies_apart_keeps_its_own_numbers():
    labels = apart(box(2, 3) | box(10, 3) | box(20, 3), box(11, 1))
    assert len(np.unique(labels[labels > 0])) == 2
    np.testing.assert_array_equal(labels > 0, box(2, 3) | box(20, 3))


def test_a_false_lesion_counts_as_much_as_a_true_one_of_its_size():
    truth, false = box(6, 4), box(26, 4)
    weight = torch.from_numpy(weigh(truth.astype(int), 30))[None, None].repeat(3, 1, 1, 1, 1)
    fraction = torch.from_numpy(truth.astype(np.float32))[None, None].repeat(3, 1, 1, 1, 1)
    probability = torch.zeros_like(weight)
    probability[1, 0][torch.from_numpy(truth)] = 0.9
    probability[2, 0][torch.from_numpy(truth | false)] = 0.9
    counted = count_false(weight, probability, fraction, 30)
    np.testing.assert_array_equal(counted[0], weight[0])  # a missed lesion counts already
    np.testing.assert_array_equal(counted[1], weight[1])
    assert set(counted[2, 0][torch.from_numpy(false)].tolist()) == set(weight[2, 0][torch.from_numpy(truth)].tolist())
    np.testing.assert_array_equal(counted[2, 0], np.maximum(weight[2, 0], weigh(false.astype(int), 30)))


def test_a_false_lesion_never_takes_weight_away():
    weight = torch.full((1, 1, *SHAPE), 20.0)
    probability = torch.from_numpy(box(2, 30).astype(np.float32))[None, None]
    counted = count_false(weight, probability, torch.zeros_like(weight), 30)
    assert (counted == 20).all()
