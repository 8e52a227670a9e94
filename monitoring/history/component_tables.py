"""Tables and polygons of a series' components: areas by year, transitions between years, outlines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.dataset_script.label_groups import LabelGroups

from .area_series import write_areas
from .component_areas import ComponentArea, component_areas
from .component_maps import planned_groups
from .component_transitions import ComponentTransition, component_transitions
from .file_names import COMPONENTS_TABLE, TRANSITIONS_TABLE, component_name, footprint_name
from .known_ground import KnownGround
from .map_rows import MapFiles, row_blocks
from .polygon_tables import PolygonTables
from .series_plan import SeriesPlan


def tabulate_components(plan: SeriesPlan, known: KnownGround | None = None) -> list[str]:
    """Write the tables of components: the area of each in each year, and transitions of all pairs of years.

    Args:
        plan: The series' plan.
        known: The shares of the ground with data; None for those of the maps.

    Returns:
        The files; none without a component model.
    """
    groups = planned_groups(plan)
    if groups is None:
        return []
    maps = {
        group: row_blocks(plan.folder, [component_name(group, year) for year in plan.years], plan.grid)
        for group in groups.groups
    }
    areas = component_areas(
        maps, plan.years, groups, plan.grid, site=plan.site, confusions=plan.component_confusions
    )
    if known is not None and plan.smooths_components:  # smoothing fills gaps of the images
        areas = [replace(row, known_share=known.years[row.year]) for row in areas]
    write_areas(areas, plan.folder / COMPONENTS_TABLE, ComponentArea)
    transitions = component_transitions(
        _all_groups(plan, groups),
        plan.years,
        groups,
        plan.grid,
        pairs=plan.pairs,
        site=plan.site,
        errors=plan.transition_errors,
    )
    write_areas(transitions, plan.folder / TRANSITIONS_TABLE, ComponentTransition)
    return [COMPONENTS_TABLE, TRANSITIONS_TABLE]


def component_outlines(plan: SeriesPlan, tables: PolygonTables) -> Iterator[Any] | None:
    """Tables of the polygons of all components, map by map; None without a component model."""
    groups = planned_groups(plan)
    if groups is None:
        return None
    maps = [
        (year, group, classes, component_name(group, year))
        for year in plan.years
        for group, classes in groups.groups.items()
    ]
    years, names, classes, files = zip(*maps, strict=True) if maps else ((), (), (), ())
    return tables.of_components(MapFiles(plan.folder, files), years, names, classes)


def _all_groups(plan: SeriesPlan, groups: LabelGroups) -> Iterator[NDArray[np.uint8]]:
    """Rows of all maps (years, groups, rows, width); the total is the footprint."""
    files = [
        footprint_name(year) if group == groups.total else component_name(group, year)
        for year in plan.years
        for group in groups.names
    ]
    for block in row_blocks(plan.folder, files, plan.grid):
        yield block.reshape(len(plan.years), len(groups.names), *block.shape[1:])
