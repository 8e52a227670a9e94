"""The facts of a series that the sections of a report are made from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas

from euromine.monitoring.history.file_names import AREAS, CHANGES_TABLE, PERMITS_TABLE
from euromine.monitoring.history.folder import SeriesFolder
from euromine.monitoring.history.manifest import Manifest, ModelRecord
from euromine.support.errors import DataError

from .cartography import MapFrame
from .formatting import EN_DASH, hectare_range, listed
from .outside_sums import OUTSIDE_COLUMNS, OutsideSums, outside_sums
from .report_tables import checked_parts

Pair = tuple[int, int]

_AREA_COLUMNS = ("year", "area_ha", "adjusted_ha", "low_ha", "high_ha", "known_share")
_CHANGE_COLUMNS = ("year_1", "year_2", "gain_ha", "loss_ha", "undirected_ha")


@dataclass(frozen=True)
class MinedArea:
    """The mined area of a year.

    Attributes:
        area_ha: Hectares mapped as mined.
        adjusted_ha: The estimate corrected for the model's errors; None where these are unknown.
        low_ha: Lower end of its 95% interval; None where there is none.
        high_ha: Upper end.
        known_share: Share of the scene with data, 0 to 1.
    """

    area_ha: float
    adjusted_ha: float | None
    low_ha: float | None
    high_ha: float | None
    known_share: float

    @property
    def interval(self) -> str:
        """The 95% interval in hectares, such as "5.18–7.49"; "unknown" where there is none."""
        return hectare_range(self.low_ha, self.high_ha)


@dataclass(frozen=True)
class MappedChange:
    """The change between two years, in hectares.

    Attributes:
        gain_ha: Became mined.
        loss_ha: Ceased to be mined.
        undirected_ha: One of the two; the maps do not show which.
    """

    gain_ha: float
    loss_ha: float
    undirected_ha: float


@dataclass(frozen=True, eq=False)
class ReportData:
    """A series as the sections of its report read it.

    Attributes:
        folder: The series; maps are read from it when a section needs them.
        frame: The ground that its maps show.
        areas: The mined area of each year; empty without a footprint mapper.
        changes: The change between the years of each mapped pair, the earlier year first.
        outside: Mined ground outside the permits; None where no permits were given.
    """

    folder: SeriesFolder
    frame: MapFrame
    areas: Mapping[int, MinedArea]
    changes: Mapping[Pair, MappedChange]
    outside: OutsideSums | None

    @property
    def manifest(self) -> Manifest:
        """The model, data and settings that made the series."""
        return self.folder.manifest

    @property
    def years(self) -> Sequence[int]:
        """The years with an image, sorted."""
        return self.folder.years

    @property
    def first_year(self) -> int:
        """The earliest year with an image."""
        return self.years[0]

    @property
    def last_year(self) -> int:
        """The latest year with an image."""
        return self.years[-1]

    @property
    def period(self) -> str:
        """The years from first to last, such as "2015–2018"."""
        first, last = self.first_year, self.last_year
        return str(first) if first == last else f"{first}{EN_DASH}{last}"

    @property
    def has_footprints(self) -> bool:
        """Whether a footprint mapper took part."""
        return self.manifest.maps_footprints

    @cached_property
    def has_intervals(self) -> bool:
        """Whether any year's area has an interval."""
        return any(area.low_ha is not None for area in self.areas.values())

    @property
    def overall_change(self) -> MappedChange | None:
        """The change from the first to the last year, where these were compared."""
        return self.changes.get((self.first_year, self.last_year))

    @property
    def steps(self) -> list[Pair]:
        """The pairs of neighbouring years that were compared."""
        return [pair for pair in itertools.pairwise(self.years) if pair in self.changes]


def read_report_data(folder: SeriesFolder) -> ReportData:
    """Read the tables of a series.

    Raises:
        DataError: A table is missing or damaged, or lacks a year or a pair of years.
    """
    manifest = folder.manifest
    areas = {}
    if manifest.maps_footprints:
        path = folder.path / AREAS
        areas = {
            int(year): _mined_area(*values) for year, *values in _rows(path, folder.areas, _AREA_COLUMNS)
        }
        _check_complete(path, areas, manifest.years)
    path = folder.path / CHANGES_TABLE
    changes = {
        (int(year_1), int(year_2)): MappedChange(*values)
        for year_1, year_2, *values in _rows(path, folder.changes, _CHANGE_COLUMNS)
    }
    _check_complete(path, changes, manifest.pairs)
    return ReportData(
        folder=folder,
        frame=MapFrame(manifest.crs, manifest.transform, manifest.width, manifest.height),
        areas=areas,
        changes=changes,
        outside=_outside(folder),
    )


def _outside(folder: SeriesFolder) -> OutsideSums | None:
    parts = folder.table_parts(PERMITS_TABLE)
    if parts is None:
        return None
    return outside_sums(checked_parts(parts, folder.path / PERMITS_TABLE, OUTSIDE_COLUMNS), folder.years[-1])


def _mined_area(area: float, adjusted: float, low: float, high: float, known_share: float) -> MinedArea:
    adjusted_ha, low_ha, high_ha = (None if math.isnan(value) else value for value in (adjusted, low, high))
    return MinedArea(area, adjusted_ha, low_ha, high_ha, known_share)


def _rows(path: Path, table: pandas.DataFrame, names: Sequence[str]) -> list[list[float]]:
    """The rows of some columns; NaN where a cell is empty."""
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise DataError(
            f"{path}: found no column {listed(missing)}; expected the columns {listed(names)}. "
            "Run `euromine series` again."
        )
    try:
        rows: list[list[float]] = table[list(names)].astype(float).to_numpy().tolist()
    except ValueError as error:
        raise DataError(
            f"{path}: found text among the numbers ({error}); expected numbers alone. "
            "Run `euromine series` again."
        ) from None
    return rows


def _check_complete(path: Path, found: Collection[object], expected: Sequence[object]) -> None:
    missing = [key for key in expected if key not in found]
    if missing:
        raise DataError(
            f"{path}: found no row for {missing[0]}; expected one for each of {listed(expected)}. "
            "Run `euromine series` again."
        )


def model_name(record: ModelRecord) -> str:
    """The last part of a checkpoint's repository or folder."""
    return record.source.rstrip("/").rsplit("/", 1)[-1]


def score_words(record: ModelRecord) -> str:
    """The scores that a checkpoint reports, such as "of1 0.781"; "" without any."""
    return ", ".join(f"{name} {value:.3f}" for name, value in record.scores.items() if value is not None)
