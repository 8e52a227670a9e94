"""The frame of a map: its size on the ground, north, coordinates along its edges, a scale bar."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .ticks import nice_step, step_decimals

_WGS84 = "EPSG:4326"
# WGS 84: semi-major axis in metres and first eccentricity squared.
_SEMI_MAJOR, _ECCENTRICITY_2 = 6_378_137.0, 0.00669437999014
_EDGE_SAMPLES = 65


@dataclass(frozen=True)
class Tick:
    """A coordinate along an edge of the map.

    Attributes:
        position: Place along the edge, 0 to 1 from the left or from the top.
        label: Such as "5.20° E".
    """

    position: float
    label: str


@dataclass(frozen=True)
class ScaleBar:
    """A scale bar of a round length.

    Attributes:
        share: Length as a share of the map's width.
        label: Length on the ground, such as "500 m".
    """

    share: float
    label: str


class MapFrame:
    """The frame of a map on a grid.

    Attributes:
        width: Columns.
        height: Rows.
        center: Longitude and latitude of the centre, degrees.
        pixel_width: Ground width of a pixel at the centre, metres.
        pixel_height: Ground height of a pixel at the centre, metres.
        north: Direction of true north at the centre, degrees clockwise from up.
    """

    def __init__(
        self,
        crs: str,
        transform: tuple[float, float, float, float, float, float],
        width: int,
        height: int,
    ) -> None:
        self.width, self.height = width, height
        self._crs, self._transform = crs, transform
        x, y = width / 2, height / 2
        longitudes, latitudes = self.longitudes_latitudes(
            np.array([x, x + 0.5, x - 0.5, x, x]), np.array([y, y, y, y + 0.5, y - 0.5])
        )
        self.center = (float(longitudes[0]), float(latitudes[0]))
        right = self._metres(longitudes[1] - longitudes[2], latitudes[1] - latitudes[2])
        down = self._metres(longitudes[3] - longitudes[4], latitudes[3] - latitudes[4])
        self.pixel_width, self.pixel_height = math.hypot(*right), math.hypot(*down)
        # The bearing of up, which is opposite to `down`; north lies as far to the other side.
        self.north = -math.degrees(math.atan2(-down[0], -down[1]))

    @property
    def ground_width(self) -> float:
        """Metres from the left to the right edge."""
        return self.width * self.pixel_width

    @property
    def ground_height(self) -> float:
        """Metres from the upper to the lower edge."""
        return self.height * self.pixel_height

    def longitudes_latitudes(
        self, columns: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions in pixels (the first pixel begins at 0, 0) -> longitudes and latitudes in degrees."""
        from rasterio.warp import transform

        a, b, c, d, e, f = self._transform
        x, y = a * columns + b * rows + c, d * columns + e * rows + f
        longitudes, latitudes = transform(self._crs, _WGS84, x, y)
        return np.asarray(longitudes), np.asarray(latitudes)

    def longitude_ticks(self, count: int = 3) -> list[Tick]:
        """About `count` round longitudes along the lower edge."""
        columns = np.linspace(0, self.width, _EDGE_SAMPLES)
        longitudes, _ = self.longitudes_latitudes(columns, np.full_like(columns, self.height))
        return _ticks(longitudes, count, "E", "W")

    def latitude_ticks(self, count: int = 3) -> list[Tick]:
        """About `count` round latitudes along the left edge."""
        rows = np.linspace(0, self.height, _EDGE_SAMPLES)
        _, latitudes = self.longitudes_latitudes(np.zeros_like(rows), rows)
        return _ticks(latitudes, count, "N", "S")

    def scale_bar(self, longest: float = 0.3) -> ScaleBar:
        """The longest bar of a round length that takes up at most the share `longest` of the width."""
        metres = nice_step(self.ground_width * longest)
        if metres > self.ground_width * longest * (1 + 1e-9):
            metres = _next_lower(metres)
        label = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
        return ScaleBar(metres / self.ground_width, label)

    def _metres(self, longitude: float, latitude: float) -> tuple[float, float]:
        """A small step in degrees at the centre -> metres east and north."""
        phi = math.radians(self.center[1])
        curvature = 1 - _ECCENTRICITY_2 * math.sin(phi) ** 2
        east = _SEMI_MAJOR / math.sqrt(curvature) * math.cos(phi)
        north = _SEMI_MAJOR * (1 - _ECCENTRICITY_2) / curvature**1.5
        return math.radians(longitude) * east, math.radians(latitude) * north


def _next_lower(metres: float) -> float:
    """The next smaller one of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(metres) + 1e-9)
    return {1: power / 2, 2: power, 5: power * 2}[round(metres / power)]


def _ticks(degrees: NDArray[np.float64], count: int, positive: str, negative: str) -> list[Tick]:
    low, high = float(degrees.min()), float(degrees.max())
    if not high > low:
        return []
    step = nice_step((high - low) / (count + 1))
    decimals = step_decimals(step)
    values = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
    order = np.argsort(degrees)
    positions = np.interp(values, degrees[order], np.linspace(0, 1, len(degrees))[order])
    return [
        Tick(float(position), f"{abs(value):.{decimals}f}° {positive if value >= 0 else negative}")
        for position, value in zip(positions, values, strict=True)
    ]
