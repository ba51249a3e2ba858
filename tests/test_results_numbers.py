"""Changes in percent as people read them."""

import pytest

from results.numbers import NOTHING, signed_percent


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, NOTHING),
        (0.0, "±0.00 %"),
        (-0.004, "±0.00 %"),
        (0.004, "±0.00 %"),
        (12.5, "+12.50 %"),
        (-30.0, "−30.00 %"),
    ],
)
def test_a_change_has_its_sign_and_none_where_it_shows_none(value, words):
    assert signed_percent(value) == words
