"""Areas, perimeters and parts of polygons on the ground."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray

from .errors import GridError
from .ground_areas import degrees_per_unit, zone_area

# Gauss-Legendre points and weights on 0 to 1: exact enough for the area beside an edge of many kilometres.
_POINTS = (0.5 - 15**0.5 / 10, 0.5, 0.5 + 15**0.5 / 10)
_WEIGHTS = (5 / 18, 8 / 18, 5 / 18)

# Longest edge that is taken as straight in another projection: its arc is within centimetres of its chord.
_STEP_METRES = 500.0

# Edges up to this length are measured by their chords through the ellipsoid, whose arcs differ from geodesics
# by less than one part in a thousand million; longer ones by geodesics.
_LONGEST_CHORD = 5_000.0
_EARTH_RADIUS = 6_371_000.0


@dataclass(frozen=True)
class _Outlines:
    """The corners of polygons.

    Attributes:
        points: (corners, 2) ring by ring, each ring closed.
        rings: (corners,) the ring of each corner.
        signs: (rings,) 1 for outer rings, -1 for holes.
        owners: (rings,) the geometry of each ring.
        number: Number of geometries.
    """

    points: NDArray[np.float64]
    rings: NDArray[np.intp]
    signs: NDArray[np.int8]
    owners: NDArray[np.intp]
    number: int

    @classmethod
    def of(cls, geometries: Any) -> _Outlines:
        """The corners of an array of shapely polygons and multipolygons."""
        import shapely

        flat = np.asarray(geometries, dtype=object)
        parts, of_part = shapely.get_parts(flat, return_index=True)
        rings, of_ring = shapely.get_rings(parts, return_index=True)
        # The rings of a polygon are consecutive, the outer one first.
        signs = np.ones(len(rings), np.int8)
        signs[1:][of_ring[1:] == of_ring[:-1]] = -1
        points, of_point = shapely.get_coordinates(rings, return_index=True)
        return cls(points, of_point, signs, of_part[of_ring], len(flat))

    @cached_property
    def distinct(self) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """As `_distinct`, of the points."""
        return _distinct(self.points)

    @cached_property
    def edges(self) -> NDArray[np.intp]:
        """The place of each edge's first corner; the next one is its second."""
        return np.flatnonzero(self.rings[1:] == self.rings[:-1])

    def subdivided(self, step: float) -> _Outlines:
        """With corners in longer edges, so that none is longer than a step."""
        edges = self.edges
        along = self.points[edges + 1] - self.points[edges]
        pieces = np.ones(len(self.points), np.intp)
        pieces[edges] = np.maximum(np.ceil(np.hypot(*along.T) / step), 1)
        if pieces.max(initial=1) == 1:
            return self
        # Of a ring's last corner, which begins no edge, one piece is left: the corner itself.
        of_corner = np.repeat(np.arange(len(pieces)), pieces)
        first = np.cumsum(pieces) - pieces
        share = (np.arange(len(of_corner)) - first[of_corner]) / pieces[of_corner]
        vectors = np.zeros_like(self.points)
        vectors[edges] = along
        points = self.points[of_corner] + share[:, None] * vectors[of_corner]
        return _Outlines(points, self.rings[of_corner], self.signs, self.owners, self.number)


def polygon_areas(geometries: Any, crs: Any) -> NDArray[np.float64]:
    """Areas of polygons on the ground, in m2, consistent with those of pixels.

    Areas are those on the ellipsoid, between edges that are straight in the coordinate system, like those of
    pixels: in degrees from the zones between parallels, otherwise by way of an equal-area projection.

    Args:
        geometries: An array of shapely polygons and multipolygons.
        crs: Their `pyproj.CRS`.

    Returns:
        float64 (geometries,).

    Raises:
        GridError: A corner has no place on the Earth.
    """
    outlines = _Outlines.of(geometries)
    is_projected = not crs.is_geographic and len(outlines.points) > 0
    return _areas(outlines, crs, _EqualArea.around(outlines.points, crs) if is_projected else None)


