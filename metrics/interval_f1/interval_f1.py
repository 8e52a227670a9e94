"""Interval F1: F1 of the change between two years, by the interval between them.

Scores of the EuroMineNet benchmark, Tables 5 (change detection) and 6 (post-classification),
doi:10.1016/j.isprsjprs.2026.04.046.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import evaluate
import numpy as np
from numpy.typing import NDArray

from .averaging import Scores, binary_scores, mean_of_defined
from .counts import (
    Bits,
    Counts,
    CountTable,
    count_bits,
    count_confusion,
    count_in_blocks,
    pack,
    pack_footprints,
    pair_indices,
    require_decided,
)
from .series_metric import CITATION, FEATURES, SeriesMetric

_DESCRIPTION = """\
F1 of the change class by the interval between two years, from change maps or from series of footprints
(post-classification), also for gain and loss separately. of1_pooled comes from the counts of all pairs of
years together, of1_mean is the mean over the intervals.
"""

_INPUTS = """
An example is the series of a patch or scene. Predictions and references depend on the configuration:

- "footprint" (default): both footprints (years, height, width); change is where two years differ;
- "change": change maps (pairs, height, width), in the order of itertools.combinations of the years, against
  footprints (years, height, width);
- "change_to_change": both change maps (pairs, height, width); without gain and loss;

Values are 0, 1 and 255 (ignored in references). sites is the name of its site, years its calendar years
(optional).

