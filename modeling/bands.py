"""Names of the bands that networks take as input channels."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

# EuroMineNet's ten bands, in the order of the archive.
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

# Sentinel-2's thirteen bands, Sentinel-1's two polarisations and elevation. Other sensors' inputs are band_1,
# band_2, ..., which stem rules treat alike.
KNOWN_BANDS = ("B01", *BANDS[:8], "B09", "B10", *BANDS[8:], "VV", "VH", "DEM")

# Sentinel-1's polarisations. Images hold backscatter in hundredths of a decibel, and this value where there
# is none: that of a year without a radar image, for example.
RADAR_BANDS = ("VV", "VH")
NO_BACKSCATTER = -32_768


def numbered_bands(count: int) -> tuple[str, ...]:
    """Names for `count` unknown inputs: band_1, band_2, ..."""
    return tuple(f"band_{number}" for number in range(1, count + 1))


def checked_bands(bands: Any) -> tuple[str, ...]:
    """Band names as a tuple, checked.

    Args:
        bands: A sequence of band names.

    Raises:
        ValueError: There are no bands, one is unknown or repeated, or `bands` is no sequence.
    """
    if isinstance(bands, str | bytes) or not isinstance(bands, Iterable):
        what = "the text " if isinstance(bands, str) else ""
        raise ValueError(f"bands: found {what}{bands!r}; expected a list such as {list(BANDS[:3])}.")
    names = tuple(bands)
    if not names:
        raise ValueError("bands: found none; expected at least one band.")
    for name in names:
        if name in KNOWN_BANDS or (isinstance(name, str) and name.removeprefix("band_").isdigit()):
            continue
        nearest = get_close_matches(str(name).upper(), KNOWN_BANDS, n=2, cutoff=0.5)
        hint = f" (did you mean {' or '.join(nearest)}?)" if nearest else ""
        raise ValueError(
            f"bands: found unknown band {name!r}{hint}; expected {', '.join(KNOWN_BANDS)}, or band_1, "
            "band_2, ... for other inputs."
        )
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"bands: found {', '.join(twice)} more than once; expected each band once.")
    return names
