"""Changes from footprints, and from the probabilities of all years."""

from itertools import combinations

import numpy as np

from euromine.monitoring.history.markov import change_probability

from .site_images import PLAIN, RATES, YEARS, series_of


def test_changes_are_the_differences_of_footprints_gain_and_loss_apart(made):
    assert made.pairs == list(combinations(YEARS, 2))
    for first, second in made.pairs:
        before, after = made.footprint(first), made.footprint(second)
        expected = np.zeros_like(before)
        expected[(before == 0) & (after == 1)] = 1
        expected[(before == 1) & (after == 0)] = 2
        np.testing.assert_array_equal(made.change(first, second), expected)
        assert (made.path / f"change_{first}_{second}.tif").exists()


def test_change_may_be_what_is_likelier_than_not_given_all_years(place, mapper, made, tmp_path):
    result = series_of(
        [mapper],
        place,
        tmp_path,
        smoothing="median",
        rates=RATES,
        change_by="posterior",
        pairs="first-last",
        **PLAIN,
    )
    assert result.pairs == [(2015, 2018)]
    probability = np.stack([made.probability(year) for year in YEARS])
    gain, loss = change_probability(probability, RATES, [(0, 2)], years=YEARS)[0]
    np.testing.assert_array_equal(
        result.change(2015, 2018), np.where(gain > 0.5, 1, np.where(loss > 0.5, 2, 0))
    )
