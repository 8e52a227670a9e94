"""Errors of transitions between components, and the intervals of their areas.

Error rates of single years do not determine those of transitions: a misread pixel is often misread in both
years, and true components last. So transitions are classes of their own: those of the map are the strata of
`area_estimation.adjusted_areas`, and the share of each that truly is a transition is counted at validation
sites, at the same interval in years, as for changes of footprints.

Many transitions are rare. Those that the map shows here, and that fewer than two validation sites show, have
unknown errors: they get no interval, and their ground may truly be of any transition, which widens the upper
ends of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.mapping.map_values import NODATA
from euromine.support.errors import ArgumentError

from .area_estimation import Areas, Confusion, Uncertainty, adjusted_areas
from .year_stacks import Maps

# All codes fit eight bits beside that of unknown ground.
_MOST_CLASSES = 15


@dataclass(frozen=True, eq=False)
class TransitionCounts:
    """Mapped against drawn transitions at validation sites. A transition is earlier class x classes + later.

    Attributes:
        classes: The classes of the maps by value, the first "none".
        sites: Names of the sites.
        entries: Site, mapped and drawn transition, and their pixels, at least 1: int64 (entries, 4).

    Raises:
        ArgumentError: There are none, or numbers are out of range.
    """

    classes: tuple[str, ...]
    sites: tuple[str, ...]
    entries: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.classes) ** 2
        limits = np.array([len(self.sites), count, count, np.iinfo(np.int64).max])
        entries = self.entries
        if entries.ndim != 2 or entries.shape[1:] != (4,) or not len(entries):
            raise ArgumentError(
                f"transitions: found the shape {entries.shape}; expected rows of site, mapped and drawn "
                "transition and pixels."
            )
        if (
            not 2 <= len(self.classes) <= _MOST_CLASSES
            or (entries < [0, 0, 0, 1]).any()
            or (entries >= limits).any()
        ):
            raise ArgumentError(
                f"transitions: found numbers out of range; expected {len(self.sites)} sites and {count} "
                "transitions."
            )


@dataclass(frozen=True, eq=False)
class TransitionEstimate:
    """Error-adjusted areas of transitions, (classes squared,) in the units of the mapped ones; NaN: unknown.

    Attributes:
        area: The estimates.
        low: Lower ends of the 95 % intervals.
        high: Upper ends.
    """

    area: Areas
    low: Areas
    high: Areas


def transition_codes(first: Maps, second: Maps, classes: Sequence[str]) -> Maps:
    """The transition of each pixel, 255 where one of the years is unknown."""
    codes: Maps = first * np.uint8(len(classes)) + second
    codes[(first == NODATA) | (second == NODATA)] = NODATA
    return codes


class TransitionSums:
    """Sums of pixels by mapped and drawn transition, for each interval and site.

    Args:
        classes: The classes of the maps by value.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._sums: dict[int, dict[str, dict[int, int]]] = {}

    def add(self, site: str, interval: int, mapped: Maps, drawn: Maps) -> None:
        """Add the `transition_codes` of a pair of years."""
        known = (mapped != NODATA) & (drawn != NODATA)
        keys = mapped[known].astype(np.int64) * len(self.classes) ** 2 + drawn[known]
        counts = np.bincount(keys)
        found = self._sums.setdefault(interval, {}).setdefault(site, {})
        for key in np.flatnonzero(counts).tolist():
            found[key] = found.get(key, 0) + int(counts[key])

    def counts(self) -> dict[int, TransitionCounts]:
        """The counts by interval, without intervals in which nothing is known."""
        made = {}
        for interval, by_site in sorted(self._sums.items()):
            sites = sorted(site for site, found in by_site.items() if found)
            entries = [
                (place, *divmod(key, len(self.classes) ** 2), pixels)
                for place, site in enumerate(sites)
                for key, pixels in sorted(by_site[site].items())
            ]
            if entries:
                made[interval] = TransitionCounts(self.classes, tuple(sites), np.array(entries, np.int64))
        return made


def adjusted_transitions(
    mapped: Areas, counts: TransitionCounts, *, uncertainty: Uncertainty = "site"
) -> TransitionEstimate | None:
    """The error-adjusted area of each transition; None where no errors of the mapped ones are known.

    Args:
        mapped: The mapped area of each transition, (classes squared,).
        counts: Mapped against drawn transitions at the validation sites, at the same interval in years.
        uncertainty: The meaning of the intervals.

    Raises:
        ArgumentError: The areas do not fit the classes.
    """
    count = len(counts.classes) ** 2
    if mapped.shape != (count,):
        raise ArgumentError(f"mapped: found {mapped.shape}; expected the areas of {count} transitions.")
    site, *ends, pixels = counts.entries.T
    codes = np.unique(np.concatenate([np.flatnonzero(mapped), *ends]))
    table = np.zeros((len(counts.sites), len(codes), len(codes)), np.int64)
    np.add.at(table, (site, *(np.searchsorted(codes, each) for each in ends)), pixels)
    here = mapped[codes]
    is_known = (table.any(axis=2).sum(axis=0) >= 2) | (here == 0)
    if not here[is_known].sum():
        return None
    names = tuple(map(str, codes))
    confusion = Confusion(names, counts.sites, table)
    estimate = adjusted_areas(np.where(is_known, here, 0.0), confusion, uncertainty=uncertainty)
    unknown = here[~is_known].sum()
    found = [estimate.area, estimate.low, estimate.high + unknown]
    made = np.full((3, count), np.nan)
    made[:, codes] = np.where(is_known & (here > 0), found, np.nan)
    return TransitionEstimate(*made)
