"""Ground areas of pixels, also on grids in degrees such as the archive's, where a pixel is not 100 m2."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import GridError

HECTARE = 10_000.0
"""One hectare in m2."""

# WGS 84 (EPSG:4326): semi-major axis in metres and first eccentricity.
_SEMI_MAJOR = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_ECCENTRICITY = math.sqrt(_FLATTENING * (2 - _FLATTENING))


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


def pixel_areas(crs: str, transform: Sequence[float], height: int) -> NDArray[np.float64]:
    """The ground area in m2 of a pixel in each row of a scene.

    Args:
        crs: "EPSG:4326", or any other code or WKT that rasterio reads.
        transform: Affine coefficients a, b, c, d, e, f: x = a column + b row + c, y = d column + e row + f.
        height: Number of rows.

    Returns:
        (height,) float64. On a grid in degrees the area depends on the latitude. In a projected system it is
        the area in the projection, which in UTM is within 0.1 % of the ground's.

    Raises:
        GridError: The grid is in degrees and rotated, so that its rows do not follow parallels.
    """
    a, b, _, d, e, f = transform
    if crs != "EPSG:4326":
        from rasterio.crs import CRS

        system = CRS.from_user_input(crs)
        if not system.is_geographic:
            return np.full(height, abs(a * e - b * d) * system.linear_units_factor[1] ** 2)
    if b or d:
        raise GridError(
            f"transform: found the rotated grid {tuple(transform)} in degrees; expected rows along "
            "parallels. Bring the raster to a grid without rotation with gdalwarp."
        )
    edges = f + e * np.arange(height + 1, dtype=np.float64)
    return abs(a) * zone_area(edges[:-1], edges[1:])
