"""The facts of a site for the portfolio and for its own page."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from euromine.monitoring.history.file_names import (
    AREAS,
    CHANGES_TABLE,
    COMPONENTS_TABLE,
    INDICES_TABLE,
    LAND_COVER_TABLE,
    PERMIT_OUTLINES,
    PERMITS_POLYGONS,
    PERMITS_TABLE,
    RECLAMATION,
    RECLAMATION_TABLE,
    WATER_TABLE,
    is_output_name,
)
from euromine.monitoring.history.folder import SeriesFolder
from euromine.monitoring.history.index_zones import FOOTPRINT, SCENE, SURROUNDINGS
from euromine.monitoring.history.manifest import NAME, Manifest
from euromine.monitoring.history.permits import MINED, NEW
from euromine.monitoring.history.reclaimed_ground import ALL
from euromine.monitoring.history.year_words import years_in_words
from euromine.monitoring.reporting.cartography import MapFrame

from .image_lookup import grid_bounds
from .site_catalogue import SitePlace
from .site_tables import Row, table_of

LEAST_KNOWN_OF_TREND = 0.9
"""The share of the scene with data below which a year has no part in the trend."""

_LEAST_YEARS_OF_TREND = 3
_AREA_COLUMNS = ("year", "area_ha", "adjusted_ha", "low_ha", "high_ha", "known_share")
_PERMIT_COLUMNS = ("year", "kind", "area_ha")
_INDEX_COLUMNS = ("year", "zone", "index", "mean", "spread", "known_share")
_KINDS = {
    ".csv": "table",
    ".gpkg": "polygons",
    ".parquet": "polygons",
    ".tif": "map",
    ".json": "record",
}
_YEARS = re.compile(r"(\d{4})(?:_(\d{4}))?\.\w+$")
# A style belongs to a map of the same name, and a quicklook to a year: neither is listed by itself.
_UNLISTED = (".qml", ".png")
# Corners of bounds in degrees: a centimetre.
_DECIMALS = 7


def site_summary(place: SitePlace, open_alerts: int = 0) -> dict[str, Any]:
    """The row of a site in the portfolio. Areas are those of the latest year; None where unknown.

    Args:
        place: The site.
        open_alerts: The number of its open alerts.

    Raises:
        DataError: A table is damaged.
        OSError: A table cannot be read.
    """
    series, manifest = place.series, place.series.manifest
    areas = site_areas(series)
    latest = areas[-1] if areas else dict.fromkeys(_AREA_COLUMNS)
    permits = table_of(series, PERMITS_TABLE, _PERMIT_COLUMNS, only=True)
    outside = None
    if permits is not None and areas:
        outside = _sum(
            row["area_ha"] for row in permits if row["kind"] == MINED and row["year"] == latest["year"]
        )
    longitude, latitude = frame_of(manifest).center
    return {
        "id": place.id,
        "name": place.name,
        "years": manifest.years,
        "longitude": round(longitude, 6),
        "latitude": round(latitude, 6),
        "bounds": degree_bounds(manifest),
        "area_ha": latest["area_ha"],
        "adjusted_ha": latest["adjusted_ha"],
        "low_ha": latest["low_ha"],
        "high_ha": latest["high_ha"],
        "trend_ha_per_year": area_trend(areas),
        "outside_permits_ha": outside,
        "open_alerts": open_alerts,
        "simulated": manifest.simulated,
        "created": manifest.created,
    }


def site_document(place: SitePlace, open_alerts: int = 0) -> dict[str, Any]:
    """The facts of a site for its page, without its layers.

    Tables that grow with the number of polygons are cut to the zones of the whole mine; the files hold all.

    Args:
        place: The site.
        open_alerts: The number of its open alerts.

    Raises:
        DataError: A table is damaged.
        OSError: A table cannot be read.
    """
    series, manifest = place.series, place.series.manifest
    frame = frame_of(manifest)
    indices = table_of(series, INDICES_TABLE, _INDEX_COLUMNS, only=True) or []
    reclamation = table_of(series, RECLAMATION_TABLE, ("year", "zone")) or []
    return {
        **site_summary(place, open_alerts),
        "attribution": attribution(manifest),
        "grid": {
            "crs": manifest.crs,
            "width": manifest.width,
            "height": manifest.height,
            "pixel_m": round((frame.pixel_width * frame.pixel_height) ** 0.5, 2),
        },
        "vectors": vectors_of(manifest),
        "areas": site_areas(series),
        "changes": _without(table_of(series, CHANGES_TABLE, ("year_1", "year_2")) or [], "known_ha"),
        "permits": outside_by_year(series) or [],
        "indices": [
            {**row, "mean": _rounded(row["mean"], 3), "spread": _rounded(row["spread"], 3)}
            for row in indices
            if row["zone"] in (SCENE, FOOTPRINT, SURROUNDINGS)
        ],
        "water": table_of(series, WATER_TABLE) or [],
        "reclamation": _without(
            (row for row in reclamation if row["zone"] == ALL), "zone", "polygon", "name"
        ),
        "land_cover": table_of(series, LAND_COVER_TABLE) or [],
        "components": _without(
            table_of(series, COMPONENTS_TABLE) or [], "pixels", "standard_error_ha", "known_ha"
        ),
        "facts": site_facts(place),
        "downloads": downloads_of(place),
    }


def site_areas(series: SeriesFolder) -> list[Row]:
    """The mined area by year, with its interval; empty without a footprint mapper."""
    rows = table_of(series, AREAS, _AREA_COLUMNS, only=True) or []
    return sorted(rows, key=lambda row: row["year"])


def area_trend(areas: Sequence[Mapping[str, Any]]) -> float | None:
    """The change of the mined area in hectares a year: the median of the slopes between all pairs of years.

    It takes the areas adjusted for the model's errors where every year has one, else those mapped, of years
    of which at least nine tenths of the scene are known. None for fewer than three such years.

    Theil, "A rank-invariant method of linear and polynomial regression analysis", 1950; Sen, "Estimates of
    the regression coefficient based on Kendall's tau", JASA 63, 1968.

    Args:
        areas: `site_areas`.
    """
    known = [row for row in areas if (row["known_share"] or 0) >= LEAST_KNOWN_OF_TREND]
    if len(known) < _LEAST_YEARS_OF_TREND:
        return None
    name = "area_ha" if any(row["adjusted_ha"] is None for row in known) else "adjusted_ha"
    # Not by scipy.stats, whose import takes longer than all else that a first view needs.
    slopes = [
        (second[name] - first[name]) / (second["year"] - first["year"])
        for first, second in itertools.combinations(known, 2)
    ]
    return round(statistics.median(slopes), 4)


def outside_by_year(series: SeriesFolder) -> list[Row] | None:
    """Hectares and places outside the permits by year, mined and newly mined; None without permits."""
    table = table_of(series, PERMITS_TABLE, _PERMIT_COLUMNS, only=True)
    if table is None:
        return None
    compared = {second for _, second in series.pairs}
    found = []
    for year in series.years:
        for kind in (MINED, *([NEW] if year in compared else [])):
            areas = [row["area_ha"] for row in table if row["year"] == year and row["kind"] == kind]
            found.append({"year": year, "kind": kind, "area_ha": _sum(areas), "places": len(areas)})
    return found


def vectors_of(manifest: Manifest) -> dict[str, Any]:
    """The outlines that a series has."""
    names = set(manifest.files)

    def has(stem: str) -> bool:
        return f"{stem}.gpkg" in names

    return {
        "footprints": manifest.years if has("footprints") else [],
        "components": dict.fromkeys(manifest.component_groups, manifest.years) if has("components") else {},
        "changes": [list(pair) for pair in manifest.pairs] if has("changes") else [],
        "permits": PERMIT_OUTLINES in names,
        "outside_permits": manifest.years if PERMITS_POLYGONS in names else [],
        "reclamation": has(RECLAMATION),
    }


def site_facts(place: SitePlace) -> dict[str, Any]:
    """Models, images and settings behind a site's maps, and the reasons to distrust them."""
    manifest = place.series.manifest
    return {
        "models": [asdict(model) for model in manifest.models],
        "scenes": [
            {
                "year": scene.year,
                "name": scene.path,
                "found": place.image(scene.year) is not None,
                "known_share": scene.known_share,
                "decisions": scene.decisions,
                "resampled": scene.resampled,
                "level": scene.level,
                "composite": None if scene.composite is None else asdict(scene.composite),
            }
            for scene in manifest.scenes
        ],
        "settings": manifest.settings,
        "caveats": manifest.caveats,
        "missing_years": manifest.missing_years,
        "versions": manifest.versions,
        "created": manifest.created,
        "cut": manifest.cut,
    }


