"""An exact two-state hidden Markov model of each pixel over the years.

The state of a pixel in a year is mine (1) or other (0). From year to year it switches with the rates of the
training labels: `expansion` = P(1 | 0), `reclamation` = P(0 | 1); over a gap of g years with the g-th power
of that matrix. The network's p = P(1 | image) is a posterior; dividing by the prior that the network was
trained under turns it into a likelihood, as in hybrid speech models (Bourlard and Morgan, Connectionist
Speech Recognition, 1994, ch. 7): P(image | 1) / P(image | 0) = (p / prior) / ((1 - p) / (1 - prior)). The
chain starts from the same prior, so that a series of one year returns p. A year without data is a missing
observation: both states explain it equally well.

The Viterbi path and the forward and backward variables are those of Rabiner, "A tutorial on hidden Markov
models", Proceedings of the IEEE 77, 1989, eq. 19-27 and 30-37; with two states they are a few operations a
pixel. The model assumes that images of one place are independent given the state, and they are not (bare rock
is taken for a mine every year). Its posteriors are therefore sharper than they should be, and the prior,
divided out once a year, is divided out too often: ground that looks the same every year would be a mine from
p = prior on, not from 0.5 on. `fit_emission_prior` therefore estimates the divisor from labels that the
network has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from euromine.monitoring.mapping.map_values import NODATA
from euromine.support.errors import DataError

from .switch_rates import SwitchRates
from .year_stacks import Float, Maps, check_labels, checked_calendar, in_pixel_blocks

# Nothing is certain: a float32 softmax rounds to 0 or 1 what is less than one in ten million. A power of two,
# so that its complement is exact.
_CERTAINTY = np.float32(2**-20)


def most_probable_path(
    probability: NDArray[np.floating[Any]],
    rates: SwitchRates,
    *,
    years: Sequence[int] | None = None,
    threads: int | None = None,
) -> Maps:
    """The most probable sequence of states of each pixel (Viterbi; Rabiner 1989, eq. 30-35).

    Args:
        probability: Probability of a mine (years, height, width), 0 to 1, NaN where there is no data.
        rates: The switch rates.
        years: The calendar years, ascending; consecutive ones by default.
        threads: Number of threads; one per core by default.

    Returns:
        uint8 (years, height, width): 0 other, 1 mine, 255 where a pixel has no data in any year.

    Raises:
        ValueError: These are not probabilities, or the years do not fit them.
    """
    chain = _Chain(rates, checked_calendar(probability, years))
    result = np.empty(probability.shape, np.uint8)
    in_pixel_blocks(chain.most_probable_path, probability, result, threads)
    return result


def posterior(
    probability: NDArray[np.floating[Any]],
    rates: SwitchRates,
    *,
    years: Sequence[int] | None = None,
    threads: int | None = None,
) -> Float:
    """The probability of a mine in each year, given all years (Rabiner 1989, eq. 26-27).

    Args:
        probability: As for `most_probable_path`.
        rates: The switch rates.
        years: As for `most_probable_path`.
        threads: As for `most_probable_path`.

    Returns:
        float32 (years, height, width); NaN where a pixel has no data in any year.

    Raises:
        ValueError: As for `most_probable_path`.
    """
    chain = _Chain(rates, checked_calendar(probability, years))
    result = np.empty(probability.shape, np.float32)
    in_pixel_blocks(chain.posterior, probability, result, threads)
    return result


def change_probability(
    probability: NDArray[np.floating[Any]],
    rates: SwitchRates,
    pairs: Sequence[tuple[int, int]] | None = None,
    *,
    years: Sequence[int] | None = None,
    threads: int | None = None,
) -> Float:
    """The probabilities of gain and loss between years, given all years.

    Given the images, the states form a Markov chain again, with steps P(s' | s, images) =
    a(s, s') P(image' | s') beta'(s') / beta(s) (Rabiner 1989, eq. 37). Products of steps lead from any year
    to any later one: the result is the exact pairwise posterior, not a product of two years' posteriors.

    Args:
        probability: As for `most_probable_path`.
        rates: The switch rates.
        pairs: Positions of the years in the series, the earlier first; by default all pairs, in the order of
            `itertools.combinations`.
        years: As for `most_probable_path`.
        threads: As for `most_probable_path`.

    Returns:
        float32 (pairs, 2, height, width): the probability of other in the first year and mine in the second,
        and the reverse; NaN where a pixel has no data in any year. The 45 pairs of ten years take 360 bytes
        per pixel.

    Raises:
        ValueError: As for `most_probable_path`, or a pair is not two ascending positions.
    """
    calendar = checked_calendar(probability, years)
    number = len(calendar)
    chosen = (
        list(combinations(range(number), 2))
        if pairs is None
        else [(int(first), int(second)) for first, second in pairs]
    )
    for first, second in chosen:
        if not 0 <= first < second < number:
            raise ValueError(
                f"pairs: found {(first, second)}; expected two positions from 0 to {number - 1}, the earlier "
                "first."
            )
    chain = _Chain(rates, calendar)
    result = np.empty((len(chosen), 2, *probability.shape[1:]), np.float32)
    flat = result.reshape(2 * len(chosen), *probability.shape[1:])
    in_pixel_blocks(lambda block, out: chain.changes(block, chosen, out), probability, flat, threads)
    return result


def fit_emission_prior(
    series: Iterable[tuple[NDArray[np.floating[Any]], Maps, Sequence[int]]], rates: SwitchRates
) -> SwitchRates:
    """Fit the divisor of the network's probabilities under which posteriors match labels best.

    The mean logarithm of the posterior of each labelled pixel and year is maximised over this one number. If
    images were independent given the state and the network were calibrated, it would equal `rates.prior`.

    Args:
        series: Probabilities and labels (years, height, width) of places that the network was not trained
            on, and their years. All are kept in memory; a sample of the pixels is enough.
        rates: The switch rates.

    Returns:
        The rates with their `emission_prior`.

    Raises:
        DataError: No pixel is labelled, or labels hold other values than 0, 1 and 255.
        ValueError: As for `most_probable_path`, or the labels have another shape.
    """
    kept = []
    for probability, labels, years in series:
        check_labels(labels)
        if labels.shape != probability.shape:
            raise ValueError(
                f"labels: found the shape {labels.shape}; expected {probability.shape} like probability."
            )
        kept.append((probability, labels, checked_calendar(probability, years)))
    if not any((labels != NODATA).any() for _, labels, _ in kept):
        raise DataError("labels: found no labelled pixel; expected some, to fit the emission prior.")

    def with_odds(log_odds: float) -> SwitchRates:
        return replace(rates, emission_prior=1 / (1 + math.exp(-log_odds)))

    def misfit(log_odds: float) -> float:
        total, number = 0.0, 0
        for probability, labels, years in kept:
            mine = posterior(probability, with_odds(log_odds), years=years).astype(np.float64)
            known = (labels != NODATA) & ~np.isnan(mine)
            right = np.where(labels == 1, mine, 1 - mine)[known]
            total -= float(np.log(np.maximum(right, float(_CERTAINTY))).sum())
            number += right.size
        return total / max(number, 1)

    found = minimize_scalar(misfit, bounds=(-6.0, 6.0), method="bounded", options={"xatol": 0.01})
    return with_odds(float(found.x))


class _Chain:
    """The hidden Markov model over given years. All methods take blocks (years, pixels)."""

    def __init__(self, rates: SwitchRates, years: Sequence[int]) -> None:
        self._prior = np.float32(rates.prior)
        self._divisor = self._prior if rates.emission_prior is None else np.float32(rates.emission_prior)
        self._steps = [
            rates.transition(second - first).astype(np.float32) for first, second in pairwise(years)
        ]

    def most_probable_path(self, probability: Float, path: Maps) -> None:
        """The Viterbi path (Rabiner 1989, eq. 30-35).

        Only the difference of the two states' scores matters. As pixels stay rather than switch, the
        recursion clips that difference, and the clipping shows which state the path came from.
        """
        mine_before_other: list[NDArray[np.bool_]] = []
        mine_before_mine: list[NDArray[np.bool_]] = []
        score = np.full(probability.shape[1:], _log_odds(self._prior), np.float32)
        known = ~np.isnan(probability[0])
        score += self._evidence(probability[0])
        for year, step in enumerate(self._steps, start=1):
            from_other, from_mine = np.log(step[0]), np.log(step[1])
            # Above these scores, the best path to mine, and that to other, comes from mine.
            low, high = from_other[1] - from_mine[1], from_other[0] - from_mine[0]
            mine_before_mine.append(score > low)
            mine_before_other.append(score > high)
            np.clip(score, low, high, out=score)
            score += from_mine[1] - from_other[0]
            score += self._evidence(probability[year])
            known |= ~np.isnan(probability[year])
        state = score > 0
        for year in range(len(path) - 1, -1, -1):
            path[year] = state
            if year:
                state = (state & mine_before_mine[year - 1]) | mine_before_other[year - 1]
        path[:, ~known] = NODATA

    def posterior(self, probability: Float, result: Float) -> None:
        """P(mine | all years) of each year."""
        forward = self._forward(probability)
        for year, backward in zip(
            range(len(probability) - 1, -1, -1), self._backward(probability), strict=True
        ):
            other = forward[year][0] * backward[0]
            mine = forward[year][1] * backward[1]
            np.divide(mine, mine + other, out=result[year])
        result[:, np.isnan(probability).all(axis=0)] = np.nan

    def changes(self, probability: Float, pairs: Sequence[tuple[int, int]], result: Float) -> None:
        """P(0 then 1 | all years) and P(1 then 0 | all years) of each pair, `result` (2 pairs, pixels)."""
        years = len(probability)
        forward = self._forward(probability)
        backward = list(self._backward(probability))[::-1]
        gains, losses = self._switches(probability, backward)
        places: dict[int, dict[int, list[int]]] = {}
        for place, (first, second) in enumerate(pairs):
            places.setdefault(first, {}).setdefault(second, []).append(place)
        for first, ends in places.items():
            other, mine = (forward[first][state] * backward[first][state] for state in (0, 1))
            total = other + mine
            other, mine = other / total, mine / total
            gained, lost = np.float32(0), np.float32(0)
            for second in range(first + 1, min(years, max(ends) + 1)):
                gain, loss = gains[second - 1], losses[second - 1]
                gained = (1 - gained) * gain + gained * (1 - loss)
                lost = (1 - lost) * loss + lost * (1 - gain)
                for place in ends.get(second, ()):
                    np.multiply(other, gained, out=result[2 * place])
                    np.multiply(mine, lost, out=result[2 * place + 1])
        result[:, np.isnan(probability).all(axis=0)] = np.nan

    def _switches(
        self, probability: Float, backward: Sequence[tuple[Any, Any]]
    ) -> tuple[list[Any], list[Any]]:
        """The probabilities of a step from other to mine, and of one from mine to other, given all images."""
        gains: list[Any] = []
        losses: list[Any] = []
        for year, step in enumerate(self._steps):
            likelihood = self._likelihood(probability[year + 1])
            other, mine = (likelihood[state] * backward[year + 1][state] for state in (0, 1))
            gain, loss = step[0, 1] * mine, step[1, 0] * other
            gains.append(gain / (gain + step[0, 0] * other))
            losses.append(loss / (loss + step[1, 1] * mine))
        return gains, losses

    def _forward(self, probability: Float) -> list[tuple[Float, Float]]:
        """P(state, images so far), scaled to a sum of 1 (Rabiner 1989, eq. 19-20); other and mine by year."""
        other: Any = np.float32(1) - self._prior
        mine: Any = self._prior
        found: list[tuple[Any, Any]] = []
        for year, values in enumerate(probability):
            if year:
                step = self._steps[year - 1]
                other, mine = (
                    other * step[0, 0] + mine * step[1, 0],
                    other * step[0, 1] + mine * step[1, 1],
                )
            likelihood = self._likelihood(values)
            other, mine = other * likelihood[0], mine * likelihood[1]
            total = other + mine
            other, mine = other / total, mine / total
            found.append((other, mine))
        return found

    def _backward(self, probability: Float) -> Iterable[tuple[Any, Any]]:
        """P(later images | state), scaled to a sum of 1 (Rabiner 1989, eq. 24-25); the last year first."""
        other: Any = np.float32(0.5)
        mine: Any = np.float32(0.5)
        yield other, mine
        for year in range(len(probability) - 1, 0, -1):
            step = self._steps[year - 1]
            likelihood = self._likelihood(probability[year])
            other, mine = other * likelihood[0], mine * likelihood[1]
            other, mine = step[0, 0] * other + step[0, 1] * mine, step[1, 0] * other + step[1, 1] * mine
            total = other + mine
            other, mine = other / total, mine / total
            yield other, mine

    def _likelihood(self, values: Float) -> tuple[Float, Float]:
        """P(image | other) and P(image | mine) of a year (pixels,), up to a common factor."""
        mine = np.clip(values, _CERTAINTY, 1 - _CERTAINTY)
        other = 1 - mine
        mine /= self._divisor
        other /= 1 - self._divisor
        missing = np.isnan(values)
        mine[missing] = other[missing] = 1
        return other, mine

    def _evidence(self, values: Float) -> Float:
        """Log P(image | mine) - log P(image | other) of a year (pixels,); 0 where there is no data."""
        evidence = np.clip(values, _CERTAINTY, 1 - _CERTAINTY)
        np.divide(evidence, 1 - evidence, out=evidence)
        np.log(evidence, out=evidence)
        evidence -= _log_odds(self._divisor)
        evidence[np.isnan(evidence)] = 0
        return evidence


def _log_odds(probability: np.float32) -> np.float32:
    return np.float32(math.log(probability / (1 - probability)))