def polygon_perimeters(geometries: Any, crs: Any) -> NDArray[np.float64]:
    """Lengths of all edges of polygons on the ground, those of holes included, in m.

    Args:
        geometries: An array of shapely polygons and multipolygons.
        crs: Their `pyproj.CRS`. Edges are measured on the ellipsoid.

    Returns:
        float64 (geometries,).
    """
    to_degrees = None if crs.is_geographic else _Transform(crs, "EPSG:4326")
    return _perimeters(_Outlines.of(geometries), crs, to_degrees)


def areas_and_perimeters(geometries: Any, crs: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both `polygon_areas` and `polygon_perimeters`, in less time than one after the other."""
    return PolygonMeasures(crs).of(geometries)


class PolygonMeasures:
    """Measures the polygons of a place, a batch at a time.

    Corners that a batch shares with the batch before are projected once. All are measured in the projection
    around the first batch, unless the corners of all are known.

    Args:
        crs: Their `pyproj.CRS`.
        around: (points, 2) a corner of the first polygon, and others with the same extent as all polygons:
            areas are then those of `polygon_areas` of all at once.
    """

    def __init__(self, crs: Any, around: NDArray[np.float64] | None = None) -> None:
        self._crs = crs
        self._equal_area: _EqualArea | None = None
        if around is not None and not crs.is_geographic:
            self._equal_area = _EqualArea.around(around, crs)
        self._to_degrees = None if crs.is_geographic else _Transform(crs, "EPSG:4326")

    def of(self, geometries: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`polygon_areas` and `polygon_perimeters` of the next batch.

        Raises:
            GridError: As for `polygon_areas`.
        """
        outlines = _Outlines.of(geometries)
        return self._areas(outlines), _perimeters(outlines, self._crs, self._to_degrees)

    def areas(self, geometries: Any) -> NDArray[np.float64]:
        """`polygon_areas` of the next batch.

        Raises:
            GridError: As for `polygon_areas`.
        """
        return self._areas(_Outlines.of(geometries))

    def _areas(self, outlines: _Outlines) -> NDArray[np.float64]:
        if self._equal_area is None and not self._crs.is_geographic and len(outlines.points):
            self._equal_area = _EqualArea.around(outlines.points, self._crs)
        return _areas(outlines, self._crs, self._equal_area)


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


def _areas(outlines: _Outlines, crs: Any, equal_area: _EqualArea | None) -> NDArray[np.float64]:
    if equal_area is not None:
        outlines = equal_area.moved(outlines, crs)
    edges = outlines.edges
    start, end = outlines.points[edges], outlines.points[edges + 1]
    if crs.is_geographic:
        degrees = degrees_per_unit(crs.axis_info[0].unit_conversion_factor)
        start, end = start * degrees, end * degrees
        beside = np.zeros(len(start))
        for point, weight in zip(_POINTS, _WEIGHTS, strict=True):
            latitude = start[:, 1] + point * (end[:, 1] - start[:, 1])
            beside += weight * np.sign(latitude) * zone_area(np.zeros(1), latitude)
        swept = beside * (end[:, 0] - start[:, 0])
    else:
        # Relative to one corner: coordinates of millions of metres would cost digits.
        origin = np.zeros(2) if equal_area is None else equal_area.origin
        a, b = start - origin, end - origin
        swept = (a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]) / 2
    of_rings = np.abs(np.bincount(outlines.rings[edges], swept, minlength=len(outlines.owners)))
    areas = np.bincount(outlines.owners, of_rings * outlines.signs, minlength=outlines.number)
    return areas.astype(np.float64)


def _perimeters(outlines: _Outlines, crs: Any, to_degrees: _Transform | None) -> NDArray[np.float64]:
    from pyproj import Geod

    points, places = outlines.distinct
    if to_degrees is None:
        points = points * degrees_per_unit(crs.axis_info[0].unit_conversion_factor)
        geod = crs.get_geod()
    else:
        points = to_degrees(points)
        geod = Geod(ellps="WGS84")
    edges = outlines.edges
    lengths = _edge_lengths(points, places[edges], places[edges + 1], geod)
    owners = outlines.owners[outlines.rings[edges]]
    return np.bincount(owners, lengths, minlength=outlines.number).astype(np.float64)


