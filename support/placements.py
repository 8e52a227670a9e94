"""The place of a raster on the Earth, checked before anything is mapped, measured or drawn."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import DataError, EuroMineError
from .ground_areas import pixel_areas
from .rasters import crs_name, gdal, gdal_errors

# Pixels of drone images and of global composites, both unlike any training data.
_LEAST_SIDE, _MOST_SIDE = 0.001, 100_000.0
# The semi-major axes of the Earth's ellipsoids, in m, are within 2 km of each other; the Moon's is 1,737,400.
_SEMI_MAJOR, _MOST_APART = 6_378_137.0, 20_000.0
_ELLIPSOID = re.compile(r'(?:SPHEROID|ELLIPSOID)\["[^"]*",\s*([0-9.eE+-]+)')
_CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))
# Beyond the antimeridian, and around the Earth once more.
_MOST_DEGREES = 540.0
_ADVICE = "Assign it with gdal_edit.py -a_srs and -a_ullr."


def check_placement(
    crs: Any,
    transform: Sequence[float],
    size: tuple[int, int],
    shown: str,
    kind: type[EuroMineError] = DataError,
    *,
    advice: str = _ADVICE,
) -> None:
    """Refuse a raster whose coordinate system or geotransform places it nowhere on the Earth.

    Args:
        crs: A `rasterio.crs.CRS`; None for none.
        transform: Affine coefficients a, b, c, d, e, f: x = a column + b row + c, y = d column + e row + f.
        size: Height and width in pixels.
        shown: The raster's name in messages.
        kind: The error to raise.
        advice: A sentence for the end of an error message.

    Raises:
        DataError: (`kind`) There is no coordinate system or geotransform; the system is vertical, geocentric,
            local or another planet's; the geotransform holds no numbers or maps pixels to nothing; the raster
            lies outside of its system, has pixels of an impossible size, or is in degrees and rotated.
    """
    if not crs:
        raise kind(
            f"{shown}: found no coordinate reference system; expected one, such as EPSG:32633. {advice}"
        )
    check_system(crs, shown, kind, advice=advice)
    if (problem := _problem(crs, [float(number) for number in transform[:6]], *size)) is not None:
        found, expected = problem
        raise kind(f"{shown}: found {found}; expected {expected}. {advice}")


def check_system(
    crs: Any, shown: str, kind: type[EuroMineError] = DataError, *, advice: str = _ADVICE
) -> None:
    """Refuse a coordinate system that has no place on the Earth's surface.

    Args:
        crs: A `rasterio.crs.CRS`.
        shown: The file's name in messages.
        kind: The error to raise.
        advice: A sentence for the end of an error message.

    Raises:
        DataError: (`kind`) It is vertical, geocentric, local, or another planet's.
    """
    with gdal():
        text = str(crs.to_wkt())
        is_horizontal = crs.is_geographic or crs.is_projected
    axes = [float(axis) for axis in _ELLIPSOID.findall(text)]
    if not is_horizontal or any(abs(axis - _SEMI_MAJOR) > _MOST_APART for axis in axes):
        named = re.search(r'\["([^"]*)"', text)
        name = named[1] if named else text[:60]
        raise kind(
            f"{shown}: found the coordinate system {name!r}, which has no place on the Earth; expected a "
            f"geographic or projected one, such as EPSG:32633. {advice}"
        )


def _problem(crs: Any, transform: Sequence[float], height: int, width: int) -> tuple[str, str] | None:
    """The fault of a geotransform and the expectation, in words; None for a sound one."""
    a, b, c, d, e, f = transform
    determinant = a * e - b * d
    is_identity = tuple(transform) == (1, 0, 0, 0, 1, 0)
    if is_identity or not all(map(math.isfinite, (*transform, determinant))) or not determinant:
        found = f"no usable geotransform {tuple(transform)}"
        return found, "one that places the pixels in the coordinate reference system"
    corners = [(x * width, y * height) for x, y in _CORNERS]
    points = [(a * x + b * y + c, d * x + e * y + f) for x, y in corners]
    if not _are_on_earth(crs, points):
        found = f"a raster from {points[0]} to {points[-1]}, outside of its coordinate system"
        return f"{found} {crs_name(crs)[:60]}", "one on the Earth"
    if crs.is_geographic and (b or d):
        return (
            f"a grid in degrees that is rotated {tuple(transform)}",
            "rows along parallels, as gdalwarp makes",
        )
    column, row = width // 2, height // 2
    middle = (a, b, a * column + b * row + c, d, e, d * column + e * row + f)
    side = math.sqrt(pixel_areas(crs_name(crs), middle, 1, 1).rows(0, 1)[0, 0])
    if not _LEAST_SIDE <= side <= _MOST_SIDE:
        return f"pixels of {side:.3g} m on the ground", f"{_LEAST_SIDE:g} to {_MOST_SIDE:g} m"
    return None


def _are_on_earth(crs: Any, points: Sequence[tuple[float, float]]) -> bool:
    """Whether points have a longitude and a latitude."""
    from rasterio.errors import CRSError
    from rasterio.warp import transform

    try:
        with gdal():
            longitude, latitude = transform(crs, "EPSG:4326", *zip(*points, strict=True))
    except (*gdal_errors(), CRSError):
        return False
    if not np.isfinite([longitude, latitude]).all() or max(map(abs, latitude)) > 90 + 1e-6:
        return False
    return not crs.is_geographic or max(map(abs, longitude)) <= _MOST_DEGREES
