"""Safe reading of rasters from unknown sources: named drivers, no files beside them, bounded memory."""

from __future__ import annotations

import ctypes
import math
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, EuroMineError, foreign_name_sentence, one_line
from .files import check_regular

CACHE_BYTES = 256 * 2**20
"""Size of GDAL's cache of decoded blocks unless `gdal_cache` reserves more; GDAL's default is a twentieth of
the machine's memory."""

# GDAL decodes strips and tiles as a whole, so their size bounds the memory that any window takes.
_LARGEST_BLOCK = 256 * 2**20
# Where each band has blocks of its own, a window takes one of every band.
_LARGEST_BLOCKS = 512 * 2**20

# A swath of imagery on a side of a thousand kilometres has a tenth of these pixels.
_LONGEST_SIDE = 1_000_000

# Deflate makes at most a thousandth of constant pixels, and imagery is rarely below a tenth: a scene that is
# nearly all nodata stays below this, an image made to fill memory does not.
_MOST_EXPANSION = 500
_ALWAYS_EXPANDED = 256 * 2**20

# No .aux.xml, .ovr, .msk or world file beside a raster is read. Damaged data is an error, whatever the user's
# environment variables set.
_GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": False,
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GTIFF_IGNORE_READ_ERRORS": False,
    # These settings hold in the thread that reads, not in threads of GDAL's own.
    "VRT_NUM_THREADS": 1,
    # The COG driver compresses overviews twice: first for a moment in a file of their own.
    "COG_TMP_COMPRESSION": "NONE",
}

# The formats that are read, by GDAL's driver.
_FORMATS = {
    "GTiff": "a GeoTIFF",
    "JP2OpenJPEG": "a JPEG 2000 image",
    "netCDF": "a netCDF file",
    "VRT": "a VRT",
}

_reserving = threading.Lock()
_reserved = 0
_unreserved = 0


@contextmanager
def gdal() -> Iterator[Any]:
    """Settings under which GDAL reads the given file only and looks for no credentials."""
    from rasterio.errors import NotGeoreferencedWarning

    with gdal_environment() as environment, warnings.catch_warnings():
        # The archive's labels have no georeferencing.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield environment


@contextmanager
def gdal_cache(cache_bytes: int) -> Iterator[None]:
    """Reserve room in GDAL's cache of decoded blocks for a raster that is read or written in the block.

    All threads share one cache, whose size is the sum of the current reservations. Blocks that do not fit
    are dropped when a reservation ends, and all of them after the last one.
    """
    _reserve(cache_bytes)
    try:
        yield
    finally:
        _reserve(-cache_bytes)


def _reserve(cache_bytes: int) -> None:
    global _reserved, _unreserved
    from rasterio.env import get_gdal_config, set_gdal_config

    with _reserving:
        if not _reserved:
            _unreserved = get_gdal_config("GDAL_CACHEMAX")
        _reserved += cache_bytes
        if not _reserved:
            set_gdal_config("GDAL_CACHEMAX", 0)  # drops the blocks of images that stay open
        set_gdal_config("GDAL_CACHEMAX", _reserved or _unreserved)


def gdal_environment() -> Any:
    """The settings of `gdal` for use in threads: without its filter of warnings, which all threads share."""
    import rasterio
    from rasterio.session import DummySession

    quieten_libtiff()
    # Setting the size would evict blocks of those who reserved room.
    size = {} if _reserved else {"GDAL_CACHEMAX": CACHE_BYTES}
    return rasterio.Env(session=DummySession(), **size, **_GDAL_OPTIONS)


@cache
def quieten_libtiff() -> None:
    """Keep libtiff from printing the system's reason when a file cannot be written.

    GDAL raises the failure as an error; libtiff prints a line of its own beside it, past GDAL's handlers.
    Where rasterio's GDAL has a libtiff of its own inside, nothing changes.
    """
    from rasterio import _base

    if not sys.platform.startswith("linux"):
        return
    try:
        # A symbol of an extension is looked for in the libraries that it needs, too.
        set_handler = ctypes.CDLL(_base.__file__).TIFFSetErrorHandler
    except (OSError, AttributeError):
        return
    set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
    set_handler(None)


def gdal_errors() -> tuple[type[Exception], ...]:
    """The errors that reading or writing a raster may raise."""
    # Some of GDAL's errors reach Python unwrapped, and their class has no public name.
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    return (OSError, RasterioError, CPLE_BaseError)


