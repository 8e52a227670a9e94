"""The share of a series' ground that its images show: by year, and by pair of years."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.scenes.grids import Grid

from .area_series import ground_areas

_ROWS = 64


@dataclass(frozen=True)
class KnownGround:
    """Shares with data, 0 to 1.

    Attributes:
        pixels: Share of the pixels by year.
        years: Share of the ground by year.
        pairs: Share of the ground with data in both years of each pair.
    """

    pixels: Mapping[int, float]
    years: Mapping[int, float]
    pairs: Mapping[tuple[int, int], float]


class KnownGroundSums:
    """Adds up the pixels with data, block by block of rows.

    Args:
        years: The calendar years.
        pairs: Pairs of them.
        grid: The grid of the images.
    """

    def __init__(self, years: Sequence[int], pairs: Sequence[tuple[int, int]], grid: Grid) -> None:
        self._years, self._pairs, self._grid = list(years), list(pairs), grid
        self._ground = ground_areas(grid)
        self._top = 0
        self._pixels = dict.fromkeys(self._years, 0)
        self._of_years = dict.fromkeys(self._years, 0.0)
        self._of_pairs = dict.fromkeys(self._pairs, 0.0)
        self._whole = 0.0

    def add(self, known: NDArray[np.bool_]) -> None:
        """Add the next rows, (years, rows, width): whether each year has data."""
        # In a few rows, fewer years have gaps.
        for top in range(0, known.shape[1], _ROWS):
            self._add(known[:, top : top + _ROWS])

    def _add(self, known: NDArray[np.bool_]) -> None:
        by_year = dict(zip(self._years, known, strict=True))
        numbers = {year: int(np.count_nonzero(rows)) for year, rows in by_year.items()}
        whole = self._area(np.ones(known.shape[1:], bool))
        # Most rows have data in all years.
        areas = {
            year: whole if numbers[year] == rows.size else self._area(rows) for year, rows in by_year.items()
        }
        for year in self._years:
            self._pixels[year] += numbers[year]
            self._of_years[year] += areas[year]
        for first, second in self._pairs:
            gaps = [year for year in (first, second) if numbers[year] < by_year[year].size]
            if len(gaps) == 2:
                area = self._area(by_year[first] & by_year[second])
            else:
                area = areas[gaps[0]] if gaps else whole
            self._of_pairs[first, second] += area
        self._whole += whole
        self._top += known.shape[1]

    def shares(self) -> KnownGround:
        """The shares of all rows."""
        pixels = self._grid.width * self._grid.height
        return KnownGround(
            {year: number / pixels for year, number in self._pixels.items()},
            {year: area / self._whole for year, area in self._of_years.items()},
            {pair: area / self._whole for pair, area in self._of_pairs.items()},
        )

    def _area(self, mask: NDArray[np.bool_]) -> float:
        return float(self._ground.sums(self._ground.counts(mask), self._top))
