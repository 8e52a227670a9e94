"""Outlines of a site as GeoJSON in degrees (RFC 7946), with areas from the series' own grid."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.history.file_names import PERMIT_OUTLINES, PERMITS_POLYGONS, RECLAMATION
from euromine.monitoring.history.folder import SeriesFolder
from euromine.support.errors import DataError
from euromine.support.geopackages import check_is_geopackage, require_geopandas
from euromine.support.ground_areas import HECTARE
from euromine.support.polygon_measures import polygon_areas

from .app_errors import NotFound
from .site_catalogue import SitePlace
from .site_documents import vectors_of
from .site_tables import cell_text

# Corners in degrees: a tenth of a metre.
_DECIMALS = 6
_HALF_PIXEL = 0.5
_PROPERTIES = {
    "footprints": ("year", "area_ha", "perimeter_m", "first_year", "last_year"),
    "components": ("year", "group", "component", "area_ha", "perimeter_m"),
    "changes": ("year_1", "year_2", "kind", "area_ha", "perimeter_m"),
    "permits": ("name", "permit"),
    "outside_permits": ("year", "kind", "area_ha", "year_1", "outside_share", "longitude", "latitude"),
    "reclamation": (
        "zone",
        "polygon",
        "name",
        "year",
        "ground_ha",
        "recovered_ha",
        "recovering_ha",
        "stalled_ha",
        "undecided_ha",
        "known_share",
        "target",
        "yearly_rate",
        "r80p",
        "y2r",
    ),
}


def footprint_outlines(place: SitePlace, year: int) -> bytes:
    """The mines of a year.

    Raises:
        NotFound: The series has no outlines, or not of this year.
    """
    _check(place, year in vectors_of(place.series.manifest)["footprints"], f"footprints of {year}")
    return _collection(place.series, "footprints.gpkg", "footprints", f"year = {int(year)}")


def component_outlines(place: SitePlace, group: str, year: int) -> bytes:
    """The components of a group in a year.

    Raises:
        NotFound: The series has no such group, or not of this year.
    """
    groups = vectors_of(place.series.manifest)["components"]
    _check(place, year in groups.get(group, ()), f"components of {group[:40]!r} in {year}")
    where = f"year = {int(year)} AND \"group\" = '{group}'"  # a name from the manifest, not the request's
    return _collection(place.series, "components.gpkg", "components", where)


def change_outlines(place: SitePlace, year_1: int, year_2: int) -> bytes:
    """The gains and losses between two years.

    Raises:
        NotFound: The series did not compare these years.
    """
    pairs = vectors_of(place.series.manifest)["changes"]
    _check(place, [year_1, year_2] in pairs, f"changes from {year_1} to {year_2}")
    where = f"year_1 = {int(year_1)} AND year_2 = {int(year_2)}"
    return _collection(place.series, "changes.gpkg", "changes", where)


def permit_outlines(place: SitePlace) -> bytes:
    """The outlines of permits that were given.

    Raises:
        NotFound: None were given.
    """
    _check(place, vectors_of(place.series.manifest)["permits"], "permits")
    return _collection(place.series, PERMIT_OUTLINES, "permits")


def outside_outlines(place: SitePlace, year: int) -> bytes:
    """The mined ground of a year outside all permits.

    Raises:
        NotFound: No permits were given, or there is no such year.
    """
    years = vectors_of(place.series.manifest)["outside_permits"]
    _check(place, year in years, f"ground outside permits in {year}")
    return _collection(place.series, PERMITS_POLYGONS, "outside_permits", f"year = {int(year)}")


def reclamation_outlines(place: SitePlace) -> bytes:
    """The ground that is not mined any more, and its recovery in the last year.

    Raises:
        NotFound: Recovery was not measured.
    """
    _check(place, vectors_of(place.series.manifest)["reclamation"], "reclamation")
    return _collection(place.series, f"{RECLAMATION}.gpkg", "reclamation")


def _check(place: SitePlace, found: bool, words: str) -> None:
    if not found:
        raise NotFound(
            f"{place.id}: found no {words}; expected outlines that the site lists among its vectors."
        )


def _collection(series: SeriesFolder, name: str, kind: str, where: str | None = None) -> bytes:
    """The polygons of a GeoPackage as a FeatureCollection.

    Raises:
        DataError: The file is damaged or missing.
        MissingExtraError: geopandas is not installed.
    """
    import shapely

    frame = _read(series, name, where)
    outlines = np.asarray(frame.geometry.array, dtype=object)
    areas = polygon_areas(outlines, frame.crs) / HECTARE
    tolerance = _HALF_PIXEL * _pixel_size(series)
    shown = _in_degrees(shapely.simplify(outlines, tolerance, preserve_topology=True), frame.crs)
    names = [column for column in _PROPERTIES[kind] if column in frame.columns]
    rows = frame[names].to_dict("records")
    features = [
        {
            "type": "Feature",
            "properties": {**{key: _plain(value) for key, value in row.items()}, "area_ha": round(area, 4)},
            "geometry": geometry,
        }
        for row, area, geometry in zip(rows, areas.tolist(), shown, strict=True)
    ]
    document = {"type": "FeatureCollection", "features": features}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _read(series: SeriesFolder, name: str, where: str | None) -> Any:
    require_geopandas("app")
    import pyogrio

    path = series.file(name)
    try:
        check_is_geopackage(path)
        return pyogrio.read_dataframe(path, where=where)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise DataError(
            f"{path}: found a damaged file ({error}); expected a GeoPackage. Run `euromine series` again."
        ) from error


def _pixel_size(series: SeriesFolder) -> float:
    """The side of a pixel in units of the coordinate system."""
    a, b, _, d, e, _ = series.manifest.transform
    return float(abs(a * e - b * d) ** 0.5)


def _in_degrees(outlines: NDArray[Any], crs: Any) -> list[dict[str, Any]]:
    """Polygons as GeoJSON geometries: outer rings counterclockwise, continuous across the antimeridian."""
    import shapely
    from pyproj import Transformer

    if not len(outlines):
        return []
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)

    def moved(points: NDArray[np.float64]) -> NDArray[np.float64]:
        longitude, latitude = to_degrees.transform(*points.T)
        if np.ptp(longitude) > 180:
            longitude = np.where(longitude < 0, longitude + 360, longitude)
        return np.round(np.stack([longitude, latitude], axis=1), _DECIMALS)

    # Normal form has its outer rings clockwise.
    turned = shapely.reverse(shapely.normalize(shapely.transform(outlines, moved)))
    return [_geometry(outline) for outline in turned]


def _geometry(outline: Any) -> dict[str, Any]:
    import shapely

    parts = [
        [shapely.get_coordinates(ring).tolist() for ring in shapely.get_rings(part)]
        for part in shapely.get_parts(outline)
    ]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _plain(value: Any) -> Any:
    """A cell as JSON; None where it is empty. A user's own column may hold anything."""
    import pandas

    if value is None or pandas.isna(value):
        return None
    if not isinstance(value, int | float | np.number):
        return cell_text(str(value))
    number = float(value)
    if not np.isfinite(number):
        return None
    return int(number) if number == int(number) else round(number, 6)
