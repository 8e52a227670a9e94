"""Reading windows of cloud-optimised GeoTIFFs over HTTP, through every fault that passes.

GDAL repeats requests that a server refuses for the moment. It does not repeat those whose connection was
dropped, and it remembers a file that failed or was missing for as long as the process lives. So the file is
closed, forgotten and opened again.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import SceneError, one_line
from euromine.support.rasters import check_blocks, gdal_errors

from .catalogues import missing_acquire, signed_link
from .scene_items import RefusedItemError, SceneItem
from .site_grids import PIXEL, SiteGrid

Result = TypeVar("Result")

_TRIES = 6
_PAUSE = 0.25  # seconds before the second try, doubled before each further one
_LARGEST_RASTER = 2**31
_TYPES = ("uint8", "uint16", "int16", "float32")

_HTTP_OPTIONS: dict[str, Any] = {
    "GDAL_HTTP_MAX_RETRY": 5,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    "GDAL_HTTP_TIMEOUT": 120,
    "GDAL_HTTP_CONNECTTIMEOUT": 15,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 100,
    "GDAL_HTTP_LOW_SPEED_TIME": 30,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": True,
    "GDAL_INGESTED_BYTES_AT_OPEN": 32_768,  # the header of a scene in one request
    "CPL_VSIL_CURL_USE_HEAD": False,
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",
    # As for every raster of unknown origin: no files beside it, and damage is an error.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": False,
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GTIFF_IGNORE_READ_ERRORS": False,
}


@dataclass(frozen=True)
class RemoteFile:
    """A file of an item.

    Attributes:
        item: The item's name, for errors.
        band: Such as "B02".
        link: Where it is, unsigned.
        needs_signature: Whether the link has to be signed.
    """

    item: str
    band: str
    link: str
    needs_signature: bool

    @classmethod
    def of(cls, item: SceneItem, band: str) -> RemoteFile:
        """The file of a band of an item."""
        return cls(item.id, band, item.links[band], item.needs_signature)

    def __str__(self) -> str:
        return f"{self.item} {self.band}"


def read_on_grid(file: RemoteFile, grid: SiteGrid, factor: int = 1) -> NDArray[Any]:
    """Read the pixels of a grid, each the nearest of the file.

    Files on the tiles' own lattice are copied, larger pixels repeated; files of another zone are warped.

    Args:
        file: With one band.
        grid: Of 10 m pixels.
        factor: Read pixels this many times larger, 2 for those of 20 m.

    Returns:
        `(height / factor, width / factor)` in the file's type, 0 outside of the file; in floats, NaN there.

    Raises:
        RefusedItemError: The server does not have the file, or it is damaged or no file of a scene.
        OSError: The server does not answer, or gives no access.
    """
    return _with_retries(file, lambda dataset: _read(dataset, grid, factor))


def window_bytes(file: RemoteFile, grid: SiteGrid) -> int:
    """The bytes of the compressed blocks that a grid touches, from the file's header.

    Args and errors as for `read_on_grid`.
    """
    return _with_retries(file, lambda dataset: _blocks_under(dataset, grid))


def _with_retries(file: RemoteFile, work: Callable[[Any], Result]) -> Result:
    reason: Exception | None = None
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE * 2 ** (attempt - 1))
        try:
            with ExitStack() as open_files:
                return work(_open(file, open_files))
        except gdal_errors() as error:
            reason = error
    raise _failure(file, reason) from reason


def _open(file: RemoteFile, open_files: ExitStack) -> Any:
    import rasterio
    from rasterio.session import DummySession

    link = signed_link(file.link, file.needs_signature)
    open_files.enter_context(rasterio.Env(session=DummySession(), **_HTTP_OPTIONS))
    dataset = open_files.enter_context(rasterio.open(f"/vsicurl/{link}", driver="GTiff"))
    _check(dataset, file)
    return dataset


def _check(dataset: Any, file: RemoteFile) -> None:
    if dataset.count != 1 or dataset.dtypes[0] not in _TYPES:
        raise RefusedItemError(
            f"{file}: found {dataset.count} bands of {dataset.dtypes[0]}; expected one band of a scene.",
            item=file.item,
        )
    if dataset.height * dataset.width > _LARGEST_RASTER:
        raise RefusedItemError(
            f"{file}: found a header of {dataset.height} x {dataset.width} pixels; expected those of a "
            "scene.",
            item=file.item,
        )
    a, b, _, d, e, _ = dataset.transform[:6]
    if not dataset.crs or b or d or a <= 0 or a != -e:
        raise RefusedItemError(
            f"{file}: found no place on a map, as in radar geometry; expected square pixels in a coordinate "
            "system.",
            item=file.item,
        )
    _check_blocks(dataset, file)


def _check_blocks(dataset: Any, file: RemoteFile) -> None:
    try:
        check_blocks(dataset, str(file), SceneError)
    except SceneError as error:
        raise RefusedItemError(str(error), item=file.item) from error


def _read(dataset: Any, grid: SiteGrid, factor: int) -> NDArray[Any]:
    place = _lattice_place(dataset, grid)
    if place is None:
        return _warped(dataset, grid, factor)
    size, left, top = place
    target = PIXEL * factor
    rows, columns = grid.height * PIXEL, grid.width * PIXEL
    first_row, end_row = top // size, math.ceil((top + rows) / size)
    first_column, end_column = left // size, math.ceil((left + columns) / size)
    found = _read_padded(dataset, first_row, end_row, first_column, end_column)
    if size > target:
        found = found.repeat(size // target, axis=0).repeat(size // target, axis=1)
        above, before = (top - first_row * size) // target, (left - first_column * size) // target
        return found[above : above + rows // target, before : before + columns // target]
    step = target // size
    return found[step // 2 :: step, step // 2 :: step] if step > 1 else found


def _lattice_place(dataset: Any, grid: SiteGrid) -> tuple[int, int, int] | None:
    """Side of a file's pixels, and the grid's left and top from the file's corner, all in whole metres.

    None for a file of another coordinate system, or whose pixels do not line up with the grid's.
    """
    size, _, left, _, _, top = dataset.transform[:6]
    if dataset.crs.to_epsg() != grid.epsg or size not in (10, 20, 60) or left % 10 or top % 10:
        return None
    right_of, below = grid.left - int(left), int(top) - grid.top
    if size < 60 and (right_of % size or below % size):
        return None
    return int(size), right_of, below


def _read_padded(
    dataset: Any, first_row: int, end_row: int, first_column: int, end_column: int
) -> NDArray[Any]:
    """Rows and columns of a file, also beyond its borders."""
    top, bottom = max(first_row, 0), min(end_row, dataset.height)
    left, right = max(first_column, 0), min(end_column, dataset.width)
    shape = (end_row - first_row, end_column - first_column)
    empty = np.nan if dataset.dtypes[0] == "float32" else 0
    if top >= bottom or left >= right:
        return np.full(shape, empty, dataset.dtypes[0])
    found = dataset.read(1, window=((top, bottom), (left, right)))
    if found.shape == shape:
        return found
    padded = np.full(shape, empty, found.dtype)
    padded[top - first_row : bottom - first_row, left - first_column : right - first_column] = found
    return padded


def _warped(dataset: Any, grid: SiteGrid, factor: int) -> NDArray[Any]:
    from affine import Affine
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    side = PIXEL * factor
    empty = np.nan if dataset.dtypes[0] == "float32" else 0
    with WarpedVRT(
        dataset,
        crs=grid.crs,
        transform=Affine(side, 0, grid.left, 0, -side, grid.top),
        width=grid.width // factor,
        height=grid.height // factor,
        resampling=Resampling.nearest,
        src_nodata=empty if dataset.nodata is None else dataset.nodata,
        nodata=empty,
    ) as warped:
        return warped.read(1)


def _blocks_under(dataset: Any, grid: SiteGrid) -> int:
    from rasterio.warp import transform_bounds

    bounds = (grid.left, grid.top - PIXEL * grid.height, grid.left + PIXEL * grid.width, grid.top)
    left, bottom, right, top = transform_bounds(grid.crs, dataset.crs, *bounds)
    rows, columns = dataset.block_shapes[0]
    a, _, c, _, _, f = dataset.transform[:6]
    across = range(
        max(int((left - c) / a), 0) // columns, math.ceil(min((right - c) / a, dataset.width) / columns)
    )
    down = range(max(int((f - top) / a), 0) // rows, math.ceil(min((f - bottom) / a, dataset.height) / rows))
    sizes = (
        dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=1)
        for row in down
        for column in across
    )
    return sum(int(size) for size in sizes if size)


def _failure(file: RemoteFile, reason: Exception | None) -> Exception:
    """The error for a file that could not be read in any of the tries, by what its server says of it."""
    try:
        import requests
    except ImportError as error:
        return missing_acquire(error)
    link = signed_link(file.link, file.needs_signature)
    host = urlsplit(file.link).netloc
    try:
        with requests.get(link, headers={"Range": "bytes=0-0"}, stream=True, timeout=30) as answer:
            status = answer.status_code
    except requests.RequestException as error:
        return OSError(
            f"{file}: {host} does not answer ({type(error).__name__}). Run the same command again to resume."
        )
    if status in (404, 410):
        return RefusedItemError(
            f"{file}: found no such file at {host} ({status}); expected what its catalogue lists.",
            item=file.item,
        )
    if status in (401, 403):
        advice = " Set PC_SDK_SUBSCRIPTION_KEY to a key of your own." if file.needs_signature else ""
        return OSError(f"{file}: {host} gives no access ({status}).{advice}")
    if status < 400:
        words = re.sub(r"/vsicurl/\S*", "the file", one_line(reason) if reason else "")
        return RefusedItemError(
            f"{file}: found a file that is damaged or no GeoTIFF ({words[:100]}); expected a whole GeoTIFF.",
            item=file.item,
        )
    return OSError(
        f"{file}: {host} does not give out the file ({status}). Run the same command again to resume."
    )
