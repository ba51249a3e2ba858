"""Tables for people: CSV that spreadsheets open as what it is."""

import csv
import io
from collections.abc import Collection, Iterable, Mapping
from typing import Any


def csv_file(columns: Collection[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Write rows as CSV (RFC 4180), text between quotes; a column that a row does not have stays empty.

    UTF-8 behind a byte-order mark: without one Excel reads "Läsion" as "LÃ¤sion". Python reads it as ``utf-8-sig``.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig")
