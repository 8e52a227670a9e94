"""Areas, perimeters and parts of polygons on the ground."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GridError
from .ground_areas import degrees_per_unit, zone_area

# Gauss-Legendre points and weights on 0 to 1: exact enough for the area beside an edge of many kilometres.
_POINTS = (0.5 - 15**0.5 / 10, 0.5, 0.5 + 15**0.5 / 10)
_WEIGHTS = (5 / 18, 8 / 18, 5 / 18)

# Longest edge that is taken as straight in another projection: its arc is within centimetres of its chord.
_STEP_METRES = 500.0


def polygon_areas(geometries: Any, crs: Any) -> NDArray[np.float64]:
    """Areas of polygons on the ground, in m2, consistent with those of pixels.

    Areas are those on the ellipsoid, between edges that are straight in the coordinate system, like those of
    pixels: in degrees from the zones between parallels, otherwise by way of an equal-area projection.

    Args:
        geometries: An array of shapely polygons and multipolygons.
        crs: Their `pyproj.CRS`.

    Returns:
        float64 (geometries,).
    """
    import shapely

    flat = np.asarray(geometries, dtype=object)
    if not crs.is_geographic:
        flat = _equal_area(flat, crs)
    parts, of_part = shapely.get_parts(flat, return_index=True)
    rings, of_ring = shapely.get_rings(parts, return_index=True)
    # The rings of a polygon are consecutive, the outer one first.
    outer = np.ones(len(rings), bool)
    outer[1:] = of_ring[1:] != of_ring[:-1]
    start, end, of_edge = _edges(rings)
    if crs.is_geographic:
        degrees = degrees_per_unit(crs.axis_info[0].unit_conversion_factor)
        start, end = start * degrees, end * degrees
        beside = np.zeros(len(start))
        for point, weight in zip(_POINTS, _WEIGHTS, strict=True):
            latitude = start[:, 1] + point * (end[:, 1] - start[:, 1])
            beside += weight * np.sign(latitude) * zone_area(np.zeros(1), latitude)
        swept = beside * (end[:, 0] - start[:, 0])
    else:
        # Relative to the first corner: coordinates of millions of metres would cost digits.
        origin = start[0] if len(start) else np.zeros(2)
        a, b = start - origin, end - origin
        swept = (a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]) / 2
    ring_areas = np.abs(np.bincount(of_edge, swept, minlength=len(rings))) * np.where(outer, 1, -1)
    part_areas = np.bincount(of_ring, ring_areas, minlength=len(parts))
    return np.bincount(of_part, part_areas, minlength=len(geometries)).astype(np.float64)


def polygon_perimeters(geometries: Any, crs: Any) -> NDArray[np.float64]:
    """Lengths of all edges of polygons on the ground, those of holes included, in m.

    Args:
        geometries: An array of shapely polygons and multipolygons.
        crs: Their `pyproj.CRS`. Edges are measured on the ellipsoid.

    Returns:
        float64 (geometries,).
    """
    import shapely
    from pyproj import Geod, Transformer

    parts, of_part = shapely.get_parts(np.asarray(geometries, dtype=object), return_index=True)
    rings, of_ring = shapely.get_rings(parts, return_index=True)
    start, end, of_edge = _edges(rings)
    if crs.is_geographic:
        degrees = degrees_per_unit(crs.axis_info[0].unit_conversion_factor)
        start, end = start * degrees, end * degrees
        geod = crs.get_geod()
    else:
        to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        start, end = (np.stack(to_degrees.transform(*points.T), axis=1) for points in (start, end))
        geod = Geod(ellps="WGS84")
    lengths = geod.inv(start[:, 0], start[:, 1], end[:, 0], end[:, 1])[2]
    owners = of_part[of_ring[of_edge]]
    return np.bincount(owners, lengths, minlength=len(geometries)).astype(np.float64)


def polygon_parts(geometries: Any) -> tuple[Any, NDArray[np.intp]]:
    """The valid polygons that geometries consist of, and the index of the geometry that each belongs to.

    Points and lines, which repairs and cuts leave behind, are dropped.

    Args:
        geometries: An array of shapely geometries of any kind.
    """
    import shapely

    array = np.asarray(geometries, dtype=object)
    wrong = ~shapely.is_valid(array) & ~shapely.is_missing(array)
    if wrong.any():
        array = array.copy()
        array[wrong] = shapely.make_valid(array[wrong])
    parts, owners = array, np.arange(len(array))
    # Twice, because a collection may hold multipolygons.
    for _ in range(2):
        parts, inside = shapely.get_parts(parts, return_index=True)
        owners = owners[inside]
    kept = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    return parts[kept], owners[kept]


def _equal_area(geometries: NDArray[Any], crs: Any) -> NDArray[Any]:
    """Geometries in a projected system -> in a projection around them that keeps areas, in m.

    Raises:
        GridError: A corner has no place on the Earth.
    """
    import shapely
    from pyproj import CRS, Transformer

    if not len(geometries):
        return geometries
    left, bottom, right, top = shapely.total_bounds(geometries)
    middle = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(
        (left + right) / 2, (bottom + top) / 2
    )
    if np.isfinite(middle).all():
        around = CRS.from_dict(
            {"proj": "laea", "lon_0": middle[0], "lat_0": middle[1], "datum": "WGS84", "units": "m"}
        )
        to_equal_area = Transformer.from_crs(crs, around, always_xy=True)
        # Edges that are straight in the system are curved here.
        step = _STEP_METRES / crs.axis_info[0].unit_conversion_factor
        moved = shapely.transform(
            shapely.segmentize(geometries, step),
            lambda points: np.stack(to_equal_area.transform(*points.T), axis=1),
        )
        if np.isfinite(shapely.get_coordinates(moved)).all():
            return np.asarray(moved)
    raise GridError(
        f"geometries: found coordinates from {left:g}, {bottom:g} to {right:g}, {top:g} outside of "
        f"{crs.name}; expected places on the Earth, to measure areas on the ground."
    )


def _edges(rings: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """The edges of rings: start and end points (edges, 2), and the index of each edge's ring."""
    import shapely

    points, owners = shapely.get_coordinates(rings, return_index=True)
    inside = owners[1:] == owners[:-1]
    return points[:-1][inside], points[1:][inside], owners[1:][inside]
