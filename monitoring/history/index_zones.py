"""Spectral indices by year in the footprint, in a ring around it and in polygons; water within the mine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from euromine.monitoring.mapping.geotiffs import CogWriter
from euromine.monitoring.mapping.index_maps import decode_indices
from euromine.monitoring.mapping.map_styles import WATER
from euromine.monitoring.mapping.map_values import NEVER, NODATA, UNKNOWN_YEAR
from euromine.support.errors import DataError
from euromine.support.ground_areas import HECTARE, pixel_areas
from euromine.support.rasters import crs_name, open_raster, read_raster

from .file_names import FIRST_YEAR, footprint_name, index_name, water_name
from .impact_settings import WATER_INDEX
from .map_rows import ROWS_MEMORY, read_rows
from .polygon_masks import PolygonMask, PolygonMasks
from .surroundings import Surroundings

if TYPE_CHECKING:  # readers of the tables, such as the app, need no PyTorch
    from .series_plan import SeriesPlan

SCENE, FOOTPRINT, SURROUNDINGS, POLYGON, OUTLINE = "scene", "footprint", "surroundings", "polygon", "outline"
"""Zones: the whole scene, without footprints; the footprint; the ring around it; its polygons; the user's
outlines."""


@dataclass(frozen=True)
class IndexRow:
    """An index of a zone in a year: a row of `indices.csv`.

    Attributes:
        site: The site's name.
        year: The year.
        zone: "footprint", "surroundings", "polygon", "outline"; "scene" in a series without footprints.
        polygon: The polygon's number among those of the year in `footprints.gpkg`, or the outline's in its
            file, from 1; 0 for other zones.
        index: The index.
        mean: Over the pixels with data; None without any.
        spread: Their standard deviation.
        pixels: How many there are.
        known_share: Their share of the zone.
    """

    site: str
    year: int
    zone: str
    polygon: int
    index: str
    mean: float | None
    spread: float | None
    pixels: int
    known_share: float


@dataclass(frozen=True)
class WaterRow:
    """Water within the mine in a year: a row of `water.csv`.

    Attributes:
        site: The site's name.
        year: The year.
        water_ha: Hectares of water on ground mined by that year, pit lakes and ponds.
        mine_ha: Hectares mined in that year or before.
        known_share: The share of these with data.
    """

    site: str
    year: int
    water_ha: float
    mine_ha: float
    known_share: float


@dataclass(frozen=True)
class _Zone:
    name: str
    polygon: int
    geometry: Any = None


def measure_year(
    plan: SeriesPlan, year: int, polygons: Any | None
) -> tuple[Iterator[IndexRow], WaterRow | None]:
    """Measure the indices of a year, and map the water within the mine where it is asked for.

    Args:
        plan: The series' plan; the folder holds its maps.
        year: The year.
        polygons: The footprint's polygons of the year in the order of `footprints.gpkg`; None without.

    Returns:
        The rows, made one at a time, as polygons may be many; and that of water.

    Raises:
        DataError: A map is damaged.
        OSError: The map of water cannot be written.
    """
    zones = _zones(plan, polygons)
    sums = _Sums(len(zones), len(plan.impact.indices))
    water = _Water(plan) if plan.impact.measures_water else None
    with ExitStack() as files:
        writer = files.enter_context(_water_writer(plan, year)) if water else None
        for window, members, numbers in _blocks(plan, year, zones):
            if numbers is not None:
                values = decode_indices(numbers)
                for member in members:
                    sums.add(member, values)
            if water and writer:
                writer.write(water.rows(window, year, numbers))
    rows = (
        IndexRow(plan.site, year, zone.name, zone.polygon, index, *sums.cell(place, band))
        for place, zone in enumerate(zones)
        for band, index in enumerate(plan.impact.indices)
    )
    return rows, WaterRow(plan.site, year, *water.figures()) if water else None


def _zones(plan: SeriesPlan, polygons: Any | None) -> list[_Zone]:
    named = [SCENE] if plan.mapper is None else [FOOTPRINT, SURROUNDINGS]
    zones = [_Zone(name, 0) for name in named]
    for name, frame in ((POLYGON, polygons), (OUTLINE, plan.impact.outlines)):
        if frame is not None:
            zones += [_Zone(name, number, each) for number, each in enumerate(frame.geometry, start=1)]
    return zones


def _blocks(
    plan: SeriesPlan, year: int, zones: Sequence[_Zone]
) -> Iterator[tuple[Window, Iterator[PolygonMask], NDArray[np.int16] | None]]:
    """Rows of the scene: their window, the zones in them, and the indices (None where neither needs them)."""
    grid, path = plan.grid, plan.folder / index_name(year)
    places = [place for place, zone in enumerate(zones) if zone.geometry is not None]
    masks = PolygonMasks([zones[place].geometry for place in places], grid) if places else None
    with ExitStack() as files:
        dataset = open_raster(str(path), files, DataError)
        step = max(1, min(grid.height, ROWS_MEMORY // (16 * dataset.count * grid.width)))
        windows = [
            Window(0, top, grid.width, min(step, grid.height - top)) for top in range(0, grid.height, step)
        ]
        areas = _scene(plan, windows) if plan.mapper is None else _footprint_and_ring(plan, year, windows)
        for window, of_areas in zip(windows, areas, strict=True):
            of_polygons = (
                replace(each, place=places[each.place]) for each in (masks.of(window) if masks else ())
            )
            members = chain((each for each in of_areas if each.mask.any()), of_polygons)
            first = next(members, None)
            numbers = None
            if first is not None or plan.impact.measures_water:
                rows = ((int(window.row_off), int(window.row_off + window.height)), (0, grid.width))
                numbers = read_raster(dataset, str(path), rows, DataError)
            yield window, chain([] if first is None else [first], members), numbers


def _scene(plan: SeriesPlan, windows: Sequence[Window]) -> Iterator[list[PolygonMask]]:
    """The whole of each window."""
    for window in windows:
        yield [_whole(0, np.ones((int(window.height), plan.grid.width), bool))]


def _footprint_and_ring(
    plan: SeriesPlan, year: int, windows: Sequence[Window]
) -> Iterator[list[PolygonMask]]:
    """The footprint and the ring around it in each window, the first and the second of the zones."""
    path = plan.folder / footprint_name(year)
    mined = (read_rows(path, window) == 1 for window in windows)
    surroundings = Surroundings(mined, plan.impact.settings.surroundings, plan.grid.pixel_sides())
    for window in windows:
        footprint = read_rows(path, window)
        ring = surroundings.next(footprint == 1) & (footprint != NODATA)
        yield [_whole(0, footprint == 1), _whole(1, ring)]


def _whole(place: int, mask: NDArray[np.bool_]) -> PolygonMask:
    return PolygonMask(place, (slice(None), slice(None)), mask)


class _Sums:
    """Sums of each index in each zone."""

    def __init__(self, zones: int, indices: int) -> None:
        self._members = np.zeros(zones, np.int64)
        self._pixels = np.zeros((zones, indices), np.int64)
        self._totals = np.zeros((zones, indices))
        self._squares = np.zeros((zones, indices))

    def add(self, member: PolygonMask, values: NDArray[np.float32]) -> None:
        """Add rows of indices (indices, rows, width), NaN without data, in the pixels of a zone."""
        place, inside = member.place, values[(..., *member.box)][:, member.mask].astype(np.float64)
        known = ~np.isnan(inside)
        inside[~known] = 0
        self._members[place] += inside.shape[1]
        self._pixels[place] += known.sum(axis=1)
        self._totals[place] += inside.sum(axis=1)
        self._squares[place] += np.square(inside).sum(axis=1)

    def cell(self, zone: int, index: int) -> tuple[float | None, float | None, int, float]:
        """Mean, spread, pixels with data and their share."""
        pixels, members = int(self._pixels[zone, index]), int(self._members[zone])
        if not pixels:
            return None, None, 0, 0.0
        mean = self._totals[zone, index] / pixels
        spread = math.sqrt(max(self._squares[zone, index] / pixels - mean**2, 0.0))
        return float(mean), spread, pixels, pixels / members


class _Water:
    """Water on ground mined by a year, and its area."""

    def __init__(self, plan: SeriesPlan) -> None:
        grid = plan.grid
        self._plan, self._band = plan, plan.impact.indices.index(WATER_INDEX)
        self._areas = pixel_areas(crs_name(grid.crs), tuple(grid.transform)[:6], grid.height, grid.width)
        self._sums = np.zeros(3)

    def rows(self, window: Window, year: int, numbers: NDArray[np.int16] | None) -> NDArray[np.uint8]:
        """Rows of the map: 1 water within the mine, 0 other ground, 255 ground of the mine without data."""
        first = read_rows(self._plan.folder / FIRST_YEAR, window)
        mined = (first != NEVER) & (first != UNKNOWN_YEAR) & (first <= year)
        assert numbers is not None
        index = decode_indices(numbers[self._band])
        known = mined & ~np.isnan(index)
        water = known & (index > 0)
        self._sums += self._areas.sums(
            self._areas.counts(np.stack([water, mined, known])), int(window.row_off)
        )
        return np.where(mined & ~known, NODATA, water).astype(np.uint8)

    def figures(self) -> tuple[float, float, float]:
        """Hectares of water and of the mine, and the share of the mine with data."""
        water, mine, known = self._sums.tolist()
        return water / HECTARE, mine / HECTARE, known / mine if mine else 0.0


def _water_writer(plan: SeriesPlan, year: int) -> CogWriter:
    return CogWriter(
        plan.folder / water_name(year),
        plan.grid,
        np.uint8,
        NODATA,
        resampling="mode",
        description=f"water within the mine in {year}",
        style=WATER,
        record={"water": year},
    )
