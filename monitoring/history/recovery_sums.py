"""Sums of recovery over zones, and their table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .recovery import RECOVERED, RECOVERING, STALLED, TARGET_SHARE, UNDECIDED, Recovery

_STATES = (RECOVERED, RECOVERING, STALLED, UNDECIDED)


@dataclass(frozen=True)
class ReclamationRow:
    """The recovery of a zone in a year: a row of `reclamation.csv`.

    The metrics are those of the zone as a whole: dNBR and YrYr are means over its pixels with data; R80P and
    RRI are ratios of sums over them.

    Attributes:
        site: The site's name.
        zone: "all", "mapped" or "outline".
        polygon: The polygon's number, from 1; 0 for "all".
        name: The outline's name in its file, if it has one.
        year: The year.
        ground_ha: Hectares that are not mined any more by that year.
        recovered_ha: Of these, at 80 % of the target or more.
        recovering_ha: Below, with a gain since the start.
        stalled_ha: Below, without any gain for three years with data.
        undecided_ha: Without data or a target, in the first year, or without gain for fewer years.
        recovered_share: `recovered_ha` as a share of the ground.
        recovering_share: The same of `recovering_ha`.
        stalled_share: The same of `stalled_ha`.
        known_share: The share of the ground with data in the year.
        target_share: The share of the ground with a target above 0; without one, ground stays undecided.
        target: "before mining" or "reference ground".
        dnbr: NBR since the start of recovery.
        yearly_rate: The same a year.
        r80p: NBR as a share of 80 % of the target.
        rri: The share of the loss that was regained, over the ground that lost at least 0.1.
        y2r: Mean years until the target was reached, over the ground where it was by then.
    """

    site: str
    zone: str
    polygon: int
    name: str
    year: int
    ground_ha: float
    recovered_ha: float
    recovering_ha: float
    stalled_ha: float
    undecided_ha: float
    recovered_share: float | None
    recovering_share: float | None
    stalled_share: float | None
    known_share: float | None
    target_share: float | None
    target: str
    dnbr: float | None
    yearly_rate: float | None
    r80p: float | None
    rri: float | None
    y2r: float | None


@dataclass(frozen=True, eq=False)
class RecoveringGround:
    """Pixels of ground that is not mined any more, (..., pixels).

    Attributes:
        mask: Where they lie in their window, (height, width).
        values: NBR by year.
        target: The target.
        recovery: The recovery.
        hectares: Of each pixel.
    """

    mask: NDArray[np.bool_]
    values: NDArray[np.float32]
    target: NDArray[np.float32]
    recovery: Recovery
    hectares: NDArray[np.float64]


class ZoneSums:
    """Sums over the ground of a zone by year."""

    def __init__(self, years: Sequence[int]) -> None:
        self._years = years
        self._hectares = np.zeros((len(years), len(_STATES)))
        self._known, self._aimed = np.zeros((2, len(years)))
        # Numerators and denominators of dNBR, YrYr, R80P, RRI and Y2R.
        self._ratios = np.zeros((5, 2, len(years)))

    def add(self, ground: RecoveringGround) -> None:
        """Add pixels."""
        found = ground.recovery
        lost = ground.target - (ground.values - found.change)
        reached = np.logical_or.accumulate(found.r80p >= 1, axis=0)
        ratios: tuple[tuple[Any, Any], ...] = (
            (found.change, 1.0),
            (found.yearly_rate, 1.0),
            (np.where(np.isnan(found.r80p), np.nan, ground.values), TARGET_SHARE * ground.target),
            (found.rri * lost, lost),
            (np.where(reached, found.years_to_recovery, np.nan), 1.0),
        )
        for number, (parts, wholes) in enumerate(ratios):
            known = ~np.isnan(parts)
            for row, values in enumerate((parts, wholes)):
                self._ratios[number, row] += np.where(known, values, 0).sum(axis=1, dtype=np.float64)
        for place, state in enumerate(found.state):
            self._hectares[place] += [ground.hectares[state == each].sum() for each in _STATES]
            self._known[place] += ground.hectares[(state > 0) & ~np.isnan(ground.values[place])].sum()
            self._aimed[place] += ground.hectares[(state > 0) & (ground.target > 0)].sum()

    def rows(self, site: str, zone: str, polygon: int, target: str, name: str = "") -> list[ReclamationRow]:
        """The rows of the zone by year."""
        found = []
        for place, year in enumerate(self._years):
            hectares = self._hectares[place].tolist()
            ground = sum(hectares)
            metrics = [_quotient(*self._ratios[number, :, place]) for number in range(5)]
            shares = [
                _quotient(part, ground) for part in (*hectares[:3], self._known[place], self._aimed[place])
            ]
            cells: tuple[Any, ...] = (year, ground, *hectares, *shares, target, *metrics)
            found.append(ReclamationRow(site, zone, polygon, name, *cells))
        return found


def _quotient(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