def attribution(manifest: Manifest) -> str:
    """The credit that pictures of a site carry."""
    years = years_in_words(manifest.years)
    if manifest.simulated:
        return f"Simulated images {years}"
    return f"Contains modified Copernicus Sentinel data {years}"


def downloads_of(place: SitePlace) -> list[dict[str, Any]]:
    """The files of a site that are offered, without styles and quicklooks."""
    found = []
    for name in sorted([*place.series.manifest.files, NAME]):
        if name.endswith(_UNLISTED) or file_of(place, name) is None:
            continue
        path = place.series.path / name
        years = _YEARS.search(name)
        year: int | str | None = None
        if years:
            year = int(years[1]) if years[2] is None else f"{years[1]}-{years[2]}"
        found.append(
            {
                "name": name,
                "kind": _KINDS[path.suffix],
                "bytes": path.stat().st_size,
                "url": f"/api/sites/{place.id}/files/{name}",
                "year": year,
            }
        )
    return found


def file_of(place: SitePlace, name: str) -> str | None:
    """The hash of a file of a site that may be read by anybody, "" while a run is writing; else None.

    Args:
        place: The site.
        name: A name from a request.
    """
    manifest = place.series.manifest
    if name == NAME:
        return place.version
    if name not in manifest.files or not is_output_name(name) or not (place.series.path / name).is_file():
        return None
    return manifest.files[name]


def frame_of(manifest: Manifest) -> MapFrame:
    """The ground that the maps of a series show."""
    return MapFrame(manifest.crs, manifest.transform, manifest.width, manifest.height)


def degree_bounds(manifest: Manifest) -> list[float]:
    """West, south, east and north of a series; west is above east across the antimeridian."""
    from rasterio.warp import transform_bounds

    corners = grid_bounds(manifest.transform, manifest.height, manifest.width)
    found = transform_bounds(manifest.crs, "EPSG:4326", *corners)
    return np.round(found, _DECIMALS).tolist()


def _sum(areas: Iterable[float | None]) -> float:
    return round(sum(area or 0.0 for area in areas), 4)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _without(rows: Iterable[Row], *names: str) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]