Returns of1_pooled, of1_mean; f1, precision, recall and iou, one entry per interval; intervals; the same for
gain and loss (gain_f1, ...); pixels, sites (the same per site) and, with bootstrap=N, confidence_intervals.
"""

# The counted fields of a pair of years: the confusion of change, of gain and of loss.
_CHANGE, _GAIN, _LOSS = slice(0, 4), slice(4, 8), slice(8, 12)


def count_changes_between_footprints(predicted: Bits, actual: Bits, valid: Bits) -> Counts:
    """Counts the change between predicted footprints against that between the reference's.

    Args:
        predicted: The predicted footprints among the valid pixels, (years, words).
        actual: The reference's footprints among them, (years, words).
        valid: The valid pixels, (years, words).

    Returns:
        (pairs, 12): the confusion of change, gain and loss, over the pixels valid in both years.
    """
    first, second = pair_indices(len(valid))
    both = valid[first] & valid[second]
    gains, losses = [], []
    for maps in (predicted, actual):
        maps_first, maps_second = maps[first], maps[second]
        changed = (maps_first ^ maps_second) & both
        gains.append(changed & maps_second)
        losses.append(changed & maps_first)
    return _count_directions((gains[0], gains[1]), (losses[0], losses[1]), both)


def count_changes_of_footprints(predicted_change: Bits, actual: Bits, valid: Bits) -> Counts:
    """Counts predicted change maps against the change between the reference's footprints.

    A change map has no direction: its pixels count as gain where the reference's first year has no footprint,
    and as loss where it has one.

    Args:
        predicted_change: The predicted change, (pairs, words).
        actual: The reference's footprints, (years, words).
        valid: The valid pixels, (years, words).

    Returns:
        (pairs, 12): the confusion of change, gain and loss, over the pixels valid in both years.
    """
    first, second = pair_indices(len(valid))
    both = valid[first] & valid[second]
    actual_first, actual_second = actual[first], actual[second]
    predicted_change = predicted_change & both
    actual_change = (actual_first ^ actual_second) & both
    gains = (predicted_change & ~actual_first, actual_change & actual_second)
    losses = (predicted_change & actual_first, actual_change & actual_first)
    return _count_directions(gains, losses, both)


def _count_directions(gains: tuple[Bits, Bits], losses: tuple[Bits, Bits], both: Bits) -> Counts:
    """The predicted and the actual gains and losses, (pairs, words) each -> (pairs, 12)."""
    pixels = count_bits(both)
    gain = [count_bits(gains[0] & gains[1]), count_bits(gains[0]), count_bits(gains[1]), pixels]
    loss = [count_bits(losses[0] & losses[1]), count_bits(losses[0]), count_bits(losses[1]), pixels]
    # A change counts as found whatever its direction; no pixel is both gained and lost.
    hits = count_bits((gains[0] | losses[0]) & (gains[1] | losses[1]))
    change = [hits, gain[1] + loss[1], gain[2] + loss[2], pixels]
    return np.stack([*change, *gain, *loss], axis=-1)


def interval_scores(years: Sequence[int], by_pair: Counts, zero_division: float) -> Scores:
    """Scores the counts of one site or several.

    Args:
        years: The calendar years, ascending.
        by_pair: (..., years, years, 4 or 12), above the diagonal: the confusion of change and, if known, of
            gain and loss.
        zero_division: The score of an interval with valid pixels but a denominator of 0.

    Returns:
        `of1_pooled` and `of1_mean` (...), `f1`, `precision`, `recall` and `iou` (..., intervals); the same
        prefixed with `gain_` and `loss_`.
    """
    interval = interval_of_pairs(years)
    intervals = interval_list(years)
    by_interval = np.zeros((*by_pair.shape[:-3], len(intervals), by_pair.shape[-1]), np.int64)
    for index, length in enumerate(intervals):
        by_interval[..., index, :] = by_pair[..., interval == length, :].sum(axis=-2)
    scores = _scores_of_intervals(by_interval[..., _CHANGE], zero_division)
    if by_pair.shape[-1] > _CHANGE.stop:
        for direction, fields in (("gain", _GAIN), ("loss", _LOSS)):
            of_direction = _scores_of_intervals(by_interval[..., fields], zero_division)
            scores |= {f"{direction}_{name}": values for name, values in of_direction.items()}
    return scores


def _scores_of_intervals(confusion: Counts, zero_division: float) -> Scores:
    """(..., intervals, 4) -> scores of each interval and of all together."""
    by_interval = binary_scores(confusion, zero_division)
    return {
        "of1_pooled": binary_scores(confusion.sum(axis=-2), zero_division)["f1"],
        "of1_mean": mean_of_defined(by_interval["f1"]),
        **by_interval,
    }


def interval_of_pairs(years: Sequence[int]) -> NDArray[np.int64]:
    """Interval of each pair of years, (years, years); 0 on and below the diagonal."""
    calendar = np.asarray(years, np.int64)
    return np.triu(calendar[None, :] - calendar[:, None])


def interval_list(years: Sequence[int]) -> list[int]:
    """Intervals between the years, ascending."""
    intervals: list[int] = np.unique(interval_of_pairs(years)).tolist()
    return [interval for interval in intervals if interval]


class IntervalF1(SeriesMetric):
    """F1 of change by the interval between two years, also for gain and loss.

    A pixel counts for a pair of years if its reference is 255 in neither.

    Args:
        config_name: "footprint" (default), "change" or "change_to_change": the kind of predictions and
            references, see `inputs_description`.
        **options: As `SeriesMetric`.

    Example:
        >>> metric = IntervalF1()
        >>> metric.add(prediction=[[[0, 0]], [[1, 1]]], reference=[[[0, 0]], [[1, 0]]], site="Spain_1")
        >>> round(metric.compute()["of1_pooled"], 4)
        0.6667
    """

    metric_name = "interval_f1"
    config_names = ("footprint", "change", "change_to_change")

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION, citation=CITATION, inputs_description=_INPUTS, features=FEATURES
        )

    def _count(self, prediction: NDArray[Any], reference: NDArray[Any], name: str) -> tuple[Counts, Counts]:
        if self.config_name == "footprint":
            predicted, actual, valid = pack_footprints(prediction, reference, name)
            by_pair = count_in_blocks(count_changes_between_footprints, predicted, actual, valid)
        elif self.config_name == "change":
            predicted, actual, valid = _pack_changes_and_footprints(prediction, reference, name)
            by_pair = count_in_blocks(count_changes_of_footprints, predicted, actual, valid)
        else:
            _require_pairs(prediction, reference, name)
            predicted, actual, valid = pack_footprints(prediction, reference, name)
            by_pair = count_confusion(predicted, actual, valid)
            # The reference is given by pair, so no pixels are counted by year.
            return np.empty((_years_of_pairs(len(by_pair)), 0), np.int64), by_pair
        return count_bits(valid)[:, None], by_pair

    def _pixels(self, table: CountTable) -> Counts:
        if self.config_name == "change_to_change":
            return table.by_pair[..., 3].sum(axis=(-2, -1))
        return table.by_year[..., 0].sum(axis=-1)

    def _scores(self, years: Sequence[int], by_year: Counts, by_pair: Counts, zero_division: float) -> Scores:
        return interval_scores(years, by_pair, zero_division)

    def _axes(self, years: Sequence[int]) -> dict[str, list[int]]:
        return {"years": list(years), "intervals": interval_list(years)}


def _pack_changes_and_footprints(
    prediction: NDArray[Any], reference: NDArray[Any], name: str
) -> tuple[Bits, Bits, Bits]:
    """Packs change maps (pairs, height, width) and footprints (years, height, width)."""
    pairs = math.comb(len(reference), 2) if reference.ndim == 3 else 0
    if prediction.shape != (pairs, *reference.shape[1:]):
        raise ValueError(
            f"{name}: found a prediction of shape {prediction.shape} and a reference of shape "
            f"{reference.shape}; expected (pairs, height, width), one change map for each pair of the "
            "reference's years, and (years, height, width)."
        )
    predicted, decided = pack(prediction, f"prediction of {name}")
    actual, valid = pack(reference, f"reference of {name}")
    first, second = pair_indices(len(reference))
    require_decided(decided, valid[first] & valid[second], name)
    return predicted, actual, valid


def _require_pairs(prediction: NDArray[Any], reference: NDArray[Any], name: str) -> None:
    pairs = len(reference) if reference.ndim else 0
    if math.comb(_years_of_pairs(pairs), 2) != pairs:
        raise ValueError(
            f"reference of {name}: found the shape {reference.shape}; expected one change map for each pair "
            "of a series' years: 1, 3, 6, 10, ... 45 maps for 2, 3, 4, 5, ... 10 years."
        )


def _years_of_pairs(pairs: int) -> int:
    """Number of years with this many pairs, rounded down."""
    return (1 + math.isqrt(1 + 8 * pairs)) // 2
