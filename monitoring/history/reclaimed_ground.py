"""Recovery of ground that was mined and is not any more, by year, polygon and map."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from euromine.monitoring.mapping.geotiffs import BLOCK, CogWriter
from euromine.monitoring.mapping.index_maps import decode_indices
from euromine.monitoring.mapping.map_styles import RECLAMATION as STYLE
from euromine.monitoring.mapping.map_values import NEVER, NODATA, UNKNOWN_YEAR
from euromine.support.errors import DataError
from euromine.support.geopackages import has_geopandas
from euromine.support.ground_areas import HECTARE, PixelAreas, pixel_areas
from euromine.support.rasters import crs_name, open_raster, read_raster

from .file_names import FIRST_YEAR, LAST_YEAR, RECLAMATION_MAP, footprint_name, index_name
from .impact_plan import START_YEAR
from .impact_settings import RECOVERY_INDEX
from .index_zones import OUTLINE
from .map_rows import MapFile
from .polygon_masks import PolygonMasks, pixel_box
from .polygons import footprint_polygons
from .recovery import recovery, values_before
from .recovery_sums import ReclamationRow, RecoveringGround, ZoneSums

if TYPE_CHECKING:  # readers of the tables, such as the app, need no PyTorch
    from .series_plan import SeriesPlan

ALL, MAPPED = "all", "mapped"
"""Zones: all ground that is not mined any more, and its polygons; a user's outlines are the third."""

BEFORE_MINING, REFERENCE = "before mining", "reference ground"
"""Targets of recovery."""

SMALLEST_POLYGON = 0.5
"""Hectares; smaller places count in the total only."""


