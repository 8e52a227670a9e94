"""Footprints, changes and components as polygons along the edges of pixels.

Pixels belong together where they share an edge; pixels that only touch in a corner make two polygons. Every
polygon is therefore valid, and together they cover exactly the pixels that they were made of.

A table of all maps may be larger than memory; `PolygonTables` makes them one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .polygon_tables import PolygonTables

if TYPE_CHECKING:
    from euromine.monitoring.scenes.grids import Grid

Maps = NDArray[np.uint8]


def footprint_polygons(
    footprints: Sequence[Maps] | Maps,
    years: Sequence[int],
    grid: Grid,
    *,
    minimum_mapping_unit: float = 0.0,
    site: str = "",
) -> Any:
    """The mines of each year as polygons.

    Args:
        footprints: A map (height, width) per year, uint8, 1 mine, 0 and 255 not: an array, or a sequence
            that reads maps on access, or rows of them as `MapFiles` does.
        years: The years, ascending, at most 255.
        grid: The maps' grid.
        minimum_mapping_unit: Hectares. Smaller holes are filled, then smaller polygons left out.
        site: The site's name.

    Returns:
        A `geopandas.GeoDataFrame` in the grid's coordinate system, sorted by year and descending area:
        `site`, `year`, `area_ha` and `perimeter_m` on the ground (edges of holes included), `first_year` and
        `last_year` of the series in which any of the polygon's ground is mined, and `geometry`.

    Raises:
        ArgumentError: The minimum mapping unit is negative, or the years do not ascend or are too many.
        GridError: The grid has no coordinate system.
        ValueError: The maps do not fit the years or the grid.
        MissingExtraError: geopandas is not installed.
    """
    return _joined_tables(PolygonTables(grid, minimum_mapping_unit, site).of_footprints(footprints, years))


def change_polygons(
    changes: Sequence[Maps] | Maps,
    pairs: Sequence[tuple[int, int]],
    grid: Grid,
    *,
    minimum_mapping_unit: float = 0.0,
    site: str = "",
) -> Any:
    """The changes between pairs of years as polygons, separate for gain and loss.

    Args:
        changes: A map (height, width) per pair, uint8, 1 gain, 2 loss, 3 change of unknown direction, 0 and
            255 none: an array, or a sequence that reads maps on access.
        pairs: The two calendar years of each pair.
        grid: The maps' grid.
        minimum_mapping_unit: As for `footprint_polygons`.
        site: The site's name.

    Returns:
        A `geopandas.GeoDataFrame` sorted by pair and descending area: `site`, `year_1`, `year_2`, `kind`
        ("gain", "loss" or "undirected"), `area_ha`, `perimeter_m` and `geometry`.

    Raises:
        ArgumentError: The minimum mapping unit is negative.
        GridError: The grid has no coordinate system.
        ValueError: The maps do not fit the pairs or the grid.
        MissingExtraError: geopandas is not installed.
    """
    return _joined_tables(PolygonTables(grid, minimum_mapping_unit, site).of_changes(changes, pairs))


def component_polygons(
    maps: Sequence[Maps] | Maps,
    years: Sequence[int],
    groups: Sequence[str],
    classes: Sequence[Sequence[str]],
    grid: Grid,
    *,
    minimum_mapping_unit: float = 0.0,
    site: str = "",
) -> Any:
    """The components of each year as polygons, separate for each class.

    Args:
        maps: A map (height, width) per year and group, uint8, 0 and 255 none, n the n-th class: an array, or
            a sequence that reads maps on access.
        years: The year of each map.
        groups: The group of each map.
        classes: The classes of each map's group.
        grid: The maps' grid.
        minimum_mapping_unit: As for `footprint_polygons`.
        site: The site's name.

    Returns:
        A `geopandas.GeoDataFrame` sorted by year, group, component and descending area: `site`, `year`,
        `group`, `component`, `area_ha`, `perimeter_m` and `geometry`.

    Raises:
        ArgumentError: The minimum mapping unit is negative.
        GridError: The grid has no coordinate system.
        ValueError: The maps do not fit the years or the grid.
        MissingExtraError: geopandas is not installed.
    """
    tables = PolygonTables(grid, minimum_mapping_unit, site)
    return _joined_tables(tables.of_components(maps, years, groups, classes))


def _joined_tables(frames: Iterator[Any]) -> Any:
    """Tables one after the other."""
    import pandas

    found = [*frames]
    filled = [frame for frame in found if len(frame)] or found[:1]
    return filled[0] if len(filled) == 1 else pandas.concat(filled, ignore_index=True)
