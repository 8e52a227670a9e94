"""Mined ground outside the permits in sums by year, from a table that may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas

from euromine.monitoring.history.permits import MINED, NEW

from .report_tables import first_rows

OUTSIDE_COLUMNS = ("year", "kind", "area_ha", "longitude", "latitude", "year_1")
# Places of the latest year that a report lists.
_LISTED = 25


@dataclass
class YearOutside:
    """A year's ground outside the permits.

    Attributes:
        mined_ha: Hectares mapped as mined.
        new_ha: Hectares mapped as newly mined.
        places: The number of places that are mined.
    """

    mined_ha: float = 0.0
    new_ha: float = 0.0
    places: int = 0


@dataclass
class OutsideSums:
    """Ground outside the permits.

    Attributes:
        years: Each year with such ground.
        largest: Rows of the table: the largest places of the latest year, mined and newly mined.
        number: The number of all places of the latest year.
    """

    years: dict[int, YearOutside] = field(default_factory=dict)
    largest: list[Any] = field(default_factory=list)
    number: int = 0

    @property
    def new_ha(self) -> float:
        """Hectares mapped as newly mined in all years."""
        return sum(of_year.new_ha for of_year in self.years.values())

    def of(self, year: int) -> YearOutside:
        """A year's ground, which may be none."""
        return self.years.get(year, YearOutside())


def outside_sums(parts: Iterable[pandas.DataFrame], last_year: int) -> OutsideSums:
    """The sums of a table.

    Args:
        parts: The table's `OUTSIDE_COLUMNS`, some rows at a time.
        last_year: The latest year of the series.
    """
    found = OutsideSums()
    for part in parts:
        years: Any = part.groupby("year")  # whose keys may be of any type
        for year, group in years:
            of_year = found.years.setdefault(int(year), YearOutside())
            mined = group.loc[group["kind"] == MINED, "area_ha"]
            of_year.mined_ha += float(mined.sum())
            of_year.new_ha += float(group.loc[group["kind"] == NEW, "area_ha"].sum())
            of_year.places += len(mined)
        of_last = part[part["year"] == last_year]
        found.number += len(of_last)
        found.largest = first_rows(found.largest, of_last, "area_ha", _LISTED, descending=True)
    return found
