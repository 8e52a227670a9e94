"""Footprints against SciPy's median and plain thresholds."""

import numpy as np
import pytest
from scipy import ndimage

from euromine.monitoring.history.smoothing import METHODS, smooth
from euromine.monitoring.history.switch_rates import SwitchRates

RATES = SwitchRates(expansion=0.03, reclamation=0.11, prior=0.2)


def test_median_is_scipy_s_where_all_years_have_data():
    values = np.random.default_rng(0).random((7, 11, 13), dtype=np.float32)
    expected = ndimage.median_filter(values, size=(3, 1, 1), mode="nearest") > 0.4
    np.testing.assert_array_equal(smooth(values, "median", threshold=0.4), expected)


def test_median_leaves_out_years_without_data(probability):
    padded = np.concatenate([probability[:1], probability, probability[-1:]])
    footprints = smooth(probability, "median")
    for year, row, column in np.ndindex(probability.shape):
        window = padded[year : year + 3, row, column]
        window = window[~np.isnan(window)]
        expected = 255 if not len(window) else int(np.median(window) > 0.5)
        assert footprints[year, row, column] == expected


def test_without_smoothing_each_year_is_judged_alone(probability):
    footprints = smooth(probability, "none", threshold=0.3)
    missing = np.isnan(probability)
    assert (footprints[missing] == 255).all()
    np.testing.assert_array_equal(footprints[~missing], probability[~missing] > np.float32(0.3))


@pytest.mark.parametrize("method", METHODS)
def test_blocks_and_threads_change_nothing(method):
    # More pixels than a block has, and not a multiple of it.
    values = np.random.default_rng(1).random((3, 190, 371), dtype=np.float32)
    whole = smooth(values, method, RATES, threads=1)
    np.testing.assert_array_equal(whole, smooth(values, method, RATES, threads=3))
    parts = [smooth(np.ascontiguousarray(part), method, RATES) for part in np.array_split(values, 5, axis=1)]
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (np.zeros((2, 3, 3), np.float32), "mean"),
            "method: found 'mean'; expected one of viterbi, median, none",
        ),
        ((np.zeros((2, 3, 3), np.float32), "viterbi"), "rates: found none; expected switch rates"),
        ((np.zeros((3, 3), np.float32), "none"), r"found the shape \(3, 3\)"),
        ((np.zeros((2, 3, 3), np.uint8), "none"), "found uint8; expected floats"),
        ((np.full((2, 3, 3), -4.5, np.float32), "none"), "from -4.5 to -4.5; expected 0 to 1"),
    ],
)
def test_what_are_no_probabilities_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        smooth(*arguments)


def test_years_that_do_not_fit_are_refused():
    values = np.zeros((2, 3, 3), np.float32)
    with pytest.raises(ValueError, match="years: found 3 for 2 maps"):
        smooth(values, "none", years=(2015, 2016, 2017))
    with pytest.raises(ValueError, match=r"found \[2016, 2016\]; expected ascending"):
        smooth(values, "none", years=(2016, 2016))
