"""Outputs made from a series' maps: pictures, tables, polygons, permits. Removal of earlier outputs."""

from __future__ import annotations

import logging
from dataclasses import replace

from tqdm import tqdm

from euromine.monitoring.mapping.map_styles import (
    CHANGE,
    FOOTPRINT,
    PROBABILITY,
    MapStyle,
    is_own_style,
    style_path,
    write_style,
    years_style,
)
from euromine.monitoring.mapping.map_values import NEVER, UNKNOWN_YEAR
from euromine.support.errors import MissingExtraError
from euromine.support.geopackages import require_geopandas

from .area_series import PairChange, YearArea, area_caveats, areas_by_year, changes_by_pair, write_areas
from .component_maps import component_styles, planned_groups
from .component_tables import component_outlines
from .file_names import (
    AREAS,
    CHANGES_TABLE,
    COMPONENTS_TABLE,
    FIRST_YEAR,
    LAST_YEAR,
    PERMIT_OUTLINES,
    PERMITS_POLYGONS,
    PERMITS_TABLE,
    TRANSITIONS_TABLE,
    change_name,
    change_probability_name,
    footprint_name,
    probability_name,
    quicklook_name,
)
from .impact_outputs import impact_names, impact_styles
from .known_ground import KnownGround
from .manifest import NAME
from .map_rows import MapFiles, row_blocks
from .output_files import listed_files
from .permit_findings import compare_with_permits
from .polygon_files import polygon_file_names, write_tables
from .polygon_tables import PolygonTables
from .series_plan import SeriesPlan
from .vector_files import write_polygons

logger = logging.getLogger(__name__)

_FOOTPRINTS, _CHANGES = "footprints", "changes"


def map_names(plan: SeriesPlan) -> list[str]:
    """The files of all maps and pictures of a series."""
    names = [quicklook_name(year) for year in plan.years]
    names += [change_name(*pair) for pair in plan.pairs]
    if plan.mapper is not None:
        names += [name(year) for year in plan.years for name in (probability_name, footprint_name)]
        names += [*component_styles(plan), FIRST_YEAR, LAST_YEAR]
    return [*names, *_change_probabilities(plan)]


def _change_probabilities(plan: SeriesPlan) -> list[str]:
    pairs = plan.pairs if plan.settings.change_probability else ()
    return [change_probability_name(*pair) for pair in pairs]


def _styles(plan: SeriesPlan) -> dict[str, MapStyle]:
    """The style of each map by the map's name."""
    styles = {change_name(*pair): CHANGE for pair in plan.pairs}
    styles |= component_styles(plan) | impact_styles(plan)
    styles |= dict.fromkeys(_change_probabilities(plan), PROBABILITY)
    if plan.mapper is not None:
        years = years_style(plan.years, never=NEVER, unknown=UNKNOWN_YEAR)
        styles |= {probability_name(year): PROBABILITY for year in plan.years}
        styles |= {footprint_name(year): FOOTPRINT for year in plan.years}
        styles |= {FIRST_YEAR: years, LAST_YEAR: years}
    return styles


def write_styles(plan: SeriesPlan) -> list[str]:
    """Write the QGIS style of each map, except those that the user has changed.

    Returns:
        The styles that were written.
    """
    written = [write_style(plan.folder / name, style) for name, style in _styles(plan).items()]
    return [path.name for path in written if path is not None]


def output_names(plan: SeriesPlan) -> list[str]:
    """All files that a series may write, its manifest among them."""
    names = [NAME, *map_names(plan), CHANGES_TABLE]
    styles = [style_path(plan.folder / name) for name in _styles(plan)]
    names += [path.name for path in styles if not path.exists() or is_own_style(path)]
    if plan.mapper is not None:
        names += [AREAS, *polygon_file_names(_FOOTPRINTS)]
    if plan.pairs:
        names += polygon_file_names(_CHANGES)
    if planned_groups(plan) is not None:
        names += [COMPONENTS_TABLE, TRANSITIONS_TABLE, *polygon_file_names("components")]
    if plan.permits is not None:
        names += [PERMITS_TABLE, PERMITS_POLYGONS, PERMIT_OUTLINES]
    return [*names, *impact_names(plan)]


def tabulate_areas(plan: SeriesPlan, known: KnownGround | None = None) -> list[str]:
    """Write the tables of areas and of changes.

    Args:
        plan: The series' plan.
        known: The shares of the ground with data; None for those of the change maps.

    Returns:
        The caveats of the areas, a sentence each.
    """
    caveats: list[str] = []
    if plan.mapper is not None:
        maps = row_blocks(plan.folder, [footprint_name(year) for year in plan.years], plan.grid)
        areas = areas_by_year(maps, plan.years, plan.grid, site=plan.site, confusion=plan.footprint_confusion)
        if known is not None:  # smoothing fills gaps of the images
            areas = [replace(row, known_share=known.years[row.year]) for row in areas]
        write_areas(areas, plan.folder / AREAS, YearArea)
        if plan.footprint_confusion is not None:
            caveats = area_caveats(areas, plan.footprint_confusion)
    changes: list[PairChange] = []
    if plan.pairs:
        maps = row_blocks(plan.folder, [change_name(*pair) for pair in plan.pairs], plan.grid)
        changes = changes_by_pair(
            maps, plan.pairs, plan.grid, site=plan.site, confusion=plan.change_confusion
        )
        if known is not None:
            changes = [
                replace(row, known_share=min(row.known_share, known.pairs[row.year_1, row.year_2]))
                for row in changes
            ]
    write_areas(changes, plan.folder / CHANGES_TABLE, PairChange)
    return caveats


def copy_permits(plan: SeriesPlan) -> None:
    """Write the outlines of the permits, before the first map, so that a failure costs no work."""
    if plan.permits is not None:
        write_polygons(plan.permits, plan.folder / PERMIT_OUTLINES)


def outline(plan: SeriesPlan, *, progress: bool = False) -> list[str]:
    """Write the polygons of footprints, changes and components, and what lies outside the permits.

    Returns:
        The files that were written; none where geopandas is not installed.
    """
    try:
        require_geopandas()
    except MissingExtraError as error:
        logger.warning("No polygons are written. %s", error)
        return []
    written: list[str] = []
    tables = PolygonTables(plan.grid, plan.settings.minimum_mapping_unit, plan.site, plan.folder)
    with tqdm(total=3, desc="polygons", unit="step", disable=not progress) as bar:
        if plan.mapper is not None:
            maps = MapFiles(plan.folder, [footprint_name(year) for year in plan.years])
            written += write_tables(tables.of_footprints(maps, plan.years), plan.folder, _FOOTPRINTS)
        bar.update()
        if plan.pairs:
            maps = MapFiles(plan.folder, [change_name(*pair) for pair in plan.pairs])
            written += write_tables(tables.of_changes(maps, plan.pairs), plan.folder, _CHANGES)
        bar.update()
        if (components := component_outlines(plan, tables)) is not None:
            written += write_tables(components, plan.folder, "components")
        bar.update()
    if plan.permits is not None:
        written += compare_with_permits(plan)
    return written


def remove_leftovers(plan: SeriesPlan, written: list[str]) -> None:
    """Delete what an earlier series listed in its manifest and this one did not write.

    Args:
        plan: The series' plan.
        written: The files that this series wrote.
    """
    for name in listed_files(plan.folder):
        path = plan.folder / name
        is_changed_style = path.suffix == ".qml" and not is_own_style(path)
        if name not in written and name != NAME and not is_changed_style:
            path.unlink(missing_ok=True)
