"""An area that a visitor drew or uploaded: its values by year, exact on the series' own grid.

Pixels count by the share of them inside the outline, so that narrow areas are as exact as large ones.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.history.file_names import footprint_name, index_name, water_name
from euromine.monitoring.history.manifest import Manifest
from euromine.monitoring.mapping.geotiffs import BLOCK
from euromine.monitoring.mapping.index_maps import decode_indices
from euromine.monitoring.mapping.map_values import NODATA
from euromine.support.errors import ArgumentError
from euromine.support.ground_areas import HECTARE, PixelAreas, pixel_areas
from euromine.support.polygon_measures import polygon_areas

from .app_errors import TooLarge
from .map_windows import MapWindows, Span
from .pixel_shares import pixel_shares
from .point_values import rounded
from .site_catalogue import SitePlace

LARGEST_BODY = 256 * 2**10
"""Bytes of GeoJSON."""

MOST_PIXELS = 2048 * 2048
"""Pixels of the series around an area; more take too long."""

# A longer outline in pixels is a comb or a scribble, and takes too long.
_LONGEST_OUTLINE = 200_000.0
_ROWS = BLOCK
# Edges are straight in degrees, as GeoJSON has it, and curved on the grid.
_STEP_DEGREES = 0.005
# In degrees: more than any site, and few steps.
_WIDEST, _LONGEST = 5, 100
_DIGITS = 4


def read_area(body: bytes) -> Any:
    """The outline in a GeoJSON document: a shapely polygon or multipolygon in degrees.

    Args:
        body: A geometry, a feature or a collection of either.

    Raises:
        TooLarge: It is larger than 256 KiB.
        ArgumentError: It is no GeoJSON, holds anything but polygons, or they are invalid, empty, beyond
            degrees, or across the antimeridian.
    """
    import shapely

    if len(body) > LARGEST_BODY:
        raise TooLarge(
            f"area: found {len(body) // 1024:,} KiB; expected at most {LARGEST_BODY // 1024} KiB. Simplify "
            "the outline."
        )
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise ArgumentError("area: found no JSON; expected GeoJSON with a polygon.") from None
    polygons = [_polygon(rings) for rings in _polygons(document)]
    if not polygons:
        raise ArgumentError("area: found no polygon; expected at least one.")
    outline = shapely.union_all(np.asarray(polygons, dtype=object))
    left, bottom, right, top = outline.bounds
    if right - left > 180:
        raise ArgumentError(
            "area: found an outline across the antimeridian; expected one on one side of it. Draw two areas."
        )
    width = max(right - left, top - bottom)
    if width > _WIDEST or outline.length > _LONGEST:
        raise ArgumentError(
            f"area: found an outline {width:.0f} degrees wide and {outline.length:.0f} long; expected at "
            f"most {_WIDEST} and {_LONGEST}. Draw an area on one site."
        )
    return outline


def area_values(place: SitePlace, outline: Any) -> dict[str, Any]:
    """The values of an area by year; None where unknown.

    Args:
        place: The site.
        outline: The result of `read_area`.

    Returns:
        `area_ha` on the ground; `covered_share`, the share of it inside the series; and for each of `years`
        hectares mined, the share of the covered ground with a known footprint, hectares of water within the
        mine, and mean and spread of each index, by the pixels' shares.

    Raises:
        ArgumentError: The area has too many pixels, or its outline is too long.
        DataError: A map is damaged.
    """
    manifest = place.series.manifest
    in_pixels, area = _placed(outline, manifest)
    span = _span(in_pixels, manifest)
    if span is None:
        return {"area_ha": round(area / HECTARE, _DIGITS), "covered_share": 0.0, "years": []}
    areas = pixel_areas(manifest.crs, manifest.transform, manifest.height, manifest.width)
    with MapWindows(place.series) as maps:
        sums = {year: _YearSums(maps, year) for year in place.series.years}
        covered = 0.0
        for part in _parts(span):
            shares = pixel_shares(in_pixels, part)
            ground = shares * _ground(areas, part)
            covered += float(ground.sum())
            for each in sums.values():
                each.add(part, shares, ground)
    return {
        "area_ha": round(area / HECTARE, _DIGITS),
        "covered_share": round(min(1.0, covered / area), _DIGITS),
        "years": [each.values(covered) for each in sums.values()],
    }


class _YearSums:
    """Sums of a year's maps over an area."""

    def __init__(self, maps: MapWindows, year: int) -> None:
        self._maps, self._year = maps, year
        self._names = maps.bands(index_name(year)) if maps.has(index_name(year)) else ()
        self._mined = self._known = self._water = self._water_known = 0.0
        self._weights, self._totals, self._squares = (np.zeros(len(self._names)) for _ in range(3))

    def add(self, span: Span, shares: NDArray[np.float64], ground: NDArray[np.float64]) -> None:
        """Add a window: the shares of its pixels inside, and their ground inside in m2."""
        footprint = self._maps.codes(footprint_name(self._year), span)
        self._mined += float(ground[footprint == 1].sum())
        self._known += float(ground[footprint != NODATA].sum())
        water = self._maps.codes(water_name(self._year), span)
        self._water += float(ground[water == 1].sum())
        self._water_known += float(ground[water != NODATA].sum())
        if not self._names:
            return
        numbers = self._maps.read(index_name(self._year), span)
        for place, band in enumerate(numbers):  # one at a time, as a window of all takes much memory
            values = decode_indices(band).astype(np.float64)
            known = ~np.isnan(values)
            weights, values = shares[known], values[known]
            self._weights[place] += weights.sum()
            self._totals[place] += (weights * values).sum()
            self._squares[place] += (weights * values**2).sum()

    def values(self, covered: float) -> dict[str, Any]:
        """The year's values."""
        return {
            "year": self._year,
            "mined_ha": round(self._mined / HECTARE, _DIGITS) if self._known else None,
            "known_share": round(min(1.0, self._known / covered), _DIGITS) if covered else 0.0,
            "water_ha": round(self._water / HECTARE, _DIGITS) if self._water_known else None,
            "indices": {name: self._index(place) for place, name in enumerate(self._names)},
        }

    def _index(self, place: int) -> dict[str, float | None]:
        weight = self._weights[place]
        if not weight:
            return {"mean": None, "spread": None}
        mean = float(self._totals[place] / weight)
        spread = max(float(self._squares[place] / weight) - mean**2, 0.0) ** 0.5
        return {"mean": rounded(mean), "spread": rounded(spread)}


