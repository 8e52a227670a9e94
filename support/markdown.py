"""Markdown that cards and benchmarks share: tables and escaped names."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

# Signs of code, emphasis, links, pictures, tables, headings, mathematics and strikethrough. An underscore
# within a word, such as Austria_1, is none.
_MARKUP = re.compile(r"[\\`*\[\]|~$#!]|(?<![^\W_])_|_(?![^\W_])")
# Hosts make links of these.
_LINKS = re.compile(r"(?<=\w):(?=//)|(?<=www)\.|@")


def escaped(text: object) -> str:
    """Escape a name for Markdown: one line without HTML, markup or links.

    Args:
        text: Such as the name of a site, a dataset or a repository.
    """
    shown = "".join(letter if letter.isprintable() else " " for letter in str(text))
    shown = html.escape(" ".join(shown.split()), quote=False)
    shown = _MARKUP.sub(r"\\\g<0>", shown)
    return _LINKS.sub(lambda found: f"&#{ord(found[0])};", shown)


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