def _edge_lengths(
    points: NDArray[np.float64], first: NDArray[np.intp], second: NDArray[np.intp], geod: Any
) -> NDArray[np.float64]:
    """The lengths of edges between points in degrees, in m on the ellipsoid of a `pyproj.Geod`."""
    longitude, latitude = np.radians(points.T)
    normal = geod.a / np.sqrt(1 - geod.es * np.sin(latitude) ** 2)
    across = normal * np.cos(latitude)
    squares = np.zeros(len(first))
    for axis in (
        across * np.cos(longitude),
        across * np.sin(longitude),
        normal * (1 - geod.es) * np.sin(latitude),
    ):
        squares += (axis[second] - axis[first]) ** 2
    # The arc of a chord c in a circle of radius r is c (1 + c^2 / 24 r^2) and so on.
    lengths = np.sqrt(squares) * (1 + squares / (24 * _EARTH_RADIUS**2))
    far = np.flatnonzero(~(lengths <= _LONGEST_CHORD))
    if len(far):
        start, end = points[first[far]], points[second[far]]
        lengths[far] = geod.inv(start[:, 0], start[:, 1], end[:, 0], end[:, 1])[2]
    return np.asarray(lengths)


class _EqualArea:
    """A projection around polygons that keeps areas, in m.

    Attributes:
        origin: A corner there.
    """

    def __init__(self, crs: Any, around: Any, first: NDArray[np.float64]) -> None:
        self._move = _Transform(crs, around)
        self.origin = self._move(first[None])[0]

    @classmethod
    def around(cls, points: NDArray[np.float64], crs: Any) -> _EqualArea:
        """The projection around points in a projected system, of which there is at least one.

        Raises:
            GridError: Their middle has no place on the Earth.
        """
        from pyproj import CRS

        (left, bottom), (right, top) = points.min(axis=0), points.max(axis=0)
        middle = _Transform(crs, "EPSG:4326")(np.array([[(left + right) / 2, (bottom + top) / 2]]))[0]
        if not np.isfinite(middle).all():
            raise _not_on_earth(points, crs)
        around = CRS.from_dict(
            {"proj": "laea", "lon_0": middle[0], "lat_0": middle[1], "datum": "WGS84", "units": "m"}
        )
        return cls(crs, around, points[0])

    def moved(self, outlines: _Outlines, crs: Any) -> _Outlines:
        """Outlines in the projection.

        Raises:
            GridError: A corner has no place on the Earth.
        """
        # Edges that are straight in the system are curved here.
        divided = outlines.subdivided(_STEP_METRES / crs.axis_info[0].unit_conversion_factor)
        points, places = divided.distinct
        moved = self._move(points)
        if not np.isfinite(moved).all():
            raise _not_on_earth(outlines.points, crs)
        return replace(divided, points=moved[places])


class _Transform:
    """Transforms distinct points from one system to another, and remembers the last ones."""

    def __init__(self, crs: Any, other: Any) -> None:
        from pyproj import Transformer

        self._transform = Transformer.from_crs(crs, other, always_xy=True).transform
        self._known: Any = pandas.Index(np.zeros(0, np.complex128))
        self._moved = np.zeros((0, 2))

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(points, 2) -> (points, 2), infinite where there is no place for a point."""
        numbers = _as_complex(points)
        if not len(self._known):
            moved = np.stack(self._transform(*points.T), axis=1)
        else:
            places = self._known.get_indexer(numbers)
            moved = self._moved[places]
            new = np.flatnonzero(places < 0)
            moved[new] = np.stack(self._transform(*points[new].T), axis=1)
        self._known, self._moved = pandas.Index(numbers), moved
        return moved


def _not_on_earth(points: NDArray[np.float64], crs: Any) -> GridError:
    (left, bottom), (right, top) = points.min(axis=0), points.max(axis=0)
    return GridError(
        f"geometries: found coordinates from {left:g}, {bottom:g} to {right:g}, {top:g} outside of "
        f"{crs.name}; expected places on the Earth, to measure areas on the ground."
    )


def _as_complex(points: NDArray[np.float64]) -> NDArray[np.complex128]:
    return np.ascontiguousarray(points).view(np.complex128)[:, 0]


def _distinct(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Points without repetition, and the place of each point among them: neighbours share corners."""
    places, distinct = pandas.factorize(_as_complex(points), use_na_sentinel=False)
    return distinct.view(np.float64).reshape(-1, 2), places
