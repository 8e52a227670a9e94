"""Sentinel-2 band names: the aliases that other programs and catalogues use for them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from euromine.modeling.bands import KNOWN_BANDS, checked_bands
from euromine.support.errors import as_user_error
from euromine.support.image_headers import sentinel2_band

REFLECTANCE_BANDS = frozenset(name for name in KNOWN_BANDS if re.fullmatch(r"B\d[\dA]", name))
"""The bands that hold reflectance, as opposed to radar and terrain."""


def canonical_band(text: str | None) -> str | None:
    """The band that a name or description stands for: B02 for "B2", "blue" and "Blue (band 2)".

    None for "Band 2", which many programs call the second band of any file, and for Landsat's bands.
    """
    if not text:
        return None
    text = text.strip()
    if text in KNOWN_BANDS or re.fullmatch(r"band_\d+", text):
        return text
    if band := sentinel2_band(text):
        return band
    return text.upper() if text.upper() in KNOWN_BANDS else None


def parse_bands(text: str) -> tuple[str, ...]:
    """Band names for `SceneOptions.bands` from text such as "B02,B03,blue,-", a dash for a band to ignore.

    Raises:
        ArgumentError: A name is not a band's.
    """
    names = []
    for part in text.split(","):
        part = part.strip()
        name = canonical_band(part)
        if name is None and part not in ("", "-"):
            with as_user_error("bands"):
                checked_bands([part])
        names.append(name or "-")
    return tuple(names)


def as_band_names(bands: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Band names for `SceneOptions.bands`, given as text for `parse_bands` or one by one; None for none.

    Raises:
        ArgumentError: A name in the text is not a band's.
    """
    if bands is None:
        return None
    return parse_bands(bands) if isinstance(bands, str) else tuple(bands)
