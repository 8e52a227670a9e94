"""Footprints, changes and components as polygons along the edges of pixels.

Pixels belong together where they share an edge; pixels that only touch in a corner make two polygons. Every
polygon is therefore valid, and together they cover exactly the pixels that they were made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.mapping.map_values import GAIN, LOSS, UNDIRECTED
from euromine.support.errors import ArgumentError, GridError
from euromine.support.geopackages import require_geopandas
from euromine.support.ground_areas import HECTARE
from euromine.support.pixel_polygons import PixelParts, pixel_polygons
from euromine.support.polygon_measures import areas_and_perimeters, polygon_areas
from euromine.support.rasters import crs_name

if TYPE_CHECKING:
    from euromine.monitoring.scenes.grids import Grid

Maps = NDArray[np.uint8]

CHANGE_KINDS = {GAIN: "gain", LOSS: "loss", UNDIRECTED: "undirected"}
# Years are numbered in a byte.
_MOST_YEARS = 255


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
            that reads maps on access. Each is read twice.
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
    geopandas = require_geopandas()
    _check_maps(footprints, len(years), grid, minimum_mapping_unit)
    if len(years) > _MOST_YEARS or any(first >= second for first, second in pairwise(years)):
        raise ArgumentError(f"years: found {list(years)}; expected at most {_MOST_YEARS}, ascending.")
    first, last = _first_and_last(footprints, len(years), grid)
    calendar = np.array(years, np.int32)
    found: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("geometry", "year", "first_year", "last_year")
    }
    for index, year in enumerate(years):
        mined = (footprints[index] == 1).astype(np.uint8)
        if (box := _box(mined)) is None:
            continue
        geometries, parts = _outlines(mined[box], grid, box)
        found["geometry"].append(geometries)
        found["year"].append(np.full(len(parts), year, np.int32))
        found["first_year"].append(calendar[parts.least(first[box])])
        found["last_year"].append(calendar[parts.largest(last[box])])
    geometry = _joined(found.pop("geometry"), object)
    values = {"site": site, **{name: _joined(each, np.int32) for name, each in found.items()}}
    frame = _measured(geopandas, geometry, values, grid, minimum_mapping_unit)
    return _sorted(frame, ["site", "year", "area_ha", "perimeter_m", "first_year", "last_year"], ["year"])


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
    names = [CHANGE_KINDS] * len(pairs)
    years = [(int(first), int(second)) for first, second in pairs]
    frame = _class_polygons(changes, names, grid, minimum_mapping_unit)
    found = np.array(years, np.int32).reshape(-1, 2)[frame.pop("map")]
    values = {"site": site, "year_1": found[:, 0], "year_2": found[:, 1], "kind": frame.pop("name")}
    return _sorted(
        frame.assign(**values),
        ["site", "year_1", "year_2", "kind", "area_ha", "perimeter_m"],
        ["year_1", "year_2"],
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
    if not len(years) == len(groups) == len(classes):
        raise ValueError(
            f"years: found {len(years)}, {len(groups)} groups and {len(classes)} lists of classes; expected "
            "one of each per map."
        )
    frame = _class_polygons(
        maps, [dict(enumerate(names, 1)) for names in classes], grid, minimum_mapping_unit
    )
    places = frame.pop("map")
    values = {
        "site": site,
        "year": np.array(years, np.int32)[places],
        "group": np.array(groups, object)[places],
        "component": frame.pop("name"),
    }
    order = ["year", "group", "component"]
    return _sorted(frame.assign(**values), ["site", *order, "area_ha", "perimeter_m"], order)


def _class_polygons(
    maps: Sequence[Maps] | Maps,
    names: Sequence[Mapping[int, str]],
    grid: Grid,
    minimum_mapping_unit: float,
) -> Any:
    """The polygons of each map's classes, measured: the place of the `map`, the class's `name`, areas."""
    geopandas = require_geopandas()
    _check_maps(maps, len(names), grid, minimum_mapping_unit)
    geometry: list[NDArray[Any]] = []
    places: list[NDArray[Any]] = []
    found_names: list[NDArray[Any]] = []
    for place, of_map in enumerate(names):
        codes = _known_codes(list(of_map))[maps[place]]
        if (box := _box(codes)) is None:
            continue
        geometries, parts = _outlines(codes[box], grid, box)
        geometry.append(geometries)
        places.append(np.full(len(parts), place, np.intp))
        found_names.append(_by_code(of_map)[parts.codes])
    columns = {"map": _joined(places, np.intp), "name": _joined(found_names, object)}
    geometries = _joined(geometry, object)
    return _measured(geopandas, geometries, columns, grid, minimum_mapping_unit)


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


def _joined(arrays: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.array([], dtype), *arrays])


def _first_and_last(footprints: Sequence[Maps] | Maps, number: int, grid: Grid) -> tuple[Maps, Maps]:
    """The indices of the first and last year in which each pixel is mined; undefined where it never is."""
    first, last = (np.zeros((grid.height, grid.width), np.uint8) for _ in range(2))
    for index in range(number):
        mined = footprints[index] == 1
        first[mined & (last == 0)] = index
        last[mined] = index + 1  # counted from 1, as 0 is ground that was not mined so far
    last -= 1
    return first, last


def _box(mask: NDArray[Any]) -> tuple[slice, slice] | None:
    """The rows and columns around all values but 0; None where there are none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _outlines(codes: Maps, grid: Grid, box: tuple[slice, slice]) -> tuple[NDArray[Any], PixelParts]:
    """The polygons of pixels that share an edge and a code above 0, in a box of the grid."""
    from rasterio.windows import Window
    from rasterio.windows import transform as window_transform

    window = Window(box[1].start, box[0].start, *codes.shape[::-1])
    return pixel_polygons(codes, window_transform(window, grid.transform))


def _measured(
    geopandas: Any,
    geometry: NDArray[Any],
    values: dict[str, Any],
    grid: Grid,
    minimum_mapping_unit: float,
) -> Any:
    """A table of polygons, generalised and measured."""
    frame = geopandas.GeoDataFrame(values, geometry=geometry, crs=crs_name(grid.crs))
    if minimum_mapping_unit:
        frame.geometry = _without_small_holes(frame.geometry.array, frame.crs, minimum_mapping_unit)
    areas, frame["perimeter_m"] = areas_and_perimeters(frame.geometry.array, frame.crs)
    frame.insert(len(values), "area_ha", areas / HECTARE)
    return frame[frame["area_ha"] >= minimum_mapping_unit] if minimum_mapping_unit else frame


def _sorted(frame: Any, names: Sequence[str], order: Sequence[str]) -> Any:
    """A table of polygons with these columns, the largest first within each of `order`."""
    frame = frame.sort_values([*order, "area_ha"], ascending=[True] * len(order) + [False], kind="stable")
    return frame[[*names, "geometry"]].reset_index(drop=True)


def _without_small_holes(geometries: Any, crs: Any, minimum_mapping_unit: float) -> Any:
    """Polygons whose holes below the minimum mapping unit are filled."""
    import shapely

    filled = np.asarray(geometries, dtype=object).copy()
    for place in np.flatnonzero(shapely.get_num_interior_rings(filled)):
        polygon = filled[place]
        holes = np.array([shapely.Polygon(ring) for ring in polygon.interiors], dtype=object)
        kept = polygon_areas(holes, crs) >= minimum_mapping_unit * HECTARE
        if not kept.all():
            filled[place] = shapely.Polygon(polygon.exterior, [hole.exterior for hole in holes[kept]])
    return filled


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
