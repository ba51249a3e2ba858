"""Tables for people: CSV that spreadsheets open as what it is."""

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

_FORMULA = re.compile(r"(^|[;\t\r\n])(?=\s*[=+\-@＝＋－＠])")
"""Also behind what may part the fields: a German or French Excel takes semicolons, and no quote within a field."""


def csv_file(columns: Collection[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Write rows as CSV (RFC 4180), text between quotes; a column that a row does not have stays empty.

    UTF-8 behind a byte-order mark: without one Excel reads "Läsion" as "LÃ¤sion". Python reads it as ``utf-8-sig``.
    What a spreadsheet would take for a formula, a lesion's name or a part of it, gets an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows({column: _no_formula(cell) for column, cell in row.items()} for row in rows)
    return text.getvalue().encode("utf-8-sig")


def _no_formula(cell: Any) -> Any:
    return _FORMULA.sub(r"\1'", cell) if isinstance(cell, str) else cell
