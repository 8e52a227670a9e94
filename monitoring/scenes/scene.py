"""A user's scene: an open image whose bands are known by name and read as digital numbers.

The file's metadata and the user's options decide what its numbers mean. Nothing is inferred from pixels.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from euromine.dataset_script.archive import is_archive_image
from euromine.dataset_script.archive_bands import BANDS, RADAR_BANDS
from euromine.support.errors import SceneError
from euromine.support.image_headers import (
    DIGITAL_NUMBERS,
    auxiliary_file,
    auxiliary_nodata,
    mask_file,
    valid_pixels,
)
from euromine.support.offset_check import OffsetCheck
from euromine.support.placements import check_placement
from euromine.support.rasters import gdal_cache, read_raster
from euromine.support.sentinel2_products import year_of_timestamp, years_in_name
from euromine.support.sidecars import Sidecar, read_sidecar, sidecar_paths
from euromine.support.wording import counted

from .band_names import REFLECTANCE_BANDS, canonical_band
from .grids import Grid
from .locations import locate
from .offset_doubts import count_reflectances, offset_doubt
from .product_files import file_state
from .radar_images import RadarBeside
from .reflectance import Reflectance, ReflectanceMetadata, digital_numbers, scene_reflectance
from .scene_formats import open_scene_raster
from .scene_level import scene_level
from .scene_masks import SceneMasks
from .scene_options import SceneOptions, contradiction

logger = logging.getLogger(__name__)

_COLOURS = {ColorInterp.red: "B04", ColorInterp.green: "B03", ColorInterp.blue: "B02"}

# Pixels of half to twice the size that networks were trained on, in m on the ground.
_LEAST_SIDE, _MOST_SIDE = 5.0, 20.5

# Glint and snow stay below, and errors of the atmospheric correction above.
_LEAST_REFLECTANCE, _MOST_REFLECTANCE = -0.5, 10.0

LARGEST_CACHE = 2 * 2**30  # bytes of decoded blocks
_SMALLEST_CACHE = 16 * 2**20


class Scene:
    """An open scene, read in windows. Use it in a `with` statement.

    Attributes:
        location: Its location.
        options: Metadata given by the user.
        grid: The grid of its pixels.
        bands: The name of each band of the file, None if unknown.
        year: From its name or metadata, None if unknown.
        possible_years: Those in its name.
        nodata: The number that marks pixels without data, None if there is none.
        level: The processing level, None if unknown.
        radar: The radar image beside it, for bands that the file lacks.
        tags: The metadata of the file by upper-case key.
    """

    def __init__(self, path: str | os.PathLike[str], options: SceneOptions) -> None:
        """Open a scene and read its metadata.

        Raises:
            SceneError: The scene is not a georeferenced image, or its metadata contradict themselves.
            OSError: The server of an address cannot be reached.
        """
        self.location, self.options = locate(path), options
        self._shown = self.location.shown
        self._lock = threading.Lock()
        with ExitStack() as files:
            self._raster = open_scene_raster(self.location, files)
            self._dataset, self._header = self._raster.dataset, self._raster.header
            _check_header(self._dataset, self._shown)
            self._companion = None if self._raster.companion is None else Path(self._raster.companion)
            self._item = Sidecar() if self._companion is None else read_sidecar(self._companion)
            self.tags = self._raster.tags
            self.grid = Grid.of(self._dataset)
            self.bands = self._checked_band_names()
            self.possible_years = years_in_name(self.location.stem)
            self.year = self._find_year()
            self.nodata = self._find_nodata()
            self.level = scene_level(self.location, self._header.level, self._item.level, options=options)
            alpha = self._header.alpha
            self._masks = SceneMasks(
                self._raster,
                self._shown,
                self.grid,
                files,
                # A band with a name is no mask, even if a program wrote alpha for its colour.
                alpha=alpha if alpha and self.bands[alpha - 1] is None else None,
                keep_clouds=options.keep_clouds,
            )
            self.radar = files.enter_context(RadarBeside(self.location, self.grid))
            self._cache = files.enter_context(ExitStack())
            self._files = files.pop_all()
        self._offset_check = OffsetCheck()
        self._has_impossible = False

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
    def path(self) -> Path | None:
        """The file or folder; None for an address."""
        return self.location.path

    @property
    def size_and_time(self) -> tuple[int, int]:
        """The size of its files in bytes, and the latest modification in nanoseconds, 0 if unknown."""
        times = [time for _, _, time in self._raster.state if isinstance(time, int)]
        return sum(size for _, size, _ in self._raster.state), max(times, default=0)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the file's numbers."""
        return np.dtype(self._dataset.dtypes[0])

    def indexes(self, bands: Sequence[str]) -> list[int]:
        """The places of bands in the file, counted from 1.

        Raises:
            SceneError: The file lacks a band, or its bands have no names.
        """
        missing = [band for band in bands if band not in self.bands]
        if not missing:
            return [self.bands.index(band) + 1 for band in bands]
        named = [name for name in self.bands if name]
        if not named:
            raise SceneError(
                f"{self._shown}: found {counted(len(self.bands), 'band')} without names; expected "
                f"{', '.join(bands)}. Name the bands in their order with --bands."
            )
        unnamed = len(self.bands) - len(named)
        others = f" and {counted(unnamed, 'other')} without a known name" if unnamed else ""
        folder = "Give the folder with a file per band, or name" if len(self.bands) == 1 else "Name"
        raise SceneError(
            f"{self._shown}: found no band {', '.join(missing)} (it has {', '.join(named)}{others}); "
            f"expected {', '.join(bands)}. {folder} the bands with --bands."
        )

    def reflectance(self, bands: Sequence[str]) -> Reflectance:
        """How the numbers of these bands become reflectance, and where this is known from.

        Raises:
            SceneError: A band is missing, or neither the metadata nor the options give scale and offset.
        """
        metadata = ReflectanceMetadata(
            location=self.location,
            dtype=self.dtype,
            scales=self._header.scales,
            offsets=self._header.offsets,
            source=self._raster.source,
            tags=self.tags,
            item=self._item,
            options=self.options,
            is_archive_image=self._is_archive_image(),
        )
        own, beside = self.divided(bands)
        found = scene_reflectance(metadata, own, self.indexes(own))
        if beside:
            self.radar.open(beside)
            found = found.joined(own, bands, self.radar.source)
        return found

    def read(self, window: Window, bands: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a window of some bands.

        Args:
            window: Inside the scene.
            bands: Their names.

        Returns:
            (bands, height, width) float32 digital numbers, reflectance times 10,000, and a mask (height,
            width) of the pixels with data in all of these bands. Other pixels hold any finite number.

        Raises:
            SceneError: A band, the scale or the offset is unknown, or the file is damaged.
            ValueError: The window is not inside the scene.
        """
        top, left = int(window.row_off), int(window.col_off)
        bottom, right = top + int(window.height), left + int(window.width)
        if not (0 <= top < bottom <= self.grid.height and 0 <= left < right <= self.grid.width):
            raise ValueError(
                f"window: found rows {top} to {bottom} and columns {left} to {right}; expected a window that "
                f"is not empty and inside the {self.grid.height} x {self.grid.width} pixels of {self._shown}."
            )
        own, beside = self.divided(bands)
        indexes, reflectance = self.indexes(own), self.reflectance(own)
        span = ((top, bottom), (left, right))
        with self._lock:
            raw = read_raster(self._dataset, self._shown, span, SceneError, indexes=indexes or [1])
            valid = valid_pixels(raw, self.nodata, has_mask=self._masks.marks_pixels)
            self._masks.leave(valid, span)
            radar = self.radar.read(window, beside) if beside else None
        image = digital_numbers(raw[: len(own)], reflectance)
        self._has_impossible |= _drop_impossible(image, valid, own)
        count_reflectances(self._offset_check, image, valid, own)
        if radar is not None:
            places = [(*own, *beside).index(band) for band in bands]
            image = np.concatenate([image, radar])[places]
        return image, valid

    def divided(self, bands: Sequence[str]) -> tuple[list[str], list[str]]:
        """The bands of the file itself, and those of the radar image beside it."""
        beside = [band for band in bands if band in RADAR_BANDS and band not in self.bands]
        return [band for band in bands if band not in beside], beside

    def doubt(self) -> str | None:
        """A warning if pixels read so far are no reflectance, or make the offset look wrong; else None."""
        doubts = [*self._masks.doubts(), offset_doubt(self._offset_check)]
        side = self.grid.pixel_side()
        if side is not None and not _LEAST_SIDE <= side <= _MOST_SIDE:
            doubts.append(
                f"Pixels are {side:.3g} m wide on the ground; the benchmark's networks learned from 10 m."
            )
        if self._has_impossible:
            doubts.append(
                f"Pixels with reflectances below {_LEAST_REFLECTANCE:g} or above {_MOST_REFLECTANCE:g} are "
                "taken for pixels without data. If a number marks them, give it with --nodata; if they are "
                "many, check --scale."
            )
        return " ".join(doubt for doubt in doubts if doubt) or None

    def cache_rows(self, rows: int, columns: int = 0, most: int = LARGEST_CACHE) -> None:
        """Reserve memory for the blocks that windows of this height touch, until `free_rows`.

        Windows read from left to right, then from top to bottom, decode each block once. If that takes more
        than `most` bytes, only the blocks that neighbouring windows of so many `columns` share are kept.
        """
        blocks = self._raster.blocks
        needed = sum(each.touched_bytes(rows) for each in blocks)
        if needed > most and columns:
            needed = sum(each.touched_bytes(rows, columns) for each in blocks)
        self.free_rows()
        self._cache.enter_context(gdal_cache(min(max(needed, _SMALLEST_CACHE), LARGEST_CACHE)))

    def free_rows(self) -> None:
        """Give back what `cache_rows` reserved."""
        self._cache.close()

    def fingerprint(self) -> dict[str, Any]:
        """The state of the scene's files, with its bands and nodata, by which later runs notice changes."""
        beside = [] if self._companion is None else _companions(self._companion)
        files = [*self._raster.state, *(file_state(path) for path in beside if path.is_file())]
        return {
            "files": [list(each) for each in files],
            "bands": list(self.bands),
            "nodata": self.nodata,
            **({"keep_clouds": self.options.keep_clouds} if self._raster.clouds else {}),
            **self.radar.fingerprint,
        }

    def _checked_band_names(self) -> tuple[str | None, ...]:
        names = self._band_names()
        known = [name for name in names if name]
        if len(set(known)) < len(known):
            twice = sorted({name for name in known if known.count(name) > 1})
            raise SceneError(
                f"{self._shown}: found {', '.join(twice)} more than once; expected each band once. Name the "
                "bands in their order with --bands."
            )
        return names

    def _band_names(self) -> tuple[str | None, ...]:
        """From the options; else the file, a STAC item, the colours, or the layout of the archive.

        Raises:
            SceneError: The options contradict the file or the STAC item.
        """
        dataset, given = self._dataset, self.options.bands
        names = tuple(map(canonical_band, self._header.texts))
        if not any(names) and len(self._item.bands) == dataset.count:
            names = tuple(map(canonical_band, self._item.bands))
        if given is not None:
            if len(given) != dataset.count:
                raise SceneError(
                    f"{self._shown}: found {counted(dataset.count, 'band')} but "
                    f"{counted(len(given), 'name')} in --bands; expected one name per band."
                )
            asked = tuple(map(canonical_band, given))
            pairs = zip(names, asked, strict=True)
            if not self.options.override and any(own and new and own != new for own, new in pairs):
                raise contradiction(
                    self._shown,
                    f"the bands {', '.join(name or '-' for name in names)} in its metadata",
                    f"--bands {','.join(name or '-' for name in asked)}",
                )
            return asked
        if not any(names) and dataset.dtypes[0] != "uint8":
            names = tuple(_COLOURS.get(colour) for colour in dataset.colorinterp)
        if not any(names) and self._is_archive_image():
            names = BANDS
        return names

    def _is_archive_image(self) -> bool:
        return (
            self.path is not None
            and is_archive_image(self.path)
            and self._dataset.count == len(BANDS)
            and self.dtype.kind in "iu"
        )

    def _find_nodata(self) -> float | None:
        own, asked = self._own_nodata(), self.options.nodata
        if asked is None:
            return own
        is_same = own is None or own == asked or (math.isnan(own) and math.isnan(asked))
        if not (is_same or self.options.override):
            raise contradiction(self._shown, f"nodata {own:g} in its metadata", f"--nodata {asked:g}")
        return float(asked)

    def _own_nodata(self) -> float | None:
        """From the file, the metadata beside it, or a STAC item."""
        if self._header.nodata is not None:
            return self._header.nodata
        if self._companion is None:
            return None
        beside, unread = auxiliary_nodata(str(self._companion))
        if unread:
            logger.warning(
                "%s: %s in it is not read. Write it into the image with gdal_translate.",
                auxiliary_file(str(self._companion)),
                ", ".join(unread),
            )
        return self._item.nodata if beside is None else beside

    def _find_year(self) -> int | None:
        """From the product's metadata, else the name; other metadata decide between several years in it."""
        acquired = year_of_timestamp(self.tags.get("PRODUCT_START_TIME", "")) or self._item.year
        if self._raster.year or not self.possible_years:
            return self._raster.year or acquired
        if len(self.possible_years) == 1:
            return self.possible_years[0]
        return acquired if acquired in self.possible_years else None


def open_scene(path: str | os.PathLike[str], options: SceneOptions | None = None) -> Scene:
    """Open a scene. Use it in a `with` statement.

    Args:
        path: A GeoTIFF, JPEG 2000, VRT or netCDF file; the folder or zip of a Sentinel-2 product; a folder
            with a file per band; or the `https://` address of a GeoTIFF. A STAC item beside a file
            (scene.json or scene.tif.json) is read, too.
        options: Metadata that the file does not have, or that should replace its own.

    Raises:
        SceneError: The scene is not a georeferenced image, or its metadata contradict themselves.
        OSError: The server of an address cannot be reached.
    """
    return Scene(path, options or SceneOptions())


def _companions(path: Path) -> tuple[Path, ...]:
    return (*sidecar_paths(path), mask_file(str(path)), auxiliary_file(str(path)))


def _check_header(dataset: Any, shown: str) -> None:
    kinds = {np.dtype(name).kind for name in dataset.dtypes}
    if not kinds <= set("iuf"):
        raise SceneError(
            f"{shown}: found {', '.join(sorted(set(dataset.dtypes)))}; expected integers or floats."
        )
    size = (dataset.height, dataset.width)
    check_placement(dataset.crs, tuple(dataset.transform), size, shown, SceneError)


def _drop_impossible(image: NDArray[np.float32], valid: NDArray[np.bool_], bands: Sequence[str]) -> bool:
    """Mark pixels whose numbers are no reflectance as pixels without data; return whether there were any.

    Args:
        image: (bands, height, width) digital numbers.
        valid: Which pixels (height, width) have data, changed in place.
        bands: Names of the bands; those without reflectance are left out.
    """
    least, most = _LEAST_REFLECTANCE * DIGITAL_NUMBERS, _MOST_REFLECTANCE * DIGITAL_NUMBERS
    found = False
    for values, band in zip(image, bands, strict=True):
        # Extremes take half the time of a mask, which few bands need.
        if band in REFLECTANCE_BANDS and not (values.min() >= least and values.max() <= most):
            impossible = (values < least) | (values > most)
            impossible &= valid
            if impossible.any():
                found = True
                valid &= ~impossible
    return found
