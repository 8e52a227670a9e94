"""Polygons of maps, measured, a map at a time.

Maps are read in blocks of rows, and polygons are measured in batches, so that neither many small maps nor a
large one take more than a batch beside what `MapPolygons` keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.ground_areas import HECTARE
from euromine.support.pixel_polygons import PixelParts, PixelRuns, part_polygons
from euromine.support.polygon_measures import PolygonMeasures, polygon_areas
from euromine.support.rasters import crs_name

from .map_polygons import MapPolygons, MeasuredPolygons

if TYPE_CHECKING:
    from euromine.monitoring.scenes.grids import Grid

Maps = NDArray[np.uint8]

# Pixels that are read at once, in rows; maps of fewer are read as a whole.
_PIXELS = 2**25
# Rows of tiles, each of which is decoded once.
_ROWS = 512
# Corners that are measured at once; each takes some 200 bytes meanwhile.
_CORNERS = 2**19


@dataclass(frozen=True)
class MapParts:
    """The parts of a map.

    Attributes:
        parts: The parts, in a box around all of them.
        box: Its rows and columns in the map.
        codes: The map in the box, if it was read as a whole.
        columns: Of the table of its polygons, by name: a value for all or an array of one for each part.
    """

    parts: PixelParts
    box: tuple[slice, slice]
    codes: Maps | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: PixelRuns, codes: Maps | None = None) -> MapParts:
        """The parts of a map whose runs are known.

        Args:
            runs: The runs.
            codes: The map, if it was read as a whole.
        """
        parts = runs.parts()
        if not len(parts):
            return cls(parts, (slice(0, 0), slice(0, 0)))
        box = parts.box
        return cls(parts.cut(box), box, None if codes is None else codes[box])


def row_steps(grid: Grid, maps: int = 1) -> Iterator[tuple[int, int]]:
    """The first row of each block in which so many maps are read at once, and the one after its last."""
    step = max(_ROWS, _PIXELS // (maps * grid.width) // _ROWS * _ROWS)
    for top in range(0, grid.height, step):
        yield top, min(top + step, grid.height)


def map_rows(maps: Sequence[Maps] | Maps, index: int, rows: tuple[int, int]) -> Maps:
    """Rows of a map, of a sequence that reads rows, reads maps or holds them."""
    read: Callable[[int, int, int], Maps] | None = getattr(maps, "read_rows", None)
    return maps[index][slice(*rows)] if read is None else read(index, *rows)


def measured_maps(
    maps: Iterable[MapParts], grid: Grid, minimum_mapping_unit: float, folder: Path | None = None
) -> Iterator[MapPolygons]:
    """The polygons of each map, measured; each map's are given up when the next one's are asked for.

    Args:
        maps: The maps' parts, taken one at a time.
        grid: The maps' grid.
        minimum_mapping_unit: Hectares. Smaller holes are filled, then smaller polygons left out.
        folder: As for `MapPolygons`.

    Raises:
        OSError: Outlines cannot be written to the folder.
    """
    import pyproj

    crs = pyproj.CRS.from_user_input(crs_name(grid.crs))
    measures = PolygonMeasures(crs)
    waiting: list[_Outlines] = []
    done = [MapPolygons(folder)]
    corners = 0
    try:
        for outlines in _outlines(maps, grid):
            waiting.append(outlines)
            corners += outlines.corners
            if corners < _CORNERS:
                continue
            _measure(waiting, measures, crs, minimum_mapping_unit, done, folder)
            waiting, corners = [], 0
            yield from _given_up(done)
        _measure(waiting, measures, crs, minimum_mapping_unit, done, folder)
        yield from _given_up(done)
    finally:
        for polygons in done:
            polygons.close()


def _given_up(done: list[MapPolygons]) -> Iterator[MapPolygons]:
    """The complete maps, all but the last, each of which is closed and removed afterwards."""
    while len(done) > 1:
        yield done[0]
        done.pop(0).close()


@dataclass(frozen=True)
class _Outlines:
    """Polygons of a map.

    Attributes:
        owners: Their parts.
        geometry: The polygons.
        columns: Those of the map if they are its last polygons.
    """

    owners: NDArray[np.intp]
    geometry: NDArray[Any]
    columns: Mapping[str, Any] | None = None

    @property
    def corners(self) -> int:
        """The number of their corners."""
        import shapely

        return int(shapely.get_num_coordinates(self.geometry).sum())


def _outlines(maps: Iterable[MapParts], grid: Grid) -> Iterator[_Outlines]:
    """The polygons of maps, those of each map in one or several parts."""
    from rasterio.windows import Window
    from rasterio.windows import transform as window_transform

    for each in maps:
        rows, columns = each.box
        window = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        found = _Outlines(np.array([], np.intp), np.array([], object))
        for owners, geometry in part_polygons(
            each.parts, window_transform(window, grid.transform), each.codes
        ):
            if len(found.owners):
                yield found
            found = _Outlines(owners, geometry)
        yield replace(found, columns=each.columns)


def _measure(
    batch: Sequence[_Outlines],
    measures: PolygonMeasures,
    crs: Any,
    minimum_mapping_unit: float,
    done: list[MapPolygons],
    folder: Path | None,
) -> None:
    """Generalise and measure a batch of polygons.

    Args:
        batch: The polygons.
        measures: Measures them.
        crs: Their coordinate system.
        minimum_mapping_unit: As for `measured_maps`.
        done: The polygons of each map; of the last one, some. Those of the batch are added.
        folder: As for `measured_maps`.
    """
    if not batch:
        return
    geometry = np.concatenate([each.geometry for each in batch])
    if minimum_mapping_unit:
        geometry = _without_small_holes(geometry, crs, minimum_mapping_unit)
    areas, perimeters = measures.of(geometry)
    areas /= HECTARE
    ends = np.cumsum([len(each.owners) for each in batch])
    for each, end in zip(batch, ends, strict=True):
        part = slice(end - len(each.owners), end)
        found = MeasuredPolygons(each.owners, geometry[part], areas[part], perimeters[part])
        if minimum_mapping_unit:
            found = found.taken(found.areas >= minimum_mapping_unit)
        done[-1].add(found)
        if each.columns is not None:
            done[-1].finish(each.columns)
            done.append(MapPolygons(folder))


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
