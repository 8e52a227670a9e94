"""Mined area by year, and its change by pair of years, on the ground: tables with confidence intervals."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.mapping.map_values import GAIN, LOSS, NO_CHANGE, NODATA, UNDIRECTED
from euromine.support.csv_tables import write_csv_rows
from euromine.support.errors import GridError
from euromine.support.files import atomic_file
from euromine.support.ground_areas import HECTARE, PixelAreas, pixel_areas
from euromine.support.rasters import crs_name

from .area_estimation import (
    CHANGE_CLASSES,
    FOOTPRINT_CLASSES,
    AreaEstimate,
    Areas,
    Confusion,
    Uncertainty,
    adjusted_areas,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from euromine.monitoring.scenes.grids import Grid

Maps = NDArray[np.uint8]
Blocks = Maps | Iterable[Maps]
"""Maps (maps, height, width), or their blocks of rows from the top, each (maps, rows, width)."""

# Bytes of maps that are compared at once.
_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class YearArea:
    """The mined area of a site in a year: a row of `areas.csv`, in hectares.

    Attributes:
        site: The site's name.
        year: The year.
        pixels: Pixels mapped as mine.
        area_ha: Their area on the ground.
        adjusted_ha: The error-adjusted estimate of the mined area; None without known errors of the model.
        low_ha: Lower end of its 95 % interval; None where there is none.
        high_ha: Upper end.
        known_share: Observed share of the scene's area.
        standard_error_ha: Standard error of the estimate.
        known_ha: Observed area, which all figures refer to.
    """

    site: str
    year: int
    pixels: int
    area_ha: float
    adjusted_ha: float | None
    low_ha: float | None
    high_ha: float | None
    known_share: float
    standard_error_ha: float | None
    known_ha: float


@dataclass(frozen=True)
class PairChange:
    """The change of a site between two years: a row of `changes.csv`, in hectares.

    Attributes:
        site: The site's name.
        year_1: The earlier year.
        year_2: The later year.
        gain_ha: Area mapped as mine in the later year only.
        loss_ha: Area mapped as mine in the earlier year only.
        undirected_ha: Area of change of unknown direction.
        known_share: Share of the scene's area observed in both years.
        gain_low_ha: Lower end of the gain's 95 % interval; None where there is none.
        gain_high_ha: Upper end.
        loss_low_ha: Lower end of the loss's interval.
        loss_high_ha: Upper end.
        gain_adjusted_ha: The error-adjusted estimate of the gain.
        loss_adjusted_ha: The error-adjusted estimate of the loss.
        known_ha: Area observed in both years, which all figures refer to.
    """

    site: str
    year_1: int
    year_2: int
    gain_ha: float
    loss_ha: float
    undirected_ha: float
    known_share: float
    gain_low_ha: float | None
    gain_high_ha: float | None
    loss_low_ha: float | None
    loss_high_ha: float | None
    gain_adjusted_ha: float | None
    loss_adjusted_ha: float | None
    known_ha: float


Row = TypeVar("Row", bound="DataclassInstance")


def areas_by_year(
    footprints: Blocks,
    years: Sequence[int],
    grid: Grid,
    *,
    site: str = "",
    confusion: Confusion | None = None,
    uncertainty: Uncertainty = "site",
) -> list[YearArea]:
    """The mined area of each year on the ground.

    Args:
        footprints: (years, height, width) uint8, 0 other, 1 mine, 255 unknown; or its blocks of rows.
        years: The years.
        grid: The maps' grid, in any coordinate system: areas are those on the ellipsoid.
        site: The site's name.
        confusion: The model's errors on footprints (`FOOTPRINT_CLASSES`), for estimates and intervals.
        uncertainty: What the intervals cover.

    Raises:
        GridError: The grid has no coordinate system, or is in degrees and rotated.
        ValueError: The maps do not fit the years or the grid, or hold other values.
    """
    _check_classes(confusion, FOOTPRINT_CLASSES)
    pixels, areas = value_areas(footprints, len(years), grid, (0, 1, NODATA), "footprints")
    rows = []
    for year, counted, (other, mine, unknown) in zip(years, pixels, areas, strict=True):
        known = other + mine
        estimate = class_estimate((other, mine), confusion, uncertainty)
        rows.append(
            YearArea(
                site=site,
                year=int(year),
                pixels=int(counted[1]),
                area_ha=mine / HECTARE,
                **estimate_columns(estimate, 1, adjusted="adjusted_ha", low="low_ha", high="high_ha"),
                known_share=known / (known + unknown),
                standard_error_ha=known_hectares(estimate.standard_error[1]) if estimate else None,
                known_ha=known / HECTARE,
            )
        )
    return rows


def changes_by_pair(
    changes: Blocks,
    pairs: Sequence[tuple[int, int]],
    grid: Grid,
    *,
    site: str = "",
    confusion: Mapping[int, Confusion] | None = None,
    uncertainty: Uncertainty = "site",
) -> list[PairChange]:
    """The gained and the lost area of each pair of years on the ground.

    Args:
        changes: (pairs, height, width) uint8, 0 no change, 1 gain, 2 loss, 3 change of unknown direction, 255
            unknown; or its blocks of rows.
        pairs: The two calendar years of each pair.
        grid: As for `areas_by_year`.
        site: The site's name.
        confusion: The model's errors on changes (`CHANGE_CLASSES`) by interval in years. A pair has estimates
            where its interval is among them and all its changes have a direction.
        uncertainty: What the confidence intervals cover.

    Raises:
        GridError: As for `areas_by_year`.
        ValueError: As for `areas_by_year`.
    """
    for each in (confusion or {}).values():
        _check_classes(each, CHANGE_CLASSES)
    _, areas = value_areas(changes, len(pairs), grid, (NO_CHANGE, GAIN, LOSS, UNDIRECTED, NODATA), "changes")
    rows = []
    for (year_1, year_2), (stable, gain, loss, undirected, unknown) in zip(pairs, areas, strict=True):
        known = stable + gain + loss + undirected
        of_interval = None if confusion is None or undirected else confusion.get(int(year_2) - int(year_1))
        estimate = class_estimate((stable, gain, loss), of_interval, uncertainty)
        rows.append(
            PairChange(
                site=site,
                year_1=int(year_1),
                year_2=int(year_2),
                gain_ha=gain / HECTARE,
                loss_ha=loss / HECTARE,
                undirected_ha=undirected / HECTARE,
                known_share=known / (known + unknown),
                **estimate_columns(
                    estimate, 1, adjusted="gain_adjusted_ha", low="gain_low_ha", high="gain_high_ha"
                ),
                **estimate_columns(
                    estimate, 2, adjusted="loss_adjusted_ha", low="loss_low_ha", high="loss_high_ha"
                ),
                known_ha=known / HECTARE,
            )
        )
    return rows


def area_caveats(areas: Sequence[YearArea], confusion: Confusion | None) -> list[str]:
    """Reasons to distrust the adjusted areas, one sentence each.

    Args:
        areas: The result of `areas_by_year`.
        confusion: The errors it was given.
    """
    if confusion is None:
        return ["The model's errors are unknown: areas are those of the map, without an interval."]
    caveats = []
    shares = confusion.mapped_shares()[:, 1]
    if len(shares) < 2:
        caveats.append(
            "The model's errors were counted at a single site, which does not show how they vary: areas have "
            "no interval."
        )
    mapped = [row.area_ha / row.known_ha for row in areas if row.known_ha]
    if mapped and (min(mapped) < shares.min() or max(mapped) > shares.max()):
        sites = "single site" if len(shares) == 1 else f"{len(shares)} sites"
        caveats.append(
            f"Mines cover {_range(mapped)} of the map here and {_range(shares)} at the {sites} where the "
            "model's errors were counted: its rates of omission and commission there need not hold here, and "
            "the adjusted areas may be far off."
        )
    return caveats


def write_areas(rows: Iterable[Row], path: str | os.PathLike[str], row_type: type[Row]) -> None:
    """Write rows as CSV, at once: hectares to a square metre, empty cells for None.

    Args:
        rows: The result of `areas_by_year`, `changes_by_pair` or their like; without rows there is only the
            header.
        path: The file.
        row_type: The rows' type, such as `YearArea`, whose fields are the columns.

    Raises:
        OSError: The file cannot be written.
    """
    with area_table(path, row_type) as add:
        add(rows)


@contextmanager
def area_table(
    path: str | os.PathLike[str], row_type: type[Row]
) -> Iterator[Callable[[Iterable[Row]], None]]:
    """As `write_areas`, of rows that come some at a time and may be too many for memory.

    Gives a function that appends rows; the file is there when the block ends.
    """
    header = [field.name for field in fields(row_type)]
    with atomic_file(Path(path)) as part, part.open("w", encoding="utf-8", newline="") as file:
        write_csv_rows([header], file)
        yield lambda rows: write_csv_rows(
            ([_cell(getattr(row, name)) for name in header] for row in rows), file
        )


def value_areas(
    maps: Blocks, number: int, grid: Grid, values: Sequence[int], subject: str
) -> tuple[NDArray[np.int64], Areas]:
    """Pixels and ground areas of each value in each map.

    Args:
        maps: (maps, height, width) uint8, or its blocks of rows.
        number: Number of maps.
        grid: Their grid.
        values: All values that the maps hold.
        subject: The maps, for messages.

    Returns:
        Pixels int64 and m2 float64, both (maps, values).

    Raises:
        GridError: The grid has no coordinate system, or is in degrees and rotated.
        ValueError: The maps do not fit the number or the grid, or hold other values.
    """
    ground = ground_areas(grid)
    pixels = np.zeros((number, len(values)), np.int64)
    areas = np.zeros((number, len(values)), np.float64)
    top = 0
    for block in _blocks(maps):
        if block.ndim != 3 or block.dtype != np.uint8 or block.shape[0] != number:
            raise ValueError(
                f"{subject}: found {block.dtype} {block.shape}; expected uint8 ({number}, height, width)."
            )
        rows = block.shape[1]
        if block.shape[2] != grid.width or top + rows > grid.height:
            raise ValueError(
                f"{subject}: found {top + rows} x {block.shape[2]} pixels or more; expected {grid.height} x "
                f"{grid.width} like the grid."
            )
        counts = _value_counts(block, values, ground)
        if counts[:, 0].sum() != np.count_nonzero(block == values[0]):
            others = np.setdiff1d(block, values)
            raise ValueError(
                f"{subject}: found the values {', '.join(map(str, others[:5]))}; expected only "
                f"{', '.join(map(str, values))}."
            )
        pixels += counts.sum(axis=(2, 3))
        areas += ground.sums(counts, top)
        top += rows
    if top != grid.height:
        raise ValueError(f"{subject}: found {top} rows; expected {grid.height} like the grid.")
    return pixels, areas


def _value_counts(block: Maps, values: Sequence[int], ground: PixelAreas) -> NDArray[np.int64]:
    """Pixels by map, value, row and strip. Those that have no other value are counted for the first one."""
    whole = ground.counts(np.ones(block.shape[1:], bool))
    counts = np.zeros((len(block), len(values), *whole.shape), np.int64)
    for found, rows in zip(counts, block, strict=True):
        found[0] = whole
        for place, value in enumerate(values[1:], 1):
            has_value = rows == value
            if has_value.any():
                found[place] = ground.counts(has_value)
                found[0] -= found[place]
    return counts


def ground_areas(grid: Grid) -> PixelAreas:
    """The ground areas of a grid's pixels.

    Raises:
        GridError: The grid has no coordinate system, or is in degrees and rotated.
    """
    if not grid.crs:
        raise GridError("grid: found no coordinate system; expected one, to measure areas on the ground.")
    return pixel_areas(crs_name(grid.crs), tuple(grid.transform)[:6], grid.height, grid.width)


def _blocks(maps: Blocks) -> Iterator[Maps]:
    """Blocks of rows, small enough that comparing them takes little memory."""
    if not isinstance(maps, np.ndarray):
        yield from maps
    elif maps.ndim != 3:
        yield maps
    else:
        rows = max(1, _BLOCK_BYTES // max(1, maps.shape[0] * maps.shape[2]))
        for top in range(0, maps.shape[1], rows):
            yield maps[:, top : top + rows]


def class_estimate(
    areas: Sequence[float], confusion: Confusion | None, uncertainty: Uncertainty
) -> AreaEstimate | None:
    """The error-adjusted areas of all classes; None without known errors or ground."""
    if confusion is None or not sum(areas):
        return None
    return adjusted_areas(areas, confusion, uncertainty=uncertainty)


def estimate_columns(
    estimate: AreaEstimate | None, place: int, *, adjusted: str, low: str, high: str
) -> dict[str, float | None]:
    """The columns of a class's estimate, in hectares."""
    if estimate is None:
        return {adjusted: None, low: None, high: None}
    return {
        adjusted: known_hectares(estimate.area[place]),
        low: known_hectares(estimate.low[place]),
        high: known_hectares(estimate.high[place]),
    }


def known_hectares(area: float) -> float | None:
    """Square metres -> hectares; None for NaN."""
    return None if math.isnan(area) else float(area) / HECTARE


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else value


def _check_classes(confusion: Confusion | None, classes: tuple[str, ...]) -> None:
    if confusion is not None and confusion.classes != classes:
        raise ValueError(
            f"confusion: found the classes {', '.join(confusion.classes)}; expected {', '.join(classes)}."
        )


def _range(shares: Sequence[float] | Areas) -> str:
    low, high = (f"{100 * value:.2g}%" for value in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"