def open_raster(
    path: str,
    files: ExitStack,
    error_class: type[EuroMineError] = DataError,
    *,
    driver: str = "GTiff",
    name: str | None = None,
    opener: Callable[..., Any] | None = None,
    overview: int | None = None,
) -> Any:
    """Open a raster that `files` closes.

    The driver is always named: a VRT renamed to .tif could read any file of the machine.

    Args:
        path: As GDAL takes it: a file, one in a zip (`/vsizip/...`), a variable (`NETCDF:...`) or XML.
        files: Closes the raster.
        error_class: The error to raise.
        driver: "GTiff", "JP2OpenJPEG", "netCDF" or "VRT".
        name: The path in messages, by default `path`.
        opener: Opens `path`, and nothing else, if it is not a file of this machine.
        overview: The overview to read instead of the whole raster, 0 for the finest.

    Raises:
        DataError: (`error_class`) The file cannot be read, or has another format.
    """
    import rasterio

    expected, name = _FORMATS[driver], name or shown(path)
    options: dict[str, Any] = {} if opener is None else {"opener": opener}
    if overview is not None:
        options["overview_level"] = overview
    try:
        if name == path and opener is None:
            check_regular(Path(path), error_class=error_class)
            Path(path).open("rb").close()  # GDAL does not pass on the system's reason
        with gdal() as environment:
            if driver not in environment.drivers():
                raise error_class(
                    f"{name}: found {expected}, which GDAL cannot read here; expected its driver {driver}. "
                    "Install rasterio with pip, whose wheels have it, or convert the file to GeoTIFF."
                )
            dataset = rasterio.open(path, driver=driver, **options)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise error_class(
            f"{name}: found no readable file ({error.strerror}); expected {expected}."
        ) from error
    except UnicodeEncodeError as error:  # rasterio takes UTF-8 alone
        raise error_class(foreign_name_sentence(error) or one_line(error)) from error
    except gdal_errors() as error:
        raise error_class(
            f"{name}: found a file that is damaged or not {expected}; expected {expected}."
        ) from error
    # As a context manager, a dataset would also change GDAL's settings until it is closed.
    files.callback(dataset.close)
    return dataset


def read_raster(
    dataset: Any,
    path: str,
    window: tuple[tuple[int, int], tuple[int, int]],
    error_class: type[EuroMineError] = DataError,
    *,
    indexes: Sequence[int] | None = None,
) -> NDArray[Any]:
    """Read a window of all bands, or of those at `indexes`.

    Args:
        dataset: The open raster.
        path: Its path, for errors.
        window: `(first row, end of rows), (first column, end of columns)`.
        error_class: The error to raise.
        indexes: Bands, counted from 1.

    Returns:
        `(bands, height, width)` in the file's type.

    Raises:
        DataError: (`error_class`) The file is truncated or damaged.
    """
    with read_damage(error_class, path, window):
        return dataset.read(indexes, window=window)


def read_mask(
    dataset: Any,
    path: str,
    window: tuple[tuple[int, int], tuple[int, int]],
    error_class: type[EuroMineError] = DataError,
) -> NDArray[np.uint8]:
    """Read a window of the mask of the first band: `(height, width)` uint8, 0 without data.

    Args and errors as for `read_raster`.
    """
    with read_damage(error_class, path, window):
        return dataset.read_masks(1, window=window)


@contextmanager
def read_damage(
    error_class: type[EuroMineError], path: str, window: tuple[tuple[int, int], tuple[int, int]]
) -> Iterator[None]:
    """Report damage of a raster that is read in the block.

    Args:
        error_class: The error to raise.
        path: The raster, for errors.
        window: As for `read_raster`.

    Raises:
        DataError: (`error_class`) The file is truncated or damaged.
    """
    try:
        with gdal_environment():
            yield
    except gdal_errors() as error:
        raise error_class(
            f"{shown(path)}: found truncated or damaged data at rows {window[0][0]} to {window[0][1]}; "
            "expected a whole file."
        ) from error


