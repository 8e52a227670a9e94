"""The hidden Markov model against sums and maxima over all paths, and priors that are known."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from euromine.monitoring.history.markov import change_probability, fit_emission_prior, posterior
from euromine.monitoring.history.smoothing import smooth
from euromine.monitoring.history.switch_rates import SwitchRates
from euromine.support.errors import DataError

from .drawn_labels import simulated_labels

RATES = SwitchRates(expansion=0.03, reclamation=0.11, prior=0.2)

YEARS = (2015, 2016, 2018, 2019, 2023)

BOTH = pytest.mark.parametrize(
    "rates", [RATES, replace(RATES, emission_prior=0.4)], ids=["learnt prior", "fitted prior"]
)


def weights_of_all_paths(values, rates, years):
    """Every path and its joint weight with the images of one pixel, in float64 and by the definition."""
    paths = list(itertools.product((0, 1), repeat=len(values)))
    weights = []
    for path in paths:
        weight = rates.prior if path[0] else 1 - rates.prior
        for first, second in itertools.pairwise(range(len(path))):
            step = np.array(
                [[1 - rates.expansion, rates.expansion], [rates.reclamation, 1 - rates.reclamation]]
            )
            power = np.eye(2)
            for _ in range(years[second] - years[first]):
                power = power @ step
            weight *= power[path[first], path[second]]
        for state, value in zip(path, values, strict=True):
            if not math.isnan(value):
                mine = min(max(float(value), 2**-20), 1 - 2**-20)
                divisor = rates.prior if rates.emission_prior is None else rates.emission_prior
                weight *= mine / divisor if state else (1 - mine) / (1 - divisor)
        weights.append(weight)
    return np.array(paths), np.array(weights)


def pixels_with_data(probability):
    return [(row, column) for row, column in np.ndindex(6, 9) if (row, column) != (0, 3)]


@BOTH
def test_viterbi_finds_a_path_that_no_other_beats(probability, rates):
    footprints = smooth(probability, "viterbi", rates, years=YEARS)
    for row, column in pixels_with_data(probability):
        paths, weights = weights_of_all_paths(probability[:, row, column], rates, YEARS)
        chosen = (paths == footprints[:, row, column]).all(axis=1)
        assert weights[chosen] == pytest.approx(weights.max(), rel=1e-5)


@BOTH
def test_posteriors_are_the_sums_over_all_paths(probability, rates):
    found = posterior(probability, rates, years=YEARS)
    for row, column in pixels_with_data(probability):
        paths, weights = weights_of_all_paths(probability[:, row, column], rates, YEARS)
        expected = (weights[:, None] * paths).sum(axis=0) / weights.sum()
        np.testing.assert_allclose(found[:, row, column], expected, rtol=2e-5, atol=1e-7)


@BOTH
def test_change_probabilities_of_all_pairs_are_the_sums_over_all_paths(probability, rates):
    found = change_probability(probability, rates, years=YEARS)
    pairs = list(itertools.combinations(range(5), 2))
    assert found.shape == (10, 2, 6, 9)
    for row, column in pixels_with_data(probability):
        paths, weights = weights_of_all_paths(probability[:, row, column], rates, YEARS)
        for place, (first, second) in enumerate(pairs):
            gain = weights[(paths[:, first] == 0) & (paths[:, second] == 1)].sum() / weights.sum()
            loss = weights[(paths[:, first] == 1) & (paths[:, second] == 0)].sum() / weights.sum()
            np.testing.assert_allclose(found[place, :, row, column], (gain, loss), rtol=5e-5, atol=3e-7)


def test_chosen_pairs_are_those_of_all_pairs_in_any_order(probability):
    everything = change_probability(probability, RATES, years=YEARS)
    pairs = list(itertools.combinations(range(5), 2))
    chosen = [(2, 4), (0, 1), (2, 4), (1, 4)]
    found = change_probability(probability, RATES, chosen, years=YEARS)
    np.testing.assert_array_equal(found, everything[[pairs.index(pair) for pair in chosen]])


def test_gain_and_loss_account_for_the_difference_of_two_posteriors(probability):
    # P(1 in the second) - P(1 in the first) = P(0 then 1) - P(1 then 0): an identity of any chain.
    years = posterior(probability, RATES, years=YEARS)
    change = change_probability(probability, RATES, years=YEARS)
    first, second = np.array(list(itertools.combinations(range(5), 2))).T
    np.testing.assert_allclose(change[:, 0] - change[:, 1], years[second] - years[first], atol=2e-6)


def test_a_single_year_gives_back_the_network_s_probability():
    values = np.array([[[0.01, 0.5, 0.83, 0.2]]], np.float32)
    np.testing.assert_allclose(posterior(values, RATES), values, rtol=1e-5)
    np.testing.assert_array_equal(smooth(values, "viterbi", RATES), [[[0, 0, 1, 0]]])


def test_probabilities_of_exactly_0_and_1_stay_numbers():
    values = np.tile(np.array([0, 1], np.float32), 6)[:10, None, None]
    strict = SwitchRates(1e-7, 1e-7, 1e-4)
    assert np.isfinite(posterior(values, strict)).all()
    assert np.isfinite(change_probability(values, strict)).all()
    assert set(np.unique(smooth(values, "viterbi", strict))) <= {0, 1}


def test_a_year_without_data_is_filled_and_a_pixel_without_any_is_nodata():
    values = np.full((5, 1, 2), 0.95, np.float32)
    values[2, 0, 0] = np.nan
    values[:, 0, 1] = np.nan
    footprints = smooth(values, "viterbi", RATES)
    assert footprints[:, 0, 0].tolist() == [1] * 5
    assert footprints[:, 0, 1].tolist() == [255] * 5
    assert np.isnan(posterior(values, RATES)[:, 0, 1]).all()
    assert np.isnan(change_probability(values, RATES)[:, :, 0, 1]).all()
    assert not np.isnan(change_probability(values, RATES)[:, :, 0, 0]).any()


def test_a_flicker_of_one_year_is_smoothed_away_and_a_lasting_change_is_kept():
    flicker = [0.1, 0.1, 0.7, 0.1, 0.1, 0.1]
    lasting = [0.1, 0.1, 0.1, 0.9, 0.9, 0.9]
    values = np.array([flicker, lasting], np.float32).T[:, None]
    footprints = smooth(values, "viterbi", SwitchRates(0.02, 0.02, 0.5))
    assert footprints[:, 0, 0].tolist() == [0] * 6
    assert footprints[:, 0, 1].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_longer_gap_lets_a_pixel_switch_more_easily():
    values = np.array([0.05, 0.75], np.float32)[:, None, None]
    rates = SwitchRates(0.05, 0.05, 0.5)
    near, far = (change_probability(values, rates, years=years)[0, 0, 0, 0] for years in ((1, 2), (1, 12)))
    assert far > 2 * near


def drawn_images(rates, divisor, pixels, seed):
    """States of a chain, and what a perfect network that learnt under another prior says of their images."""
    generator = np.random.default_rng(seed)
    years = tuple(range(2015, 2022))
    states = simulated_labels(rates, years, pixels, seed)
    # Of normal images a distance d apart the log-likelihood ratio is d (x - d / 2).
    image = generator.normal(1.5 * states, 1)
    odds = 1.5 * (image - 0.75) + np.log(divisor / (1 - divisor))
    return (1 / (1 + np.exp(-odds))).astype(np.float32), states, years


@pytest.mark.parametrize("divisor", [0.1, 0.25, 0.6])
def test_the_prior_that_a_network_learnt_under_is_found_again(divisor):
    rates = SwitchRates(expansion=0.02, reclamation=0.06, prior=0.25)
    fitted = fit_emission_prior([drawn_images(rates, divisor, 40_000, 1)], rates)
    assert fitted.emission_prior == pytest.approx(divisor, abs=0.01)
    assert (fitted.expansion, fitted.reclamation, fitted.prior) == (0.02, 0.06, 0.25)


def test_images_that_repeat_each_other_move_the_divisor_to_where_the_network_draws_its_line():
    # Every year shows the same image again: only a divisor of about a half keeps p = 0.5 between the classes.
    rates = SwitchRates(expansion=0.02, reclamation=0.06, prior=0.25)
    probability, states, years = drawn_images(rates, 0.25, 40_000, 2)
    probability[:], states[:] = probability[:1], states[:1]
    plain = smooth(probability, "viterbi", rates)
    fitted = smooth(probability, "viterbi", fit_emission_prior([(probability, states, years)], rates))
    assert (fitted == states).mean() > (plain == states).mean() + 0.02


def test_labels_that_fit_no_emission_are_refused():
    values = np.full((2, 3, 3), 0.4, np.float32)
    with pytest.raises(DataError, match="labels: found no labelled pixel"):
        fit_emission_prior([(values, np.full((2, 3, 3), 255, np.uint8), (2015, 2016))], RATES)
    with pytest.raises(ValueError, match=r"found the shape \(2, 3, 4\); expected \(2, 3, 3\)"):
        fit_emission_prior([(values, np.zeros((2, 3, 4), np.uint8), (2015, 2016))], RATES)


def test_a_pair_that_is_no_pair_is_refused():
    with pytest.raises(ValueError, match=r"pairs: found \(1, 1\); expected two positions from 0 to 1"):
        change_probability(np.zeros((2, 3, 3), np.float32), RATES, [(1, 1)])
