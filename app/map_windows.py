"""Windows of a series' maps."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.history.folder import SeriesFolder
from euromine.monitoring.mapping.map_values import NODATA
from euromine.support.errors import DataError
from euromine.support.rasters import check_blocks, gdal_cache, open_raster, read_raster

# Each tile is read once, so GDAL need not keep many of them.
_CACHE_BYTES = 16 * 2**20

Span = tuple[tuple[int, int], tuple[int, int]]
"""`(first row, end of rows), (first column, end of columns)`."""


class MapWindows:
    """The maps of a series, opened when a window is first asked for, and closed together.

    Use it in a `with` statement, in one thread.

    Args:
        series: The series.
    """

    def __init__(self, series: SeriesFolder) -> None:
        self._series = series
        self._files = ExitStack()
        self._open: dict[str, Any] = {}

    def __enter__(self) -> MapWindows:
        self._files.enter_context(gdal_cache(_CACHE_BYTES))
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def has(self, name: str) -> bool:
        """Whether the series has a map of this name."""
        return name in self._series.manifest.files

    def bands(self, name: str) -> tuple[str, ...]:
        """The names of a map's bands.

        Raises:
            DataError: The map is missing or damaged.
        """
        return tuple(each or "" for each in self._dataset(name).descriptions)

    def read(self, name: str, span: Span) -> NDArray[Any]:
        """A window of all bands, (bands, height, width).

        Raises:
            DataError: The map is missing, damaged, or on another grid.
        """
        return read_raster(self._dataset(name), str(self._series.path / name), span, DataError)

    def codes(self, name: str, span: Span) -> NDArray[np.uint8]:
        """A window of a map of classes (height, width): 255 everywhere where the series has no such map."""
        if self.has(name):
            return np.asarray(self.read(name, span)[0], np.uint8)
        (top, bottom), (left, right) = span
        return np.full((bottom - top, right - left), NODATA, np.uint8)

    def _dataset(self, name: str) -> Any:
        if name not in self._open:
            path = self._series.file(name)
            dataset = open_raster(str(path), self._files, DataError)
            check_blocks(dataset, str(path), DataError)
            manifest = self._series.manifest
            if dataset.shape != (manifest.height, manifest.width):
                raise DataError(
                    f"{path}: found {dataset.height} x {dataset.width} pixels; expected "
                    f"{manifest.height} x {manifest.width}. Run `euromine series` again."
                )
            self._open[name] = dataset
        return self._open[name]