def _polygons(document: Any) -> list[Any]:
    """The coordinates of all polygons in a GeoJSON document."""
    found: list[Any] = []
    waiting = [document]
    while waiting:
        part = waiting.pop()
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "FeatureCollection":
            waiting += _list(part.get("features"))
        elif kind == "GeometryCollection":
            waiting += _list(part.get("geometries"))
        elif kind == "Feature":
            waiting.append(part.get("geometry"))
        elif kind == "Polygon":
            found.append(part.get("coordinates"))
        elif kind == "MultiPolygon":
            found += _list(part.get("coordinates"))
        else:
            raise ArgumentError(
                f"area: found {str(kind)[:40] if kind else 'something else than GeoJSON'}; expected polygons "
                "alone."
            )
    return found


def _list(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise ArgumentError("area: found no list where GeoJSON has one; expected polygons.")
    return values


def _polygon(rings: Any) -> Any:
    """A polygon of the coordinates of its rings.

    Raises:
        ArgumentError: They are no valid polygon in degrees.
    """
    import shapely

    try:
        arrays = [np.array([point[:2] for point in ring], np.float64) for ring in rings]
        sound = all(ring.ndim == 2 and ring.shape[1] == 2 and len(ring) >= 3 for ring in arrays)
    except (TypeError, ValueError, OverflowError):
        sound = False
    if not sound or not arrays:
        raise ArgumentError("area: found a polygon without rings of at least three corners; expected some.")
    corners = np.concatenate(arrays)
    if not (np.abs(corners) <= (180, 90)).all():
        raise ArgumentError(
            "area: found coordinates beyond 180 and 90 degrees; expected longitude and latitude (WGS 84). "
            "Bring the file to EPSG:4326."
        )
    polygon = shapely.Polygon(arrays[0], arrays[1:])
    if not polygon.is_valid:
        reason = shapely.is_valid_reason(polygon).partition("[")[0].lower().rstrip()
        raise ArgumentError(
            f"area: found an invalid outline ({reason}); expected one that does not cross itself."
        )
    if not polygon.area > 0:
        raise ArgumentError("area: found an outline without area; expected a polygon.")
    return polygon


def _placed(outline: Any, manifest: Manifest) -> tuple[Any, float]:
    """An outline in pixels of the series' grid, and its ground area in m2.

    Raises:
        ArgumentError: It is far from the series, or too large or too long.
    """
    import shapely
    from pyproj import CRS, Transformer

    crs = CRS.from_user_input(manifest.crs)
    to_series = Transformer.from_crs("EPSG:4326", crs, always_xy=True)

    def on_grid(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(to_series.transform(*points.T), axis=1)

    moved = shapely.transform(shapely.segmentize(outline, _STEP_DEGREES), on_grid)
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise ArgumentError(
            "area: found an outline far from the site; expected one near it. Draw it on the site's map."
        )
    a, b, c, d, e, f = manifest.transform
    inverse = np.linalg.inv(np.array([[a, b], [d, e]]))
    in_pixels = shapely.transform(moved, lambda points: (points - (c, f)) @ inverse.T)
    if not in_pixels.is_valid:  # rounding may make edges touch
        in_pixels = shapely.buffer(in_pixels, 0)
    return in_pixels, float(polygon_areas([moved], crs)[0])


def _span(in_pixels: Any, manifest: Manifest) -> Span | None:
    """The rows and columns of the series around an outline; None outside of it."""
    left, top, right, bottom = in_pixels.bounds
    first_row, end_row = max(0, int(np.floor(top))), min(manifest.height, int(np.ceil(bottom)))
    first_column, end_column = max(0, int(np.floor(left))), min(manifest.width, int(np.ceil(right)))
    if first_row >= end_row or first_column >= end_column:
        return None
    pixels = (end_row - first_row) * (end_column - first_column)
    if pixels > MOST_PIXELS or in_pixels.length > _LONGEST_OUTLINE:
        raise ArgumentError(
            f"area: found {pixels:,} pixels around it and an outline of {in_pixels.length:,.0f} pixels; "
            f"expected at most {MOST_PIXELS:,} and {_LONGEST_OUTLINE:,.0f}. Draw a smaller or simpler area, "
            "or download the maps."
        )
    return (first_row, end_row), (first_column, end_column)


def _parts(span: Span) -> list[Span]:
    """A window cut along the borders of the maps' tiles, which are decoded as a whole."""
    (top, bottom), columns = span
    starts = [top, *range(top - top % _ROWS + _ROWS, bottom, _ROWS)]
    return [((start, end), columns) for start, end in zip(starts, [*starts[1:], bottom], strict=True)]


def _ground(areas: PixelAreas, span: Span) -> NDArray[np.float64]:
    """The ground area of each pixel of a window in m2."""
    (top, bottom), (left, right) = span
    return areas.pixels(top, bottom - top)[:, left:right]