@dataclass(frozen=True, eq=False)
class _Block:
    """A window of the series: the years of mining, and NBR where it is needed.

    Attributes:
        window: The window.
        first: The first year mined; 0 never or unknown.
        start: The year after the last year mined; 0 where there is none.
        is_known: Where the footprint of the last year is known.
        read: Reads NBR by year, (years, height, width), NaN without data.
    """

    window: Window
    first: NDArray[np.int32]
    start: NDArray[np.int32]
    is_known: NDArray[np.bool_]
    read: Callable[[], NDArray[np.float32]]

    def values(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """NBR at some pixels, (years, pixels)."""
        return self.read()[:, mask]


def measure_reclamation(plan: SeriesPlan, add: Callable[[Iterable[ReclamationRow]], None]) -> Any:
    """Map the state of recovery in the last year, and measure it by zone and year.

    Args:
        plan: The series' plan; the folder holds its maps.
        add: Takes the rows of each zone.

    Returns:
        The polygons as a `geopandas.GeoDataFrame` with the attributes of the last year; None where geopandas
        is not installed or there is no such ground.

    Raises:
        DataError: A map is damaged, or the reference ground has no plants.
        OSError: The map cannot be written.
    """
    grid = plan.grid
    areas = pixel_areas(crs_name(grid.crs), tuple(grid.transform)[:6], grid.height, grid.width)
    with ExitStack() as files:
        maps = _Maps(plan, files)
        reference = _reference_value(plan, maps)
        target = BEFORE_MINING if reference is None else REFERENCE
        add(_map_states(plan, maps, reference, areas).rows(plan.site, ALL, 0, target))
        if not has_geopandas():
            return None
        frame = _zones(plan)
        for place, zone in enumerate(frame.itertuples()):
            rows = _zone_sums(plan, maps, zone.geometry, int(zone.start_year), reference, areas).rows(
                plan.site, zone.zone, int(zone.polygon), target, zone.name
            )
            add(rows)
            for name in _ATTRIBUTES:
                frame.loc[place, name] = getattr(rows[-1], name)
    return frame.drop(columns="start_year")


def _map_states(plan: SeriesPlan, maps: _Maps, reference: float | None, areas: PixelAreas) -> ZoneSums:
    """Write the map of the states in the last year; return the sums over all ground."""
    grid, total = plan.grid, ZoneSums(plan.years)
    with _map_writer(plan) as writer:
        rows: list[NDArray[np.uint8]] = []
        for block in maps.blocks(Window(0, 0, grid.width, grid.height)):
            state = np.where(block.is_known, 0, NODATA).astype(np.uint8)
            ground = _ground(plan, block, block.start > 0, reference, areas)
            if ground is not None:
                total.add(ground)
                state[ground.mask] = ground.recovery.state[-1]
            rows.append(state)
            if block.window.col_off + block.window.width == grid.width:
                writer.write(np.concatenate(rows, axis=1))
                rows = []
    return total


def _zone_sums(
    plan: SeriesPlan,
    maps: _Maps,
    geometry: Any,
    start_year: int,
    reference: float | None,
    areas: PixelAreas,
) -> ZoneSums:
    """The sums over a polygon, all of which recovers from a year on where this is given."""
    sums = ZoneSums(plan.years)
    for block, inside in maps.blocks_of(geometry):
        mask = inside if start_year else inside & (block.start > 0)
        ground = _ground(plan, block, mask, reference, areas, start_year)
        if ground is not None:
            sums.add(ground)
    return sums


_ATTRIBUTES = [
    field.name for field in fields(ReclamationRow) if field.name not in ("site", "zone", "polygon", "name")
]


def _zones(plan: SeriesPlan) -> Any:
    """The polygons of ground that is not mined any more, and the user's outlines."""
    import geopandas
    import pandas

    smallest = max(SMALLEST_POLYGON, plan.settings.minimum_mapping_unit)
    ground = _GroundMaps(MapFile(plan.folder / RECLAMATION_MAP))
    mapped = footprint_polygons(
        ground, plan.years[-1:], plan.grid, minimum_mapping_unit=smallest, site=plan.site
    )
    frames = [_zone_frame(plan, mapped.geometry, MAPPED, [""] * len(mapped), [0] * len(mapped))]
    if (outlines := plan.impact.outlines) is not None:
        named = next((column for column in outlines.columns if str(column).lower() == "name"), None)
        names = [""] * len(outlines) if named is None else outlines[named].fillna("").astype(str).tolist()
        starts = outlines[START_YEAR] if START_YEAR in outlines.columns else [math.nan] * len(outlines)
        years = [0 if pandas.isna(year) or year == "" else int(float(year)) for year in starts]
        frames.append(_zone_frame(plan, outlines.geometry, OUTLINE, names, years))
    joined = pandas.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
    return geopandas.GeoDataFrame(joined, geometry="geometry", crs=crs_name(plan.grid.crs))


def _zone_frame(plan: SeriesPlan, geometry: Any, zone: str, names: list[str], starts: list[int]) -> Any:
    import geopandas

    columns = {
        "site": [plan.site] * len(names),
        "zone": [zone] * len(names),
        "polygon": np.arange(1, len(names) + 1, dtype=np.int32),
        "name": names,
        "start_year": np.array(starts, np.int32),
    }
    return geopandas.GeoDataFrame(columns, geometry=list(geometry), crs=crs_name(plan.grid.crs))


def _ground(
    plan: SeriesPlan,
    block: _Block,
    mask: NDArray[np.bool_],
    reference: float | None,
    areas: PixelAreas,
    start_year: int = 0,
) -> RecoveringGround | None:
    """The ground of a mask in a window; None without any.

    Unless the first year of recovery is given, a later image has to have data: ground in clouds ever since it
    was mined may still be mined.
    """
    if not mask.any():
        return None
    values = block.values(mask)
    start = np.full(values.shape[1], start_year, np.int32) if start_year else block.start[mask]
    if not start_year:
        later = np.asarray(plan.years)[:, None] >= start
        seen = (later & ~np.isnan(values)).any(axis=0)
        mask = mask.copy()
        mask[mask] = seen
        values, start = values[:, seen], start[seen]
    if reference is None:
        target = values_before(values, plan.years, block.first[mask])
    else:
        target = np.full(values.shape[1], reference, np.float32)
    top, left = int(block.window.row_off), int(block.window.col_off)
    strips = np.searchsorted(areas.starts, np.arange(left, left + mask.shape[1]), "right") - 1
    hectares = areas.rows(top, mask.shape[0])[:, strips][mask] / HECTARE
    return RecoveringGround(mask, values, target, recovery(values, plan.years, start, target), hectares)


class _GroundMaps(Sequence[NDArray[np.uint8]]):
    """One map of ground that is not mined any more, 1, whose rows are read when they are asked for."""

    def __init__(self, states: MapFile) -> None:
        self._states = states

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> Any:
        return _is_ground(self._states[:])

    def read_rows(self, index: int, top: int, bottom: int) -> NDArray[np.uint8]:
        """Rows of the map, (bottom - top, width)."""
        return _is_ground(self._states[top:bottom])


def _is_ground(states: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return ((states > 0) & (states != NODATA)).view(np.uint8)


class _Maps:
    """The maps of a series that recovery is measured by, open.

    Args:
        plan: The series' plan.
        files: Closes them.
    """

    def __init__(self, plan: SeriesPlan, files: ExitStack) -> None:
        years = plan.years
        self._plan = plan
        self._following = dict(zip(years, [*years[1:], 0], strict=True))
        self._names = [FIRST_YEAR, LAST_YEAR, footprint_name(years[-1])]
        self._maps = [open_raster(str(plan.folder / name), files, DataError) for name in self._names]
        images = [open_raster(str(plan.folder / index_name(year)), files, DataError) for year in years]
        self._read_index = partial(_read_index, plan, images, plan.impact.indices.index(RECOVERY_INDEX) + 1)

    def blocks(self, window: Window) -> Iterator[_Block]:
        """The parts of a window, row by row: those of the maps' tiles, so that each tile is decoded once."""
        for part in _parts(window):
            top, left = int(part.row_off), int(part.col_off)
            span = ((top, top + int(part.height)), (left, left + int(part.width)))
            first, last, footprint = (
                read_raster(dataset, str(self._plan.folder / name), span, DataError)[0]
                for dataset, name in zip(self._maps, self._names, strict=True)
            )
            start = np.zeros(last.shape, np.int32)
            for year, after in self._following.items():
                start[(last == year) & (footprint != 1)] = after
            mined = np.where((first == NEVER) | (first == UNKNOWN_YEAR), 0, first).astype(np.int32)
            yield _Block(part, mined, start, footprint != NODATA, partial(self._read_index, span))

    def blocks_of(self, geometry: Any) -> Iterator[tuple[_Block, NDArray[np.bool_]]]:
        """The blocks around a polygon in which it has pixels, and these."""
        masks = PolygonMasks([geometry], self._plan.grid)
        for block in self.blocks(_window_of(self._plan, geometry)):
            for found in masks.of(block.window):
                yield block, found.whole(block.start.shape)


def _parts(window: Window) -> Iterator[Window]:
    """A window cut along the borders of tiles."""
    top, left = int(window.row_off), int(window.col_off)
    bottom, right = top + int(window.height), left + int(window.width)
    for row in range(top - top % BLOCK, bottom, BLOCK):
        for column in range(left - left % BLOCK, right, BLOCK):
            first_row, first_column = max(row, top), max(column, left)
            height, width = min(row + BLOCK, bottom) - first_row, min(column + BLOCK, right) - first_column
            yield Window(first_column, first_row, width, height)


def _read_index(
    plan: SeriesPlan, images: Sequence[Any], band: int, span: tuple[tuple[int, int], tuple[int, int]]
) -> NDArray[np.float32]:
    """A band of the indices of all years, (years, height, width)."""
    found = []
    for dataset, year in zip(images, plan.years, strict=True):
        path = str(plan.folder / index_name(year))
        found.append(decode_indices(read_raster(dataset, path, span, DataError, indexes=[band])[0]))
    return np.stack(found)


def _window_of(plan: SeriesPlan, geometry: Any) -> Window:
    """The pixels of the grid around a polygon that meets it."""
    rows, columns = pixel_box(geometry.bounds, plan.grid)
    # One that only touches the grid's border is around no pixel.
    top, left = min(rows.start, plan.grid.height - 1), min(columns.start, plan.grid.width - 1)
    return Window(left, top, max(1, columns.stop - left), max(1, rows.stop - top))


def _reference_value(plan: SeriesPlan, maps: _Maps) -> float | None:
    """The mean over reference ground and all years; None without it.

    Raises:
        DataError: It has no data, or is not above 0.
    """
    if plan.impact.reference is None:
        return None
    total, count = 0.0, 0
    for geometry in plan.impact.reference.geometry:
        for block, mask in maps.blocks_of(geometry):
            inside = block.values(mask & (block.first == 0)).astype(np.float64)
            total += float(np.nansum(inside))
            count += int((~np.isnan(inside)).sum())
    value = total / count if count else math.nan
    if not value > 0:
        found = f"a mean NBR of {value:.2f}" if count else "no pixel with data that was never mined"
        raise DataError(
            f"{plan.impact.settings.reference}: found {found} in it; expected ground with plants, above 0. "
            "Give other ground with --reference."
        )
    return value


def _map_writer(plan: SeriesPlan) -> CogWriter:
    return CogWriter(
        plan.folder / RECLAMATION_MAP,
        plan.grid,
        np.uint8,
        NODATA,
        resampling="mode",
        description=f"state of recovery in {plan.years[-1]}",
        style=STYLE,
        record={"recovery": plan.years[-1]},
    )
