"""Read windows of cloud-optimised GeoTIFFs on servers by nearest-neighbour resampling."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import SceneError
from euromine.support.ranged_requests import RangedReader
from euromine.support.rasters import check_blocks, gdal_environment, gdal_errors

from .ranged_files import RangedFile
from .scene_items import RefusedItemError, SceneItem
from .site_grids import PIXEL, SiteGrid

_LARGEST_RASTER = 2**31
_TYPES = ("uint8", "uint16", "int16", "float32")
_NAME = "remote.tif"
# Pixels around a warped window whose blocks are read, too.
_WARP_MARGIN = 4


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
        file: A file with one band.
        grid: Of 10 m pixels.
        factor: Read pixels this many times larger, 2 for those of 20 m.

    Returns:
        `(height / factor, width / factor)` in the file's type, 0 outside of the file; in floats, NaN there.

    Raises:
        RefusedItemError: The server does not have the file, or it is damaged or no file of a scene.
        OSError: The server does not answer, or denies access.
    """
    with _opened(file) as (dataset, ranged):
        return _read(dataset, ranged, grid, factor)


def window_bytes(file: RemoteFile, grid: SiteGrid) -> int:
    """The size of the compressed blocks that a grid touches, from the file's header.

    Args and errors as for `read_on_grid`.
    """
    with _opened(file) as (dataset, _):
        return sum(length for row in _blocks(dataset, grid) for _, length in row)


@contextmanager
def _opened(file: RemoteFile) -> Iterator[tuple[Any, RangedFile]]:
    """Open a file for the block, in which errors of GDAL become `RefusedItemError` or the server's error."""
    import rasterio

    ranged = RangedFile(str(file), file.item, file.link, file.needs_signature)

    def opener(path: str, mode: str = "rb", **_: Any) -> RangedReader:
        # rasterio tries an opener with the name "test".
        if path not in (_NAME, "test") or "r" not in mode:
            raise FileNotFoundError(path)
        return RangedReader(ranged)

    try:
        with gdal_environment(), ExitStack() as open_files:
            dataset = rasterio.open(_NAME, driver="GTiff", opener=opener)
            open_files.callback(dataset.close)
            _check(dataset, file)
            yield dataset, ranged
    except gdal_errors() as error:
        if ranged.failure is not None:
            raise ranged.failure from error
        if not isinstance(error, _gdal_alone()):
            raise
        raise RefusedItemError(
            f"{file}: found a file that is damaged or no GeoTIFF; expected a whole GeoTIFF.", item=file.item
        ) from error


def _gdal_alone() -> tuple[type[Exception], ...]:
    """GDAL's own errors, without those of the system such as a server that does not answer."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    return (RasterioError, CPLE_BaseError)


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


def _read(dataset: Any, ranged: RangedFile, grid: SiteGrid, factor: int) -> NDArray[Any]:
    place = _lattice_place(dataset, grid)
    if place is None:
        ranged.prefetch(each for row in _blocks(dataset, grid) for each in row)
        return _warped(dataset, grid, factor)
    size, left, top = place
    target = PIXEL * factor
    rows, columns = grid.height * PIXEL, grid.width * PIXEL
    first_row, end_row = top // size, math.ceil((top + rows) / size)
    first_column, end_column = left // size, math.ceil((left + columns) / size)
    found = _read_padded(dataset, ranged, first_row, end_row, first_column, end_column)
    if size > target:
        found = found.repeat(size // target, axis=0).repeat(size // target, axis=1)
        above, before = (top - first_row * size) // target, (left - first_column * size) // target
        return found[above : above + rows // target, before : before + columns // target]
    step = target // size
    return found[step // 2 :: step, step // 2 :: step] if step > 1 else found


def _lattice_place(dataset: Any, grid: SiteGrid) -> tuple[int, int, int] | None:
    """Size of a file's pixels, and the grid's left and top from the file's corner, all in whole metres.

    None for a file of another coordinate system, or whose pixels do not align with the grid's.
    """
    size, _, left, _, _, top = dataset.transform[:6]
    if dataset.crs.to_epsg() != grid.epsg or size not in (10, 20, 60) or left % 10 or top % 10:
        return None
    right_of, below = grid.left - int(left), int(top) - grid.top
    if size < 60 and (right_of % size or below % size):
        return None
    return int(size), right_of, below


def _read_padded(
    dataset: Any, ranged: RangedFile, first_row: int, end_row: int, first_column: int, end_column: int
) -> NDArray[Any]:
    """Read rows and columns of a file, padded beyond its borders."""
    top, bottom = max(first_row, 0), min(end_row, dataset.height)
    left, right = max(first_column, 0), min(end_column, dataset.width)
    shape = (end_row - first_row, end_column - first_column)
    found = np.full(shape, _no_data(dataset), dataset.dtypes[0])
    if top >= bottom or left >= right:
        return found
    rows, columns = dataset.block_shapes[0]
    # Row of blocks by row of blocks, so that the compressed window is never in memory as a whole.
    for start in range(top // rows * rows, bottom, rows):
        begin, end = max(start, top), min(start + rows, bottom)
        ranged.prefetch(
            _block_row(dataset, start // rows, range(left // columns, math.ceil(right / columns)))
        )
        part = found[begin - first_row : end - first_row, left - first_column : right - first_column]
        part[:] = dataset.read(1, window=((begin, end), (left, right)))
        ranged.forget()
    return found


def _warped(dataset: Any, grid: SiteGrid, factor: int) -> NDArray[Any]:
    from affine import Affine
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    side = PIXEL * factor
    empty = _no_data(dataset)
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


def _no_data(dataset: Any) -> float:
    return np.nan if dataset.dtypes[0] == "float32" else 0


def _blocks(dataset: Any, grid: SiteGrid) -> list[list[tuple[int, int]]]:
    """The compressed blocks that a grid touches, row by row."""
    from rasterio.warp import transform_bounds

    bounds = (grid.left, grid.top - PIXEL * grid.height, grid.left + PIXEL * grid.width, grid.top)
    margin = 0
    if dataset.crs.to_epsg() != grid.epsg:
        bounds, margin = transform_bounds(grid.crs, dataset.crs, *bounds), _WARP_MARGIN
    left, bottom, right, top = bounds
    rows, columns = dataset.block_shapes[0]
    a, _, c, _, _, f = dataset.transform[:6]
    across = _block_range((left - c) / a - margin, (right - c) / a + margin, dataset.width, columns)
    down = _block_range((f - top) / a - margin, (f - bottom) / a + margin, dataset.height, rows)
    return [_block_row(dataset, row, across) for row in down]


def _block_row(dataset: Any, row: int, columns: range) -> list[tuple[int, int]]:
    """Offset and length in the file of compressed blocks in one row."""
    found = []
    for column in columns:
        offset, size = (
            dataset.get_tag_item(f"BLOCK_{field}_{column}_{row}", "TIFF", bidx=1)
            for field in ("OFFSET", "SIZE")
        )
        if offset and size:  # sparse files do not store empty blocks
            found.append((int(offset), int(size)))
    return found


def _block_range(first: float, end: float, length: int, block: int) -> range:
    """The numbers of the blocks that hold a range of pixels along an axis."""
    return range(max(math.floor(first), 0) // block, math.ceil(min(end, length) / block))
