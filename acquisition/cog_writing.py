"""Write images as cloud-optimised GeoTIFFs, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from euromine.support.errors import one_line
from euromine.support.files import full_disk_error, is_full_disk, torn_file_error
from euromine.support.rasters import gdal, gdal_errors, quieten_libtiff
from euromine.support.workers import usable_cores

from .composites import windows
from .site_grids import SiteGrid

DRAFT_SUFFIX = ".draft"

_BLOCK = 256
# Rows hashed at once; digests depend on it.
_HASHED_ROWS = 256
_STORAGE: dict[str, Any] = {
    "compress": "deflate",
    "predictor": "yes",
    "blocksize": _BLOCK,
    "overview_resampling": "average",
    "bigtiff": "if_safer",
}


class ImageDraft:
    """An uncompressed draft of an image, in a file beside the final one."""

    def __init__(self, dataset: Any, path: Path) -> None:
        self._dataset = dataset
        self._path = path

    def write(self, band: int, top: int, left: int, pixels: Any) -> None:
        """Write a window of a band, counted from 0."""
        height, width = pixels.shape
        with _torn_files_explained(self._path):
            self._dataset.write(pixels, band + 1, window=((top, top + height), (left, left + width)))

    def digest(self) -> str:
        """A hash of the pixels written."""
        with _torn_files_explained(self._path):  # blocks that wait in the cache are written first
            return pixel_digest(self._dataset)

    def describe(self, names: Sequence[str], tags: Mapping[str, str], scale: float) -> None:
        """Set the bands' names and scale, and the image's tags."""
        self._dataset.descriptions = tuple(names)
        self._dataset.scales = (scale,) * len(names)
        self._dataset.update_tags(**tags)


@contextmanager
def image_draft(path: Path, grid: SiteGrid, bands: int, nodata: int) -> Iterator[ImageDraft]:
    """Draft an int16 image, and write it as a cloud-optimised GeoTIFF when the block ends.

    Args:
        path: The file, in a folder that exists. It is whole unless the block ends in an exception.
        grid: Its grid.
        bands: The number of bands.
        nodata: The value of pixels without data.

    Raises:
        OSError: The file cannot be written in full.
    """
    import rasterio
    from affine import Affine

    quieten_libtiff()
    draft = path.with_suffix(DRAFT_SUFFIX)
    profile = {
        "driver": "GTiff",
        "count": bands,
        "height": grid.height,
        "width": grid.width,
        "dtype": "int16",
        "crs": grid.crs,
        "transform": Affine(*grid.transform),
        "nodata": nodata,
        "interleave": "band",
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "bigtiff": "if_safer",
    }
    try:
        with _full_disks_explained(path):
            dataset = rasterio.open(draft, "w+", **profile)
        try:
            yield ImageDraft(dataset, path)
        finally:
            with _full_disks_explained(path):
                dataset.close()
        # GDAL may notice a full disk only when it reads the draft's blocks back.
        with _torn_files_explained(path), gdal():
            _finish(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def pixel_digest(dataset: Any) -> str:
    """A hash of the pixels of an open image of int16, whatever its compression and its blocks.

    Raises:
        rasterio.errors.RasterioIOError: A block is damaged.
    """
    digest = hashlib.sha256()
    for top in range(0, dataset.height, _HASHED_ROWS):
        rows = (top, min(top + _HASHED_ROWS, dataset.height))
        digest.update(dataset.read(window=(rows, (0, dataset.width))).astype("<i2", copy=False).tobytes())
    return digest.hexdigest()[:32]


def _finish(draft: Path, path: Path) -> None:
    from rasterio.shutil import copy

    copy(str(draft), str(path), driver="COG", num_threads=usable_cores(), **_STORAGE)
    if not _hold_the_same(draft, path):  # GDAL does not report a full disk when it closes a file
        raise torn_file_error(path)


def _hold_the_same(draft: Path, path: Path) -> bool:
    import rasterio

    with rasterio.open(draft, driver="GTiff") as first, rasterio.open(path, driver="GTiff") as second:
        if first.shape != second.shape or first.count != second.count:
            return False
        areas = (tuple((each.start, each.stop) for each in window) for window in windows(*first.shape))
        return all(np.array_equal(first.read(window=area), second.read(window=area)) for area in areas)


@contextmanager
def _torn_files_explained(path: Path) -> Iterator[None]:
    """Name the file and the free space where GDAL cannot write a block. It hides the system's reason."""
    try:
        yield
    except gdal_errors() as error:
        if is_full_disk(error):
            raise full_disk_error(path.parent, path.name) from error
        raise torn_file_error(path) from error


@contextmanager
def _full_disks_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except gdal_errors() as error:
        if is_full_disk(error):
            raise full_disk_error(path.parent, path.name) from error
        raise OSError(f"{path}: cannot be written ({one_line(error)[:160]}).") from error
