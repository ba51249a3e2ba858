"""The colour of lesion n: the ten colours of the published front-end, then as many distinct ones as are asked for.

n is the lesion's number among the patient's (``rano.lesion.Lesion.number``), so that it has one colour at every visit,
in the viewer, on the page and in the report.
"""

import colorsys

from highdicom.color import CIELabColor

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

METIA: tuple[Colour, ...] = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (0, 255, 255),
    (255, 0, 255),
    (192, 192, 192),
    (128, 0, 0),
    (128, 128, 0),
    (0, 128, 0),
)
ON_WHITE: tuple[Colour, ...] = (
    (185, 28, 28),
    (21, 128, 61),
    (29, 78, 216),
    (161, 98, 7),
    (14, 116, 144),
    (162, 28, 175),
    (71, 85, 105),
    (127, 29, 29),
    (91, 91, 0),
    (20, 83, 45),
)
"""The same ten as text and lines of them can be read on white, where yellow and cyan cannot: at least 4.5 : 1."""
_CONTRAST = 4.5
_GOLDEN_RATIO = (5**0.5 - 1) / 2
_SHADES = ((0.55, 1.0), (0.8, 0.75), (0.4, 0.8))  # saturation and value, in turn


def rgb(number: int) -> Colour:
    """Return the colour of a lesion on images.

    Parameters
    ----------
    number
        The lesion's number, 1-based.

    Notes
    -----
    After the tenth, the hue goes on by the golden ratio, which keeps any number of hues apart, and the shade
    changes from one to the next; none of the first ten comes again.
    """
    if number < 1:
        raise ValueError(f"Lesions are counted from 1, this number is {number}.")
    if number <= len(METIA):
        return METIA[number - 1]
    n = number - len(METIA) - 1
    saturation, value = _SHADES[n % len(_SHADES)]
    red, green, blue = colorsys.hsv_to_rgb((n + 0.5) * _GOLDEN_RATIO % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def cielab(number: int) -> CIELabColor:
    """Return the colour of a lesion as DICOM's RecommendedDisplayCIELabValue has it."""
    return CIELabColor.from_rgb(*rgb(number))


def on_white(number: int) -> Colour:
    """Return the colour of a lesion on paper and on pages: the same hue, dark enough to be read."""
    colour = rgb(number)
    if number <= len(ON_WHITE):
        return ON_WHITE[number - 1]
    while contrast_with_white(colour) < _CONTRAST:
        red, green, blue = (int(0.95 * value) for value in colour)
        colour = red, green, blue
    return colour


def contrast_with_white(colour: Colour) -> float:
    """Return the contrast ratio, 1 to 21, of a colour with white (WCAG 2.2, relative luminance of sRGB)."""
    parts = [value / 255 for value in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
