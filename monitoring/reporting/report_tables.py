"""Tables of a series as the sections of a report read them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas

from euromine.support.errors import DataError

from .formatting import listed

# Columns of numbers whose names show no unit.
_METRICS = ("mean", "spread", "polygon", "dnbr", "r80p", "rri", "y2r")


def checked_table(table: pandas.DataFrame, path: Path, names: Sequence[str]) -> pandas.DataFrame:
    """A table with these columns, of which those of years, hectares and shares are numbers.

    Raises:
        DataError: A column is missing, or one of numbers holds text.
    """
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise DataError(
            f"{path}: found no column {listed(missing)}; expected the columns {listed(names)}. "
            "Run `euromine series` again."
        )
    for name in names:
        if "year" in name or name.endswith(("_ha", "_share")) or name in _METRICS:
            try:
                table[name] = table[name].astype(float)
            except ValueError as error:
                raise DataError(
                    f"{path}: found text among the numbers ({error}); expected numbers alone. "
                    "Run `euromine series` again."
                ) from None
    return table


def checked_parts(
    parts: Iterable[pandas.DataFrame], path: Path, names: Sequence[str]
) -> Iterator[pandas.DataFrame]:
    """These columns of a table in parts, each checked as of `checked_table`."""
    for part in parts:
        yield checked_table(part, path, names)[[*names]]


def table_rows(table: pandas.DataFrame) -> list[Any]:
    """The rows of a table as named tuples."""
    return list(table.itertuples(index=False, name="Row"))


def first_rows(
    rows: Sequence[Any], part: pandas.DataFrame, by: str, number: int, *, descending: bool = False
) -> list[Any]:
    """The first rows of a table by a column of numbers, of which rows that are equal keep their order.

    Args:
        rows: Those of the parts before, as named tuples.
        part: The table's next part.
        by: The column; rows without a number come last.
        number: How many rows to keep.
        descending: Whether large numbers come first.
    """
    chosen = part.sort_values(by, ascending=not descending, kind="stable").head(number)

    def place(row: Any) -> tuple[bool, float]:
        value = getattr(row, by)
        return math.isnan(value), -value if descending else value

    return sorted([*rows, *table_rows(chosen)], key=place)[:number]
