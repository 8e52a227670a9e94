"""Tables as CSV that people open in spreadsheets, where a text such as `=1+1` would run as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

# With these, LibreOffice and Excel begin a formula.
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV, one line per row.

    Texts that a spreadsheet would take for a formula begin with an apostrophe, its mark of a text.
    Numbers, and texts that are numbers, stay as they are.

    Args:
        header: Names of the columns.
        rows: The cells of each row; None for an empty one.
    """
    text = io.StringIO()
    write_csv_rows([header], text)
    write_csv_rows(rows, text)
    return text.getvalue()


def write_csv_rows(rows: Iterable[Sequence[Any]], file: TextIO) -> None:
    """Append rows as `csv_text` writes them, one at a time.

    Args:
        rows: The cells of each row; None for an empty one.
        file: A text file, opened with `newline=""`.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)


def safe_cell(value: Any) -> Any:
    """A cell that no spreadsheet runs: a text with an apostrophe before it if it looks like a formula."""
    if isinstance(value, str) and "\r" in value:  # which csv writes as it is, and reads as the end of a line
        value = value.replace("\r", " ")
    if not isinstance(value, str) or not value.lstrip(" ").startswith(_FORMULA_SIGNS) or _is_number(value):
        return value
    return f"'{value}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
