"""Sentinel-2 product names and processing baselines: the year, and the offset added to digital numbers."""

from __future__ import annotations

import re
from typing import Any

BASELINE_OFFSET = -1000.0
"""To be added to the digital numbers of products from processing baseline 04.00 on, in every band.

Sentinel-2 Products Specification Document, BOA_ADD_OFFSET and RADIO_ADD_OFFSET.
"""

_FIRST_BASELINE_WITH_OFFSET = (4, 0)

# S2B_MSIL2A_20220226T095029_N0400_R079_T33TWN_20220226T130213
_PRODUCT = re.compile(r"S2[A-D]_MSIL[12][AC]_(\d{4})\d{4}T\d{6}_N(\d\d)(\d\d)_")
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_]?(?:0[1-9]|1[0-2])[-_]?(?:0[1-9]|[12]\d|3[01])(?=T|\D|$)")
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")


def baseline_offset(baseline: tuple[int, int]) -> float:
    """The offset to add to the digital numbers of a product: -1000 from baseline 04.00 on, else 0."""
    return BASELINE_OFFSET if baseline >= _FIRST_BASELINE_WITH_OFFSET else 0.0


def baseline_name(baseline: tuple[int, int]) -> str:
    """(5, 11) -> "05.11"."""
    return f"{baseline[0]:02}.{baseline[1]:02}"


def parse_baseline(text: Any) -> tuple[int, int] | None:
    """`"05.11"` -> (5, 11); None for anything else."""
    found = re.fullmatch(r"\s*(\d{1,2})\.(\d{1,2})\s*", str(text)) if text is not None else None
    return (int(found[1]), int(found[2])) if found else None


def product_baseline(text: str) -> tuple[int, int] | None:
    """The processing baseline in the product names within a text; None if there is none, or several."""
    found = {(int(match[2]), int(match[3])) for match in _PRODUCT.finditer(text)}
    return found.pop() if len(found) == 1 else None


def year_in_name(stem: str) -> int | None:
    """The year of a file from its name: of the product, else of the only day, else the only year in it."""
    for pattern in (_PRODUCT, _DAY, _YEAR):
        found = {int(match[1]) for match in pattern.finditer(stem)}
        if len(found) == 1:
            return found.pop()
    return None


def year_of_timestamp(text: str) -> int | None:
    """`"2019-07-07T09:57:41Z"` -> 2019."""
    found = _YEAR.match(text)
    return int(found[1]) if found else None
