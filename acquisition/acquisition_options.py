"""Options of an acquisition: years, months, catalogue, level, and the composition of each year."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import get_args

from euromine.support.errors import ArgumentError
from euromine.support.processing_levels import Level, parse_level

from .acquisition_record import AcquisitionRecord, Fill
from .catalogues import optical_catalogues, radar_catalogue

FIRST_YEAR = 2015
"""The year in which Sentinel-2 began."""

_LAST_YEAR = 2099
_MOST_SCENES = 64
_LARGEST_MARGIN = 50_000.0


@dataclass(frozen=True, kw_only=True)
class AcquisitionOptions:
    """Options of an acquisition, the same for each of its sites.

    An option that is None is that of the site's earlier years, or of `DEFAULTS` where it has none.

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
        renew: Compose complete years again if scenes could not be read then, or were reprocessed since.
    """

    years: tuple[int, ...]
    months: tuple[int, ...] | None = None
    catalogue: str | None = None
    level: str | None = None
    scenes: int | None = None
    fill: str | None = None
    margin: float | None = None
    radar: bool = False
    renew: bool = False

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ArgumentError: One is out of range, or unknown.
        """
        _check_years(self.years)
        if self.months is not None and (not self.months or not set(self.months) <= set(range(1, 13))):
            raise ArgumentError(f"months: found {_listed(self.months)}; expected months from 1 to 12.")
        if self.scenes is not None and not 1 <= self.scenes <= _MOST_SCENES:
            raise ArgumentError(f"scenes: found {self.scenes}; expected a number from 1 to {_MOST_SCENES}.")
        if self.fill is not None and self.fill not in get_args(Fill):
            raise ArgumentError(f"fill: found {self.fill!r}; expected least-cloudy or nodata.")
        if self.margin is not None and not (
            math.isfinite(self.margin) and 0 <= self.margin <= _LARGEST_MARGIN
        ):
            raise ArgumentError(
                f"margin: found {self.margin:g}; expected metres from 0 to {_LARGEST_MARGIN:g}."
            )
        level = None if self.level is None else parse_level(self.level)
        if self.catalogue is not None:
            radar_catalogue(self.catalogue)
            optical_catalogues(self.catalogue, level or "L2A")

    def completed(self, record: AcquisitionRecord | None) -> CompleteOptions:
        """The options with those that are None from the record of the site's earlier years, or `DEFAULTS`.

        Raises:
            ArgumentError: The catalogue has no scenes of the level.
        """
        known = DEFAULTS
        if record is not None:
            before = record.settings
            known = replace(
                DEFAULTS,
                months=before.months,
                catalogue=record.catalogue or DEFAULTS.catalogue,
                level=before.level,
                scenes=before.scenes,
                fill=before.fill,
                margin=before.margin,
            )
        months, margin = self.months or known.months, self.margin
        found = CompleteOptions(
            months=tuple(sorted(set(months))),
            catalogue=self.catalogue or known.catalogue,
            level=known.level if self.level is None else parse_level(self.level),
            scenes=self.scenes or known.scenes,
            fill=known.fill if self.fill is None else _fill(self.fill),
            margin=known.margin if margin is None else float(margin),
        )
        optical_catalogues(found.catalogue, found.level)
        return found


@dataclass(frozen=True, kw_only=True)
class CompleteOptions:
    """The options that decide on the scenes of a site's years; as those of `AcquisitionOptions`."""

    months: tuple[int, ...]
    catalogue: str
    level: Level
    scenes: int
    fill: Fill
    margin: float


DEFAULTS = CompleteOptions(
    months=(6, 7, 8), catalogue="earth-search", level="L2A", scenes=8, fill="least-cloudy", margin=500.0
)
"""The options of a site's first years where none are given."""


def _fill(text: str) -> Fill:
    return "least-cloudy" if text == "least-cloudy" else "nodata"


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
