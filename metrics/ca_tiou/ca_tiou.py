"""CA-TIoU: agreement of a series of predicted footprints where the ground did not change.

Change-aware temporal IoU of the EuroMineNet benchmark, doi:10.1016/j.isprsjprs.2026.04.046.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate
import numpy as np
from numpy.typing import NDArray

from .averaging import Scores, binary_scores, mean_of_defined, ratio
from .counts import (
    Bits,
    Counts,
    CountTable,
    count_bits,
    count_confusion,
    count_in_blocks,
    pack_footprints,
    pair_indices,
)
from .series_metric import CITATION, FEATURES, SeriesMetric

_DESCRIPTION = """\
Change-aware temporal IoU (CA-TIoU) of footprint series. For each pair of years it is the intersection over
the union of the two predictions, among the pixels whose reference is the same in both years: differences
there are flicker, not change. LCA-TIoU is its mean over neighbouring years, GCA-TIoU over all pairs of years.
A constant map scores 1.0, so the mean F1 of the years is reported with it.
"""

_INPUTS = """
An example is the series of a patch or scene: predictions and references (years, height, width) of 0, 1 and
255 (ignored in references), sites the name of its site, years its calendar years (optional).

Returns lca_tiou, gca_tiou, of1 (mean F1 of the years), matrix (years, years), years, pixels, sites (the
same per site) and, with bootstrap=N, confidence_intervals.
"""


def count_agreement(predicted: Bits, actual: Bits, valid: Bits) -> Counts:
    """Counts agreement between the predictions of two years where the reference is the same in both.

    Args:
        predicted: The predicted footprints among the valid pixels, (years, words).
        actual: The reference's footprints among them, (years, words).
        valid: The valid pixels, (years, words).

    Returns:
        (pairs, 3), in the order of `itertools.combinations`: pixels whose reference is the same, and the
        intersection and the union of the predictions within them.
    """
    first, second = pair_indices(len(valid))
    unchanged = valid[first] & valid[second] & ~(actual[first] ^ actual[second])
    predicted_first, predicted_second = predicted[first], predicted[second]
    intersection = predicted_first & predicted_second & unchanged
    union = (predicted_first | predicted_second) & unchanged
    return np.stack([count_bits(bits) for bits in (unchanged, intersection, union)], axis=-1)


def neighbouring(present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Marks pairs of years with no present year between them.

    Args:
        present: The years with valid pixels, (..., years).

    Returns:
        (..., years, years), true above the diagonal only.
    """
    rank = np.cumsum(present, axis=-1)
    both = present[..., :, None] & present[..., None, :]
    return both & (rank[..., None, :] - rank[..., :, None] == 1)


def agreement_scores(by_year: Counts, by_pair: Counts, zero_division: float) -> Scores:
    """Scores the counts of one site or several.

    Args:
        by_year: (..., years, 4), from `count_confusion`.
        by_pair: (..., years, years, 3), from `count_agreement`, above the diagonal.
        zero_division: The score of a pair with unchanged pixels in which neither year predicts a footprint.

    Returns:
        `lca_tiou`, `gca_tiou` and `of1` (...), `matrix` (..., years, years), symmetric.
    """
    unchanged, intersection, union = np.moveaxis(by_pair, -1, 0)
    upper = ratio(intersection, union, unchanged, zero_division)
    _, predicted, _, pixels = np.moveaxis(by_year, -1, 0)
    years = by_year.shape[-2]
    above = np.triu(np.ones((years, years), bool), 1)
    matrix = np.where(above, upper, np.swapaxes(upper, -1, -2))
    # A year agrees with itself if it predicts anything.
    diagonal = np.arange(years)
    matrix[..., diagonal, diagonal] = ratio(predicted, predicted, pixels, zero_division)
    return {
        "lca_tiou": _mean_of_pairs(upper, neighbouring(pixels > 0)),
        "gca_tiou": _mean_of_pairs(upper, above),
        "of1": mean_of_defined(binary_scores(by_year, zero_division)["f1"]),
        "matrix": matrix,
    }


def _mean_of_pairs(scores: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of (..., years, years) over the chosen pairs that are defined."""
    kept = np.where(chosen, scores, np.nan)
    return mean_of_defined(kept.reshape(*kept.shape[:-2], -1))


class CATIoU(SeriesMetric):
    """CA-TIoU of footprint series, with the mean annual F1.

    Pixels whose reference is 255 are ignored, and a year of 255 only is missing. Neighbours are consecutive
    years of a site's own series, whatever the gap between them: where the ground did not change, the map must
    not change either.

    Example:
        >>> metric = CATIoU()
        >>> metric.add(prediction=[[[1, 1]], [[1, 0]]], reference=[[[1, 1]], [[1, 1]]], site="Spain_1")
        >>> metric.compute()["lca_tiou"]
        0.5
    """

    metric_name = "ca_tiou"

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION, citation=CITATION, inputs_description=_INPUTS, features=FEATURES
        )

    def _count(self, prediction: NDArray[Any], reference: NDArray[Any], name: str) -> tuple[Counts, Counts]:
        predicted, actual, valid = pack_footprints(prediction, reference, name)
        by_pair = count_in_blocks(count_agreement, predicted, actual, valid)
        return count_confusion(predicted, actual, valid), by_pair

    def _pixels(self, table: CountTable) -> Counts:
        return table.by_year[..., 3].sum(axis=-1)

    def _scores(self, years: Sequence[int], by_year: Counts, by_pair: Counts, zero_division: float) -> Scores:
        return agreement_scores(by_year, by_pair, zero_division)
