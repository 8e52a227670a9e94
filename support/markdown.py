"""Markdown that model cards and benchmarks share."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = True) -> str:
    """A Markdown table whose source is aligned, too.

    Args:
        header: The column titles.
        rows: The cells of each row.
        numbers: Align all columns but the first to the right.
    """
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]
    ruled = ["-" * (width - 1) + (":" if numbers and place else "-") for place, width in enumerate(widths)]
    lines.insert(1, tuple(ruled))
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if numbers and place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    )
