"""Bands of several rasters, read as one raster on the finest of their grids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from euromine.support.errors import SceneError
from euromine.support.rasters import BlockRows

# Of a pixel: how far corners that should coincide may lie apart.
_LARGEST_SHIFT = 0.1

Span = tuple[tuple[int, int], tuple[int, int]]
"""`(first row, end of rows), (first column, end of columns)`."""


@dataclass(frozen=True)
class StackedBand:
    """A band of a raster.

    Attributes:
        dataset: The open raster.
        index: Its place in it, counted from 1.
        shown: The raster's path in messages.
        factor: Rows and columns of the stack per row and column of the raster.
    """

    dataset: Any
    index: int
    shown: str
    factor: int = 1

    def read(self, span: Span) -> NDArray[Any]:
        """A window (height, width) on the grid of the stack: pixels of a coarser raster are repeated."""
        if self.factor == 1:
            return self.dataset.read(self.index, window=span)
        inner = tuple((begin // self.factor, math.ceil(end / self.factor)) for begin, end in span)
        values = self.dataset.read(self.index, window=inner)
        values = values.repeat(self.factor, 0).repeat(self.factor, 1)
        (top, bottom), (left, right) = span
        first_row, first_column = (begin // self.factor * self.factor for begin in (top, left))
        return np.ascontiguousarray(
            values[top - first_row : bottom - first_row, left - first_column : right - first_column]
        )


class BandStack:
    """Bands of several rasters, read like one open raster of GDAL.

    Coarser bands are repeated (nearest neighbour), so that all numbers are the files' own.

    Attributes:
        bands: The bands with their factors.
        crs: The coordinate system of all.
        transform: Of the finest grid.
        width: Columns of the finest grid.
        height: Rows of the finest grid.
    """

    def __init__(self, bands: Sequence[StackedBand]) -> None:
        """Stack bands.

        Raises:
            SceneError: They lie on grids that do not go together.
        """
        finest = min(bands, key=lambda band: abs(band.dataset.transform.determinant))
        self.crs, self.transform = finest.dataset.crs, finest.dataset.transform
        self.width, self.height = finest.dataset.width, finest.dataset.height
        self.bands = tuple(fitted(band, self, finest.shown) for band in bands)

    @property
    def count(self) -> int:
        """The number of bands."""
        return len(self.bands)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The type of each band's numbers."""
        return tuple(band.dataset.dtypes[band.index - 1] for band in self.bands)

    @property
    def blocks(self) -> tuple[BlockRows, ...]:
        """The blocks of each raster, for as many of its bands as are in the stack."""
        rasters = {id(band.dataset): band for band in self.bands}
        counts = {key: sum(id(band.dataset) == key for band in self.bands) for key in rasters}
        return tuple(BlockRows.of(band.dataset, band.factor, counts[key]) for key, band in rasters.items())

    def read(self, indexes: Sequence[int], window: Span) -> NDArray[Any]:
        """A window of some bands, as rasterio's `read`: (bands, height, width)."""
        return np.stack([self.bands[index - 1].read(window) for index in indexes])


def fitted(band: StackedBand, grid: Any, shown: str) -> StackedBand:
    """A band with its factor on a grid.

    Args:
        band: Of a raster that is as fine as the grid, or coarser by a whole number.
        grid: Has `crs`, `transform`, `width` and `height`.
        shown: The path of the raster with this grid, for errors.

    Raises:
        SceneError: The grids do not go together.
    """
    raster = band.dataset
    transform, crs = raster.transform, raster.crs
    factor = round(math.sqrt(abs(transform.determinant / grid.transform.determinant)))
    pixels: Affine = ~grid.transform @ transform @ Affine.scale(1 / max(factor, 1))
    shift = max(
        abs(a - b)
        for corner in ((0, 0), (grid.width, 0), (0, grid.height), (grid.width, grid.height))
        for a, b in zip(pixels * corner, corner, strict=True)
    )
    covers = raster.width * factor >= grid.width and raster.height * factor >= grid.height
    if crs != grid.crs or not factor or not shift <= _LARGEST_SHIFT or not covers:
        raise SceneError(
            f"{band.shown}: found {raster.height} x {raster.width} pixels that do not fit those of {shown} "
            f"({grid.height} x {grid.width}); expected bands on one grid, or coarser by a whole number."
        )
    return StackedBand(raster, band.index, band.shown, factor)
