"""Numbers as people read them on page and report; CSV and JSON write their own, in ASCII."""

NOTHING = "–"
"""Stands where there is no number."""


def signed_percent(value: float | None) -> str:
    """Give a change in percent with its sign, a minus being one (U+2212)."""
    if value is None:
        return NOTHING
    return f"{value:+.2f} %".replace("-", "−") if round(value, 2) else "±0.00 %"


def cm3(mm3: float) -> str:
    """Give a volume in cm3; one of less than a tenth, such as a lesion's of 5 mm, to the mm3."""
    return f"{mm3 / 1000:.{3 if 0 < mm3 < 100 else 2}f}"
