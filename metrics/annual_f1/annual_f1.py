"""Annual F1: F1 of each year's footprint, and its mean over the years.

OF1 of the EuroMineNet benchmark, Table 4, doi:10.1016/j.isprsjprs.2026.04.046.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate
import numpy as np
from numpy.typing import NDArray

from .averaging import Scores, binary_scores, mean_of_defined
from .counts import (
    Counts,
    CountTable,
    count_confusion,
    pack_footprints,
)
from .series_metric import CITATION, FEATURES, SeriesMetric

_DESCRIPTION = """\
F1, precision, recall and IoU of the footprint class by year. OF1 is the mean of the years' F1; pooled scores
come from the counts of all years together.
"""

_INPUTS = """
An example is the series of a patch or scene: predictions and references (years, height, width) of 0, 1 and
255 (ignored in references), sites the name of its site, years its calendar years (optional).

Returns of1, of1_pooled, precision_pooled, recall_pooled, iou_pooled; f1, precision, recall and iou, one
entry per year; years, pixels, sites (the same per site) and, with bootstrap=N, confidence_intervals.
"""


def annual_scores(confusion: Counts, zero_division: float) -> Scores:
    """Scores the counts of one site or several.

    Args:
        confusion: (..., years, 4), from `count_confusion`.
        zero_division: The score of a year with valid pixels but a denominator of 0.

    Returns:
        `of1` and the `_pooled` scores (...); `f1`, `precision`, `recall` and `iou` (..., years).
    """
    by_year = binary_scores(confusion, zero_division)
    pooled = binary_scores(confusion.sum(axis=-2), zero_division)
    return {
        "of1": mean_of_defined(by_year["f1"]),
        "of1_pooled": pooled["f1"],
        "precision_pooled": pooled["precision"],
        "recall_pooled": pooled["recall"],
        "iou_pooled": pooled["iou"],
        **by_year,
    }


class AnnualF1(SeriesMetric):
    """F1, precision, recall and IoU of each year's footprint.

    Pixels whose reference is 255 are ignored. A year of 255 only is missing and left out of every mean.

    Example:
        >>> metric = AnnualF1()
        >>> metric.add(prediction=[[[1, 1]], [[0, 1]]], reference=[[[1, 0]], [[0, 1]]], site="Spain_1")
        >>> round(metric.compute()["of1"], 4)
        0.8333
    """

    metric_name = "annual_f1"

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION, citation=CITATION, inputs_description=_INPUTS, features=FEATURES
        )

    def _count(self, prediction: NDArray[Any], reference: NDArray[Any], name: str) -> tuple[Counts, Counts]:
        predicted, actual, valid = pack_footprints(prediction, reference, name)
        pairs = len(predicted) * (len(predicted) - 1) // 2
        # Nothing is counted by pair.
        return count_confusion(predicted, actual, valid), np.empty((pairs, 0), np.int64)

    def _pixels(self, table: CountTable) -> Counts:
        return table.by_year[..., 3].sum(axis=-1)

    def _scores(self, years: Sequence[int], by_year: Counts, by_pair: Counts, zero_division: float) -> Scores:
        return annual_scores(by_year, zero_division)
