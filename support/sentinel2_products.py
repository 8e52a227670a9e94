"""Sentinel-2 product names, processing baselines and STAC items: years, and offsets of digital numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from .errors import SceneError, with_advice

BASELINE_OFFSET = -1000.0
"""To be added to the digital numbers of products from processing baseline 04.00 on, in every band.

Sentinel-2 Products Specification Document, BOA_ADD_OFFSET and RADIO_ADD_OFFSET.
"""

_FIRST_BASELINE_WITH_OFFSET = (4, 0)

# S2B_MSIL2A_20220226T095029_N0400_R079_T33TWN_20220226T130213
_PRODUCT = re.compile(r"S2[A-D]_MSIL[12][AC]_(\d{4})\d{4}T\d{6}_N(\d\d)(\d\d)_")
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_]?(?:0[1-9]|1[0-2])[-_]?(?:0[1-9]|[12]\d|3[01])(?=T|\D|$)")
_FIRST_YEAR = 2015
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


def years_in_name(stem: str) -> tuple[int, ...]:
    """The years that a file's name may stand for, sorted; one if the name is clear, none without a year.

    The first of these in a name counts: Sentinel-2 products (their sensing time), full dates, four digits.
    Among several years, those before Sentinel-2 are taken for other numbers.
    """
    for pattern in (_PRODUCT, _DAY, _YEAR):
        found = {int(match[1]) for match in pattern.finditer(stem)}
        if found:
            possible = {year for year in found if year >= _FIRST_YEAR}
            return tuple(sorted(possible or found))
    return ()


def year_of_timestamp(text: str) -> int | None:
    """`"2019-07-07T09:57:41Z"` -> 2019."""
    found = _YEAR.match(text)
    return int(found[1]) if found else None


def item_baseline(item: Mapping[str, Any]) -> tuple[int, int] | None:
    """The processing baseline of a STAC item, by its property or else by the product's name."""
    return parse_baseline(item["properties"].get("s2:processing_baseline")) or _named_baseline(item)


def item_offset(
    item: Mapping[str, Any],
    where: str,
    *,
    scale: float | None = None,
    added: float | None = None,
    advice: str = "",
) -> float | None:
    """The offset to a file's numbers by the raster extension or processing baseline of its STAC item.

    Some of Earth Search's items still give an offset of -0.1 that their files no longer have;
    `earthsearch:boa_offset_applied` is then true, and takes precedence.

    Args:
        item: The STAC item, whose "properties" are a dictionary.
        where: The item or its file, for errors.
        scale: By the raster extension.
        added: The offset by the raster extension, in reflectance.
        advice: A sentence for the end of an error message.

    Returns:
        The offset in numbers; None where the item gives none.

    Raises:
        SceneError: Two of these contradict each other.
    """
    applied = item["properties"].get("earthsearch:boa_offset_applied")
    baseline = item_baseline(item)
    if applied is True:
        return 0.0
    named = _named_baseline(item)
    if baseline and named and baseline_offset(baseline) != baseline_offset(named):
        raise SceneError(
            with_advice(
                f"{where}: found processing baseline {baseline_name(baseline)}, but a product of baseline "
                f"{baseline_name(named)}, which contradict each other; expected the same offset by both.",
                advice,
            )
        )
    if added is not None and scale and (baseline is None or applied is None):
        offset = added / scale
        if baseline is not None and not math.isclose(offset, baseline_offset(baseline), abs_tol=0.5):
            raise SceneError(
                with_advice(
                    f"{where}: found an offset of {added:g} and processing baseline "
                    f"{baseline_name(baseline)}, which contradict each other; expected an offset "
                    "that fits the baseline.",
                    advice,
                )
            )
        return round(offset, 6)
    return None if baseline is None else baseline_offset(baseline)


def _named_baseline(item: Mapping[str, Any]) -> tuple[int, int] | None:
    properties = item["properties"]
    for text in (properties.get("s2:product_uri"), properties.get("sentinel:product_id"), item.get("id")):
        if baseline := product_baseline(str(text or "")):
            return baseline
    return None
