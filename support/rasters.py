"""Opening GeoTIFFs of other people: by the driver's name, without the files beside them, in little memory."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CACHE_BYTES = 256 * 2**20
"""GDAL's cache of decoded blocks where nobody asks for more or less: by default it takes a twentieth of the
machine's memory."""

# GDAL decodes a strip or tile as a whole, so a larger one would break every bound on memory.
_LARGEST_BLOCK = 256 * 2**20

# A raster may refer GDAL to other files: beside it (.aux.xml, .ovr, .msk, world files) none is looked for.
# Damaged data is an error whatever the environment says.
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
    """GDAL that reads the file it is given and no other, and looks for no credentials."""
    from rasterio.errors import NotGeoreferencedWarning

    with _environment(), warnings.catch_warnings():
        # Labels are published without georeferencing.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextmanager
def gdal_cache(cache_bytes: int) -> Iterator[None]:
    """Room in GDAL's cache of decoded blocks for a raster that is read or written meanwhile.

    The cache is one for all threads; its size is the sum of what is asked for at a time.
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
    """The settings alone: what Python warns of belongs to all threads, a reading one must not change it."""
    import rasterio
    from rasterio.session import DummySession

    # Setting the size takes blocks from the cache, so those who have asked for room keep it.
    size = {} if _reserved else {"GDAL_CACHEMAX": CACHE_BYTES}
    return rasterio.Env(session=DummySession(), **size, **_GDAL_OPTIONS)


def gdal_errors() -> tuple[type[Exception], ...]:
    """What reading and writing a raster may raise."""
    from rasterio._err import (
        CPLE_BaseError,
    )  # some of GDAL's errors reach Python bare, and have no public name
    from rasterio.errors import RasterioError

    return (OSError, RasterioError, CPLE_BaseError)


def open_raster(path: str, files: ExitStack, error_class: type[ValueError] = ValueError) -> Any:
    """An open GeoTIFF, closed with `files`.

    Naming the driver matters: a VRT renamed .tif could read any file of the machine.

    Args:
        path: As GDAL takes it: a file, or one in a zip (`/vsizip/...`).
        files: Closes it.
        error_class: What to raise.

    Raises:
        ValueError: (`error_class`) It cannot be read, or is no GeoTIFF.
    """
    import rasterio

    try:
        if not path.startswith("/vsizip/"):
            Path(path).open("rb").close()  # for the system's own words on why not
        with gdal():
            dataset = rasterio.open(path, driver="GTiff")
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise error_class(f"{shown(path)}: cannot be read ({error.strerror}); expected a GeoTIFF.") from error
    except gdal_errors() as error:
        raise error_class(f"{shown(path)}: is no GeoTIFF, or a damaged one; expected a GeoTIFF.") from error
    # Entered as a context, a dataset would change GDAL's settings until the end of the scene.
    files.callback(dataset.close)
    return dataset


def read_raster(
    dataset: Any,
    path: str,
    window: tuple[tuple[int, int], tuple[int, int]],
    error_class: type[ValueError] = ValueError,
    *,
    indexes: Sequence[int] | None = None,
) -> NDArray[Any]:
    """A window of all bands, or of those at `indexes`, counted from 1.

    Args:
        dataset: The open raster.
        path: Its path, for errors.
        window: `(first row, end of rows), (first column, end of columns)`.
        error_class: What to raise.
        indexes: Bands, counted from 1.

    Returns:
        `(bands, height, width)` in the file's type.

    Raises:
        ValueError: (`error_class`) The file is truncated or damaged.
    """
    try:
        with _environment():
            return dataset.read(indexes, window=window)
    except gdal_errors() as error:
        raise error_class(
            f"{shown(path)}: cannot be read at rows {window[0][0]} to {window[0][1]}, so it is truncated or "
            f"damaged; expected a whole GeoTIFF."
        ) from error


def check_blocks(dataset: Any, path: str, error_class: type[ValueError] = ValueError) -> None:
    """Refuse, before anything is read, a raster whose strips or tiles are too large to decode.

    Raises:
        ValueError: (`error_class`) They are.
    """
    block = block_bytes(dataset)
    if block > _LARGEST_BLOCK:
        rows, columns = dataset.block_shapes[0]
        bands = dataset.count if is_pixel_interleaved(dataset) else 1
        raise error_class(
            f"{shown(path)}: is stored in blocks of {rows} x {columns} x {bands}, {block // 2**20} MB each; "
            f"expected at most {_LARGEST_BLOCK // 2**20} MB (gdal_translate -co TILED=YES writes small ones)."
        )


def block_bytes(dataset: Any) -> int:
    """How much GDAL decodes at once."""
    rows, columns = dataset.block_shapes[0]
    bands = dataset.count if is_pixel_interleaved(dataset) else 1
    return int(rows * columns * bands * np.dtype(dataset.dtypes[0]).itemsize)


def is_pixel_interleaved(dataset: Any) -> bool:
    """Whether a block of a raster holds all of its bands."""
    return str(dataset.profile.get("interleave")).lower() == "pixel"


def crs_name(crs: Any) -> str:
    """`EPSG:4326`, or the WKT of a system that no code describes exactly."""
    from rasterio.crs import CRS

    with gdal():
        code = crs.to_epsg()
        if code is not None and CRS.from_epsg(code) == crs:
            return f"EPSG:{code}"
        return str(crs.to_wkt())


def shown(path: str) -> str:
    """A path as a person knows it: without GDAL's marks around a zip."""
    return path.removeprefix("/vsizip/{").replace("}/", "/", 1) if path.startswith("/vsizip/{") else path
