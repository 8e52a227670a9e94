"""Recovery of ground after mining, from a spectral index by year.

The metrics are those of spectral-recovery (Canadian Forest Service, PEOPLE-ER), per pixel: v(t) is the index
t years after the start of recovery, and the target is its value before mining or that of reference ground.

    dNBR = v(t) - v(start)              change since the start
    YrYr = dNBR / t                     change a year
    R80P = v(t) / (0.8 target)          at 1, 80 % of the target is reached
    Y2R  = the first t with R80P >= 1   years to recovery
    RRI  = (max(v(t - 1), v(t)) - v(start)) / (target - v(start)), where that is at least 0.1

Ten yearly values are too few for a segmentation of trends, such as LandTrendr's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

RECOVERED, RECOVERING, STALLED, UNDECIDED = 1, 2, 3, 4
"""States of ground after mining; 0 where it is not."""

STATES = {RECOVERED: "recovered", RECOVERING: "recovering", STALLED: "stalled", UNDECIDED: "undecided"}

TARGET_SHARE = 0.8
"""The share of the target at which ground counts as recovered."""

MINIMUM_LOSS = 0.1
"""The least loss of NBR of which RRI is a share.

Key and Benson, "Landscape Assessment", FIREMON (RMRS-GTR-164), 2006, class a dNBR below 0.1 as unchanged.
"""

STALLED_YEARS = 3
"""Years with data without any gain since the start after which recovery counts as stalled."""


@dataclass(frozen=True, eq=False)
class Recovery:
    """Recovery by year; NaN where the index, its start or the target is unknown, and before the start.

    Attributes:
        change: (years, ...) float32, dNBR.
        yearly_rate: (years, ...) float32, YrYr; NaN in the first year.
        r80p: (years, ...) float32; NaN where the target is not above 0.
        rri: (years, ...) float32; NaN where the target is less than `MINIMUM_LOSS` above the value at the
            start, as RRI would be a ratio of noise.
        years_to_recovery: (...) float32, Y2R: the first year with data in which the target was reached, at
            most as many years late as images are missing before it; NaN where it was not.
        state: (years, ...) uint8, 0 before the start, else one of `STATES`.
    """

    change: Float
    yearly_rate: Float
    r80p: Float
    rri: Float
    years_to_recovery: Float
    state: NDArray[np.uint8]


def recovery(
    values: NDArray[np.floating[Any]],
    years: Sequence[int],
    start: NDArray[np.integer[Any]],
    target: NDArray[np.floating[Any]] | float,
) -> Recovery:
    """The recovery of ground.

    A year without data has no metrics and is undecided; nothing is interpolated. Where the first year of
    recovery has no data, recovery counts from the next year that has.

    Args:
        values: (years, ...) the index, NaN without data.
        years: The calendar years, ascending.
        start: (...) the first year of recovery; 0 where there is none.
        target: (...) the target; NaN where it is unknown.

    Raises:
        ValueError: The shapes do not fit.
    """
    if len(values) != len(years) or values.shape[1:] != start.shape:
        raise ValueError(
            f"values: found {values.shape} for {len(years)} years and starts {start.shape}; expected one map "
            "per year."
        )
    values = np.asarray(values, np.float32)
    aim = np.broadcast_to(np.asarray(target, np.float32), start.shape)
    begun, first = _first_values(values, years, start)
    with np.errstate(invalid="ignore", divide="ignore"):
        elapsed = np.asarray(years, np.float32).reshape(-1, *[1] * start.ndim) - np.where(
            begun, begun, np.nan
        )
        change = np.where(elapsed >= 0, values - first, np.nan).astype(np.float32)
        rate = np.where(elapsed > 0, change / elapsed, np.nan).astype(np.float32)
        share = values / np.where(aim > 0, np.float32(TARGET_SHARE) * aim, np.nan)
        r80p = np.where(elapsed >= 0, share, np.nan).astype(np.float32)
        lost = np.where(aim - first >= np.float32(MINIMUM_LOSS), aim - first, np.nan)
        rri = (_best_of_two(change, years) / lost).astype(np.float32)
        reached = np.where(r80p >= 1, elapsed, np.nan)
    years_to_recovery = np.fmin.reduce(reached, axis=0).astype(np.float32)
    return Recovery(change, rate, r80p, rri, years_to_recovery, _states(years, start, rate, r80p))


def values_before(
    values: NDArray[np.floating[Any]], years: Sequence[int], mined: NDArray[np.integer[Any]]
) -> Float:
    """The mean of an index over the years before mining; NaN where there is none with data.

    Args:
        values: (years, ...) the index, NaN without data.
        years: The calendar years.
        mined: (...) the first year mined.

    Returns:
        (...) float32.
    """
    total, count = np.zeros(mined.shape, np.float32), np.zeros(mined.shape, np.int32)
    for year, of_year in zip(years, values, strict=True):
        before = (year < mined) & ~np.isnan(of_year)
        total[before] += of_year[before]
        count += before
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.where(count, count, np.nan), np.float32)


def _first_values(
    values: Float, years: Sequence[int], start: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.int32], Float]:
    """The first year of recovery with data, 0 without any, and the value in it."""
    begun = np.zeros(start.shape, np.int32)
    first = np.full(start.shape, np.nan, np.float32)
    for year, of_year in zip(years, values, strict=True):
        begins = (start > 0) & (year >= start) & (begun == 0) & ~np.isnan(of_year)
        begun[begins] = year
        first[begins] = of_year[begins]
    return begun, first


def _best_of_two(change: Float, years: Sequence[int]) -> Float:
    """The larger of a year's change and that of the calendar year before, where this one is known."""
    best = change.copy()
    for place in range(1, len(years)):
        if years[place] - years[place - 1] == 1:
            best[place] = np.where(np.isnan(change[place]), np.nan, np.fmax(change[place], change[place - 1]))
    return best


def _states(
    years: Sequence[int], start: NDArray[np.integer[Any]], rate: Float, r80p: Float
) -> NDArray[np.uint8]:
    """The state of each year; years without data neither count towards a stall nor end it."""
    states = np.zeros(rate.shape, np.uint8)
    without_gain = np.zeros(start.shape, np.int32)
    for place, year in enumerate(years):
        falls, rises = (r80p[place] < 1) & (rate[place] <= 0), (r80p[place] < 1) & (rate[place] > 0)
        recovered = r80p[place] >= 1
        without_gain = np.where(falls, without_gain + 1, np.where(rises | recovered, 0, without_gain))
        after = (start > 0) & (year >= start)
        states[place][after] = UNDECIDED
        states[place][after & falls & (without_gain >= STALLED_YEARS)] = STALLED
        states[place][after & rises] = RECOVERING
        states[place][after & recovered] = RECOVERED
    return states
