"""Where a raster's pixels lie: its coordinate system, its transform and its size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from euromine.support.errors import GridError
from euromine.support.rasters import crs_name

# Scenes of one place may differ by the rounding of who exported them, never by a visible part of a pixel.
LARGEST_SHIFT = 0.1


@dataclass(frozen=True)
class Grid:
    """The pixels of a raster on the ground.

    Attributes:
        crs: The coordinate system.
        transform: Pixel (column, row) lies at `transform * (column, row)`.
        width: Columns.
        height: Rows.
    """

    crs: CRS
    transform: Affine
    width: int
    height: int

    @classmethod
    def of(cls, dataset: Any) -> Grid:
        """The grid of an open raster."""
        return cls(dataset.crs, dataset.transform, dataset.width, dataset.height)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def profile(self) -> dict[str, Any]:
        """What rasterio is told to write a raster on this grid."""
        return {"crs": self.crs, "transform": self.transform, "width": self.width, "height": self.height}

    def window(self, window: Window) -> Grid:
        """The grid of a part of this raster."""
        shifted = self.transform * Affine.translation(window.col_off, window.row_off)
        return Grid(self.crs, shifted, int(window.width), int(window.height))

    def is_same(self, other: Grid) -> bool:
        """Whether two rasters have the same pixels, but for the rounding of their exporters."""
        return self.shape == other.shape and self.shift(other) == (0, 0)

    def shift(self, other: Grid) -> tuple[int, int] | None:
        """Where the other raster begins in this one, in whole pixels.

        Returns:
            (row, column) of its first pixel, negative if it begins before this one; None if the two have
            other coordinate systems, pixels of another size or pixels that lie between each other's.
        """
        if self.crs != other.crs:
            return None
        to_pixels = ~self.transform * other.transform
        column, row = round(to_pixels.c), round(to_pixels.f)
        for corner in ((0, 0), (other.width, 0), (0, other.height), (other.width, other.height)):
            x, y = to_pixels * corner
            apart = max(abs(x - corner[0] - column), abs(y - corner[1] - row))
            if not apart <= LARGEST_SHIFT:
                return None
        return row, column

    def __str__(self) -> str:
        x, y = self.transform * (0, 0)
        size = math.hypot(self.transform.a, self.transform.d)
        return (
            f"{self.height} x {self.width} pixels of {size:g} in {crs_name(self.crs)[:40]} "
            f"from {x:.10g}, {y:.10g}"
        )


def common_grid(grids: Sequence[Grid]) -> Grid:
    """What all of several rasters cover, on the first's pixels.

    Raises:
        GridError: They have other coordinate systems or pixels, or nothing in common.
    """
    first = grids[0]
    top, left, bottom, right = 0, 0, first.height, first.width
    for grid in grids[1:]:
        if grid.crs != first.crs:
            raise GridError(
                f"one lies in {crs_name(grid.crs)} and one in {crs_name(first.crs)}; expected one coordinate "
                f"system (gdalwarp brings a scene to another's)"
            )
        shift = first.shift(grid)
        if shift is None:
            raise GridError(
                f"the pixels of one ({grid}) lie between those of another ({first}); expected one grid "
                f"(gdalwarp -tap brings scenes to one)"
            )
        top, left = max(top, shift[0]), max(left, shift[1])
        bottom, right = min(bottom, shift[0] + grid.height), min(right, shift[1] + grid.width)
        if bottom <= top or right <= left:
            raise GridError(f"one ({grid}) and another ({first}) have no pixel in common; expected one place")
    return first.window(Window(left, top, right - left, bottom - top))
