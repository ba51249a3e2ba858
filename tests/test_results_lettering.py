"""Letters on pages: those of any font that is installed, and an honest mark for what none has."""

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text

from results import lettering
from results.lettering import MISSING, families, plain
from results.timeline_pdf import timeline_pages, timeline_pdf
from tests.test_results_timeline import timeline

NOWHERE = chr(0xF0000)  # for private use: no font has it
BUNDLED = "STIXNonUnicode"  # comes with matplotlib, and has letters that DejaVu Sans has not


def letters(name: str) -> set[int]:
    return set(get_font(findfont(FontProperties(family=[name]))).get_charmap())


@pytest.fixture
def only_there() -> Iterator[str]:
    """Give a letter that only a font has which stands in for matplotlib's own."""
    before = mpl.rcParams["font.family"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lettering, "_FALLBACKS", ("no such font", BUNDLED))
        mpl.rcParams["font.family"] = families()
        yield chr(min(letters(BUNDLED) - letters("DejaVu Sans")))
    mpl.rcParams["font.family"] = before


def said(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)}


def test_installed_fonts_stand_in_behind_matplotlibs_own(only_there):
    assert families() == ["DejaVu Sans", BUNDLED]
    made = timeline({only_there: [20.0, 12.0]}, visits=2, patient_id=only_there)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        timeline_pdf(made)
    texts = said(timeline_pages(made, {})[0])
    assert {only_there, f"Patient {only_there}"} <= texts
    assert not any(MISSING in text for text in texts)


def test_what_no_font_has_is_said_on_the_page_and_once_in_the_log(caplog):
    lettering._warn.cache_clear()
    made = timeline({f"{NOWHERE} 1": [20.0, 12.0], "b": [9.0, 9.0]}, visits=2, patient_id=f"A{NOWHERE}")
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        timeline_pdf(made)
        texts = said(timeline_pages(made, {})[0])
    assert {f"{MISSING} 1", f"Patient A{MISSING}"} <= texts
    assert any(text.startswith(f"{MISSING} stands for a letter") for text in texts)
    assert len(caplog.records) == 1


def test_of_letters_that_are_there_nothing_is_said():
    texts = said(timeline_pages(timeline({"Läsion µ ж": [20.0, 12.0]}, visits=2), {})[0])
    assert "Läsion µ ж" in texts
    assert not any(MISSING in text for text in texts)


@pytest.mark.parametrize("name", ["$2^{x}$", "$", "a$b\\$c", "\\frac{1}{2}", "a_b^c", "$x^{"])
def test_a_name_is_never_a_formula(name):
    """As matplotlib itself prints it."""
    text: Any = Text(0, 0, "")
    assert text._preprocess_math(plain(name)) == (name, False)
    assert plain("two\nlines") == "two\nlines"
