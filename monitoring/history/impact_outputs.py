"""Files on the ground in and around a mine: indices, water, recovery, land cover taken."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

from euromine.monitoring.mapping.map_styles import RECLAMATION as RECLAMATION_STYLE
from euromine.monitoring.mapping.map_styles import WATER, MapStyle
from euromine.support.geopackages import has_geopandas, require_geopandas

from .area_series import write_areas
from .file_names import (
    FIRST_YEAR,
    INDICES_TABLE,
    LAND_COVER_TABLE,
    RECLAMATION,
    RECLAMATION_MAP,
    RECLAMATION_TABLE,
    WATER_TABLE,
    index_name,
    water_name,
)
from .index_zones import IndexRow, WaterRow, measure_year
from .land_cover import LandTaken, land_taken
from .map_rows import MapFiles
from .reclaimed_ground import measure_reclamation
from .recovery_sums import ReclamationRow
from .series_plan import SeriesPlan
from .vector_files import write_polygons
from .yearly_indices import map_year_indices

_POLYGON_FILES = (f"{RECLAMATION}.gpkg", f"{RECLAMATION}.parquet")


def impact_styles(plan: SeriesPlan) -> dict[str, MapStyle]:
    """The style of each map of classes by the map's name."""
    styles: dict[str, MapStyle] = {}
    if plan.impact.measures_water:
        styles |= {water_name(year): WATER for year in plan.years}
    if plan.impact.measures_recovery:
        styles[RECLAMATION_MAP] = RECLAMATION_STYLE
    return styles


def impact_names(plan: SeriesPlan) -> list[str]:
    """All files that may be written, styles aside."""
    impact = plan.impact
    names = [index_name(year) for year in plan.years if impact.indices]
    names += [*impact_styles(plan)]
    names += [INDICES_TABLE] if impact.indices else []
    names += [WATER_TABLE] if impact.measures_water else []
    names += [RECLAMATION_TABLE, *_POLYGON_FILES] if impact.measures_recovery else []
    names += [LAND_COVER_TABLE] if impact.land_cover is not None else []
    return names


def make_impact(plan: SeriesPlan, *, progress: bool = False) -> list[str]:
    """Map and measure indices, recovery and land taken from the maps and polygons in the folder.

    Returns:
        The files that were written.

    Raises:
        DataError: A map is damaged, or reference ground has no plants.
        SceneError: An image cannot be read.
        OSError: A file cannot be written.
    """
    written = set(impact_names(plan))
    if plan.impact.indices:
        for year in plan.years:
            map_year_indices(plan, year, progress=progress)
        _measure_indices(plan, progress=progress)
    if plan.impact.measures_recovery:
        rows, polygons = measure_reclamation(plan)
        write_areas(rows, plan.folder / RECLAMATION_TABLE, ReclamationRow)
        for name in _POLYGON_FILES:
            if polygons is None:
                written.discard(name)
            else:
                write_polygons(polygons, plan.folder / name)
    if plan.impact.land_cover is not None:
        first_years: Any = MapFiles(plan.folder, [FIRST_YEAR])[0]
        taken = land_taken(first_years, plan.grid, plan.impact.land_cover, site=plan.site)
        write_areas(taken, plan.folder / LAND_COVER_TABLE, LandTaken)
    return sorted(written)


def _measure_indices(plan: SeriesPlan, *, progress: bool) -> None:
    polygons = _footprints(plan)
    indices: list[IndexRow] = []
    water: list[WaterRow] = []
    for year in tqdm(plan.years, desc="indices", unit="year", disable=not progress):
        of_year = None if polygons is None else polygons[polygons["year"] == year]
        rows, of_water = measure_year(plan, year, of_year)
        indices += rows
        water += [of_water] if of_water else []
    write_areas(indices, plan.folder / INDICES_TABLE, IndexRow)
    if plan.impact.measures_water:
        write_areas(water, plan.folder / WATER_TABLE, WaterRow)


def _footprints(plan: SeriesPlan) -> Any | None:
    """The polygons of the footprints; None without footprints or geopandas."""
    if plan.mapper is None or not has_geopandas():
        return None
    return require_geopandas().read_parquet(plan.folder / "footprints.parquet")
