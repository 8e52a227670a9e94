"""Cloud-Optimised GeoTIFFs, written row by row, verified and renamed when complete."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import shutil
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import DTypeLike, NDArray
from rasterio.windows import Window

from euromine.monitoring.scenes.grids import Grid
from euromine.support.environment import release_freed_memory
from euromine.support.errors import ArgumentError, DataError
from euromine.support.files import full_disk_error, torn_file_error
from euromine.support.rasters import gdal, gdal_cache, gdal_environment, gdal_errors, open_raster
from euromine.support.workers import usable_cores

from .band_statistics import BandStatistics
from .map_styles import MapStyle

logger = logging.getLogger(__name__)

BLOCK = 512
"""Side of a tile in pixels."""

TAG = "EUROMINE"
"""The TIFF tag with a JSON record of the model, scene and settings behind a map."""

# The CRC-32 of all rows of a map.
_CHECKSUM_TAG = "EUROMINE_CRC32"
_WORK = re.compile(r"\..+\.tif\.partial")
_WORK_FILES = ("rows.tif", "copy.tif")
# Room in GDAL's cache for the rows being written, which are not read again: of four files, even if more are
# written at once.
_CACHE_BYTES, _MOST_CACHES = 16 * 2**20, 4
_caches = threading.BoundedSemaphore(_MOST_CACHES)
_CHECKED_ROWS = 512
# Maps of fewer tiles are compressed by one thread: several would take a third more processor time.
_TILES_FOR_THREADS = 32


class CogWriter:
    """Writes a GeoTIFF of one or several bands from top to bottom. Use it in a `with` statement.

    Rows go to a temporary file. At the end of the block they are copied to a Cloud-Optimised GeoTIFF, which
    is read back, compared with the rows and then renamed. After an error, or if the process dies, an
    existing file is unchanged.

    Args:
        path: The file to write; its folder is created if it is missing.
        grid: The grid of its pixels.
        dtype: The type of its numbers.
        nodata: The number of pixels without data.
        resampling: Of the overviews: "mode" or "nearest" for classes, "average" for amounts.
        description: Of the only band.
        bands: The descriptions of several bands, in place of `description`.
        scale: The factor from the file's numbers to the amounts that they stand for.
        style: Names and colours of the classes; colours only in maps of bytes, where they take few bytes.
        record: The model, scene and settings behind the map, for `read_map_record`.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        grid: Grid,
        dtype: DTypeLike,
        nodata: float | None = None,
        *,
        resampling: str = "nearest",
        description: str | None = None,
        bands: Sequence[str] | None = None,
        scale: float | None = None,
        style: MapStyle | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.grid, self.dtype = Path(path), grid, np.dtype(dtype)
        self._nodata, self._resampling = nodata, resampling
        self._work = self.path.with_name(f".{self.path.name}.partial")
        self._rows_file = self._work / "rows.tif"  # as in _WORK_FILES
        self._row, self._checksum, self._is_finished = 0, 0, False
        self._tags = {TAG: json.dumps(record, sort_keys=True)} if record is not None else {}
        self._bands = [description] if bands is None else list(bands)
        self._shape = () if bands is None else (len(self._bands),)
        self._scale, self._style = scale, style or MapStyle()
        self._statistics = [BandStatistics(nodata) for _ in self._bands]
        self._dataset: Any = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _remove(self._work)
            self._work.mkdir()
        except OSError as error:
            raise OSError(
                f"{self.path.parent}: cannot be written to ({error.strerror}). Choose another folder."
            ) from error
        try:
            self._check_space()
            with ExitStack() as cache:
                cache.enter_context(_room_for_rows())
                self._dataset = self._create()
                self._cache = cache.pop_all()
        except BaseException:
            _remove(self._work)
            raise

    def __enter__(self) -> CogWriter:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exception is None:
                self.finish()
        finally:
            if self._dataset is not None:
                with contextlib.suppress(*gdal_errors()), gdal():
                    self._dataset.close()
            self._cache.close()
            _remove(self._work)

    def write(self, rows: NDArray[Any]) -> None:
        """Write the next rows.

        Args:
            rows: (rows, width) in the file's type; (bands, rows, width) where `bands` named them.

        Raises:
            ValueError: The width or type does not fit.
            OSError: The rows cannot be written, for example on a full disk.
        """
        shape = (*self._shape, "rows", self.grid.width)
        fits = rows.ndim == len(shape) and (*rows.shape[:-2], "rows", rows.shape[-1]) == shape
        if not fits or rows.dtype != self.dtype:
            expected = f"({', '.join(map(str, shape))})"
            raise ValueError(f"rows: found {rows.dtype} {rows.shape}; expected {self.dtype} {expected}.")
        rows = np.ascontiguousarray(rows.reshape(-1, *rows.shape[-2:]))
        number = rows.shape[1]
        try:
            # Without the filter of warnings in `gdal`: a thread that reads a scene may write, too.
            with gdal_environment():
                self._dataset.write(rows, window=Window(0, self._row, self.grid.width, number))
        except gdal_errors() as error:
            raise torn_file_error(self.path) from error
        self._row += number
        self._checksum = _checksum_of(rows, self._checksum)
        for statistics, band in zip(self._statistics, rows, strict=True):
            statistics.add(band)

    def _create(self) -> Any:
        try:
            with gdal():
                dataset = rasterio.open(
                    self._rows_file,
                    "w",
                    driver="GTiff",
                    count=len(self._bands),
                    dtype=self.dtype,
                    nodata=self._nodata,
                    bigtiff="if_safer",
                    **self.grid.profile,
                )
                if self._style.classes and self.dtype == np.uint8:
                    dataset.write_colormap(1, self._style.colour_table)
                return dataset
        except gdal_errors() as error:
            raise torn_file_error(self.path) from error

    def finish(self) -> None:
        """Complete the file, which the end of the block does unless it was done: see `finish_together`.

        Raises:
            ValueError: Rows are missing.
            OSError: The file cannot be written, for example on a full disk.
        """
        if not self._is_finished:
            with gdal():
                self._finish(usable_cores())

    def _finish(self, cores: int) -> None:
        """Complete the file with so many cores, in any thread."""
        if self._row != self.grid.height:
            raise ValueError(f"{self.path}: found {self._row} rows written; expected {self.grid.height}.")
        copy = self._work / "copy.tif"
        unreadable: tuple[type[Exception], ...] = (*gdal_errors(), DataError)
        tiles = math.ceil(self.grid.height / BLOCK) * math.ceil(self.grid.width / BLOCK)
        try:
            with gdal_environment():
                self._dataset.update_tags(**self._tags, **{_CHECKSUM_TAG: f"{self._checksum:08x}"})
                if self._scale is not None:
                    self._dataset.scales = [self._scale] * len(self._bands)
                for band, (name, statistics) in enumerate(
                    zip(self._bands, self._statistics, strict=True), start=1
                ):
                    if name:
                        self._dataset.set_band_description(band, name)
                    self._dataset.update_tags(band, **statistics.tags, **self._style.names)
                self._dataset.close()
                copy_as_cog(
                    self._rows_file,
                    copy,
                    resampling=self._resampling,
                    is_amount=self.dtype.kind == "f" or self._scale is not None,
                    threads=cores if tiles >= _TILES_FOR_THREADS else 1,
                )
            # GDAL does not report a full disk when it closes a file.
            with gdal_environment(), rasterio.open(copy, driver="GTiff") as written:
                whole = _checksum(written) == self._checksum
        except unreadable as error:
            raise torn_file_error(self.path) from error
        if not whole:
            raise torn_file_error(self.path)
        try:
            with copy.open("rb") as file:
                os.fsync(file.fileno())
            copy.replace(self.path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._is_finished = True

    def _check_space(self) -> None:
        """Refuse to start if the disk has no room for the rows."""
        needed = self.grid.height * self.grid.width * self.dtype.itemsize * len(self._bands)
        if shutil.disk_usage(self._work).free < needed:
            raise full_disk_error(self.path.parent, self.path.name, needed=needed)


def copy_as_cog(source: Path, target: Path, *, resampling: str, is_amount: bool, threads: int = 1) -> None:
    """Copy a raster to a Cloud-Optimised GeoTIFF, within the settings of `gdal`.

    Args:
        source: The raster.
        target: The file to write.
        resampling: Of its overviews.
        is_amount: Whether neighbouring numbers are close, as those of amounts are and classes seldom.
        threads: GDAL's.
    """
    rasterio.shutil.copy(
        source,
        target,
        driver="COG",
        compress="deflate",
        # Twice as fast as the default 6, and hardly larger.
        level=1,
        predictor="yes" if is_amount else "no",
        blocksize=BLOCK,
        overview_resampling=resampling,
        bigtiff="if_safer",
        num_threads=threads,
    )


@contextlib.contextmanager
def _room_for_rows() -> Iterator[None]:
    """Reserve room in GDAL's cache for a file, unless enough files have some."""
    if not _caches.acquire(blocking=False):
        yield
        return
    try:
        with gdal_cache(_CACHE_BYTES):
            yield
    finally:
        _caches.release()


def finish_together(writers: Sequence[CogWriter]) -> None:
    """Complete several files that have all their rows, as many at a time as there are cores.

    Raises:
        ValueError, OSError: As for `CogWriter.finish`; the files that follow are then left as they are.
    """
    release_freed_memory()  # what made the rows is over
    cores = usable_cores()
    at_once = max(1, min(cores, len(writers)))
    # The filter of warnings is shared by all threads, so it is set around them.
    with gdal(), ThreadPoolExecutor(at_once) as pool:
        waiting = [pool.submit(writer._finish, cores // at_once) for writer in writers]
        try:
            for each in waiting:
                each.result()
        finally:
            for each in waiting:
                each.cancel()


def read_map_record(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The record with which `CogWriter` wrote a GeoTIFF; None for any other file, or if there is none."""
    try:
        with ExitStack() as files:
            return map_record(open_raster(os.fspath(path), files).tags())
    except DataError:
        return None


def map_record(tags: Mapping[str, str]) -> dict[str, Any] | None:
    """As `read_map_record`, from the tags of a raster that is open."""
    try:
        record = json.loads(tags.get(TAG, "null"))
    except (ValueError, RecursionError):  # a tag of another program
        return None
    return record if isinstance(record, dict) else None


def is_foreign(path: Path) -> bool:
    """Whether something lies at a map's place that `CogWriter` did not write: another raster, or a folder.

    A file that cannot be read as a GeoTIFF counts as a damaged map.
    """
    if not path.is_file():
        return os.path.lexists(path)
    try:
        with ExitStack() as files:
            return TAG not in open_raster(str(path), files).tags()
    except DataError:
        return False


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Whether a map can be read to its end and holds the numbers that `CogWriter` wrote."""
    unreadable: tuple[type[Exception], ...] = (*gdal_errors(), DataError)
    try:
        with ExitStack() as files, gdal():
            dataset = open_raster(os.fspath(path), files)
            written = dataset.tags().get(_CHECKSUM_TAG)
            # Overviews have no checksum: reading them shows whether their blocks are torn.
            for factor in dataset.overviews(1):
                _checksum(dataset, factor)
            return written in (None, f"{_checksum(dataset):08x}")
    except unreadable:
        return False


def is_mapped(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether a whole map with the same record exists.

    Raises:
        ArgumentError: Something else is in its place.
    """
    if is_foreign(path):
        raise ArgumentError(
            f"{path}: found something that euromine did not write; expected a map, or nothing yet. Move it "
            "elsewhere, or choose another folder with --out."
        )
    if not path.exists() or read_map_record(path) != record:
        return False
    if not is_whole(path):
        logger.warning("%s is damaged, so it is mapped again.", path)
        return False
    return True


def remove_work_folders(folder: Path) -> None:
    """Delete the work folders of writers that were killed. Call it under the folder's lock."""
    for path in folder.iterdir():
        if not _WORK.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
            continue
        if all(each.name.startswith(_WORK_FILES) for each in path.iterdir()):
            _remove(path)


def _checksum(dataset: Any, factor: int = 1) -> int:
    """The CRC-32 of a map's numbers, or of its overview that is smaller by a factor."""
    checksum, step = 0, _CHECKED_ROWS * factor
    for top in range(0, dataset.height, step):
        rows = min(step, dataset.height - top)
        shape = (dataset.count, -(-rows // factor), -(-dataset.width // factor))
        read = dataset.read(window=Window(0, top, dataset.width, rows), out_shape=shape)
        checksum = _checksum_of(read, checksum)
    return checksum


def _checksum_of(rows: NDArray[Any], checksum: int) -> int:
    """The CRC-32 continued by rows (bands, rows, width), the same for any division into rows."""
    return zlib.crc32(np.ascontiguousarray(rows.swapaxes(0, 1)).data, checksum)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