def check_blocks(dataset: Any, path: str, error_class: type[EuroMineError] = DataError) -> None:
    """Refuse a raster whose header promises more than memory or time can hold, before any of it is read.

    Raises:
        DataError: (`error_class`) A side is too long, a strip or tile too large to decode, or a small file
            would expand to a huge image.
    """
    if max(dataset.width, dataset.height) > _LONGEST_SIDE:
        raise error_class(
            f"{shown(path)}: found {dataset.height} x {dataset.width} pixels; expected at most "
            f"{_LONGEST_SIDE} on a side."
        )
    rows, columns = dataset.block_shapes[0]
    block = block_bytes(dataset)
    if block > _LARGEST_BLOCK:
        bands = dataset.count if is_pixel_interleaved(dataset) else 1
        raise error_class(
            f"{shown(path)}: found blocks of {rows} x {columns} x {bands}, {block // 2**20} MB each; "
            f"expected at most {_LARGEST_BLOCK // 2**20} MB. Rewrite it with gdal_translate -co TILED=YES."
        )
    of_all_bands = rows * columns * dataset.count * _value_bytes(dataset)
    if of_all_bands > _LARGEST_BLOCKS:
        raise error_class(
            f"{shown(path)}: found blocks of {rows} x {columns}, {of_all_bands // 2**20} MB in "
            f"{dataset.count} bands; expected at most {_LARGEST_BLOCKS // 2**20} MB. Rewrite it with "
            "gdal_translate -co TILED=YES."
        )
    _check_expansion(dataset, path, error_class)


def _check_expansion(dataset: Any, path: str, error_class: type[EuroMineError]) -> None:
    """Refuse a GeoTIFF that is far larger than its file, such as a sparse or a constant one."""
    if dataset.driver != "GTiff" or not Path(path).is_file():
        return
    decoded = dataset.width * dataset.height * dataset.count * _value_bytes(dataset)
    stored = Path(path).stat().st_size
    if decoded > _ALWAYS_EXPANDED and decoded > _MOST_EXPANSION * stored:
        raise error_class(
            f"{path}: found {stored / 2**20:.3g} MB for an image of {decoded / 2**20:.0f} MB; expected at "
            f"most {_MOST_EXPANSION} times the size of the file. Cut it to the pixels with data with "
            "gdal_translate -projwin."
        )


def block_bytes(dataset: Any) -> int:
    """The size of a decoded block, the least that GDAL reads at once."""
    rows, columns = dataset.block_shapes[0]
    bands = dataset.count if is_pixel_interleaved(dataset) else 1
    return int(rows * columns * bands * _value_bytes(dataset))


def _value_bytes(dataset: Any) -> int:
    """The size of a pixel of one band."""
    return np.dtype(dataset.dtypes[0]).itemsize


@dataclass(frozen=True)
class BlockRows:
    """The blocks of a raster over its whole width.

    Attributes:
        height: Rows of the raster.
        rows: Rows of a block.
        row_bytes: Decoded bytes of one row of all bands, up to the end of the last block.
        factor: Rows of the scene per row of the raster.
        columns: Columns of a block.
        across: Blocks beside each other.
    """

    height: int
    rows: int
    row_bytes: int
    factor: int = 1
    columns: int = 1
    across: int = 1

    @classmethod
    def of(cls, dataset: Any, factor: int = 1, bands: int | None = None) -> BlockRows:
        """The blocks of an open raster, for so many of its bands; by default for all."""
        rows, columns = max(shape[0] for shape in dataset.block_shapes), dataset.block_shapes[0][1]
        count = dataset.count if bands is None or is_pixel_interleaved(dataset) else bands
        across = math.ceil(dataset.width / columns)
        row_bytes = across * columns * count * _value_bytes(dataset)
        return cls(dataset.height, rows, row_bytes, factor, columns, across)

    def touched_bytes(self, rows: int, columns: int | None = None) -> int:
        """The size of the decoded blocks that windows of so many rows of the scene touch.

        Args:
            rows: Rows of a window.
            columns: Columns of a single window; None for windows over the whole width.
        """
        touched = (math.ceil(rows / self.factor / self.rows) + 1) * self.rows
        whole = min(touched, self.height + self.rows) * self.row_bytes
        if columns is None:
            return whole
        beside = math.ceil(columns / self.factor / self.columns) + 1
        return math.ceil(whole * min(beside, self.across) / self.across)


def is_pixel_interleaved(dataset: Any) -> bool:
    """Whether a block holds all bands of the raster, not one of them."""
    return str(dataset.profile.get("interleave")).lower() == "pixel"


def crs_name(crs: Any) -> str:
    """`EPSG:4326`, or the WKT of a coordinate system that no EPSG code describes exactly."""
    from rasterio.crs import CRS

    with gdal():
        code = crs.to_epsg()
        if code is not None and CRS.from_epsg(code) == crs:
            return f"EPSG:{code}"
        return str(crs.to_wkt())


def shown(path: str) -> str:
    """A path for messages: without GDAL's syntax for files in a zip."""
    return path.removeprefix("/vsizip/{").replace("}/", "/", 1) if path.startswith("/vsizip/{") else path
