"""Processing levels of Sentinel-2 imagery: L1C, reflectance above the atmosphere, and L2A, at the surface.

Everything that records a level, from an image's header to a model's settings, uses these names. None stands
for an unknown level.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from .errors import ArgumentError

Level: TypeAlias = Literal["L1C", "L2A"]

DataLevel: TypeAlias = Literal["L1C", "L2A", "mixed"]
"""The level of many images; "mixed" where they differ, or where only some have a known level."""

LEVEL_TAG = "PROCESSING_LEVEL"
"""The key of a GeoTIFF's level, as in the metadata of GDAL's Sentinel-2 driver."""

MEANINGS = {"L1C": "top-of-atmosphere reflectance", "L2A": "surface reflectance"}

_LEVELS: dict[str, Level] = {"1C": "L1C", "2A": "L2A"}
_PRODUCT = re.compile(r"(?<![A-Z0-9])S2[A-D]_MSIL(1C|2A)_")
# Level-2A, L2A, sentinel-2-l2a, S2MSI2A, S2B_MSIL2A_20220226T095029_...
_NAMED = re.compile(r"(?:(?<![A-Z0-9])(?:LEVEL[-_ ]?|L|S2MSI)|MSIL)(1C|2A)(?![A-Z0-9])")


def level_in(text: object) -> Level | None:
    """The level that a text names: L2A for "Level-2A", "l2a", "S2MSI2A" and "sentinel-2-l2a"; else None."""
    found = {_LEVELS[name] for name in _NAMED.findall(str(text).upper())}
    return found.pop() if len(found) == 1 else None


def product_level(text: str) -> Level | None:
    """The level in the product names within a text; None if there is none, or several."""
    found = {_LEVELS[name] for name in _PRODUCT.findall(text)}
    return found.pop() if len(found) == 1 else None


def item_level(item: Mapping[str, Any]) -> Level | None:
    """The level of a STAC item, by its properties, its product's name or its collection.

    Args:
        item: The STAC item, whose "properties" are a dictionary.
    """
    properties = item["properties"]
    keys = ("processing:level", "s2:product_type", "product:type", "s2:product_uri", "sentinel:product_id")
    texts = [*(properties.get(key) for key in keys), item.get("id"), item.get("collection")]
    return next((level for text in texts if (level := level_in(text or ""))), None)


def parse_level(text: str, argument: str = "level") -> Level:
    """The level that a user gives.

    Args:
        text: "l1c" or "l2a", in any case.
        argument: Its name in an error message.

    Raises:
        ArgumentError: It is neither.
    """
    level = level_in(text)
    if level is None:
        raise ArgumentError(f"{argument}: found {text!r}; expected l1c or l2a.")
    return level


def known_level(text: str | None) -> DataLevel | None:
    """A recorded level as a `DataLevel`; None for any other text."""
    levels: dict[str | None, DataLevel] = {"L1C": "L1C", "L2A": "L2A", "mixed": "mixed"}
    return levels.get(text)


def common_level(levels: Iterable[DataLevel | None]) -> DataLevel | None:
    """The level of images together: "mixed" unless all have the same."""
    found = set(levels)
    if len(found) > 1:
        return "mixed"
    return found.pop() if found else None
