"""A scene that a person has: which of its bands are which, what its numbers mean, where it has no data.

What a file says of itself decides; what it does not say a person has to. Nothing is inferred from pixels.
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

from euromine.dataset_script.archive import BANDS, is_archive_image
from euromine.modeling.configuration import KNOWN_BANDS, checked_bands
from euromine.support.errors import SceneError
from euromine.support.rasters import check_blocks, gdal_cache, is_pixel_interleaved, open_raster, read_raster

from .grids import Grid

# The benchmark's digital numbers: reflectance times this.
_DN = 10_000.0
# What processing baselines from 04.00 on add to the digital numbers of every band (Sentinel-2 Products
# Specification Document, BOA_ADD_OFFSET and RADIO_ADD_OFFSET).
_BASELINE_WITH_OFFSET = (4, 0)
_BASELINE_OFFSET = -1000.0
_REFLECTANCE = frozenset(name for name in KNOWN_BANDS if re.fullmatch(r"B\d[\dA]", name))

# What Sentinel-2's bands are called elsewhere: Earth Search, the STAC extensions, sen2r, GDAL.
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
_COLOURS = {ColorInterp.red: "B04", ColorInterp.green: "B03", ColorInterp.blue: "B02"}

# S2B_MSIL2A_20220226T095029_N0400_R079_T33TWN_20220226T130213
_PRODUCT = re.compile(r"S2[A-D]_MSIL[12][AC]_(\d{4})\d{4}T\d{6}_N(\d\d)(\d\d)_")
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_]?(?:0[1-9]|1[0-2])[-_]?(?:0[1-9]|[12]\d|3[01])(?=T|\D|$)")
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")

# Every scene without clouds has shadows, water or vegetation, dark in one of the bands; and few numbers are
# below 0 in a scene that is right.
_FEW, _MANY = 0.01, 0.05
_OBSERVED = 4  # every so many rows and columns

_LARGEST_ITEM = 8 * 2**20
_LARGEST_CACHE = 2 * 2**30
_SMALLEST_CACHE = 64 * 2**20


@dataclass(frozen=True)
class SceneOptions:
    """What a person says of scenes that these do not say themselves. None: what the metadata say.

    The reflectance of a number in the file is `(number + offset) * scale`.

    Attributes:
        bands: Names of the file's bands in their order; any name that is no band's for one of no interest.
        scale: 0.0001 for reflectance times 10,000, 1 for reflectance from 0 to 1.
        offset: -1000 where processing baseline 04.00 or later added 1000, 0 where nothing was added.
        nodata: The number that marks pixels without data.

    Raises:
        ValueError: A number is impossible, or the offset seems to be one of reflectance.
    """

    bands: tuple[str, ...] | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale is {self.scale}, a number above 0 was expected, such as 0.0001")
        if self.offset is not None:
            if not math.isfinite(self.offset):
                raise ValueError(f"offset is {self.offset}, a number was expected, such as -1000 or 0")
            if 0 < abs(self.offset) < 1 and self.scale != 1:
                raise ValueError(
                    f"offset is {self.offset}, in reflectance as it seems; it is added to the file's "
                    "numbers, "
                    "so one such as -1000 was expected"
                )


@dataclass(frozen=True)
class Reflectance:
    """How the numbers of a scene become reflectance: `(number + offset) * scale`.

    Attributes:
        scale: By band.
        offset: By band, in the file's numbers.
        source: What says so, for people.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    source: str

    def __str__(self) -> str:
        scales, offsets = sorted(set(self.scale)), sorted(set(self.offset))
        numbers = [
            " to ".join(f"{value:g}" for value in values[:: len(values) - 1 or 1])
            for values in (scales, offsets)
        ]
        return f"scale {numbers[0]}, offset {numbers[1]} ({self.source})"


@dataclass(frozen=True)
class _Sidecar:
    """What a STAC item beside a scene says of it."""

    name: str
    baseline: tuple[int, int] | None = None
    offset_is_applied: bool | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    bands: tuple[str | None, ...] = ()
    year: int | None = None


