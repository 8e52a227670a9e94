"""Grids in Web Mercator, the projection of maps on the web: whole sites and tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from affine import Affine

from euromine.monitoring.history.manifest import Manifest

from .site_documents import degree_bounds, frame_of

MERCATOR = "EPSG:3857"
_RADIUS = 6_378_137.0
_HALF = math.pi * _RADIUS
# The square world of tiles ends here.
_MOST_LATITUDE = 85.05112877980659
_TILE = 256
MOST_ZOOM = 22


@dataclass(frozen=True)
class MercatorGrid:
    """A grid of pixels in Web Mercator.

    Attributes:
        left: Its left edge in m, beyond -20,037,508 m across the antimeridian.
        bottom: Its lower edge.
        right: Its right edge.
        top: Its upper edge.
        width: Columns.
        height: Rows.
    """

    left: float
    bottom: float
    right: float
    top: float
    width: int
    height: int

    @property
    def transform(self) -> Affine:
        """Maps (column, row) to metres."""
        across, down = (self.right - self.left) / self.width, (self.top - self.bottom) / self.height
        return Affine(across, 0, self.left, 0, -down, self.top)

    @property
    def degrees(self) -> list[float]:
        """West, south, east and north."""
        south, north = (_latitude(y) for y in (self.bottom, self.top))
        return [math.degrees(self.left / _RADIUS), south, math.degrees(self.right / _RADIUS), north]

    def fitting(self, longest: int) -> MercatorGrid:
        """The same ground in at most so many pixels on a side."""
        share = min(1.0, longest / max(self.width, self.height))
        return self.sized(max(1, round(self.width * share)), max(1, round(self.height * share)))

    def squared(self, longest: int) -> MercatorGrid:
        """The same ground in square pixels, so many on the longer side."""
        across, down = self.right - self.left, self.top - self.bottom
        side = max(across, down) / longest
        return self.sized(max(1, round(across / side)), max(1, round(down / side)))

    def sized(self, width: int, height: int) -> MercatorGrid:
        """The same ground in so many columns and rows."""
        return MercatorGrid(self.left, self.bottom, self.right, self.top, width, height)

    def touches(self, other: MercatorGrid) -> bool:
        """Whether two grids share ground."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )


def site_grid(manifest: Manifest) -> MercatorGrid:
    """The ground of a series, in pixels as large as its own."""
    west, south, east, north = degree_bounds(manifest)
    if east < west:
        west -= 360
    left, right = (_RADIUS * math.radians(longitude) for longitude in (west, east))
    bottom, top = (_northing(latitude) for latitude in (south, north))
    frame = frame_of(manifest)
    stretch = 1 / math.cos(math.radians(min(abs(frame.center[1]), _MOST_LATITUDE)))
    width = max(1, round((right - left) / (frame.pixel_width * stretch)))
    height = max(1, round((top - bottom) / (frame.pixel_height * stretch)))
    return MercatorGrid(left, bottom, right, top, width, height)


def tile_grid(zoom: int, column: int, row: int, side: int = _TILE) -> MercatorGrid:
    """A tile of the web's scheme (XYZ): row 0 is the northernmost.

    Args:
        zoom: 0 for the whole world in one tile.
        column: x, 0 to 2^zoom - 1; negative across the antimeridian.
        row: y.
        side: Pixels on a side.
    """
    size = 2 * _HALF / 2**zoom
    left, top = column * size - _HALF, _HALF - row * size
    return MercatorGrid(left, top - size, left + size, top, side, side)


def tile_at(zoom: int, longitude: float, latitude: float) -> tuple[int, int]:
    """Column and row of the tile at a place in degrees."""
    size = 2 * _HALF / 2**zoom
    x, y = _RADIUS * math.radians(longitude) + _HALF, _HALF - _northing(latitude)
    return math.floor(x / size), math.floor(y / size)


def native_zoom(grid: MercatorGrid) -> int:
    """The least zoom whose tiles of 256 pixels are at least as fine as a grid."""
    pixel = min((grid.right - grid.left) / grid.width, (grid.top - grid.bottom) / grid.height)
    return min(MOST_ZOOM, max(0, math.ceil(math.log2(2 * _HALF / _TILE / pixel) - 0.05)))


def _northing(latitude: float) -> float:
    clipped = max(-_MOST_LATITUDE, min(_MOST_LATITUDE, latitude))
    return _RADIUS * math.log(math.tan(math.pi / 4 + math.radians(clipped) / 2))


def _latitude(northing: float) -> float:
    return math.degrees(2 * math.atan(math.exp(northing / _RADIUS)) - math.pi / 2)
