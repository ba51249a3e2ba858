"""Intervals against what is known: a normal mean, bounds worked out by hand, and how often they hold the truth."""

import math

import numpy as np
import pytest

from unetr.uncertainty import of_rate, of_ratio, of_share


def test_a_mean_has_the_interval_that_is_known_of_it():
    values = np.random.default_rng(1).normal(3.0, 1.0, 400)
    expected = values.mean() + np.array([-1.96, 1.96]) * values.std() / 20
    assert of_ratio(values, np.ones(400)) == pytest.approx(tuple(expected), abs=0.01)
    assert of_ratio(values, np.full(400, 1e-3)) == pytest.approx(tuple(1e3 * expected), abs=10)


def test_the_same_volumes_give_the_same_interval():
    assert of_ratio([1, 2, 5] * 2, [2, 4, 6] * 2) == of_ratio([1, 2, 5] * 2, [2, 4, 6] * 2)


def test_lesions_of_one_volume_go_together():
    found, there = [10, 0, 10, 0, 10, 0, 10, 0], [10] * 8
    low, high = of_share(found, there)
    apart_low, apart_high = of_share([1, 0] * 40, [1] * 80)
    assert (low, high) == (pytest.approx(0.125, abs=0.13), pytest.approx(0.875, abs=0.13))
    assert high - low > 2.5 * (apart_high - apart_low)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(120):
        there = rng.poisson(3, 25)
        found = rng.binomial(there, rng.beta(3, 2, 25))  # each volume has a difficulty of its own, 0.6 on average
        low, high = of_share(found.tolist(), there.tolist())
        held += low <= 0.6 <= high
    assert 0.86 <= held / 120 <= 0.99


def test_none_or_all_is_not_certain():
    assert of_share([0, 0, 0], [2, 0, 5]) == (0.0, pytest.approx(1 - math.sqrt(0.025)))
    assert of_share([2, 0, 5], [2, 0, 5]) == (pytest.approx(math.sqrt(0.025)), 1.0)
    assert of_rate([0] * 20) == (0.0, pytest.approx(3.689 / 20, abs=1e-3))


@pytest.mark.parametrize("volumes", [10, 20, 40, 200])
def test_what_is_almost_none_or_all_is_no_surer_than_that(volumes):
    none, one, ones = [0] * volumes, [1, *[0] * (volumes - 1)], [1] * volumes
    but_one = [0, *ones[1:]]
    assert of_share(but_one, ones)[0] <= of_share(ones, ones)[0]
    assert of_share(one, ones)[1] >= of_share(none, ones)[1]
    assert of_rate(one)[1] >= of_rate(none)[1]


def test_where_nothing_can_be_said_nothing_is():
    for interval in (of_share([1], [2]), of_share([0, 0], [0, 0]), of_ratio([0.8], [1]), of_rate([3])):
        assert all(math.isnan(end) for end in interval)


def test_where_all_volumes_say_the_same_no_draw_differs():
    for interval in (of_rate([3] * 8), of_share([1, 2] * 4, [3, 6] * 4), of_ratio([0.1, 0.3] * 4, [1, 3] * 4)):
        assert all(math.isnan(end) for end in interval)


@pytest.mark.parametrize("few", [2, 5])
def test_from_a_few_volumes_no_interval_is_drawn(few):
    values = np.arange(1.0, few + 1)
    missed = [1, *[0] * (few - 1)]
    for interval in (of_ratio(values, np.ones(few)), of_share(missed, [1] * few), of_rate(missed)):
        assert all(math.isnan(end) for end in interval)
    elsewhere = [0] * 20  # volumes that have no lesion of the size
    assert all(math.isnan(end) for end in of_share([*missed, *elsewhere], [*[1] * few, *elsewhere]))
    low, high = of_ratio(np.arange(1.0, 7), np.ones(6))
    assert 1 < low < 3.5 < high < 6


def test_volumes_without_lesions_count_as_drawn_but_not_as_found():
    low, high = of_share([1, 0, 0, 1] * 2, [1, 0, 1, 2] * 2)
    assert 0 <= low < 0.5 < high <= 1


def test_draws_without_any_lesion_do_not_count():
    """Of ten thousand draws of 30 volumes, six of them with lesions, a dozen have none."""
    low, high = of_share([1, 0, 1, 1, 0, 1, *[0] * 24], [1] * 6 + [0] * 24)
    assert 0 < low < 4 / 6 < high <= 1
