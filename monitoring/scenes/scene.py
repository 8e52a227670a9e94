"""A user's scene: an open GeoTIFF whose bands are known by name and read as digital numbers.

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
from euromine.dataset_script.archive_bands import BANDS
from euromine.support.errors import SceneError
from euromine.support.image_headers import (
    DIGITAL_NUMBERS,
    auxiliary_file,
    auxiliary_nodata,
    mask_file,
    read_header,
    valid_pixels,
)
from euromine.support.offset_check import OffsetCheck
from euromine.support.rasters import (
    check_blocks,
    gdal_cache,
    is_pixel_interleaved,
    open_raster,
    read_mask,
    read_raster,
)
from euromine.support.sentinel2_products import year_in_name, year_of_timestamp

from .band_names import REFLECTANCE_BANDS, canonical_band
from .grids import Grid
from .offset_doubts import count_reflectances, offset_doubt
from .reflectance import Reflectance, ReflectanceMetadata, scene_reflectance
from .scene_level import scene_level
from .scene_options import SceneOptions, contradiction
from .sidecar import read_sidecar, sidecar_paths

logger = logging.getLogger(__name__)

_COLOURS = {ColorInterp.red: "B04", ColorInterp.green: "B03", ColorInterp.blue: "B02"}

# Pixels of half to twice the size that networks were trained on, in m on the ground.
_LEAST_SIDE, _MOST_SIDE = 5.0, 20.5

# Glint and snow stay below, and errors of the atmospheric correction above.
_LEAST_REFLECTANCE, _MOST_REFLECTANCE = -0.5, 10.0

_LARGEST_CACHE = 2 * 2**30
_SMALLEST_CACHE = 64 * 2**20


class Scene:
    """An open scene, read in windows. Use it in a `with` statement.

    Attributes:
        path: The file.
        options: Metadata given by the user.
        grid: The grid of its pixels.
        bands: The name of each band of the file, None if unknown.
        year: From the file's name or metadata, None if unknown.
        nodata: The number that marks pixels without data, None if there is none.
        level: The processing level, None if unknown.
    """

    def __init__(self, path: str | os.PathLike[str], options: SceneOptions) -> None:
        """Open a GeoTIFF and read its metadata.

        Raises:
            SceneError: The file is not a georeferenced GeoTIFF, or its metadata contradict themselves.
        """
        self.path, self.options = Path(path), options
        self._shown = str(path)
        self._lock = threading.Lock()
        with ExitStack() as files:
            self._dataset = open_raster(os.fspath(self.path), files, SceneError)
            _check_header(self._dataset, self._shown)
            self._item = read_sidecar(self.path)
            self._tags = {str(key).upper(): str(value) for key, value in self._dataset.tags().items()}
            self.grid = Grid.of(self._dataset)
            self._header = read_header(self._dataset)
            self.bands = self._checked_band_names()
            self.year = self._find_year()
            self.nodata = self._find_nodata()
            self.level = scene_level(self.path, self._header.level, self._item.level, options=options)
            self._mask = self._open_mask(files)
            alpha = self._header.alpha
            # A band with a name is no mask, whatever a program took its colour for.
            self._alpha = [alpha] if alpha and self.bands[alpha - 1] is None else []
            self._has_mask = self._header.has_mask or self._mask is not None or bool(self._alpha)
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
                f"{self._shown}: found {_counted(len(self.bands), 'band')} without names; expected "
                f"{', '.join(bands)}. Name the bands in their order with --bands."
            )
        unnamed = len(self.bands) - len(named)
        others = f" and {_counted(unnamed, 'other')} without a known name" if unnamed else ""
        raise SceneError(
            f"{self._shown}: found no band {', '.join(missing)} (it has {', '.join(named)}{others}); "
            f"expected {', '.join(bands)}. Name the bands with --bands."
        )

    def reflectance(self, bands: Sequence[str]) -> Reflectance:
        """How the numbers of these bands become reflectance, and where this is known from.

        Raises:
            SceneError: A band is missing, or neither the metadata nor the options give scale and offset.
        """
        metadata = ReflectanceMetadata(
            path=self.path,
            shown=self._shown,
            dtype=self.dtype,
            scales=self._header.scales,
            offsets=self._header.offsets,
            tags=self._tags,
            item=self._item,
            options=self.options,
            is_archive_image=self._is_archive_image(),
        )
        return scene_reflectance(metadata, bands, self.indexes(bands))

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
        indexes, reflectance = self.indexes(bands), self.reflectance(bands)
        span = ((top, bottom), (left, right))
        with self._lock:
            raw = read_raster(self._dataset, self._shown, span, SceneError, indexes=indexes)
            masks = self._read_masks(span)
        valid = valid_pixels(raw, self.nodata, has_mask=self._has_mask)
        for mask in masks:
            valid &= mask > 0
        image = _digital_numbers(raw, reflectance)
        self._has_impossible |= _drop_impossible(image, valid, bands)
        count_reflectances(self._offset_check, image, valid, bands)
        return image, valid

    def doubt(self) -> str | None:
        """A warning if pixels read so far are no reflectance, or make the offset look wrong; else None."""
        doubts = [offset_doubt(self._offset_check)]
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

    def cache_rows(self, rows: int) -> None:
        """Reserve memory, until the scene is closed, for the blocks that windows of this height touch.

        Windows read from left to right, then from top to bottom, decode each block once.
        """
        block_rows = max(shape[0] for shape in self._dataset.block_shapes)
        touched = (math.ceil(rows / block_rows) + 1) * block_rows
        bands = self._dataset.count if is_pixel_interleaved(self._dataset) else len(self.bands)
        columns = self._dataset.block_shapes[0][1]
        width = math.ceil(self.grid.width / columns) * columns
        needed = min(touched, self.grid.height + block_rows) * width * bands * self.dtype.itemsize
        self._cache.close()
        self._cache.enter_context(gdal_cache(min(max(needed, _SMALLEST_CACHE), _LARGEST_CACHE)))

    def fingerprint(self) -> dict[str, Any]:
        """Names, sizes and times of the scene's files, with its bands and nodata: changes when they do."""
        beside = (*sidecar_paths(self.path), mask_file(str(self.path)), auxiliary_file(str(self.path)))
        files = [self.path, *(path for path in beside if path.is_file())]
        return {
            "files": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files],
            "bands": list(self.bands),
            "nodata": self.nodata,
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
            names = self._item.bands
        if given is not None:
            if len(given) != dataset.count:
                raise SceneError(
                    f"{self._shown}: found {_counted(dataset.count, 'band')} but "
                    f"{_counted(len(given), 'name')} in --bands; expected one name per band."
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
        return is_archive_image(self.path) and self._dataset.count == len(BANDS) and self.dtype.kind in "iu"

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
        beside, unread = auxiliary_nodata(str(self.path))
        if unread:
            logger.warning(
                "%s: %s in it is not read. Write it into the GeoTIFF with gdal_translate.",
                auxiliary_file(str(self.path)),
                ", ".join(unread),
            )
        return self._item.nodata if beside is None else beside

    def _open_mask(self, files: ExitStack) -> Any:
        """The mask in the file `.msk` beside the scene; None without one."""
        path = mask_file(str(self.path))
        if not path.is_file():
            return None
        mask = open_raster(str(path), files, SceneError)
        check_blocks(mask, str(path), SceneError)
        if (mask.height, mask.width) != self.grid.shape:
            raise SceneError(
                f"{path}: found a mask of {mask.height} x {mask.width} pixels; expected "
                f"{self.grid.height} x {self.grid.width} like the scene. Remove it if it is not the scene's."
            )
        return mask

    def _read_masks(self, span: tuple[tuple[int, int], tuple[int, int]]) -> list[NDArray[Any]]:
        """Masks (height, width) of a window, 0 where there are no data."""
        masks = []
        if self._header.has_mask:
            masks.append(read_mask(self._dataset, self._shown, span, SceneError))
        if self._alpha:
            masks += list(read_raster(self._dataset, self._shown, span, SceneError, indexes=self._alpha))
        if self._mask is not None:
            masks.append(read_raster(self._mask, str(mask_file(self._shown)), span, SceneError).min(axis=0))
        return masks

    def _find_year(self) -> int | None:
        return (
            year_in_name(self.path.stem)
            or year_of_timestamp(self._tags.get("PRODUCT_START_TIME", ""))
            or self._item.year
        )


def open_scene(path: str | os.PathLike[str], options: SceneOptions | None = None) -> Scene:
    """Open a scene. Use it in a `with` statement.

    Args:
        path: A GeoTIFF. A STAC item beside it (scene.json or scene.tif.json) is read, too.
        options: Metadata that the file does not have, or that should replace its own.

    Raises:
        SceneError: The file is not a georeferenced GeoTIFF, or its metadata contradict themselves.
    """
    return Scene(path, options or SceneOptions())


def _check_header(dataset: Any, shown: str) -> None:
    kinds = {np.dtype(name).kind for name in dataset.dtypes}
    if not kinds <= set("iuf"):
        raise SceneError(
            f"{shown}: found {', '.join(sorted(set(dataset.dtypes)))}; expected integers or floats."
        )
    check_blocks(dataset, shown, SceneError)
    if not dataset.crs:
        raise SceneError(
            f"{shown}: found no coordinate reference system; expected one, such as EPSG:32633. Assign it "
            "with gdal_edit.py -a_srs."
        )
    determinant = dataset.transform.determinant
    if dataset.transform.is_identity or not math.isfinite(determinant) or determinant == 0:
        raise SceneError(
            f"{shown}: found no usable geotransform; expected one that places the pixels in the coordinate "
            "reference system."
        )


def _drop_impossible(image: NDArray[np.float32], valid: NDArray[np.bool_], bands: Sequence[str]) -> bool:
    """Take pixels whose numbers are no reflectance for pixels without data; whether there were any.

    Args:
        image: (bands, height, width) digital numbers.
        valid: Which pixels (height, width) have data, changed in place.
        bands: Names of the bands; those without reflectance are left out.
    """
    found = False
    for values, band in zip(image, bands, strict=True):
        if band in REFLECTANCE_BANDS:
            impossible = values < _LEAST_REFLECTANCE * DIGITAL_NUMBERS
            impossible |= values > _MOST_REFLECTANCE * DIGITAL_NUMBERS
            impossible &= valid
            if impossible.any():
                found = True
                valid &= ~impossible
    return found


def _digital_numbers(raw: NDArray[Any], reflectance: Reflectance) -> NDArray[np.float32]:
    """(bands, height, width) numbers of the file -> float32 digital numbers, 0 where they are not finite."""
    image = raw.astype(np.float32)
    factors = [scale * DIGITAL_NUMBERS for scale in reflectance.scale]
    shifts = [offset * factor for offset, factor in zip(reflectance.offset, factors, strict=True)]
    if any(factor != 1 for factor in factors):
        image *= np.asarray(factors, np.float32)[:, None, None]
    if any(shifts):
        image += np.asarray(shifts, np.float32)[:, None, None]
    if raw.dtype.kind == "f":
        image[~np.isfinite(image)] = 0
    return image


def _counted(count: int, thing: str) -> str:
    return f"1 {thing}" if count == 1 else f"{count} {thing}s"
