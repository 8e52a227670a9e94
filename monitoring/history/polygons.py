"""Footprints, changes and components as polygons along the edges of pixels.

Pixels belong together where they share an edge; pixels that only touch in a corner make two polygons. Every
polygon is therefore valid, and together they cover exactly the pixels that they were made of.

A table of all maps may be larger than memory; tables of one map each come one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.mapping.map_values import GAIN, LOSS, UNDIRECTED
from euromine.support.errors import ArgumentError, GridError
from euromine.support.geopackages import require_geopandas
from euromine.support.pixel_polygons import PixelRuns, run_extremes
from euromine.support.rasters import crs_name

from .outlined_maps import MapParts, map_rows, measured_maps, row_steps

if TYPE_CHECKING:
    from euromine.monitoring.scenes.grids import Grid

Maps = NDArray[np.uint8]

CHANGE_KINDS = {GAIN: "gain", LOSS: "loss", UNDIRECTED: "undirected"}
# Years are numbered in a byte.
_MOST_YEARS = 255
# The columns of tables without polygons, but for the site.
_SIZES = {"area_ha": np.float64, "perimeter_m": np.float64}
_FOOTPRINT_TYPES = {"year": np.int32, **_SIZES, "first_year": np.int32, "last_year": np.int32}
_CHANGE_TYPES = {"year_1": np.int32, "year_2": np.int32, "kind": object, **_SIZES}
_COMPONENT_TYPES = {"year": np.int32, "group": object, "component": object, **_SIZES}


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
    frames = footprint_tables(footprints, years, grid, minimum_mapping_unit=minimum_mapping_unit, site=site)
    return _joined_tables(frames)


def footprint_tables(
    footprints: Sequence[Maps] | Maps,
    years: Sequence[int],
    grid: Grid,
    *,
    minimum_mapping_unit: float = 0.0,
    site: str = "",
) -> Iterator[Any]:
    """As `footprint_polygons`, a table per year; an empty one without years.

    Args and errors as there; errors are raised with the first table.
    """
    geopandas = require_geopandas()
    _check_maps(footprints, len(years), grid, minimum_mapping_unit)
    if len(years) > _MOST_YEARS or any(first >= second for first, second in pairwise(years)):
        raise ArgumentError(f"years: found {list(years)}; expected at most {_MOST_YEARS}, ascending.")
    calendar = np.array(years, np.int32)
    maps, extremes = _footprint_parts(footprints, len(years), grid)
    found = measured_maps(maps, grid, minimum_mapping_unit)
    for year, (first, last) in zip(calendar, extremes, strict=True):
        polygons = next(found)
        values = {
            "site": site,
            "year": np.full(len(polygons.owners), year),
            "area_ha": polygons.areas,
            "perimeter_m": polygons.perimeters,
            "first_year": calendar[first[polygons.owners]],
            "last_year": calendar[last[polygons.owners]],
        }
        yield _table(geopandas, values, polygons.geometry, grid)
        del polygons  # before the next year's are drawn
    if not len(years):
        yield _table(geopandas, {"site": site, **_empty(_FOOTPRINT_TYPES)}, np.array([], object), grid)


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
    frames = change_tables(changes, pairs, grid, minimum_mapping_unit=minimum_mapping_unit, site=site)
    return _joined_tables(frames)


def change_tables(
    changes: Sequence[Maps] | Maps,
    pairs: Sequence[tuple[int, int]],
    grid: Grid,
    *,
    minimum_mapping_unit: float = 0.0,
    site: str = "",
) -> Iterator[Any]:
    """As `change_polygons`, a table per pair; an empty one without pairs.

    Args and errors as there; errors are raised with the first table.
    """
    years = [(int(first), int(second)) for first, second in pairs]
    columns = [{"year_1": np.int32(first), "year_2": np.int32(second)} for first, second in years]
    names = [CHANGE_KINDS] * len(years)
    yield from _class_tables(
        changes, years, columns, "kind", names, grid, minimum_mapping_unit, site, _CHANGE_TYPES
    )


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
    frames = component_tables(
        maps, years, groups, classes, grid, minimum_mapping_unit=minimum_mapping_unit, site=site
    )
    return _joined_tables(frames)


def component_tables(
    maps: Sequence[Maps] | Maps,
    years: Sequence[int],
    groups: Sequence[str],
    classes: Sequence[Sequence[str]],
    grid: Grid,
    *,
    minimum_mapping_unit: float = 0.0,
    site: str = "",
) -> Iterator[Any]:
    """As `component_polygons`, a table per map; an empty one without maps.

    Args and errors as there; errors are raised with the first table.
    """
    if not len(years) == len(groups) == len(classes):
        raise ValueError(
            f"years: found {len(years)}, {len(groups)} groups and {len(classes)} lists of classes; expected "
            "one of each per map."
        )
    order = [(int(year), group) for year, group in zip(years, groups, strict=True)]
    columns = [{"year": np.int32(year), "group": group} for year, group in order]
    names = [dict(enumerate(of_map, 1)) for of_map in classes]
    yield from _class_tables(
        maps, order, columns, "component", names, grid, minimum_mapping_unit, site, _COMPONENT_TYPES
    )


def _class_tables(
    maps: Sequence[Maps] | Maps,
    order: Sequence[Any],
    columns: Sequence[Mapping[str, Any]],
    name: str,
    names: Sequence[Mapping[int, str]],
    grid: Grid,
    minimum_mapping_unit: float,
    site: str,
    types: Mapping[str, Any],
) -> Iterator[Any]:
    """A table of the polygons of each map's classes.

    Args:
        maps: The maps.
        order: By what the maps are sorted.
        columns: The same values for all polygons of a map.
        name: The column of the classes' names.
        names: The name of each class by map.
        grid: The maps' grid.
        minimum_mapping_unit: As for `footprint_polygons`.
        site: The site's name.
        types: The columns of an empty table.
    """
    geopandas = require_geopandas()
    _check_maps(maps, len(names), grid, minimum_mapping_unit)
    places = sorted(range(len(names)), key=order.__getitem__)
    kept: list[Maps] = []

    def parts() -> Iterator[MapParts]:
        for place in places:
            of_map = _class_parts(maps, place, list(names[place]), grid)
            kept.append(of_map.parts.codes)
            yield of_map

    found = measured_maps(parts(), grid, minimum_mapping_unit)
    for place in places:
        polygons = next(found)
        values = {
            "site": site,
            **columns[place],
            name: _by_code(names[place])[kept.pop(0)[polygons.owners]],
            "area_ha": polygons.areas,
            "perimeter_m": polygons.perimeters,
        }
        by = [name] if name == "component" else []
        yield _table(geopandas, values, polygons.geometry, grid, by)
        del polygons  # before those of the next map are drawn
    if not len(names):
        yield _table(geopandas, {"site": site, **_empty(types)}, np.array([], object), grid)


def _class_parts(maps: Sequence[Maps] | Maps, place: int, codes: Sequence[int], grid: Grid) -> MapParts:
    """The parts of one map, of these codes."""
    known, runs = _known_codes(codes), PixelRuns(grid.width)
    steps = [*row_steps(grid)]
    for rows in steps:
        read = known[map_rows(maps, place, rows)]
        runs.add(read)
    return MapParts.of(runs, read if len(steps) == 1 else None)


def _known_codes(codes: Sequence[int]) -> Maps:
    """A table of 256 values with which a map keeps these codes and has 0 elsewhere."""
    table = np.zeros(256, np.uint8)
    table[codes] = codes
    return table


def _by_code(names: Mapping[int, str]) -> NDArray[Any]:
    """The name of each code, in a table of 256."""
    table = np.full(256, "", object)
    table[list(names)] = list(names.values())
    return table


def _footprint_parts(
    footprints: Sequence[Maps] | Maps, number: int, grid: Grid
) -> tuple[list[MapParts], list[tuple[Maps, Maps]]]:
    """The parts of each year's footprint, and the first and last year, by index, of each part's ground."""
    runs = [PixelRuns(grid.width) for _ in range(number)]
    firsts: list[list[Maps]] = [[] for _ in range(number)]
    lasts: list[list[Maps]] = [[] for _ in range(number)]
    mined: list[Maps] = []
    steps = [*row_steps(grid, max(number, 1))]
    for rows in steps:
        mined = [(map_rows(footprints, index, rows) == 1).view(np.uint8) for index in range(number)]
        first, last = _first_and_last(mined, (rows[1] - rows[0], grid.width))
        for index in range(number):
            starts, ends = runs[index].add(mined[index])
            firsts[index].append(run_extremes(np.minimum, first, starts, ends))
            lasts[index].append(run_extremes(np.maximum, last, starts, ends))
    found = [
        MapParts.of(of_year, mined[index] if len(steps) == 1 else None) for index, of_year in enumerate(runs)
    ]
    extremes = [
        (each.parts.least(np.concatenate(first)), each.parts.largest(np.concatenate(last)))
        for each, first, last in zip(found, firsts, lasts, strict=True)
    ]
    return found, extremes


def _first_and_last(mined: Sequence[Maps], shape: tuple[int, int]) -> tuple[Maps, Maps]:
    """The indices of the first and last year in which each pixel is mined; undefined where it never is."""
    first, last = (np.zeros(shape, np.uint8) for _ in range(2))
    for index, year in enumerate(mined):
        is_mined = year.view(bool)
        first[is_mined & (last == 0)] = index
        last[is_mined] = index + 1  # counted from 1, as 0 is ground that was not mined so far
    last -= 1
    return first, last


def _empty(types: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.array([], dtype) for name, dtype in types.items()}


def _table(
    geopandas: Any, values: dict[str, Any], geometry: NDArray[Any], grid: Grid, order: Sequence[str] = ()
) -> Any:
    """A table of polygons, the largest first within each of `order`."""
    frame = geopandas.GeoDataFrame(values, geometry=geometry, crs=crs_name(grid.crs))
    ascending = [True] * len(order) + [False]
    return frame.sort_values([*order, "area_ha"], ascending=ascending, kind="stable", ignore_index=True)


def _joined_tables(frames: Iterator[Any]) -> Any:
    """Tables one after the other."""
    import pandas

    found = [*frames]
    filled = [frame for frame in found if len(frame)] or found[:1]
    return filled[0] if len(filled) == 1 else pandas.concat(filled, ignore_index=True)


def _check_maps(maps: Sequence[Maps] | Maps, number: int, grid: Grid, minimum_mapping_unit: float) -> None:
    if not minimum_mapping_unit >= 0:
        raise ArgumentError(
            f"minimum_mapping_unit: found {minimum_mapping_unit}; expected hectares of at least 0."
        )
    if not grid.crs:
        raise GridError("grid: found no coordinate system; expected one for polygons.")
    if len(maps) != number:
        raise ValueError(f"maps: found {len(maps)}; expected {number}, one per year or pair.")
    for index in range(number if isinstance(maps, np.ndarray) else min(number, 1)):
        found = maps[index]
        if found.dtype != np.uint8 or found.shape != (grid.height, grid.width):
            raise ValueError(
                f"maps: found {found.dtype} {found.shape}; expected uint8 {(grid.height, grid.width)} like "
                "the grid."
            )