class Scene:
    """An open scene, read in windows. Use it in a `with` statement.

    Attributes:
        path: Its file.
        grid: Where its pixels lie.
        bands: The name of each band of the file, None where nothing says it.
        year: From its name or its metadata; None where neither says it.
        nodata: The number that marks pixels without data, if there is one.
    """

    def __init__(self, path: str | os.PathLike[str], options: SceneOptions = SceneOptions()) -> None:
        """Open a GeoTIFF and read what it says of itself.

        Raises:
            SceneError: It is no GeoTIFF, or not one of a scene on the ground.
        """
        self.path, self.options = Path(path), options
        self._shown = str(path)
        self._lock = threading.Lock()
        with ExitStack() as files:
            self._dataset = open_raster(os.fspath(self.path), files, SceneError)
            self._check_header()
            self._item = _read_sidecar(self.path)
            self._tags = _product_tags(self._dataset)
            self.grid = Grid.of(self._dataset)
            self.bands = self._band_names()
            self.year = self._find_year()
            self.nodata = self._find_nodata()
            self._has_mask = any(MaskFlags.per_dataset in flags for flags in self._dataset.mask_flag_enums)
            self._room = files.enter_context(ExitStack())
            self._files = files.pop_all()
        self._dark, self._negative, self._count = 0, 0, 0

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._files.close()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the file's numbers."""
        return np.dtype(self._dataset.dtypes[0])

    def indexes(self, bands: Sequence[str]) -> list[int]:
        """Where these bands stand in the file, counted from 1.

        Raises:
            SceneError: The file has not all of them, or does not say which they are.
        """
        missing = [band for band in bands if band not in self.bands]
        if not missing:
            return [self.bands.index(band) + 1 for band in bands]
        expected = f"expected {', '.join(bands)}"
        named = [name for name in self.bands if name]
        if not named:
            raise SceneError(
                f"{self._shown}: has {_counted(len(self.bands), 'band')} without names; {expected}: name "
                "them "
                f"in their order with --bands."
            )
        unnamed = len(self.bands) - len(named)
        others = f" and {_counted(unnamed, 'other')} without a known name" if unnamed else ""
        raise SceneError(
            f"{self._shown}: has the bands {', '.join(named)}{others}, but not {', '.join(missing)}; "
            f"{expected}."
        )

    def reflectance(self, bands: Sequence[str]) -> Reflectance:
        """How the numbers of these bands become reflectance, and what says so.

        The first that is known decides, of the scale and of the offset: the options; GDAL's scale and offset
        in the file; for the scale a STAC item beside the file, the product's quantification value, or that
        whole numbers are reflectance times 10,000; for the offset the processing baseline in a STAC item, in
        the product's metadata or in its name, and the layout of the published archive, which has none.

        Raises:
            SceneError: Nothing says it, or what says it contradicts itself.
        """
        indexes = self.indexes(bands)
        optical = [band in _REFLECTANCE for band in bands]
        scales = [float(self._dataset.scales[index - 1]) for index in indexes]
        offsets = [float(self._dataset.offsets[index - 1]) for index in indexes]
        if not any(optical):
            # Radar and terrain are in the units in which a network was given them.
            return Reflectance(
                tuple(scale / _DN for scale in scales),
                tuple(offset / scale for scale, offset in zip(scales, offsets, strict=True)),
                "as GDAL gives them",
            )
        options, sources = self.options, []
        is_scaled = any(scale != 1 for scale, is_optical in zip(scales, optical, strict=True) if is_optical)
        is_shifted = any(offsets)
        if options.scale is not None:
            scale = [options.scale] * len(bands)
            sources.append("scale: option")
        elif is_scaled:
            scale = scales
            sources.append("scale: GDAL's in the file")
        else:
            known, source = self._known_scale()
            scale = [known] * len(bands)
            sources.append(f"scale: {source}")
        if options.offset is not None:
            offset = [options.offset] * len(bands)
            sources.append("offset: option")
        elif is_scaled or is_shifted:
            offset = [each / (by or 1) for each, by in zip(offsets, scales, strict=True)]
            sources.append("offset: GDAL's in the file")
        elif self.dtype.kind == "f" and set(scale) == {1.0}:
            offset = [0.0] * len(bands)
            sources.append("offset: none in reflectance")
        else:
            known, source = self._known_offset()
            offset = [known] * len(bands)
            sources.append(f"offset: {source}")
        for place, is_optical in enumerate(optical):
            if not is_optical:
                scale[place], offset[place] = scales[place] / _DN, offsets[place] / scales[place]
        return Reflectance(tuple(scale), tuple(offset), "; ".join(sources))

    def read(self, window: Window, bands: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """A window of some bands.

        Args:
            window: Inside the scene.
            bands: Their names.

        Returns:
            (bands, height, width) float32 digital numbers, reflectance times 10,000; and which pixels
            (height, width) have data in all of these bands. The others hold anything finite.

        Raises:
            SceneError: A band is missing, nothing says what its numbers mean, or the file is damaged.
            ValueError: The window is not inside the scene.
        """
        top, left = int(window.row_off), int(window.col_off)
        bottom, right = top + int(window.height), left + int(window.width)
        if not (0 <= top < bottom <= self.grid.height and 0 <= left < right <= self.grid.width):
            raise ValueError(
                f"{self._shown} has no window of rows {top} to {bottom} and columns {left} to {right}; "
                f"expected one that is not empty and inside {self.grid.height} x {self.grid.width} pixels."
            )
        indexes, reflectance = self.indexes(bands), self.reflectance(bands)
        with self._lock:
            span = ((top, bottom), (left, right))
            raw = read_raster(self._dataset, self._shown, span, SceneError, indexes=indexes)
            mask = self._dataset.read_masks(1, window=span) if self._has_mask else None
        valid = self._valid(raw)
        if mask is not None:
            valid &= mask > 0
        image = raw.astype(np.float32)
        factors = [scale * _DN for scale in reflectance.scale]
        shifts = [offset * factor for offset, factor in zip(reflectance.offset, factors, strict=True)]
        if any(factor != 1 for factor in factors):
            image *= np.asarray(factors, np.float32)[:, None, None]
        if any(shifts):
            image += np.asarray(shifts, np.float32)[:, None, None]
        if raw.dtype.kind == "f":
            image[~np.isfinite(image)] = 0
        self._observe(image, valid, bands)
        return image, valid

    def doubt(self) -> str | None:
        """A sentence where what was read so far makes the offset doubtful; it decides nothing."""
        if self._count and self._dark < _FEW * self._count:
            return (
                "hardly any of its numbers is below 0.1 in reflectance: it shows clouds or snow, or "
                "processing baseline 04.00 or later added 1000 to its numbers; if so, give --offset -1000"
            )
        if self._negative > _MANY * self._count:
            return (
                f"{self._negative / self._count:.0%} of its numbers are below 0 in reflectance; was an "
                "offset subtracted that was not there? If so, give --offset 0"
            )
        return None

    def _observe(self, image: NDArray[np.float32], valid: NDArray[np.bool_], bands: Sequence[str]) -> None:
        sample = slice(None, None, _OBSERVED)
        seen_valid = valid[sample, sample]
        for values, band in zip(image, bands, strict=True):
            if band in _REFLECTANCE:
                seen = values[sample, sample][seen_valid]
                self._dark += int(np.count_nonzero(seen < -_BASELINE_OFFSET))
                self._negative += int(np.count_nonzero(seen < 0))
                self._count += seen.size

    def cache_rows(self, rows: int) -> None:
        """Keep as many rows of decoded blocks in memory as windows of this height touch, read row by row.

        Until the scene is closed.
        """
        block_rows = max(shape[0] for shape in self._dataset.block_shapes)
        touched = (math.ceil(rows / block_rows) + 1) * block_rows
        bands = self._dataset.count if is_pixel_interleaved(self._dataset) else len(self.bands)
        columns = self._dataset.block_shapes[0][1]
        width = math.ceil(self.grid.width / columns) * columns
        needed = min(touched, self.grid.height + block_rows) * width * bands * self.dtype.itemsize
        self._room.close()
        self._room.enter_context(gdal_cache(min(max(needed, _SMALLEST_CACHE), _LARGEST_CACHE)))

    def fingerprint(self) -> dict[str, Any]:
        """What tells this file and what is said of it from another version of it."""
        files = [self.path, *(path for path in _sidecar_paths(self.path) if path.is_file())]
        return {
            "files": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files],
            "bands": list(self.bands),
            "nodata": self.nodata,
        }

    def _check_header(self) -> None:
        dataset = self._dataset
        kinds = {np.dtype(name).kind for name in dataset.dtypes}
        if not kinds <= set("iuf"):
            raise SceneError(
                f"{self._shown}: holds {', '.join(sorted(set(dataset.dtypes)))}; expected whole numbers or "
                f"floats."
            )
        check_blocks(dataset, self._shown, SceneError)
        if not dataset.crs:
            raise SceneError(
                f"{self._shown}: has no coordinate reference system (CRS); expected one, as EPSG:32633."
            )
        determinant = dataset.transform.determinant
        if dataset.transform.is_identity or not math.isfinite(determinant) or determinant == 0:
            raise SceneError(
                f"{self._shown}: has no usable geotransform; expected one that places pixels in its CRS."
            )

    def _band_names(self) -> tuple[str | None, ...]:
        """What the options say; else the file's own names; else those of a STAC item or the archive."""
        dataset, given = self._dataset, self.options.bands
        if given is not None:
            if len(given) != dataset.count:
                raise SceneError(
                    f"{self._shown}: has {_counted(dataset.count, 'band')}, --bands names {len(given)}; "
                    f"expected one name for each."
                )
            names = tuple(canonical_band(name) for name in given)
        else:
            names = tuple(
                canonical_band(text or dataset.tags(index).get("BANDNAME"))
                for index, text in enumerate(dataset.descriptions, 1)
            )
            if not any(names) and len(self._item.bands) == dataset.count:
                names = self._item.bands
            if not any(names) and dataset.dtypes[0] != "uint8":
                names = tuple(_COLOURS.get(colour) for colour in dataset.colorinterp)
            if not any(names) and self._is_of_archive():
                names = BANDS
        known = [name for name in names if name]
        if len(set(known)) < len(known):
            twice = sorted({name for name in known if known.count(name) > 1})
            raise SceneError(
                f"{self._shown}: names {', '.join(twice)} more than once; expected each band once: name them "
                f"in their order with --bands."
            )
        return names

    def _is_of_archive(self) -> bool:
        return is_archive_image(self.path) and self._dataset.count == len(BANDS) and self.dtype.kind in "iu"

    def _known_scale(self) -> tuple[float, str]:
        if self._item.scale is not None:
            return self._item.scale, self._item.name
        for tag in ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE"):
            value = _number(self._tags.get(tag))
            if value:
                return 1 / value, f"{tag} in the file"
        if self.dtype in (np.dtype("int16"), np.dtype("uint16"), np.dtype("int32"), np.dtype("uint32")):
            return 1 / _DN, "whole numbers are reflectance x 10000"
        raise SceneError(
            f"{self._shown}: holds {self.dtype} and does not say of what scale; expected --scale 1 for "
            f"reflectance from 0 to 1, --scale 0.0001 for reflectance x 10000, or a scale in its metadata."
        )

    def _known_offset(self) -> tuple[float, str]:
        item = self._item
        if item.offset is not None:
            return item.offset, item.name
        for baseline, source in (
            (_baseline(self._tags.get("PROCESSING_BASELINE")), "in the file's metadata"),
            (_baseline_of_name(self._tags.get("PRODUCT_URI", "")), "in the file's metadata"),
            (_baseline_of_name(self.path.name), "in its name"),
            (_baseline_of_name("/".join(self.path.absolute().parts[:-1])), "in its folder's name"),
        ):
            if baseline:
                return _offset_of(baseline), f"processing baseline {baseline[0]:02}.{baseline[1]:02} {source}"
        if self._is_of_archive():
            return 0.0, "layout of the published archive"
        raise SceneError(
            f"{self._shown}: does not say whether processing baseline 04.00 or later added 1000 to its "
            f"numbers, as to all Sentinel-2 products since 25 January 2022 and older ones processed anew; "
            f"expected --offset -1000 if so, --offset 0 if not, or a STAC item {self.path.stem}.json "
            "beside it."
        )

    def _find_nodata(self) -> float | None:
        if self.options.nodata is not None:
            return float(self.options.nodata)
        if self._dataset.nodata is not None:
            return float(self._dataset.nodata)
        return self._item.nodata

    def _find_year(self) -> int | None:
        """From the product's name, a day or a single year in the file's name, or the metadata."""
        stem = self.path.stem
        for pattern in (_PRODUCT, _DAY):
            found = {int(match[1]) for match in pattern.finditer(stem)}
            if len(found) == 1:
                return found.pop()
        years = {int(match[1]) for match in _YEAR.finditer(stem)}
        if len(years) == 1:
            return years.pop()
        start = _YEAR.match(self._tags.get("PRODUCT_START_TIME", ""))
        return int(start[1]) if start else self._item.year

    def _valid(self, raw: NDArray[Any]) -> NDArray[np.bool_]:
        """Which pixels have data in all bands; band by band, which needs no memory for all of them."""
        nodata, kind = self.nodata, raw.dtype.kind
        if nodata is None and kind in "iu" and len(raw) >= len(_COLOURS) and not self._has_mask:
            # In Sentinel-2's products 0 is kept for pixels without data, which its converters forget to say.
            return np.asarray(raw.any(0))
        valid = np.ones(raw.shape[1:], bool)
        if kind == "f":
            for band in raw:
                valid &= np.isfinite(band)
        if nodata is not None and _holds(raw.dtype, nodata):
            marked = raw.dtype.type(nodata)
            for band in raw:
                valid &= band != marked
        return valid


