"""The pixels of polygons in windows of a grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from euromine.monitoring.scenes.grids import Grid


@dataclass(frozen=True, eq=False)
class PolygonMask:
    """The pixels of a window whose middles lie in a polygon.

    Attributes:
        place: The polygon's place among all.
        box: The rows and columns of the window around them.
        mask: (rows, columns) the pixels, in the box.
    """

    place: int
    box: tuple[slice, slice]
    mask: NDArray[np.bool_]

    def whole(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """The mask in its window, whose height and width are given."""
        found = np.zeros(shape, bool)
        found[self.box] = self.mask
        return found


class PolygonMasks:
    """Finds the pixels of polygons: memory grows with a window and the polygons' own boxes.

    Args:
        geometries: shapely polygons in the grid's coordinate system.
        grid: The grid.
    """

    def __init__(self, geometries: Sequence[Any], grid: Grid) -> None:
        import shapely

        self._geometries = np.asarray(geometries, dtype=object)
        self._grid = grid
        self._tree = shapely.STRtree(self._geometries)

    def of(self, window: Window) -> Iterator[PolygonMask]:
        """The pixels of each polygon that has any in a window, in their order."""
        from rasterio.features import rasterize

        part = self._grid.window(window)
        burnt = np.zeros(part.shape, np.uint8)
        for place in np.sort(self._tree.query(grid_outline(part), predicate="intersects")).tolist():
            geometry = self._geometries[place]
            # Polygons share an array: one for each would cost more than the pixels of most.
            rasterize([(geometry, 1)], out=burnt, transform=part.transform)
            box = pixel_box(geometry.bounds, part)
            mask = burnt[box] == 1
            burnt[box] = 0
            if mask.any():
                yield PolygonMask(place, box, mask)


def grid_outline(grid: Grid) -> Any:
    """The ground of a grid as a `shapely.Polygon`."""
    import shapely

    a, b, c, d, e, f = tuple(grid.transform)[:6]
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    return shapely.Polygon([(a * x + b * y + c, d * x + e * y + f) for x, y in corners])


def pixel_box(bounds: Sequence[float], grid: Grid) -> tuple[slice, slice]:
    """The rows and columns of a grid around a box of coordinates; empty ones where they do not meet.

    Args:
        bounds: Left, bottom, right, top.
        grid: The grid.
    """
    a, b, c, d, e, f = tuple(~grid.transform)[:6]
    left, bottom, right, top = bounds
    corners = [(x, y) for x in (left, right) for y in (bottom, top)]
    columns, rows = [a * x + b * y + c for x, y in corners], [d * x + e * y + f for x, y in corners]
    return _within(rows, grid.height), _within(columns, grid.width)


def _within(places: Sequence[float], length: int) -> slice:
    first, end = (min(max(each, 0), length) for each in (math.floor(min(places)), math.ceil(max(places))))
    return slice(first, end)
