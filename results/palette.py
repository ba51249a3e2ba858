"""The colour of lesion n: the ten colours of the published front-end, then as many distinct ones as are asked for."""

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
_GOLDEN_RATIO = (5**0.5 - 1) / 2
_SHADES = ((0.55, 1.0), (0.8, 0.75), (0.4, 0.8))  # saturation and value, in turn


def rgb(label: int) -> Colour:
    """Return the colour of a lesion.

    Parameters
    ----------
    label
        The lesion's number, 1-based.

    Notes
    -----
    After the tenth, the hue goes on by the golden ratio, which keeps any number of hues apart, and the shade
    changes from one to the next; none of the first ten comes again.
    """
    if label < 1:
        raise ValueError(f"Lesions are counted from 1, this label is {label}.")
    if label <= len(METIA):
        return METIA[label - 1]
    n = label - len(METIA) - 1
    saturation, value = _SHADES[n % len(_SHADES)]
    red, green, blue = colorsys.hsv_to_rgb((n + 0.5) * _GOLDEN_RATIO % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def cielab(label: int) -> CIELabColor:
    """Return the colour of a lesion as DICOM's RecommendedDisplayCIELabValue has it."""
    return CIELabColor.from_rgb(*rgb(label))
