"""The header of a GeoTIFF: scale, offset, nodata and masks, read in one way for scenes and archives."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .processing_levels import LEVEL_TAG, Level, level_in

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

# Without a nodata value, 0 in so many bands at once marks pixels without data.
_ZERO_BANDS = 3

DIGITAL_NUMBERS = 10_000.0
"""Digital numbers per reflectance in the benchmark's imagery."""

# Scales such as 0.0001 have no exact float32.
_WHOLE = 1e-2

_LARGEST_PAM = 2**20
_PAM_NODATA = re.compile(rb"<NoDataValue[^>]*>([^<]{1,60})</NoDataValue>")
_PAM_OTHERS = re.compile(rb"<(Scale|Offset|Description|SRS|GeoTransform)[ >]")


@dataclass(frozen=True)
class ImageHeader:
    """The description of an image's numbers in its header.

    Attributes:
        texts: The description or BANDNAME of each band, "" without one.
        scales: GDAL's scale of each band, 1 where there is none.
        offsets: GDAL's offset of each band, 0 where there is none.
        nodata: The number that marks pixels without data, None if there is none.
        has_mask: Whether the file holds a mask for the whole image.
        alpha: The place of an alpha band, counted from 1; None without one.
        level: The processing level of Sentinel-2 imagery, None if the header gives none.
    """

    texts: tuple[str, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    nodata: float | None
    has_mask: bool
    alpha: int | None
    level: Level | None = None

    @property
    def is_scaled(self) -> bool:
        """Whether the header gives a scale or an offset."""
        return any(scale != 1 for scale in self.scales) or any(self.offsets)


def read_header(dataset: Any) -> ImageHeader:
    """What the header of an open raster says of its numbers."""
    from rasterio.enums import ColorInterp, MaskFlags

    colours = dataset.colorinterp
    return ImageHeader(
        texts=tuple(
            text or dataset.tags(index).get("BANDNAME") or ""
            for index, text in enumerate(dataset.descriptions, 1)
        ),
        scales=tuple(map(float, dataset.scales)),
        offsets=tuple(map(float, dataset.offsets)),
        nodata=None if dataset.nodata is None else float(dataset.nodata),
        has_mask=any(MaskFlags.per_dataset in flags for flags in dataset.mask_flag_enums),
        # GDAL takes alpha for a mask only beside one or three bands.
        alpha=colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else None,
        level=header_level(dataset.tags()),
    )


def header_level(tags: Mapping[str, str]) -> Level | None:
    """The processing level in a raster's tags: acquisition's own, or those of ESA's products."""
    by_key = {key.upper(): value for key, value in tags.items()}
    found = (level_in(by_key.get(key, "")) for key in (LEVEL_TAG, "PRODUCT_TYPE", "PRODUCT_URI"))
    return next((level for level in found if level), None)


def sentinel2_band(text: str) -> str | None:
    """The Sentinel-2 band that a description stands for: B02 for "B2", "blue" and "Blue (band 2)".

    None for "Band 2", which many programs call the second band of any file, and for Landsat's bands.
    """
    upper = text.strip().upper()
    if upper.startswith("SR_B"):  # Landsat's, whose numbers mean other bands
        return None
    numbered = {
        "B8A" if match[1] else f"B{int(match[2] or match[3]):02}" for match in _NUMBERED.finditer(upper)
    }
    if len(numbered) == 1:
        return numbered.pop()
    plain = re.sub(r"\(.*?\)", "", text).lower()
    return _NAME_OF.get(re.sub(r"[^a-z0-9]", "", plain))


def valid_pixels(raw: NDArray[Any], nodata: float | None, *, has_mask: bool) -> NDArray[np.bool_]:
    """A mask (height, width) of the pixels with data in all bands, built band by band to save memory.

    Sentinel-2 products reserve 0 for pixels without data, but converters often drop the nodata value: without
    one, pixels that are 0 in all of at least three bands have no data, in integers and floats alike.

    Args:
        raw: (bands, height, width) numbers of the file.
        nodata: The number that marks pixels without data; None without one.
        has_mask: Whether a mask says which pixels have data.
    """
    if nodata is None and len(raw) >= _ZERO_BANDS and not has_mask:
        # Of integers, `any` would convert each band to booleans first, which takes as long again.
        valid = np.asarray(raw.any(0)) if raw.dtype.kind == "f" else np.bitwise_or.reduce(raw, axis=0) != 0
    else:
        valid = np.ones(raw.shape[1:], bool)
    if raw.dtype.kind == "f":
        for band in raw:
            valid &= np.isfinite(band)
    if nodata is not None and _can_hold(raw.dtype, nodata):
        marked = raw.dtype.type(nodata)
        for band in raw:
            valid &= band != marked
    return valid


def mask_file(path: str) -> Path:
    """Where GDAL keeps an external mask of a raster."""
    return Path(f"{path}.msk")


def auxiliary_file(path: str) -> Path:
    """Where GDAL and GIS programs keep metadata beside a raster."""
    return Path(f"{path}.aux.xml")


def auxiliary_nodata(path: str) -> tuple[float | None, tuple[str, ...]]:
    """The nodata value in the `.aux.xml` beside a raster, and what else it holds that is not read.

    Raises:
        DataError: Its bands have different nodata values, or the file is too large.
    """
    beside = auxiliary_file(path)
    if not beside.is_file():
        return None, ()
    if beside.stat().st_size > _LARGEST_PAM:
        raise DataError(
            f"{beside}: found {beside.stat().st_size} bytes; expected at most {_LARGEST_PAM}. Remove it if "
            "it holds statistics only."
        )
    text = beside.read_bytes()
    found = {_number(each) for each in _PAM_NODATA.findall(text)}
    if len(found) > 1 or None in found:
        raise DataError(
            f"{beside}: found several nodata values, or one that is no number; expected one for all bands. "
            "Write it into the file with gdal_edit.py -a_nodata."
        )
    others = tuple(dict.fromkeys(each.decode() for each in _PAM_OTHERS.findall(text)))
    return (found.pop() if found else None), others


def whole_shifts(header: ImageHeader) -> tuple[int, ...] | None:
    """What to add to the numbers of each band to get digital numbers, reflectance times 10,000.

    Whole numbers without a scale are digital numbers but for their offset, as `euromine predict` has it.

    Returns:
        An integer per band; None if an offset is not whole or a scale makes other numbers of them.
    """
    if not header.is_scaled:
        return (0,) * len(header.scales)
    is_unscaled = all(scale == 1 for scale in header.scales)
    shifts = []
    for scale, offset in zip(header.scales, header.offsets, strict=True):
        if not (is_unscaled or math.isclose(scale * DIGITAL_NUMBERS, 1, rel_tol=1e-6)):
            return None
        shift = offset / scale
        if not math.isfinite(shift) or abs(shift - round(shift)) > _WHOLE:
            return None
        shifts.append(round(shift))
    return tuple(shifts)


def _number(text: bytes) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _can_hold(dtype: np.dtype[Any], number: float) -> bool:
    if dtype.kind == "f":
        return not math.isnan(number)
    return number.is_integer() and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max


def band_order(texts: Sequence[str], expected: Sequence[str]) -> list[int] | None:
    """The places, counted from 1, of the expected bands in a file with these descriptions.

    Their own order where no description is a band's; None where descriptions name other bands.
    """
    names = [sentinel2_band(text) for text in texts]
    if not any(names):
        return list(range(1, len(expected) + 1))
    if set(names) == set(expected) and len(names) == len(expected):
        return [names.index(band) + 1 for band in expected]
    if all(name in (None, band) for name, band in zip(names, expected, strict=True)):
        return list(range(1, len(expected) + 1))
    return None
