"""Colours of lesions."""

import pytest

from results.palette import cielab, rgb


def test_the_first_colours_are_those_of_the_published_front_end() -> None:
    assert [rgb(label) for label in (1, 2, 3, 8, 10)] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (128, 0, 0),
        (0, 128, 0),
    ]


def test_a_hundred_colours_are_distinct_and_none_is_dark() -> None:
    colours = [rgb(label) for label in range(1, 101)]
    assert len(set(colours)) == 100
    assert min(max(colour) for colour in colours) >= 128


def test_cielab_is_the_same_colour() -> None:
    for label in range(1, 40):
        assert cielab(label).to_rgb(clip=True) == pytest.approx(rgb(label), abs=1)


def test_lesions_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        rgb(0)
