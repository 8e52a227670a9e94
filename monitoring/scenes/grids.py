"""The pixel grid of a raster: coordinate reference system, transform and size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from euromine.support.errors import GridError
from euromine.support.ground_areas import pixel_areas
from euromine.support.rasters import crs_name

# In pixels. Exporters round transforms differently; a larger shift would show.
_LARGEST_SHIFT = 0.1


@dataclass(frozen=True)
class Grid:
    """The pixel grid of a raster.

    Attributes:
        crs: Coordinate reference system.
        transform: Maps (column, row) to coordinates, (0, 0) to the outer corner of the first pixel.
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
        """Keyword arguments with which `rasterio.open` creates a raster on this grid."""
        return {"crs": self.crs, "transform": self.transform, "width": self.width, "height": self.height}

    def window(self, window: Window) -> Grid:
        """The grid of a window of this raster."""
        shifted = self.transform @ Affine.translation(window.col_off, window.row_off)
        return Grid(self.crs, shifted, int(window.width), int(window.height))

    def pixel_side(self) -> float | None:
        """The side in m of a square with the ground area of the middle pixel; None if unknown."""
        column, row = self.width // 2, self.height // 2
        a, b, c, d, e, f = tuple(self.transform)[:6]
        middle = (a, b, a * column + b * row + c, d, e, d * column + e * row + f)
        try:
            return math.sqrt(pixel_areas(crs_name(self.crs), middle, 1, 1).rows(0, 1)[0, 0])
        except GridError:
            return None

    def pixel_sides(self) -> tuple[float, float]:
        """Height and width of the middle pixel on the ground in m.

        Raises:
            GridError: The grid has no ground areas.
        """
        a, b, _, d, e, f = tuple(self.transform)[:6]
        down, across = math.hypot(b, e), math.hypot(a, d)
        if self.crs.is_geographic:
            latitude = self.crs.units_factor[1] * (d * self.width / 2 + e * self.height / 2 + f)
            across *= math.cos(latitude)
        side = self.pixel_side()
        if side is None:
            raise GridError("grid: found no ground areas; expected a coordinate system on the Earth.")
        scale = side / math.sqrt(down * across)
        return down * scale, across * scale

    def shift(self, other: Grid) -> tuple[int, int] | None:
        """The offset of another grid in whole pixels of this one.

        Returns:
            (row, column) of the other grid's first pixel, negative if it lies before this grid's; None if the
            coordinate systems or pixel sizes differ, or the pixels do not coincide.
        """
        if self.crs != other.crs:
            return None
        to_pixels = ~self.transform @ other.transform
        column, row = round(to_pixels.c), round(to_pixels.f)
        for corner in ((0, 0), (other.width, 0), (0, other.height), (other.width, other.height)):
            x, y = to_pixels @ corner
            apart = max(abs(x - corner[0] - column), abs(y - corner[1] - row))
            if not apart <= _LARGEST_SHIFT:
                return None
        return row, column

    def __str__(self) -> str:
        x, y = self.transform @ (0, 0)
        size = math.hypot(self.transform.a, self.transform.d)
        return (
            f"{self.height} x {self.width} pixels of {size:g} in {crs_name(self.crs)[:40]} "
            f"from {x:.10g}, {y:.10g}"
        )
