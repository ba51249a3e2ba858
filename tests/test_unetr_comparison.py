"""Two models on the same volumes: what differs, whether it may be chance, and volumes that are not the same."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from unetr.comparison import Difference, compare, table
from unetr.metrics import Score, ScoredLesion
from unetr.volume_error import VolumeError


def volume(name: str, found: Sequence[bool], false: int = 0, dice: float = 0.8) -> Score:
    """A volume with a lesion of 4 mm for each of ``found``."""
    lesions = tuple(ScoredLesion(4.0, one, dice if one else 0.0) for one in found)
    return Score(name, dice, lesions, (6.0,) * false, 0.1 * false, 0.03 * len(found), 0.03, image_mean=100.0)


def volumes(seed: int, count: int = 30, share: float = 0.6, false: float = 0.5) -> list[Score]:
    """As a model finds them: another ``seed`` is another model, the heads are always the same."""
    heads = np.random.default_rng(0).poisson(3, count)
    rng = np.random.default_rng(seed)
    return [
        volume(f"head {n}", (rng.random(lesions) < share).tolist(), rng.poisson(false), float(rng.uniform(0.6, 0.9)))
        for n, lesions in enumerate(heads)
    ]


def by_name(differences: Sequence[Difference]) -> dict[str, Difference]:
    return {one.name: one for one in differences}


def test_a_model_compared_with_itself_differs_in_nothing():
    ours = volumes(1)
    for one in compare(ours, ours[::-1]):
        assert one.better is None
        assert one.first == one.second or one.count == 0
    lines = table(compare(ours, ours)).splitlines()
    assert "+0.000 (the same)" in next(line for line in lines if "3-5 mm" in line)


def test_a_known_difference_is_that_and_in_which_direction():
    first = [volume(f"head {n}", [True, False, False, False], false=n % 2, dice=0.5) for n in range(20)]
    second = [volume(f"head {n}", [True, n % 2 == 0, True, False], false=1 + n % 2, dice=0.5) for n in range(20)]
    found = by_name(compare(first, second))
    small, false = found["sensitivity, 3-5 mm"], found["false lesions a volume"]
    assert (small.first, small.second, small.count) == (0.25, 0.625, 80)
    low, high = small.interval
    assert 0.25 < low < 0.375 < high < 0.5
    assert small.better == 2
    assert (false.first, false.second) == (0.5, 1.5)
    assert by_name(compare(second, first))["sensitivity, 3-5 mm"].better == 1
    assert found["Dice"].better is None


def test_more_that_is_false_is_worse():
    first = [volume(f"head {n}", [True], false=0) for n in range(20)]
    second = [volume(f"head {n}", [True], false=1 + n % 2) for n in range(20)]
    found = by_name(compare(first, second))
    assert found["false lesions a volume"].better == found["false volume, ml a volume"].better == 1


def test_what_makes_a_volume_hard_for_both_cancels_out():
    """Dice varies by 0.3 between heads, and is 0.02 better in each, give or take: pairs show it, intervals do not."""
    rng = np.random.default_rng(3)
    hard = rng.uniform(0.5, 0.9, 30)
    first = [volume(f"head {n}", [True], dice=float(one)) for n, one in enumerate(hard)]
    second = [replace(one, dice=one.dice + rng.normal(0.02, 0.02)) for one in first]
    dice = by_name(compare(first, second))["Dice"]
    assert dice.better == 2
    assert dice.interval[1] - dice.interval[0] < 0.03


def test_models_that_are_alike_are_seldom_told_apart():
    told_apart = [
        by_name(compare(volumes(2 * n + 1), volumes(2 * n + 2)))["sensitivity, 3-5 mm"].better for n in range(60)
    ]
    assert sum(better is not None for better in told_apart) <= 8


def test_from_a_few_volumes_no_interval_is_drawn():
    few = compare(volumes(1, count=5), volumes(2, count=5))
    assert all(np.isnan(one.interval).all() and one.better is None for one in few)


@pytest.mark.parametrize(("count", "better"), [(40, 2), (6, 2), (5, None)])
def test_where_every_volume_differs_by_as_much_the_sign_decides(count, better):
    first = [volume(f"head {n}", [False] * (1 + n % 2), false=1, dice=0.5) for n in range(count)]
    second = [volume(f"head {n}", [True] * (1 + n % 2), dice=0.5) for n in range(count)]
    found = by_name(compare(first, second))
    assert found["sensitivity, 3-5 mm"].better == found["false lesions a volume"].better == better
    assert by_name(compare(second, first))["sensitivity, 3-5 mm"].better == (better and 1)
    assert found["Dice"].better is None
    (line,) = [line for line in table(compare(first, second)).splitlines() if "3-5 mm" in line]
    assert line.endswith("+1.000 (in every volume)    B is better" if better else "+1.000")


def test_volumes_that_are_not_the_same_are_named():
    ours = [volume(name, [True]) for name in "abcd"]
    theirs = [ours[0], volume("b", [True, True]), replace(ours[2], image_mean=90.0), volume("e", [])]
    with pytest.raises(VolumeError) as refused:
        compare(ours, theirs)
    for part in (
        "only the first has d;",
        "only the second has e;",
        "marked lesions differ in b;",
        "images differ in c: evaluate both",
    ):
        assert part in str(refused.value)


def test_the_last_bits_of_an_image_make_no_other_volume():
    ours = volumes(1)
    compare(ours, [replace(one, image_mean=one.image_mean * (1 + 1e-7)) for one in ours])