def _holds(dtype: np.dtype[Any], number: float) -> bool:
    """Whether a number of a type can be this one."""
    if dtype.kind == "f":
        return not math.isnan(number)
    return number.is_integer() and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max


def open_scene(path: str | os.PathLike[str], options: SceneOptions | None = None) -> Scene:
    """An open scene: use it in a `with` statement.

    Args:
        path: A GeoTIFF; a STAC item of the same name with .json beside it is read as well.
        options: What it does not say itself.

    Raises:
        SceneError: It is no GeoTIFF, or not one of a scene on the ground.
    """
    return Scene(path, options or SceneOptions())


def canonical_band(text: str | None) -> str | None:
    """Our name of what somebody calls `text`: B02 of "B2", "blue" and "Blue (band 2)"; None of "Band 2".

    "Band 2" is what many programs call the second band of any file.
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
    """`"B02,B03,blue,-"` -> its names, for `SceneOptions.bands`; a dash for a band of no interest.

    Raises:
        ValueError: A name is no band's.
    """
    names = []
    for part in text.split(","):
        part = part.strip()
        name = canonical_band(part)
        if name is None and part not in ("", "-"):
            checked_bands([part])
        names.append(name or "-")
    return tuple(names)


def _offset_of(baseline: tuple[int, int]) -> float:
    return _BASELINE_OFFSET if baseline >= _BASELINE_WITH_OFFSET else 0.0


def _baseline(text: Any) -> tuple[int, int] | None:
    """`"04.00"`, `"05.11"` -> (4, 0), (5, 11)."""
    found = re.fullmatch(r"\s*(\d{1,2})\.(\d{1,2})\s*", str(text)) if text is not None else None
    return (int(found[1]), int(found[2])) if found else None


def _baseline_of_name(name: str) -> tuple[int, int] | None:
    found = {(int(match[2]), int(match[3])) for match in _PRODUCT.finditer(name)}
    return found.pop() if len(found) == 1 else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _product_tags(dataset: Any) -> dict[str, str]:
    return {str(key).upper(): str(value) for key, value in dataset.tags().items()}


def _sidecar_paths(path: Path) -> tuple[Path, ...]:
    return path.with_suffix(".json"), path.with_name(f"{path.name}.json")


def _read_sidecar(path: Path) -> _Sidecar:
    """The STAC item beside a scene; one that says nothing where there is none."""
    for candidate in _sidecar_paths(path):
        try:
            if candidate.stat().st_size > _LARGEST_ITEM:
                continue
            item = json.loads(candidate.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if (
            isinstance(item, dict)
            and item.get("type") == "Feature"
            and isinstance(item.get("properties"), dict)
        ):
            return _parse_item(item, candidate, path)
    return _Sidecar("")


def _parse_item(item: Mapping[str, Any], path: Path, scene: Path) -> _Sidecar:
    """What a STAC item says of the scene.

    Some of Earth Search's items tell an offset of -0.1 that their files no longer have; then
    `earthsearch:boa_offset_applied` is true, and counts.

    Raises:
        SceneError: The offset and the processing baseline contradict each other.
    """
    properties = item["properties"]
    baseline = _baseline(properties.get("s2:processing_baseline")) or next(
        (
            found
            for key in ("s2:product_uri", "sentinel:product_id", "id")
            if (found := _baseline_of_name(str(properties.get(key, item.get(key, "")))))
        ),
        None,
    )
    applied = properties.get("earthsearch:boa_offset_applied")
    assets = [
        asset
        for key, asset in (item.get("assets") or {}).items()
        if isinstance(asset, dict) and _holds_reflectance(key, asset)
    ]
    own = [asset for asset in assets if Path(str(asset.get("href", ""))).name == scene.name]
    rasters = [raster for asset in own or assets for raster in _raster_bands(asset)]
    scales, offsets, nodatas = (
        {value for raster in rasters if (value := _number(raster.get(key))) is not None}
        for key in ("scale", "offset", "nodata")
    )
    scale = scales.pop() if len(scales) == 1 else None
    told = offsets.pop() if len(offsets) == 1 else None
    offset: float | None = None
    if applied is True:
        offset = 0.0
    elif told is not None and scale and (baseline is None or applied is None):
        offset = told / scale
        if baseline is not None and not math.isclose(offset, _offset_of(baseline), abs_tol=0.5):
            raise SceneError(
                f"{path}: tells an offset of {told:g} and processing baseline "
                f"{baseline[0]:02}.{baseline[1]:02}, "
                f"which contradict each other; expected --offset -1000 or --offset 0."
            )
        offset = round(offset, 6)
    elif baseline is not None:
        offset = _offset_of(baseline)
    names: tuple[str | None, ...] = ()
    if len(own) == 1:
        names = tuple(canonical_band(str(band.get("name", ""))) for band in _described_bands(own[0]))
    year = _YEAR.match(str(properties.get("datetime") or ""))
    return _Sidecar(
        f"STAC item {path.name}",
        baseline,
        applied,
        scale,
        offset,
        nodatas.pop() if len(nodatas) == 1 else None,
        names,
        int(year[1]) if year else None,
    )


def _holds_reflectance(key: str, asset: Mapping[str, Any]) -> bool:
    """Whether an asset is one of reflectance bands, not of water vapour, classes or a preview."""
    described = [str(band.get("name", "")) for band in _described_bands(asset)]
    roles = asset.get("roles") or []
    return {"visual", "overview", "thumbnail"}.isdisjoint(roles) and any(
        canonical_band(name) in _REFLECTANCE for name in (key.removesuffix("-jp2"), *described)
    )


def _described_bands(asset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [band for band in asset.get("eo:bands") or asset.get("bands") or [] if isinstance(band, dict)]


def _raster_bands(asset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the raster extension says of an asset's bands, in both of its forms."""
    bands = [*(asset.get("raster:bands") or []), *(asset.get("bands") or []), asset]
    return [
        {key.removeprefix("raster:"): value for key, value in band.items()}
        for band in bands
        if isinstance(band, dict)
    ]


def _counted(count: int, thing: str) -> str:
    return f"1 {thing}" if count == 1 else f"{count} {thing}s"
