"""Sentinel-2 band names: the aliases that other programs and catalogues use for them."""

from __future__ import annotations

import re

from euromine.modeling.bands import KNOWN_BANDS, checked_bands
from euromine.support.errors import as_user_error

REFLECTANCE_BANDS = frozenset(name for name in KNOWN_BANDS if re.fullmatch(r"B\d[\dA]", name))
"""The bands that hold reflectance, as opposed to radar and terrain."""

# As used by Earth Search, the STAC extensions, sen2r and GDAL.
_ALIASES = {
    "B01": ("coastal", "coastalaerosol", "aerosol", "aerosols", "ultrablue"),
    "B02": ("blue",),
    "B03": ("green",),
    "B04": ("red",),
    "B05": ("rededge1", "rededge071", "vegetationrededge1", "re1"),
    "B06": ("rededge2", "rededge075", "vegetationrededge2", "re2"),
    "B07": ("rededge3", "rededge078", "vegetationrededge3", "re3"),
    "B08": ("nir", "nir1", "nirbroad", "broadnir"),
    "B8A": ("nir08", "nir2", "nirnarrow", "narrownir", "rededge4", "re4"),
    "B09": ("nir09", "nir3", "watervapour", "watervapor"),
    "B10": ("cirrus",),
    "B11": ("swir1", "swir16"),
    "B12": ("swir2", "swir22"),
}
_NAME_OF = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
_NUMBERED = re.compile(r"(?<![A-Z0-9])B(?:0?(8A)|0?([1-9])|(1[0-2]))(?![A-Z0-9])")


def canonical_band(text: str | None) -> str | None:
    """The band that a name or description stands for: B02 for "B2", "blue" and "Blue (band 2)".

    None for "Band 2", which many programs call the second band of any file, and for Landsat's bands.
    """
    if not text:
        return None
    text = text.strip()
    if text in KNOWN_BANDS or re.fullmatch(r"band_\d+", text):
        return text
    upper = text.upper()
    if upper.startswith("SR_B"):  # Landsat's, whose numbers mean other bands
        return None
    numbered = {
        "B8A" if match[1] else f"B{int(match[2] or match[3]):02}" for match in _NUMBERED.finditer(upper)
    }
    if len(numbered) == 1:
        return numbered.pop()
    if upper in KNOWN_BANDS:
        return upper
    plain = re.sub(r"\(.*?\)", "", text).lower()
    return _NAME_OF.get(re.sub(r"[^a-z0-9]", "", plain))


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
