"""Ground areas of pixels on the ellipsoid, on grids in degrees and in projections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GridError

HECTARE = 10_000.0
"""One hectare in m2."""

# WGS 84 (EPSG:4326): semi-major axis in metres and first eccentricity.
_SEMI_MAJOR = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_ECCENTRICITY = math.sqrt(_FLATTENING * (2 - _FLATTENING))

# The areal scale of a projection changes over thousands of kilometres: between nodes this far apart, linear
# interpolation is exact to 0.001 %, and so is one area for all pixels of a row within a strip.
_NODE_METRES, _STRIP_METRES = 10_000.0, 250.0
_MOST_NODES = 512
# Half the span of the differences that give the areal scale at a node.
_HALF_SPAN_METRES = 250.0


@dataclass(frozen=True)
class PixelAreas:
    """The ground area of a pixel in each row and strip of columns of a grid.

    On a grid in degrees, one strip is as wide as the grid. In a projection, strips are narrow.

    Attributes:
        width: Columns of the grid.
        starts: (strips,) the first column of each strip.
        nodes: (rows of nodes, strips) areas in m2, between which those of rows are interpolated linearly.
        places: (rows of nodes,) the row of the grid at which each row of nodes lies.
    """

    width: int
    starts: NDArray[np.intp]
    nodes: NDArray[np.float64]
    places: NDArray[np.float64]

    @classmethod
    def constant(cls, area: float, height: int, width: int) -> PixelAreas:
        """The same area in m2 for all pixels."""
        places = np.array([0.0, max(height - 1, 1)])
        return cls(width, np.zeros(1, np.intp), np.full((2, 1), area), places)

    def rows(self, top: int, number: int) -> NDArray[np.float64]:
        """The areas of pixels in m2, (number, strips), from row `top` on."""
        if len(self.places) == 1:
            return np.repeat(self.nodes, number, axis=0)
        middle = np.arange(top, top + number)
        before = np.clip(np.searchsorted(self.places, middle, "right") - 1, 0, len(self.places) - 2)
        span = self.places[before + 1] - self.places[before]
        weight = ((middle - self.places[before]) / span)[:, None]
        first = self.nodes[before]
        return np.asarray(first + weight * (self.nodes[before + 1] - first))

    def pixels(self, top: int, number: int) -> NDArray[np.float64]:
        """The area of each pixel in m2, (number, width), from row `top` on."""
        widths = np.diff(np.append(self.starts, self.width))
        return np.repeat(self.rows(top, number), widths, axis=1)

    def counts(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Set pixels by row and strip: (..., rows, width) -> (..., rows, strips)."""
        if len(self.starts) == 1:
            return np.asarray(np.count_nonzero(mask, axis=-1)[..., None], np.int64)
        # A strip's pixels fit a byte or two: summing in the narrowest type is several times as fast.
        widest = int(np.diff(np.append(self.starts, self.width)).max())
        counts = np.add.reduceat(mask.view(np.uint8), self.starts, axis=-1, dtype=np.min_scalar_type(widest))
        return np.asarray(counts, np.int64)

    def sums(self, counts: NDArray[np.int64], top: int = 0) -> NDArray[np.float64]:
        """The ground area of counted pixels in m2.

        Args:
            counts: (..., rows, strips), the result of `counts`.
            top: The first row.
        """
        areas = self.rows(top, counts.shape[-2])
        return np.asarray(counts.reshape(*counts.shape[:-2], areas.size) @ areas.ravel())


