"""The parts of polygons that outlines do not cover, and the extent of such parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.polygon_measures import polygon_parts

# Corners of polygons that are cut and measured at once; each takes some 200 bytes meanwhile.
_CORNERS = 2**19


def corner_batches(frame: Any) -> Iterator[Any]:
    """Rows of a table of polygons, some at a time, and at least one."""
    import shapely

    ends = np.cumsum(shapely.get_num_coordinates(np.asarray(frame.geometry.array, dtype=object)))
    first = 0
    while first < len(frame):
        reached = ends[first - 1] if first else 0
        end = max(int(np.searchsorted(ends, reached + _CORNERS, side="right")), first + 1)
        yield frame.iloc[first:end]
        first = end


class Extent:
    """The extent of polygons, and a corner of the first of them."""

    def __init__(self) -> None:
        self._first: NDArray[np.float64] | None = None
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])

    @property
    def points(self) -> NDArray[np.float64] | None:
        """(3, 2) the first corner, and two corners of a box around all; None without polygons."""
        return None if self._first is None else np.vstack([self._first, self._bounds.reshape(2, 2)])

    def add(self, polygons: NDArray[Any]) -> None:
        """Add polygons that are not empty."""
        import shapely

        if not len(polygons):
            return
        if self._first is None:
            self._first = shapely.get_coordinates(polygons[0])[0]
        found = shapely.bounds(polygons)
        self._bounds[:2] = np.minimum(self._bounds[:2], found[:, :2].min(axis=0))
        self._bounds[2:] = np.maximum(self._bounds[2:], found[:, 2:].max(axis=0))

    def reaches_beyond(self, polygon: Any) -> bool:
        """Whether a polygon would change the extent."""
        left, bottom, right, top = polygon.bounds
        inside = self._bounds[0] <= left and self._bounds[1] <= bottom
        return not (inside and right <= self._bounds[2] and top <= self._bounds[3])


class Outlines:
    """Outlines that cover ground.

    Args:
        outlines: shapely polygons.

    Attributes:
        polygons: How many polygons have been compared with them.
        touched: Whether any of these meets an outline.
    """

    def __init__(self, outlines: NDArray[Any]) -> None:
        import shapely

        self._outlines = outlines
        self._tree = shapely.STRtree(outlines)
        self.polygons, self.touched = 0, False

    def outside(self, polygons: NDArray[Any]) -> tuple[Any, NDArray[np.intp]]:
        """The valid parts of polygons outside all outlines, and the polygon of each."""
        rest = polygons.copy()
        for place, covering in self._meeting(polygons).items():
            rest[place] = self._rest(polygons[place], covering)
        return polygon_parts(rest)

    def extend(self, extent: Extent, polygons: NDArray[Any]) -> None:
        """Add the parts of polygons outside to an extent; most polygons need not be cut for it."""
        meeting = self._meeting(polygons)
        self.polygons += len(polygons)
        self.touched |= bool(meeting)
        place = 0
        while extent.points is None and place < len(polygons):
            extent.add(self.outside(polygons[place : place + 1])[0])
            place += 1
        apart = np.ones(len(polygons), bool)
        apart[list(meeting)] = False
        extent.add(polygons[place:][apart[place:]])
        for each in meeting:
            if each >= place and extent.reaches_beyond(polygons[each]):
                extent.add(self.outside(polygons[each : each + 1])[0])

    def _meeting(self, polygons: NDArray[Any]) -> dict[int, NDArray[np.intp]]:
        """The outlines that each polygon meets, by its place, of those polygons that meet any."""
        of_polygon, of_outline = self._tree.query(polygons, predicate="intersects")
        if not len(of_polygon):
            return {}
        order = np.argsort(of_polygon, kind="stable")
        places, starts = np.unique(of_polygon[order], return_index=True)
        return dict(zip(places.tolist(), np.split(of_outline[order], starts[1:]), strict=True))

    def _rest(self, polygon: Any, covering: NDArray[np.intp]) -> Any:
        import shapely

        return shapely.difference(polygon, shapely.union_all(self._outlines[covering]))
