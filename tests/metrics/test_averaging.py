"""Averages of scores over sites, and their resamples."""

import numpy as np
import pytest

from euromine.metrics import averaging
from euromine.metrics.counts import CountTable


def test_no_resample_loses_a_count():
    # Counts beyond the 53 bits of a float would round if they were summed as floats.
    table = CountTable(("a", "b"), (0,), np.array([[[2**53 + 1]], [[2]]]), np.empty((2, 1, 1, 0), np.int64))
    seen = []

    def score(by_year, by_pair):
        seen.append(by_year)
        return {"score": by_year[..., 0, 0].astype(float)}

    settings = averaging.Averaging(average="pooled", bootstrap=20)
    averaging.average_scores(table, np.array([1, 1]), score, settings)
    drawn = {int(value) for value in seen[-1].ravel()}
    assert drawn == {2 * (2**53 + 1), 2**53 + 3, 4}


@pytest.mark.parametrize("weights", [1, np.array([1, 2, 3])])
def test_a_mean_leaves_nan_out(weights):
    values = np.array([[1.0, np.nan, 3.0], [np.nan] * 3])
    mean = averaging.mean_of_defined(values, weights)
    share = 1 / 2 if isinstance(weights, int) else 3 / 4
    assert mean[0] == pytest.approx(1 + 2 * share)
    assert np.isnan(mean[1])
