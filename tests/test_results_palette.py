"""Colours of lesions."""

import colorsys
from collections.abc import Callable

import pytest

from results.palette import METIA, ON_WHITE, cielab, contrast_with_white, on_white, rgb


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


def test_on_white_every_colour_can_be_read_and_is_no_other_lesions() -> None:
    colours = [on_white(number) for number in range(1, 41)]
    assert min(map(contrast_with_white, colours)) >= 4.5
    assert len(set(colours)) == 40


def test_on_white_the_hue_is_that_of_the_images() -> None:
    for bright, dark in zip(METIA, ON_WHITE, strict=True):
        hues = [colorsys.rgb_to_hsv(*(value / 255 for value in colour))[0] for colour in (bright, dark)]
        apart = abs(hues[0] - hues[1])
        if len(set(bright)) > 1:  # grey has none
            assert min(apart, 1 - apart) < 0.07, bright


@pytest.mark.parametrize(("colour", "ratio"), [((0, 0, 0), 21.0), ((255, 255, 255), 1.0), ((118, 118, 118), 4.54)])
def test_contrast_is_that_of_the_web_guidelines(colour: tuple[int, int, int], ratio: float) -> None:
    assert contrast_with_white(colour) == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize("colour_of", [rgb, on_white])
def test_lesions_are_counted_from_one(colour_of: Callable[[int], object]) -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        colour_of(0)
