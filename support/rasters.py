"""Safe reading of GeoTIFFs from unknown sources: one driver, no files beside the raster, bounded memory."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, EuroMineError
from .files import check_regular

CACHE_BYTES = 256 * 2**20
"""Size of GDAL's cache of decoded blocks unless `gdal_cache` reserves more; GDAL's default is a twentieth of
the machine's memory."""

# GDAL decodes strips and tiles as a whole, so their size bounds the memory that any window takes.
_LARGEST_BLOCK = 256 * 2**20

# No .aux.xml, .ovr, .msk or world file beside a raster is read. Damaged data is an error, whatever the user's
# environment variables set.
_GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": False,
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GTIFF_IGNORE_READ_ERRORS": False,
}

_reserving = threading.Lock()
_reserved = 0
_unreserved = 0


@contextmanager
def gdal() -> Iterator[None]:
    """Settings under which GDAL reads the given file only and looks for no credentials."""
    from rasterio.errors import NotGeoreferencedWarning

    with _environment(), warnings.catch_warnings():
        # The archive's labels have no georeferencing.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextmanager
def gdal_cache(cache_bytes: int) -> Iterator[None]:
    """Reserve room in GDAL's cache of decoded blocks for a raster that is read or written in the block.

    All threads share one cache, whose size is the sum of the current reservations.
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
        set_gdal_config("GDAL_CACHEMAX", _reserved or _unreserved)


def _environment() -> Any:
    """The settings without the warning filter, which is shared by all threads and must not change in one."""
    import rasterio
    from rasterio.session import DummySession

    # Setting the size would evict blocks of those who reserved room.
    size = {} if _reserved else {"GDAL_CACHEMAX": CACHE_BYTES}
    return rasterio.Env(session=DummySession(), **size, **_GDAL_OPTIONS)


def gdal_errors() -> tuple[type[Exception], ...]:
    """The errors that reading or writing a raster may raise."""
    # Some of GDAL's errors reach Python unwrapped, and their class has no public name.
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    return (OSError, RasterioError, CPLE_BaseError)


def open_raster(path: str, files: ExitStack, error_class: type[EuroMineError] = DataError) -> Any:
    """Open a GeoTIFF that `files` closes.

    The driver is fixed to GTiff: a VRT renamed to .tif could read any file of the machine.

    Args:
        path: As GDAL takes it: a file, or one in a zip (`/vsizip/...`).
        files: Closes the raster.
        error_class: The error to raise.

    Raises:
        DataError: (`error_class`) The file cannot be read, or is not a GeoTIFF.
    """
    import rasterio

    try:
        if not path.startswith("/vsizip/"):
            check_regular(Path(path), error_class=error_class)
            Path(path).open("rb").close()  # GDAL does not pass on the system's reason
        with gdal():
            dataset = rasterio.open(path, driver="GTiff")
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise error_class(
            f"{shown(path)}: found no readable file ({error.strerror}); expected a GeoTIFF."
        ) from error
    except gdal_errors() as error:
        raise error_class(
            f"{shown(path)}: found a file that is damaged or not a GeoTIFF; expected a GeoTIFF."
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
    with _damage_as(error_class, path, window):
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
    with _damage_as(error_class, path, window):
        return dataset.read_masks(1, window=window)


@contextmanager
def _damage_as(
    error_class: type[EuroMineError], path: str, window: tuple[tuple[int, int], tuple[int, int]]
) -> Iterator[None]:
    try:
        with _environment():
            yield
    except gdal_errors() as error:
        raise error_class(
            f"{shown(path)}: found truncated or damaged data at rows {window[0][0]} to {window[0][1]}; "
            "expected a whole GeoTIFF."
        ) from error


def check_blocks(dataset: Any, path: str, error_class: type[EuroMineError] = DataError) -> None:
    """Refuse a raster whose strips or tiles are too large to decode, before any is read.

    Raises:
        DataError: (`error_class`) They are too large.
    """
    block = block_bytes(dataset)
    if block > _LARGEST_BLOCK:
        rows, columns = dataset.block_shapes[0]
        bands = dataset.count if is_pixel_interleaved(dataset) else 1
        raise error_class(
            f"{shown(path)}: found blocks of {rows} x {columns} x {bands}, {block // 2**20} MB each; "
            f"expected at most {_LARGEST_BLOCK // 2**20} MB. Rewrite it with gdal_translate -co TILED=YES."
        )


def block_bytes(dataset: Any) -> int:
    """The size of a decoded block, the least that GDAL reads at once."""
    rows, columns = dataset.block_shapes[0]
    bands = dataset.count if is_pixel_interleaved(dataset) else 1
    return int(rows * columns * bands * np.dtype(dataset.dtypes[0]).itemsize)


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
