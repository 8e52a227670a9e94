"""The maps of a series' folder, read back in rows or one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from euromine.monitoring.mapping.geotiffs import BLOCK
from euromine.monitoring.scenes.grids import Grid
from euromine.support.errors import DataError
from euromine.support.rasters import open_raster, read_raster

# Bytes of arrays that a step over rows of several maps holds at once.
ROWS_MEMORY = 128 * 2**20


def row_blocks(
    folder: Path, names: Sequence[str], grid: Grid, extra_bytes: int = 0
) -> Iterator[NDArray[Any]]:
    """Rows of several maps from the top: (maps, rows, width).

    Args:
        folder: Where the maps are.
        names: Their files, one or more.
        grid: Their grid.
        extra_bytes: Bytes per pixel that the caller needs beside the maps.
    """
    per_row = (5 * len(names) + extra_bytes) * grid.width
    step = max(1, min(grid.height, ROWS_MEMORY // per_row))
    if BLOCK < step < grid.height:
        step -= step % BLOCK  # whole tiles, so that each is decoded once
    for top in range(0, grid.height, step):
        yield _stacked(folder, names, Window(0, top, grid.width, min(step, grid.height - top)))


def _stacked(folder: Path, names: Sequence[str], window: Window) -> NDArray[Any]:
    """Rows of several maps of one type, each of which is given up once it is copied."""
    found: NDArray[Any] | None = None
    for place, name in enumerate(names):
        rows = read_rows(folder / name, window)
        if found is None:
            found = np.empty((len(names), *rows.shape), rows.dtype)
        elif rows.dtype != found.dtype:
            raise DataError(
                f"{folder / name}: found {rows.dtype}; expected {found.dtype}, as in {names[0]}. Move it "
                "elsewhere, and run `euromine series` again."
            )
        found[place] = rows
    assert found is not None
    return found


def read_rows(path: Path, window: Window) -> NDArray[Any]:
    """The rows of a window over a map's whole width, (rows, width)."""
    top = int(window.row_off)
    return _read(path, top, top + int(window.height))


def _read(path: Path, top: int, bottom: int | None) -> NDArray[Any]:
    """Whole rows of a map; None for those to its end."""
    with ExitStack() as files:
        dataset = open_raster(str(path), files, DataError)
        rows = (top, dataset.height if bottom is None else bottom)
        return read_raster(dataset, str(path), (rows, (0, dataset.width)), DataError)[0]


class MapFile:
    """A map (height, width) of a folder whose rows are read when they are sliced: `file[top:bottom]`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return _read(self._path, rows.start or 0, rows.stop)


class MapFiles(Sequence[NDArray[np.uint8]]):
    """Maps (height, width) of a folder, each read when it is indexed."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._paths = [folder / name for name in names]

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Any) -> Any:
        return _read(self._paths[index], 0, None)

    def read_rows(self, index: int, top: int, bottom: int) -> NDArray[Any]:
        """Rows of a map, (bottom - top, width)."""
        return _read(self._paths[index], top, bottom)
