"""The letters of the pages that we draw: names in every script that some font on this machine has.

matplotlib's own font, DejaVu Sans, knows no Chinese, Japanese or Korean; those that systems bring along stand in.
"""

import logging
from functools import cache

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

logger = logging.getLogger(__name__)

MISSING = "□"
"""Stands for a character that no font has."""

_FALLBACKS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans CJK KR",
    "Noto Sans JP",
    "Noto Sans SC",
    "Noto Sans KR",
    "Source Han Sans",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Yu Gothic",
    "MS Gothic",
    "Microsoft YaHei",
    "SimSun",
    "Malgun Gothic",
    "Hiragino Sans",
    "PingFang SC",
    "Apple SD Gothic Neo",
)


def families() -> list[str]:
    """Give the fonts in which text is looked for, in this order: matplotlib's own, then those that are installed."""
    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FALLBACKS if name in installed)]


# A font that stands in need not be there in bold; matplotlib would say so at every start.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
# For all figures of the process: a text takes its fonts when it is made, and other threads draw at the same time.
mpl.rcParams["font.family"] = families()


def plain(text: str) -> str:
    """Give a text as matplotlib prints it to the letter: no formula, and ``MISSING`` for what no font has."""
    lacking = {ord(letter) for letter in text} - _characters(tuple(mpl.rcParams["font.family"])) - {ord("\n")}
    if lacking:
        _warn()
    return text.translate(dict.fromkeys(lacking, MISSING)).replace("$", r"\$")


def shortened(text: str, length: int) -> str:
    """Give a text of this many characters at most; what is cut off is seen to be."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def shortened_in_the_middle(text: str, length: int) -> str:
    """Give a text of this many characters at most, with its end, which is what tells many names apart."""
    end = (length - 1) // 2
    return text if len(text) <= length else f"{text[: length - 1 - end]}…{text[-end:]}"


@cache
def _characters(names: tuple[str, ...]) -> frozenset[int]:
    """Give the characters that some of these fonts have."""
    fonts = (get_font(findfont(FontProperties(family=[name]))) for name in names)
    return frozenset(code for font in fonts for code in font.get_charmap())


@cache
def _warn() -> None:
    """Say it once: a page has many names, and a server draws many pages."""
    logger.warning("A name has letters that no font here has: they are drawn as %s. Install Noto Sans CJK.", MISSING)
