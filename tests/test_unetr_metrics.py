"""Scores worked out by hand."""

import math

import numpy as np
import pytest

from unetr.metrics import score

SHAPE = (12, 20, 20)


def mask(*boxes: tuple[slice, slice, slice]) -> np.ndarray:
    volume = np.zeros(SHAPE, bool)
    for box in boxes:
        volume[box] = True
    return volume


def box(x: int, y: int, z: int, edge: int = 3) -> tuple[slice, slice, slice]:
    return slice(x, x + edge), slice(y, y + edge), slice(z, z + edge)


def diameter(volume: float) -> float:
    return 2 * (3 * volume / (4 * math.pi)) ** (1 / 3)


def test_perfect():
    reference = mask(box(1, 1, 1), box(1, 10, 10))
    result = score("a", reference, reference, 2.0)
    assert result.name == "a"
    assert result.dice == 1.0
    assert result.lesions == ((pytest.approx(diameter(54)), True, 1.0),) * 2
    assert result.false_lesions_mm == ()
    assert result.false_volume_ml == 0.0
    assert result.reference_volume_ml == result.predicted_volume_ml == pytest.approx(0.108)


def test_half_found_one_missed_one_false():
    reference = mask(box(1, 1, 1, 4), box(1, 10, 10))
    predicted = mask((slice(1, 3), slice(1, 5), slice(1, 5)), box(8, 15, 2))
    result = score("a", reference, predicted, 1.0)
    assert result.dice == pytest.approx(2 * 32 / (64 + 27 + 32 + 27))
    (found, missed) = result.lesions
    assert found == (pytest.approx(diameter(64)), True, pytest.approx(2 * 32 / (64 + 32)))
    assert missed == (pytest.approx(diameter(27)), False, 0.0)
    assert result.false_lesions_mm == (pytest.approx(diameter(27)),)
    assert result.false_volume_ml == pytest.approx(0.027)


def test_two_predictions_in_one_lesion_are_both_true():
    reference = mask((slice(0, 8), slice(0, 4), slice(0, 4)))
    predicted = mask((slice(0, 2), slice(0, 4), slice(0, 4)), (slice(5, 7), slice(0, 4), slice(0, 4)))
    result = score("a", reference, predicted, 1.0)
    assert result.false_lesions_mm == ()
    assert result.lesions == ((pytest.approx(diameter(128)), True, pytest.approx(2 * 64 / (128 + 64))),)


def test_one_prediction_over_two_lesions_finds_both():
    reference = mask(box(1, 1, 1), box(5, 1, 1))
    predicted = mask((slice(1, 8), slice(1, 4), slice(1, 4)))
    result = score("a", reference, predicted, 1.0)
    assert [lesion[1:] for lesion in result.lesions] == [(True, pytest.approx(2 * 27 / (27 + 63)))] * 2
    assert result.false_lesions_mm == ()


def test_voxels_that_meet_in_a_corner_are_one_lesion():
    result = score("a", mask(box(0, 0, 0, 2), box(2, 2, 2, 2)), mask(), 1.0)
    assert result.lesions == ((pytest.approx(diameter(16)), False, 0.0),)


def test_nothing_there_and_nothing_found():
    result = score("a", mask(), mask(), 1.0)
    assert math.isnan(result.dice)
    assert result.lesions == result.false_lesions_mm == ()
    assert result.reference_volume_ml == result.predicted_volume_ml == result.false_volume_ml == 0.0


def test_nothing_there_but_something_found():
    result = score("a", mask(), mask(box(1, 1, 1)), 1000.0)
    assert result.dice == 0.0
    assert result.false_lesions_mm == (pytest.approx(diameter(27_000)),)
    assert result.false_volume_ml == pytest.approx(27.0)
