"""Files on the ground in and around a mine: indices, water, recovery, land cover taken."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

from euromine.monitoring.mapping.map_styles import RECLAMATION as RECLAMATION_STYLE
from euromine.monitoring.mapping.map_styles import WATER, MapStyle
from euromine.support.environment import release_freed_memory
from euromine.support.geopackages import has_geopandas, require_geopandas

from .area_series import area_table, write_areas
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
from .land_cover import LandCover, LandTaken, land_taken
from .map_rows import MapFile
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
            release_freed_memory()  # what one leaves in gaps does not fit the next
        _measure_indices(plan, progress=progress)
    if plan.impact.measures_recovery:
        written -= _measure_recovery(plan)
        release_freed_memory()
    if plan.impact.land_cover is not None:
        _measure_land_taken(plan, plan.impact.land_cover)
    return sorted(written)


def _measure_indices(plan: SeriesPlan, *, progress: bool) -> None:
    water: list[WaterRow] = []
    with area_table(plan.folder / INDICES_TABLE, IndexRow) as add:
        for year in tqdm(plan.years, desc="indices", unit="year", disable=not progress):
            rows, of_water = measure_year(plan, year, _footprints(plan, year))
            add(rows)
            water += [of_water] if of_water else []
            release_freed_memory()
    if plan.impact.measures_water:
        write_areas(water, plan.folder / WATER_TABLE, WaterRow)


def _measure_recovery(plan: SeriesPlan) -> set[str]:
    """Write the recovery of ground; return the names of files that cannot be made."""
    with area_table(plan.folder / RECLAMATION_TABLE, ReclamationRow) as add:
        polygons = measure_reclamation(plan, add)
    if polygons is None:
        return set(_POLYGON_FILES)
    for name in _POLYGON_FILES:
        write_polygons(polygons, plan.folder / name)
    return set()


def _measure_land_taken(plan: SeriesPlan, land_cover: LandCover) -> None:
    taken = land_taken(MapFile(plan.folder / FIRST_YEAR), plan.grid, land_cover, site=plan.site)
    write_areas(taken, plan.folder / LAND_COVER_TABLE, LandTaken)


def _footprints(plan: SeriesPlan, year: int) -> Any | None:
    """The polygons of a year's footprint; None without footprints or geopandas."""
    if plan.mapper is None or not has_geopandas():
        return None
    path = plan.folder / "footprints.parquet"
    of_year = [("year", "==", year)]
    return require_geopandas().read_parquet(path, columns=["year", "geometry"], filters=of_year)
