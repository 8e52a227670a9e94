"""Options of an acquisition: years, months, catalogue, level, and the composition of each year."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

from euromine.support.errors import ArgumentError
from euromine.support.processing_levels import Level, parse_level

from .acquisition_record import Fill
from .catalogues import optical_catalogues, radar_catalogue

FIRST_YEAR = 2015
"""The year in which Sentinel-2 began."""

_LAST_YEAR = 2099
_MOST_SCENES = 64
_LARGEST_MARGIN = 50_000.0


@dataclass(frozen=True, kw_only=True)
class AcquisitionOptions:
    """Options of an acquisition, the same for each of its sites.

    Attributes:
        years: The years.
        months: The months of each year, from 1 to 12.
        catalogue: "earth-search", "planetary-computer", or the URL of a STAC API.
        level: "l2a", at the surface, or "l1c", above the atmosphere.
        scenes: The number of satellite passes to compose, the clearest ones.
        fill: "least-cloudy" takes pixels that no pass shows clearly from the clearest pass with data;
            "nodata" leaves them out.
        margin: Metres to add around the outline.
        radar: Acquire backscatter, too.
    """

    years: tuple[int, ...]
    months: tuple[int, ...] = (6, 7, 8)
    catalogue: str = "earth-search"
    level: str = "l2a"
    scenes: int = 8
    fill: str = "least-cloudy"
    margin: float = 500.0
    radar: bool = False

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ArgumentError: One is out of range, or unknown.
        """
        _check_years(self.years)
        if not self.months or not set(self.months) <= set(range(1, 13)):
            raise ArgumentError(f"months: found {_listed(self.months)}; expected months from 1 to 12.")
        if not 1 <= self.scenes <= _MOST_SCENES:
            raise ArgumentError(f"scenes: found {self.scenes}; expected a number from 1 to {_MOST_SCENES}.")
        if self.fill not in get_args(Fill):
            raise ArgumentError(f"fill: found {self.fill!r}; expected least-cloudy or nodata.")
        if not (math.isfinite(self.margin) and 0 <= self.margin <= _LARGEST_MARGIN):
            raise ArgumentError(
                f"margin: found {self.margin:g}; expected metres from 0 to {_LARGEST_MARGIN:g}."
            )
        optical_catalogues(self.catalogue, self.product_level)
        radar_catalogue(self.catalogue)

    @property
    def product_level(self) -> Level:
        """The level as images record it: "L2A" or "L1C"."""
        return parse_level(self.level)


def _check_years(years: tuple[int, ...]) -> None:
    if not years or len(set(years)) < len(years):
        raise ArgumentError(f"years: found {_listed(years)}; expected at least one, each once.")
    if early := sorted(year for year in years if year < FIRST_YEAR):
        raise ArgumentError(
            f"years: found {_listed(early)}; expected {FIRST_YEAR} or later, as Sentinel-2 began in June "
            f"{FIRST_YEAR}."
        )
    if late := sorted(year for year in years if year > _LAST_YEAR):
        raise ArgumentError(f"years: found {_listed(late)}; expected years such as 2015-2025.")


def _listed(numbers: tuple[int, ...] | list[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
