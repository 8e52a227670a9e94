"""How often the ground switches between other and mine, estimated from yearly labels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from euromine.monitoring.mapping.map_values import NODATA
from euromine.support.errors import ArgumentError, DataError, RecordError
from euromine.support.records import read_record, write_record

from .year_stacks import Maps, check_labels, checked_years


@dataclass(frozen=True)
class SwitchRates:
    """How often the ground switches between other and mine.

    Attributes:
        expansion: Probability that other ground is a mine one year later.
        reclamation: Probability that a mine is other ground one year later.
        prior: Share of mines among the labels that the network was trained on.
        emission_prior: The prior by which the network's probabilities are divided, if it was fitted
            (`markov.fit_emission_prior`); `prior` otherwise.

    Raises:
        ArgumentError: A rate is not between 0 and 1, or a pixel would rather switch than stay.
    """

    expansion: float
    reclamation: float
    prior: float
    emission_prior: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 < value < 1:
                raise ArgumentError(f"{name}: found {value}; expected a probability above 0 and below 1.")
        if self.expansion + self.reclamation >= 1:
            raise ArgumentError(
                f"expansion and reclamation: found {self.expansion} and {self.reclamation}; expected a sum "
                "below 1, as pixels stay what they are more often than not."
            )

    def transition(self, gap: int = 1) -> NDArray[np.float64]:
        """Probabilities (state, state `gap` years later), float64 (2, 2)."""
        yearly = np.array([[1 - self.expansion, self.expansion], [self.reclamation, 1 - self.reclamation]])
        return np.linalg.matrix_power(yearly, gap)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the rates as JSON, at once."""
        write_record(Path(path), self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SwitchRates:
        """Read the rates from a file that `save` wrote.

        Raises:
            RecordError: The file holds no switch rates.
            OSError: The file cannot be read.
        """
        try:
            return read_record(
                cls, Path(path), advice="Switch rates are expansion, reclamation and prior, each a number."
            )
        except ArgumentError as error:
            raise RecordError(f"{path}: {error}") from None


def estimate_switch_rates(series: Iterable[tuple[Maps, Sequence[int]]]) -> SwitchRates:
    """The switch rates under which the labels are most likely.

    Each pixel is followed from one year in which it is known to the next: over one year, or over a gap of
    several, whose probabilities are a power of the yearly ones. If all gaps are of one year, the rates are
    the shares of pixels that switched; otherwise the likelihood of all counts is maximised. Half a pixel is
    added to each kind of yearly step (Jeffreys' prior), so that unseen switches are rare, not impossible.
    Label borders that waver from year to year count as switches: the rates are those of the labels.

    Args:
        series: Labels (years, height, width) uint8, 0 other, 1 mine, 255 unknown, and their years, ascending;
            one site or patch after the other. None is kept in memory.

    Raises:
        DataError: No pixel is labelled in two years, or labels hold other values.
        ArgumentError: Pixels switch more often than they stay.
        ValueError: The labels have another shape or type, or do not fit their years.
    """
    steps: Counter[int] = Counter()
    known, mined = 0, 0
    for labels, years in series:
        calendar = checked_years(years, len(labels))
        check_labels(labels)
        steps.update(_count_steps(labels, calendar))
        mined += int(np.count_nonzero(labels == 1))
        known += int(np.count_nonzero(labels != NODATA))
    counts = _steps_by_gap(steps)
    if not counts:
        raise DataError(
            "labels: found no pixel that is labelled in two years; expected some, to estimate switch rates."
        )
    counts[1] = counts.get(1, np.zeros((2, 2))) + 0.5
    expansion, reclamation = _likeliest_rates(counts)
    return SwitchRates(expansion, reclamation, (mined + 0.5) / (known + 1))


def _count_steps(labels: Maps, years: Sequence[int]) -> Counter[int]:
    """Pixels by step from one known year to the next; keys are gap x 4 + from x 2 + to."""
    steps: Counter[int] = Counter()
    last = np.full(labels.shape[1:], NODATA, np.uint8)
    last_year = np.zeros(labels.shape[1:], np.int64)
    for label, year in zip(labels, years, strict=True):
        both = (label != NODATA) & (last != NODATA)
        keys = (year - last_year[both]) * 4 + last[both] * 2 + label[both]
        found = np.bincount(keys)
        steps.update({int(key): int(found[key]) for key in np.flatnonzero(found)})
        known = label != NODATA
        last[known] = label[known]
        last_year[known] = year
    return steps


def _steps_by_gap(steps: Mapping[int, int]) -> dict[int, NDArray[np.float64]]:
    """Counts (from, to) by gap in years."""
    counts: dict[int, NDArray[np.float64]] = {}
    for key, number in steps.items():
        gap, kind = divmod(key, 4)
        counts.setdefault(gap, np.zeros((2, 2)))[divmod(kind, 2)] += number
    return counts


def _likeliest_rates(counts: Mapping[int, NDArray[np.float64]]) -> tuple[float, float]:
    """The expansion and reclamation under which steps (from, to) by gap are most likely."""
    total = sum(counts.values(), np.zeros((2, 2)))
    if set(counts) == {1}:
        return float(total[0, 1] / total[0].sum()), float(total[1, 0] / total[1].sum())

    def chain(parameters: NDArray[np.float64]) -> tuple[float, float]:
        # Parameters are the log odds of the stationary share of mines and of the share of a difference that
        # persists over a year: any two numbers give a chain that stays rather than switches.
        share, kept = 1 / (1 + np.exp(-parameters))
        return share * (1 - kept), (1 - share) * (1 - kept)

    def misfit(parameters: NDArray[np.float64]) -> float:
        share, kept = 1 / (1 + np.exp(-parameters))
        value = 0.0
        for gap, found in counts.items():
            lost = -np.expm1(gap * np.log(kept))  # 1 - kept ** gap, exact where kept is close to 1
            powers = np.array(
                [[1 - share * lost, share * lost], [(1 - share) * lost, 1 - (1 - share) * lost]]
            )
            value -= float((found * np.log(powers)).sum())
        return value / float(total.sum())

    years = sum(gap * found.sum(axis=1) for gap, found in counts.items())
    guess = np.array([total[0, 1], total[1, 0]]) / years
    share, kept = guess[0] / guess.sum(), 1 - min(float(guess.sum()), 0.99)
    start = np.log([share / (1 - share), kept / (1 - kept)])
    options = {"xatol": 1e-9, "fatol": 1e-15, "maxiter": 10_000, "maxfev": 10_000}
    found = minimize(misfit, start, method="Nelder-Mead", options=options)
    expansion, reclamation = chain(found.x)
    return float(expansion), float(reclamation)
