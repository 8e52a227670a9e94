"""Tables of the polygons of maps: footprints, changes and components.

A table of all maps may be larger than memory. Tables come map by map, those of a map with many polygons in
several tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.mapping.map_values import GAIN, LOSS, UNDIRECTED
from euromine.monitoring.scenes.grids import Grid
from euromine.support.errors import ArgumentError, GridError
from euromine.support.geopackages import require_geopandas
from euromine.support.pixel_polygons import PixelRuns, run_extremes
from euromine.support.rasters import crs_name

from .map_polygons import MapPolygons
from .outlined_maps import MapParts, map_rows, measured_maps, row_steps

Maps = NDArray[np.uint8]

CHANGE_KINDS = {GAIN: "gain", LOSS: "loss", UNDIRECTED: "undirected"}
# Years are numbered in a byte.
_MOST_YEARS = 255
# The columns of tables between the site and the geometry.
_SIZES = {"area_ha": np.float64, "perimeter_m": np.float64}
_FOOTPRINT_TYPES = {"year": np.int32, **_SIZES, "first_year": np.int32, "last_year": np.int32}
_CHANGE_TYPES = {"year_1": np.int32, "year_2": np.int32, "kind": object, **_SIZES}
_COMPONENT_TYPES = {"year": np.int32, "group": object, "component": object, **_SIZES}


@dataclass(frozen=True)
class PolygonTables:
    """Makes `geopandas.GeoDataFrame`s of the polygons of maps, described in `polygons.py`.

    Each method yields the tables of one map after the other, an empty one without maps, and raises errors
    with the first table.

    Attributes:
        grid: The maps' grid.
        minimum_mapping_unit: Hectares. Smaller holes are filled, then smaller polygons left out.
        site: The site's name.
        folder: Where outlines wait in a temporary file until all of a map are there, if they are many; None
            to keep them in memory.
    """

    grid: Grid
    minimum_mapping_unit: float = 0.0
    site: str = ""
    folder: Path | None = None

    def of_footprints(self, footprints: Sequence[Maps] | Maps, years: Sequence[int]) -> Iterator[Any]:
        """The mines of each year, as of `footprint_polygons`."""
        self._check_maps(footprints, len(years))
        if len(years) > _MOST_YEARS or any(first >= second for first, second in pairwise(years)):
            raise ArgumentError(f"years: found {list(years)}; expected at most {_MOST_YEARS}, ascending.")
        calendar = np.array(years, np.int32)
        yield from self._tables(_footprint_parts(footprints, calendar, self.grid), _FOOTPRINT_TYPES)

    def of_changes(self, changes: Sequence[Maps] | Maps, pairs: Sequence[tuple[int, int]]) -> Iterator[Any]:
        """The changes of each pair of years, as of `change_polygons`."""
        self._check_maps(changes, len(pairs))
        years = [(int(first), int(second)) for first, second in pairs]
        columns = [{"year_1": np.int32(first), "year_2": np.int32(second)} for first, second in years]
        parts = (
            _class_parts(changes, place, self.grid, CHANGE_KINDS, columns[place], "kind")
            for place in sorted(range(len(years)), key=years.__getitem__)
        )
        yield from self._tables(parts, _CHANGE_TYPES)

    def of_components(
        self,
        maps: Sequence[Maps] | Maps,
        years: Sequence[int],
        groups: Sequence[str],
        classes: Sequence[Sequence[str]],
    ) -> Iterator[Any]:
        """The components of each year, as of `component_polygons`."""
        if not len(years) == len(groups) == len(classes):
            raise ValueError(
                f"years: found {len(years)}, {len(groups)} groups and {len(classes)} lists of classes; "
                "expected one of each per map."
            )
        self._check_maps(maps, len(years))
        order = [(int(year), group) for year, group in zip(years, groups, strict=True)]
        columns = [{"year": np.int32(year), "group": group} for year, group in order]
        names = [dict(enumerate(of_map, 1)) for of_map in classes]
        parts = (
            _class_parts(maps, place, self.grid, names[place], columns[place], "component")
            for place in sorted(range(len(order)), key=order.__getitem__)
        )
        yield from self._tables(parts, _COMPONENT_TYPES, ["component"])

    def _tables(
        self, maps: Iterable[MapParts], types: Mapping[str, Any], order: Sequence[str] = ()
    ) -> Iterator[Any]:
        """The tables of maps, the largest polygons first within each of `order`."""
        require_geopandas()
        is_empty = True
        for polygons in measured_maps(maps, self.grid, self.minimum_mapping_unit, self.folder):
            yield from self._of_map(polygons, types, order)
            is_empty = False
            del polygons  # before those of the next map are drawn
        if is_empty:
            nothing = {name: np.array([], dtype) for name, dtype in types.items()}
            yield self._table(nothing, np.array([], object))

    def _of_map(self, polygons: MapPolygons, types: Mapping[str, Any], order: Sequence[str]) -> Iterator[Any]:
        columns = polygons.columns()
        for places, outlines in polygons.batches(_sorted_places(columns, order)):
            yield self._table({name: _taken(columns[name], places) for name in types}, outlines)

    def _table(self, columns: Mapping[str, Any], outlines: NDArray[Any]) -> Any:
        frame = require_geopandas().GeoDataFrame
        return frame({"site": self.site, **columns}, geometry=outlines, crs=crs_name(self.grid.crs))

    def _check_maps(self, maps: Sequence[Maps] | Maps, number: int) -> None:
        grid, unit = self.grid, self.minimum_mapping_unit
        if not unit >= 0:
            raise ArgumentError(f"minimum_mapping_unit: found {unit}; expected hectares of at least 0.")
        if not grid.crs:
            raise GridError("grid: found no coordinate system; expected one for polygons.")
        if len(maps) != number:
            raise ValueError(f"maps: found {len(maps)}; expected {number}, one per year or pair.")
        # Where rows can be read, one shows the type and the width: a whole map may be larger than memory.
        in_rows = hasattr(maps, "read_rows")
        expected = (1 if in_rows else grid.height, grid.width)
        for index in range(number if isinstance(maps, np.ndarray) else min(number, 1)):
            found = map_rows(maps, index, (0, 1)) if in_rows else maps[index]
            if found.dtype != np.uint8 or found.shape != expected:
                raise ValueError(
                    f"maps: found {found.dtype} {found.shape}; expected uint8 {expected} like the grid."
                )


def _sorted_places(columns: Mapping[str, Any], order: Sequence[str]) -> NDArray[np.intp]:
    """The places of a map's polygons, the largest first within each of `order`."""
    import pandas

    keys = pandas.DataFrame({name: columns[name] for name in [*order, "area_ha"]})
    ascending = [True] * len(order) + [False]
    return keys.sort_values([*order, "area_ha"], ascending=ascending, kind="stable").index.to_numpy()