def zone_area(latitude_1: NDArray[np.float64], latitude_2: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area in m2 between two parallels of the ellipsoid, per degree of longitude.

    Closed form of the authalic integral (Snyder, Map Projections: A Working Manual, 1987, eq. 3-12).

    Args:
        latitude_1: One parallel, in degrees.
        latitude_2: The other parallel, in degrees.
    """

    def integral(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
        sine = np.sin(np.radians(latitude))
        scaled = _ECCENTRICITY * sine
        return sine / (1 - scaled**2) + np.arctanh(scaled) / _ECCENTRICITY

    strip = np.abs(integral(np.asarray(latitude_2)) - integral(np.asarray(latitude_1)))
    return np.radians(1.0) * _SEMI_MAJOR**2 * (1 - _ECCENTRICITY**2) / 2 * strip


def pixel_areas(crs: str, transform: Sequence[float], height: int, width: int) -> PixelAreas:
    """The ground areas of the pixels of a grid, on the ellipsoid.

    Args:
        crs: "EPSG:4326", or any other code or WKT that rasterio reads.
        transform: Affine coefficients a, b, c, d, e, f: x = a column + b row + c, y = d column + e row + f.
        height: Number of rows.
        width: Number of columns.

    Returns:
        Areas that are exact in degrees, and in a projection to 0.001 %.

    Raises:
        GridError: The grid is in degrees and rotated, so that its rows do not follow parallels; or its
            coordinate system has no place on the Earth.
    """
    a, b, _, d, e, f = transform
    degrees = 1.0
    if crs != "EPSG:4326":
        from rasterio.crs import CRS

        system = CRS.from_user_input(crs)
        if not (system.is_geographic or system.is_projected):
            raise GridError(
                f"crs: found {crs[:60]}, which has no place on the Earth; expected a projected or geographic "
                "coordinate system, to measure areas on the ground."
            )
        if not system.is_geographic:
            return _projected_areas(system, transform, height, width)
        degrees = degrees_per_unit(system.units_factor[1])
    if b or d:
        raise GridError(
            f"transform: found the rotated grid {tuple(transform)} in degrees; expected rows along "
            "parallels. Bring the raster to a grid without rotation with gdalwarp."
        )
    edges = degrees * (f + e * np.arange(height + 1, dtype=np.float64))
    areas = degrees * abs(a) * zone_area(edges[:-1], edges[1:])
    return PixelAreas(width, np.zeros(1, np.intp), areas[:, None], np.arange(height, dtype=np.float64))


def degrees_per_unit(radians: float) -> float:
    """Degrees in an angular unit of so many radians: exactly 1 for the degree, 0.9 for the grad."""
    degrees = math.degrees(radians)
    return round(degrees, 9) if math.isclose(degrees, round(degrees, 9), rel_tol=1e-9) else degrees


def _projected_areas(system: Any, transform: Sequence[float], height: int, width: int) -> PixelAreas:
    """Areas from the areal scale of a projection at the nodes of a coarse lattice."""
    a, b, _, d, e, _ = transform
    unit = system.linear_units_factor[1]
    across, down = unit * math.hypot(a, d), unit * math.hypot(b, e)
    strips = min(max(math.ceil(width * across / _STRIP_METRES), 1), width)
    starts = np.arange(strips) * width // strips
    middles = (starts + np.append(starts[1:], width)) / 2
    columns = _places(width, across)
    rows = _places(height, down)
    half_across, half_down = _HALF_SPAN_METRES / across, _HALF_SPAN_METRES / down
    column, row = (each.ravel() for each in np.meshgrid(columns, rows))
    points = [
        _on_earth(system, transform, column + shift * half_across, row + other * half_down)
        for shift, other in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]
    east, south = (points[0] - points[1]) / (2 * half_across), (points[2] - points[3]) / (2 * half_down)
    areas = np.linalg.norm(np.cross(east, south), axis=1).reshape(len(rows), len(columns))
    nodes = np.stack([np.interp(middles, columns, line) for line in areas])
    # Rows are counted by their middles, nodes from the grid's upper border.
    return PixelAreas(width, starts.astype(np.intp), nodes, rows - 0.5)


def _places(length: int, metres: float) -> NDArray[np.float64]:
    """Nodes along an axis of pixels of this size, from border to border."""
    intervals = min(max(math.ceil(length * metres / _NODE_METRES), 1), _MOST_NODES)
    return np.linspace(0, length, intervals + 1)


def _on_earth(
    system: Any, transform: Sequence[float], column: NDArray[np.float64], row: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Geocentric coordinates in m, (points, 3), which know no antimeridian and no pole."""
    from rasterio.errors import CRSError
    from rasterio.warp import transform as to_system

    from .rasters import gdal, gdal_errors

    a, b, c, d, e, f = transform
    try:
        with gdal():
            found = to_system(system, "EPSG:4326", a * column + b * row + c, d * column + e * row + f)
        longitude, latitude = np.radians(found[0]), np.radians(found[1])
    except (*gdal_errors(), CRSError) as error:
        raise GridError(
            f"crs: found {system.to_wkt()[:60]}, which has no place on the Earth ({error}); expected a "
            "coordinate system whose areas can be measured on the ground."
        ) from error
    if not (np.isfinite(longitude).all() and np.isfinite(latitude).all()):
        raise GridError(
            f"transform: found the grid {tuple(transform)}, part of which lies outside of its coordinate "
            "system; expected a grid on the Earth, to measure areas on the ground."
        )
    normal = _SEMI_MAJOR / np.sqrt(1 - (_ECCENTRICITY * np.sin(latitude)) ** 2)
    return np.stack(
        [
            normal * np.cos(latitude) * np.cos(longitude),
            normal * np.cos(latitude) * np.sin(longitude),
            normal * (1 - _ECCENTRICITY**2) * np.sin(latitude),
        ],
        axis=1,
    )
