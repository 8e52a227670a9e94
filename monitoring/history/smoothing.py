"""Yearly probabilities -> footprints: the Viterbi path, a running median, or each year on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.mapping.map_values import NODATA
from euromine.support.errors import ArgumentError

from .markov import most_probable_path
from .switch_rates import SwitchRates
from .year_stacks import Float, Maps, checked_calendar, in_pixel_blocks

Method = Literal["viterbi", "median", "none"]
METHODS: tuple[Method, ...] = get_args(Method)


def smooth(
    probability: NDArray[np.floating[Any]],
    method: Method = "viterbi",
    rates: SwitchRates | None = None,
    *,
    years: Sequence[int] | None = None,
    threshold: float = 0.5,
    threads: int | None = None,
) -> Maps:
    """Yearly probabilities -> footprints.

    Args:
        probability: Probability of a mine (years, height, width), 0 to 1, NaN where there is no data.
        method: "viterbi": the most probable sequence of states of each pixel, years without data included.
            "median": the median of each year and its neighbours in the series that have data, the first and
            the last year counted twice, above `threshold`. "none": each year on its own.
        rates: The switch rates, which "viterbi" needs.
        years: The calendar years, ascending; consecutive ones by default.
        threshold: A mine is what lies above it; the Viterbi path has no threshold.
        threads: Number of threads; one per core by default.

    Returns:
        uint8 (years, height, width): 0 other, 1 mine, 255 no data. Viterbi leaves 255 only where a pixel has
        no data in any year, the median where the year and its neighbours have none.

    Raises:
        ArgumentError: The method or the threshold is invalid, or rates are missing.
        ValueError: These are not probabilities, or the years do not fit them.
    """
    if method not in METHODS:
        raise ArgumentError(f"method: found {method!r}; expected one of {', '.join(METHODS)}.")
    if not 0 <= threshold <= 1:
        raise ArgumentError(f"threshold: found {threshold}; expected a probability from 0 to 1.")
    if method == "viterbi":
        if rates is None:
            raise ArgumentError("rates: found none; expected switch rates, which viterbi needs.")
        return most_probable_path(probability, rates, years=years, threads=threads)
    checked_calendar(probability, years)
    limit = np.float32(threshold)

    def work(block: Float, footprints: Maps) -> None:
        values = _running_median(block) if method == "median" else block
        np.greater(values, limit, out=footprints.view(np.bool_))
        footprints[np.isnan(values)] = NODATA

    result = np.empty(probability.shape, np.uint8)
    in_pixel_blocks(work, probability, result, threads)
    return result


def _running_median(probability: Float) -> Float:
    """The median of each year and its neighbours (years, pixels), of those that are not NaN."""
    padded = np.concatenate([probability[:1], probability, probability[-1:]])
    before, now, after = padded[:-2], padded[1:-1], padded[2:]
    median: Float = np.maximum(np.minimum(before, now), np.minimum(np.maximum(before, now), after))
    years, pixels = np.nonzero(np.isnan(median))
    if len(years):
        window = np.sort(np.stack([part[years, pixels] for part in (before, now, after)]), axis=0)
        known = 3 - np.isnan(window).sum(axis=0)
        # NaN are sorted last. The median of two values is their mean, that of one the value itself.
        median[years, pixels] = np.where(known == 2, (window[0] + window[1]) / 2, window[0])
    return median