def _taken(column: Any, places: NDArray[np.intp]) -> Any:
    """A column's values at some places; the same value for all if it is one."""
    return column if np.ndim(column) == 0 else column[places]


def _class_parts(
    maps: Sequence[Maps] | Maps,
    place: int,
    grid: Grid,
    names: Mapping[int, str],
    columns: Mapping[str, Any],
    column: str,
) -> MapParts:
    """The parts of one map.

    Args:
        maps: The maps.
        place: The map's place among them.
        grid: Their grid.
        names: The name of each code that counts.
        columns: As of `MapParts`.
        column: That of the names.
    """
    known, runs = _known_codes(list(names)), PixelRuns(grid.width)
    steps = [*row_steps(grid)]
    for rows in steps:
        read = known[map_rows(maps, place, rows)]
        runs.add(read)
    found = MapParts.of(runs, read if len(steps) == 1 else None)
    return replace(found, columns={**columns, column: _by_code(names)[found.parts.codes]})


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
    footprints: Sequence[Maps] | Maps, years: NDArray[np.int32], grid: Grid
) -> Iterator[MapParts]:
    """The parts of each year's footprint, with the first and last year of each part's ground."""
    runs = [PixelRuns(grid.width) for _ in years]
    firsts: list[list[Maps]] = [[] for _ in years]
    lasts: list[list[Maps]] = [[] for _ in years]
    mined: list[Maps] = []
    steps = [*row_steps(grid, max(len(years), 1))]
    for rows in steps:
        mined = [(map_rows(footprints, index, rows) == 1).view(np.uint8) for index in range(len(years))]
        first, last = _first_and_last(mined, (rows[1] - rows[0], grid.width))
        for index in range(len(years)):
            starts, ends = runs[index].add(mined[index])
            firsts[index].append(run_extremes(np.minimum, first, starts, ends))
            lasts[index].append(run_extremes(np.maximum, last, starts, ends))
    if len(steps) > 1:
        mined = []
    for index, year in enumerate(years):
        found = MapParts.of(runs.pop(0), mined[index] if mined else None)
        first, last = np.concatenate(firsts.pop(0)), np.concatenate(lasts.pop(0))
        columns = {
            "year": year,
            "first_year": years[found.parts.least(first)],
            "last_year": years[found.parts.largest(last)],
        }
        yield replace(found, columns=columns)
        del found, columns  # before the next year's are drawn


def _first_and_last(mined: Sequence[Maps], shape: tuple[int, int]) -> tuple[Maps, Maps]:
    """The indices of the first and last year in which each pixel is mined; undefined where it never is."""
    first, last = (np.zeros(shape, np.uint8) for _ in range(2))
    for index, year in enumerate(mined):
        is_mined = year.view(bool)
        first[is_mined & (last == 0)] = index
        last[is_mined] = index + 1  # counted from 1, as 0 is ground that was not mined so far
    last -= 1
    return first, last
