"""Smoothing over the years: an exact two-state hidden Markov model per pixel, or a running median.

The state of a pixel in a year is mine (1) or other (0). From year to year it switches with the rates that the
training labels show: `expansion` = P(1 | 0), `reclamation` = P(0 | 1); over a gap of g years with the g-th
power of that matrix. What the network says of a year, p = P(1 | image), is turned from a posterior into a
likelihood by the prior that the network was trained under, as hybrid models of speech do (Bourlard and
Morgan, Connectionist Speech Recognition, 1994, ch. 7): P(image | 1) / P(image | 0) =
(p / prior) / ((1 - p) / (1 - prior)). The chain starts from the same prior, so that a series of one year
gives back p. A year without data is a missing observation: both states explain it equally well.

Viterbi's path, forward and backward variables are those of Rabiner, "A tutorial on hidden Markov models",
Proceedings of the IEEE 77, 1989, eq. 19-27 and 30-37; with two states they are a few operations a pixel.
Images of one place are not independent given the state (a bare rock is taken for a mine every year), which
the model assumes. So its posteriors are sharper than they should be, and the prior, taken off once a year, is
taken off too often: ground that looks the same every year would be a mine from p = prior on, not from 0.5 on.
`fit_emission_prior` therefore estimates what to divide by, from labels that the network has not seen.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from euromine.support.files import write_json

Method = Literal["viterbi", "median", "none"]
METHODS: tuple[str, ...] = get_args(Method)
NODATA = 255

Float = NDArray[np.float32]
Maps = NDArray[np.uint8]

# Nothing is impossible: a float32 softmax says 0 or 1 where it only means less than one in ten million. It is
# a power of two, so that its complement is exact.
_CERTAINTY = np.float32(2**-20)
# Pixels of a block: ten years of them are 1.3 MB, which a processor's cache holds.
_BLOCK = 1 << 15


@dataclass(frozen=True)
class SwitchRates:
    """How often the ground switches between other and mine.

    Attributes:
        expansion: Probability that a pixel that is no mine is one a year later.
        reclamation: Probability that a pixel that is a mine is none a year later.
        prior: Share of mines among the labels that the network was trained on.
        emission_prior: The share that the network's probabilities are divided by, where it was fitted
            (`fit_emission_prior`); `prior` if not.

    Raises:
        ValueError: One of them is not between 0 and 1, or a pixel would rather switch than stay.
    """

    expansion: float
    reclamation: float
    prior: float
    emission_prior: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{name} is {value}, a probability above 0 and below 1 was expected")
        if self.expansion + self.reclamation >= 1:
            raise ValueError(
                f"expansion and reclamation are {self.expansion} and {self.reclamation}, a sum below 1 was "
                "expected: a pixel stays what it is more often than not"
            )

    def transition(self, gap: int = 1) -> NDArray[np.float64]:
        """Probabilities (state, state `gap` years later), float64 (2, 2)."""
        yearly = np.array([[1 - self.expansion, self.expansion], [self.reclamation, 1 - self.reclamation]])
        return np.linalg.matrix_power(yearly, gap)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the rates as JSON, at once."""
        write_json(Path(path), asdict(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SwitchRates:
        """Read what `save` wrote.

        Raises:
            ValueError: The file holds no rates.
            OSError: The file cannot be read.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is no JSON ({error}), switch rates were expected") from None
        return cls.from_values(values, str(path))

    @classmethod
    def from_values(cls, values: Any, where: str) -> SwitchRates:
        """Rates from a mapping with their names.

        Args:
            values: The mapping.
            where: What an error calls it.

        Raises:
            ValueError: It is no such mapping.
        """
        names = ("expansion", "reclamation", "prior")
        if not isinstance(values, Mapping) or not all(
            isinstance(values.get(name), (int, float)) for name in names
        ):
            raise ValueError(f"{where} holds no switch rates, numbers for {', '.join(names)} were expected")
        expansion, reclamation, prior = (float(values[name]) for name in names)
        divisor = values.get("emission_prior")
        return cls(expansion, reclamation, prior, None if divisor is None else float(divisor))


def estimate_switch_rates(series: Iterable[tuple[Maps, Sequence[int]]]) -> SwitchRates:
    """The switch rates under which the labels are most likely.

    Each pixel is followed from one year in which it is known to the next: over a year, or over a gap of
    several, whose probabilities are a power of the yearly ones. Where all gaps are of one year the rates are
    shares of pixels that switched; otherwise the likelihood of all counts is maximised. Half a pixel is added
    to each kind of step of a year (Jeffreys' prior), so that what was never seen is rare, not impossible.
    A label's border that wavers from year to year counts as a switch: the rates are those of labels.

    Args:
        series: Labels (years, height, width) uint8, 0 other, 1 mine, 255 unknown, and their years, ascending;
            one site or patch after the other, none is kept.

    Raises:
        ValueError: There are no labels in two years of one pixel, or what is given is no such series.
    """
    steps: Counter[int] = Counter()
    known, mined = 0, 0
    for labels, years in series:
        calendar = _checked_years(years, len(labels))
        _check_labels(labels)
        steps.update(_count_steps(labels, calendar))
        mined += int(np.count_nonzero(labels == 1))
        known += int(np.count_nonzero(labels != NODATA))
    counts = _steps_by_gap(steps)
    if not counts:
        raise ValueError("no pixel is labelled in two years, which switch rates are estimated from")
    counts[1] = counts.get(1, np.zeros((2, 2))) + 0.5
    expansion, reclamation = _likeliest_rates(counts)
    return SwitchRates(expansion, reclamation, (mined + 0.5) / (known + 1))


def fit_emission_prior(
    series: Iterable[tuple[NDArray[np.floating[Any]], Maps, Sequence[int]]], rates: SwitchRates
) -> SwitchRates:
    """The divisor of the network's probabilities under which its posteriors fit labels best.

    The mean logarithm of the posterior of each labelled pixel and year is maximised over this one number. It
    is `rates.prior` again where images are independent given the state and the network says what it should.

    Args:
        series: Probabilities and labels (years, height, width) of places that the network was not trained
            on, and their years. They are all held: every few pixels are enough.
        rates: The switch rates.

    Returns:
        The rates with their `emission_prior`.

    Raises:
        ValueError: There is no labelled pixel, or what is given is no such series.
    """
    kept = []
    for probability, labels, years in series:
        _check_labels(labels)
        if labels.shape != probability.shape:
            raise ValueError(
                f"labels have the shape {labels.shape}, {probability.shape} as the probabilities was expected"
            )
        kept.append((probability, labels, _checked_series(probability, years)))
    if not any((labels != NODATA).any() for _, labels, _ in kept):
        raise ValueError("no pixel is labelled, which the emission's prior is fitted to")

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
        method: "viterbi": the most probable series of states of each pixel, the years without data
            included. "median": the median of each year and its neighbours in the series that have data,
            the first and the last year counted twice, above `threshold`. "none": each year alone.
        rates: What "viterbi" needs.
        years: The calendar years, ascending; default years without a gap.
        threshold: Above it is a mine; Viterbi's path has no threshold.
        threads: How many threads to use; default one a core.

    Returns:
        uint8 (years, height, width): 0 other, 1 mine, 255 no data. Viterbi leaves 255 only where a pixel has
        no data in any year, the median where the year and its neighbours have none.

    Raises:
        ValueError: There is no such method, rates are missing, or the probabilities are none.
    """
    if method not in METHODS:
        raise ValueError(f"the smoothing is {method!r}, one of {', '.join(METHODS)} was expected")
    if not 0 <= threshold <= 1:
        raise ValueError(f"the threshold is {threshold}, a probability from 0 to 1 was expected")
    calendar = _checked_series(probability, years)
    work: Callable[[Float, Maps], None]
    if method == "viterbi":
        if rates is None:
            raise ValueError("smoothing by viterbi needs switch rates, none were given")
        model = _Chain(rates, calendar)
        work = model.most_probable_path
    elif method == "median":
        work = _Threshold(threshold, _running_median)
    else:
        work = _Threshold(threshold, lambda block: block)
    result = np.empty(probability.shape, np.uint8)
    _in_blocks(work, probability, result, threads)
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
        probability: As for `smooth`.
        rates: The switch rates.
        years: As for `smooth`.
        threads: As for `smooth`.

    Returns:
        float32 (years, height, width); NaN where a pixel has no data in any year.

    Raises:
        ValueError: The probabilities are none.
    """
    model = _Chain(rates, _checked_series(probability, years))
    result = np.empty(probability.shape, np.float32)
    _in_blocks(model.posterior, probability, result, threads)
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

    Given the images the states are a Markov chain again, whose steps are P(s' | s, images) =
    a(s, s') P(image' | s') beta'(s') / beta(s) (Rabiner 1989, eq. 37); products of them lead from any year to
    any later one, so that what is returned is the exact pairwise posterior, not a product of two years'.

    Args:
        probability: As for `smooth`.
        rates: The switch rates.
        pairs: Positions of the years in the series, the earlier first; default all pairs, in the order of
            `itertools.combinations`.
        years: As for `smooth`.
        threads: As for `smooth`.

    Returns:
        float32 (pairs, 2, height, width): the probability that the pixel was no mine in the first year and is
        one in the second, and the reverse; NaN where a pixel has no data in any year. The 45 pairs of ten
        years are 360 bytes a pixel.

    Raises:
        ValueError: The probabilities are none, or a pair is no pair of positions.
    """
    calendar = _checked_series(probability, years)
    number = len(calendar)
    chosen = (
        list(combinations(range(number), 2))
        if pairs is None
        else [(int(first), int(second)) for first, second in pairs]
    )
    for first, second in chosen:
        if not 0 <= first < second < number:
            raise ValueError(
                f"the pair {(first, second)} is no pair of positions below {number}, the number of years, "
                "with the earlier first"
            )
    model = _Chain(rates, calendar)
    result = np.empty((len(chosen), 2, *probability.shape[1:]), np.float32)
    flat = result.reshape(2 * len(chosen), *probability.shape[1:])
    _in_blocks(lambda block, out: model.changes(block, chosen, out), probability, flat, threads)
    return result


class _Chain:
    """The hidden Markov model on one axis of years; all methods take blocks (years, pixels)."""

    def __init__(self, rates: SwitchRates, years: Sequence[int]) -> None:
        self._prior = np.float32(rates.prior)
        self._divisor = self._prior if rates.emission_prior is None else np.float32(rates.emission_prior)
        self._steps = [
            rates.transition(second - first).astype(np.float32) for first, second in pairwise(years)
        ]

    def most_probable_path(self, probability: Float, path: Maps) -> None:
        """Viterbi's path (Rabiner 1989, eq. 30-35).

        Of the two states' scores only the difference counts. As a pixel stays rather than switches, the
        recursion clips that difference, and where it was clipped tells the state that a path came from.
        """
        mine_before_other: list[NDArray[np.bool_]] = []
        mine_before_mine: list[NDArray[np.bool_]] = []
        score = np.full(probability.shape[1:], _log_odds(self._prior), np.float32)
        known = ~np.isnan(probability[0])
        score += self._evidence(probability[0])
        for year, step in enumerate(self._steps, start=1):
            from_other, from_mine = np.log(step[0]), np.log(step[1])
            # Above these scores the best way to a mine, and that to no mine, comes from a mine.
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
        # Given the images: the probability to be a mine after a year as other, and other after one as a mine.
        gains, losses = [], []
        for year, step in enumerate(self._steps):
            likelihood = self._likelihood(probability[year + 1])
            other, mine = (likelihood[state] * backward[year + 1][state] for state in (0, 1))
            gain, loss = step[0, 1] * mine, step[1, 0] * other
            gains.append(gain / (gain + step[0, 0] * other))
            losses.append(loss / (loss + step[1, 1] * mine))
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
        """P(later images | state), scaled alike (Rabiner 1989, eq. 24-25); the last year first."""
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
        """P(image | other) and P(image | mine) of a year (pixels,), but for a factor both share."""
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


class _Threshold:
    """Footprints where what `filtered` makes of a block is above a threshold, 255 where it is NaN."""

    def __init__(self, threshold: float, filtered: Callable[[Float], Float]) -> None:
        self._threshold = np.float32(threshold)
        self._filtered = filtered

    def __call__(self, probability: Float, footprints: Maps) -> None:
        values = self._filtered(probability)
        np.greater(values, self._threshold, out=footprints.view(np.bool_))
        footprints[np.isnan(values)] = NODATA


def _running_median(probability: Float) -> Float:
    """The median of each year and its neighbours (years, pixels), of those that are not NaN."""
    padded = np.concatenate([probability[:1], probability, probability[-1:]])
    before, now, after = padded[:-2], padded[1:-1], padded[2:]
    median: Float = np.maximum(np.minimum(before, now), np.minimum(np.maximum(before, now), after))
    years, pixels = np.nonzero(np.isnan(median))
    if len(years):
        window = np.sort(np.stack([part[years, pixels] for part in (before, now, after)]), axis=0)
        known = 3 - np.isnan(window).sum(axis=0)
        # Sorted, NaN are last: of two values the median is their mean, of one itself.
        median[years, pixels] = np.where(known == 2, (window[0] + window[1]) / 2, window[0])
    return median


def _in_blocks(
    work: Callable[[Float, Any], None],
    probability: NDArray[np.floating[Any]],
    result: NDArray[Any],
    threads: int | None,
) -> None:
    """Apply `work` to blocks of pixels small enough for a processor's cache, several at a time.

    Args:
        work: Takes probabilities (years, pixels) and fills (maps, pixels).
        probability: (years, height, width).
        result: (maps, height, width), C-contiguous.
        threads: How many at a time; default one a core.
    """
    values = probability.reshape(len(probability), -1)
    found = result.reshape(len(result), -1)

    def run(start: int) -> None:
        block = np.ascontiguousarray(values[:, start : start + _BLOCK], dtype=np.float32)
        out = np.empty((len(found), block.shape[1]), found.dtype)
        with np.errstate(invalid="ignore"):  # NaN is no data, and compares as false
            work(block, out)
        found[:, start : start + _BLOCK] = out

    starts = range(0, values.shape[1], _BLOCK)
    workers = min(threads or os.cpu_count() or 1, len(starts))
    if workers <= 1:
        for start in starts:
            run(start)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(run, starts):
            pass


def _checked_series(probability: NDArray[Any], years: Sequence[int] | None) -> tuple[int, ...]:
    """The years of a series, after a look at its form and its range."""
    if probability.ndim != 3 or 0 in probability.shape:
        raise ValueError(
            f"the probabilities have the shape {probability.shape}, (years, height, width) with pixels in it "
            "was expected"
        )
    if probability.dtype.kind != "f":
        raise ValueError(f"the probabilities are {probability.dtype}, floats from 0 to 1 were expected")
    low, high = np.fmin.reduce(probability, axis=None), np.fmax.reduce(probability, axis=None)
    if low < 0 or high > 1:
        raise ValueError(
            f"the probabilities reach from {low:.6g} to {high:.6g}, 0 to 1 was expected; "
            "logits need a softmax"
        )
    return _checked_years(range(len(probability)) if years is None else years, len(probability))


def _checked_years(years: Sequence[int], number: int) -> tuple[int, ...]:
    calendar = tuple(int(year) for year in years)
    if len(calendar) != number:
        raise ValueError(f"there are {len(calendar)} years for {number} maps, one for each was expected")
    if any(first >= second for first, second in pairwise(calendar)):
        raise ValueError(f"the years are {list(calendar)}, ascending ones were expected, each once")
    return calendar


def _check_labels(labels: Maps) -> None:
    if labels.ndim != 3 or labels.dtype != np.uint8:
        raise ValueError(
            f"labels are {labels.dtype} {labels.shape}, uint8 (years, height, width) was expected"
        )
    counts = np.bincount(labels.reshape(-1), minlength=256)
    counts[[0, 1, NODATA]] = 0
    if counts.any():
        found = ", ".join(map(str, np.flatnonzero(counts)[:5]))
        raise ValueError(f"labels hold the values {found}, 0, 1 and 255 (unknown) were expected alone")


def _count_steps(labels: Maps, years: Sequence[int]) -> Counter[int]:
    """How many pixels went from a class to a class over so many years; keys are gap x 4 + from x 2 + to."""
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
    counts: dict[int, NDArray[np.float64]] = {}
    for key, number in steps.items():
        gap, kind = divmod(key, 4)
        counts.setdefault(gap, np.zeros((2, 2)))[divmod(kind, 2)] += number
    return counts


def _likeliest_rates(counts: Mapping[int, NDArray[np.float64]]) -> tuple[float, float]:
    """Expansion and reclamation that make steps (2, 2) by gap most likely."""
    total = sum(counts.values(), np.zeros((2, 2)))
    if set(counts) == {1}:
        return float(total[0, 1] / total[0].sum()), float(total[1, 0] / total[1].sum())

    def chain(parameters: NDArray[np.float64]) -> tuple[float, float]:
        # The chain by its stationary share of mines and by what a year keeps of a difference, as log odds:
        # every pair of numbers is a chain that stays rather than switches.
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
