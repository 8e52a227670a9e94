"""The tables of a series as rows for JSON: numbers, texts, and null where a cell is empty."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from euromine.monitoring.history.folder import SeriesFolder
from euromine.support.csv_tables import safe_cell
from euromine.support.errors import DataError

Row = dict[str, Any]

# Everything else is a number.
_TEXTS = {"site", "zone", "name", "kind", "index", "group", "component", "land_cover", "target"}


def table_of(
    series: SeriesFolder, name: str, needed: Collection[str] = (), *, only: bool = False
) -> list[Row] | None:
    """The rows of a table, without the site's name; None where the series has no such table.

    Args:
        series: The series.
        name: The table's file, such as "areas.csv".
        needed: Columns without which the table is of no use.
        only: Whether to read these alone.

    Raises:
        DataError: A column is missing, or the file holds something else.
        OSError: It cannot be read.
    """
    path = series.file(name)
    if not path.exists():
        return None
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = [line for line in csv.reader(file, strict=True) if line] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: found no table ({error}); expected comma-separated values. Run `euromine series` again."
        ) from None
    missing = [column for column in needed if column not in header]
    if missing:
        raise DataError(
            f"{path}: found no column {', '.join(missing)}; expected {', '.join(needed)}. "
            "Run `euromine series` again."
        )
    kept = [column != "site" and (not only or column in needed) for column in header]
    rows = []
    for number, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise DataError(
                f"{path}: found {len(line)} cells in line {number}; expected {len(header)}. "
                "Run `euromine series` again."
            )
        rows.append(
            {
                column: cell_text(cell) if column in _TEXTS else _number(cell, path, number)
                for column, cell, is_kept in zip(header, line, kept, strict=True)
                if is_kept
            }
        )
    return rows


def cell_text(cell: str) -> str:
    """A text without the apostrophe that keeps spreadsheets from running it as a formula."""
    return cell[1:] if cell.startswith("'") and safe_cell(cell[1:]) != cell[1:] else cell


def _number(cell: str, path: Path, line: int) -> int | float | None:
    """The number of a cell; None for an empty one."""
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        raise DataError(
            f"{path}: found {cell[:40]!r} in line {line}; expected a number. Run `euromine series` again."
        ) from None
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else value
