"""Numbers as people read them on page and report; CSV and JSON write their own, in ASCII."""

NOTHING = "–"
"""Stands where there is no number."""


def signed_percent(value: float | None) -> str:
    """Give a change in percent with its sign, a minus being one (U+2212)."""
    if value is None:
        return NOTHING
    return f"{value:+.2f} %".replace("-", "−") if round(value, 2) else "±0.00 %"
