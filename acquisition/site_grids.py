"""The grid of a site: 10 m pixels in UTM, aligned to Sentinel-2's tiles and the same for all years."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from euromine.support.errors import GridError

PIXEL = 10
"""Side of a pixel in metres."""

# Tiles begin at multiples of 20 m. On a grid that does, too, no band is interpolated.
_STEP = 20
_LARGEST_SIDE = 200_000
# Corners every kilometre or so, as straight edges in degrees bend in UTM.
_CORNER_DEGREES = 0.01
_METRES_PER_DEGREE = 111_320.0


@dataclass(frozen=True)
class SiteGrid:
    """A grid of 10 m pixels in UTM.

    Attributes:
        crs: Such as "EPSG:32633".
        left: The left edge in metres, a multiple of 20.
        top: The top edge in metres, a multiple of 20.
        width: The number of columns, even.
        height: The number of rows, even.
    """

    crs: str
    left: int
    top: int
    width: int
    height: int

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Affine coefficients a, b, c, d, e, f."""
        return (float(PIXEL), 0.0, float(self.left), 0.0, -float(PIXEL), float(self.top))

    @property
    def epsg(self) -> int:
        """The EPSG code of its coordinate system."""
        return int(self.crs.removeprefix("EPSG:"))

    def part(self, top: int, left: int, height: int, width: int) -> SiteGrid:
        """The grid of some rows and columns."""
        return SiteGrid(self.crs, self.left + PIXEL * left, self.top - PIXEL * top, width, height)

    def parts(self, side: int) -> Iterator[tuple[int, int, SiteGrid]]:
        """First row, first column and grid of parts of at most `side` x `side` pixels; `side` is even."""
        for top in range(0, self.height, side):
            for left in range(0, self.width, side):
                height, width = min(side, self.height - top), min(side, self.width - left)
                yield top, left, self.part(top, left, height, width)


def search_area(outline: Any, margin: float) -> Any:
    """The box in degrees around an outline and its margin.

    Args:
        outline: A shapely geometry in degrees.
        margin: In metres.
    """
    import shapely

    west, south, east, north = outline.bounds
    high = margin / _METRES_PER_DEGREE
    wide = high / max(math.cos(math.radians(max(abs(south), abs(north)))), 0.01)
    return shapely.box(
        max(west - wide, -180), max(south - high, -90), min(east + wide, 180), min(north + high, 90)
    )


def grid_crs(area: Any, footprints: Iterable[tuple[int, Any]]) -> str:
    """The coordinate system of a site's grid.

    Args:
        area: The site with its margin, a shapely geometry in degrees.
        footprints: The EPSG code and the footprint, in degrees, of each scene.

    Returns:
        The one of most scenes that cover the whole site; without any, the UTM zone of its centre.
    """
    import shapely

    shapely.prepare(area)
    covering = Counter(epsg for epsg, footprint in footprints if shapely.covers(footprint, area))
    own = _zone(area.centroid.x, area.centroid.y)
    if not covering:
        return f"EPSG:{own}"
    most = max(covering.values())
    best = [epsg for epsg, count in covering.items() if count == most]
    return f"EPSG:{own if own in best else min(best)}"


def site_grid(outline: Any, crs: str, margin: float) -> SiteGrid:
    """The grid of an outline and its margin, extended to multiples of 20 m.

    Args:
        outline: A shapely geometry in degrees.
        crs: The grid's coordinate system, from `grid_crs`.
        margin: In metres.

    Raises:
        GridError: The grid would be too large, or the outline lies outside of the zone.
    """
    import pyproj
    import shapely

    to_zone = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    corners = shapely.get_coordinates(shapely.segmentize(outline, _CORNER_DEGREES))
    x, y = to_zone.transform(corners[:, 0], corners[:, 1])
    bounds = (min(x) - margin, min(y) - margin, max(x) + margin, max(y) + margin)
    if not all(map(math.isfinite, bounds)):
        raise GridError(
            f"geometry: found a place outside of the zone {crs}; expected a site within one UTM zone."
        )
    left, bottom = (math.floor(bound / _STEP) * _STEP for bound in bounds[:2])
    right, top = (math.ceil(bound / _STEP) * _STEP for bound in bounds[2:])
    if max(right - left, top - bottom) > _LARGEST_SIDE:
        raise GridError(
            f"geometry: found a site of {(right - left) / 1000:.0f} x {(top - bottom) / 1000:.0f} km; "
            f"expected at most {_LARGEST_SIDE // 1000} km a side. Divide it into several sites; "
            "`euromine acquire --sites FILE` makes one of each feature."
        )
    return SiteGrid(crs, left, top, (right - left) // PIXEL, (top - bottom) // PIXEL)


def _zone(longitude: float, latitude: float) -> int:
    """The EPSG code of the UTM zone of a place, with the wider zones of Norway and Svalbard."""
    zone = min(int((longitude + 180) // 6) + 1, 60)
    if 56 <= latitude < 64 and 3 <= longitude < 12:
        zone = 32
    elif latitude >= 72 and 0 <= longitude < 42:
        zone = 31 + 2 * int((longitude + 3) // 12)
    return (32600 if latitude >= 0 else 32700) + zone
