"""Smoothing against sums and maxima over all paths, SciPy's median, and rates that are known."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from euromine.monitoring.history.smoothing import (
    METHODS,
    SwitchRates,
    change_probability,
    estimate_switch_rates,
    fit_emission_prior,
    posterior,
    smooth,
)

RATES = SwitchRates(expansion=0.03, reclamation=0.11, prior=0.2)
YEARS = (2015, 2016, 2018, 2019, 2023)
BOTH = pytest.mark.parametrize(
    "rates", [RATES, replace(RATES, emission_prior=0.4)], ids=["learnt prior", "fitted prior"]
)


@pytest.fixture
def probability():
    """Random probabilities of five years; extremes, doubts and gaps among them."""
    generator = np.random.default_rng(5)
    values = generator.beta(0.4, 0.6, (5, 6, 9)).astype(np.float32)
    values[generator.random(values.shape) < 0.2] = np.nan
    values[:, 0, 0] = (0, 1, 0, 1, 1)
    values[:, 0, 1] = (1, np.nan, np.nan, np.nan, 0)
    values[:, 0, 2] = 0.5
    values[:, 0, 3] = np.nan
    return values


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


def simulated_labels(rates, years, pixels, seed):
    """Labels drawn year by year, of which only `years` are kept."""
    generator = np.random.default_rng(seed)
    state = generator.random(pixels) < rates.prior
    kept = []
    for year in range(years[0], years[-1] + 1):
        if year > years[0]:
            draw = generator.random(pixels)
            state = np.where(state, draw >= rates.reclamation, draw < rates.expansion)
        if year in years:
            kept.append(state.astype(np.uint8))
    return np.stack(kept).reshape(len(years), 100, -1)


def test_rates_of_yearly_labels_are_the_shares_of_pixels_that_switched():
    labels = np.array([[[0, 0, 0, 0, 1, 1, 255, 1]], [[0, 1, 0, 0, 1, 0, 1, 255]]], np.uint8)
    rates = estimate_switch_rates([(labels, (2020, 2021))])
    # Half a pixel more of each kind of step: 1 of 4 others became mines, 1 of 2 mines became others.
    assert rates.expansion == pytest.approx(1.5 / 5)
    assert rates.reclamation == pytest.approx(1.5 / 3)
    assert rates.prior == pytest.approx((6 + 0.5) / (14 + 1))


@pytest.mark.parametrize(
    "years", [tuple(range(2015, 2025)), (2015, 2017, 2018, 2022, 2024), (2015, 2020, 2024)]
)
def test_rates_are_found_again_in_labels_that_were_drawn_with_them(years):
    drawn = SwitchRates(expansion=0.02, reclamation=0.05, prior=2 / 7)
    series = [(simulated_labels(drawn, years, 100_000, seed), years) for seed in range(2)]
    found = estimate_switch_rates(iter(series))
    assert found.expansion == pytest.approx(drawn.expansion, rel=0.03)
    assert found.reclamation == pytest.approx(drawn.reclamation, rel=0.03)
    assert found.prior == pytest.approx(drawn.prior, rel=0.01)


def test_a_year_that_is_unknown_in_a_pixel_counts_as_a_gap_there():
    drawn = SwitchRates(expansion=0.03, reclamation=0.06, prior=1 / 3)
    years = tuple(range(2015, 2025))
    labels = simulated_labels(drawn, years, 200_000, 9)
    labels[np.random.default_rng(2).random(labels.shape) < 0.5] = 255
    found = estimate_switch_rates([(labels, years)])
    assert found.expansion == pytest.approx(drawn.expansion, rel=0.03)
    assert found.reclamation == pytest.approx(drawn.reclamation, rel=0.03)


def test_the_estimate_over_gaps_is_the_likeliest_of_a_fine_grid():
    years = (2015, 2016, 2019, 2021)
    labels = simulated_labels(SwitchRates(0.04, 0.09, 0.3), years, 20_000, 4)
    found = estimate_switch_rates([(labels, years)])

    def log_likelihood(expansion, reclamation):
        step = np.array([[1 - expansion, expansion], [reclamation, 1 - reclamation]])
        value = 0.5 * np.log(step).sum()
        for first, second, gap in zip(labels[:-1], labels[1:], np.diff(years), strict=True):
            powers = np.log(np.linalg.matrix_power(step, int(gap)))
            value += powers[first.ravel(), second.ravel()].sum()
        return value

    best = log_likelihood(found.expansion, found.reclamation)
    for factor_1, factor_2 in itertools.product((0.995, 1, 1.005), repeat=2):
        assert log_likelihood(found.expansion * factor_1, found.reclamation * factor_2) <= best + 1e-6


def test_what_was_never_seen_is_rare_and_not_impossible():
    rates = estimate_switch_rates([(np.zeros((2, 50, 50), np.uint8), (2015, 2016))])
    assert 0 < rates.expansion < 1e-3
    assert 0 < rates.prior < 1e-3


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
    with pytest.raises(ValueError, match="no pixel is labelled"):
        fit_emission_prior([(values, np.full((2, 3, 3), 255, np.uint8), (2015, 2016))], RATES)
    with pytest.raises(ValueError, match="as the probabilities was expected"):
        fit_emission_prior([(values, np.zeros((2, 3, 4), np.uint8), (2015, 2016))], RATES)


@pytest.mark.parametrize("rates", [RATES, SwitchRates(0.03, 0.11, 0.2, emission_prior=0.35)])
def test_rates_survive_a_file(tmp_path, rates):
    rates.save(tmp_path / "rates.json")
    assert SwitchRates.load(tmp_path / "rates.json") == rates


@pytest.mark.parametrize("text", ["{", "[1]", '{"expansion": 0.1, "reclamation": 0.1}'])
def test_a_file_without_rates_is_refused(tmp_path, text):
    (tmp_path / "rates.json").write_text(text)
    with pytest.raises(ValueError, match=r"rates\.json .* switch rates"):
        SwitchRates.load(tmp_path / "rates.json")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 0.1, 0.1), "expansion is 0"),
        ((0.1, 1, 0.1), "reclamation is 1"),
        ((0.6, 0.4, 0.1), "sum below 1"),
    ],
)
def test_impossible_rates_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        SwitchRates(*values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3, 3), np.float32), "mean"), "'mean', one of viterbi, median, none"),
        ((np.zeros((2, 3, 3), np.float32), "viterbi"), "needs switch rates"),
        ((np.zeros((3, 3), np.float32), "none"), r"shape \(3, 3\)"),
        ((np.zeros((2, 3, 3), np.uint8), "none"), "uint8, floats"),
        ((np.full((2, 3, 3), -4.5, np.float32), "none"), "-4.5 to -4.5, 0 to 1"),
    ],
)
def test_what_are_no_probabilities_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        smooth(*arguments)


def test_years_that_do_not_fit_are_refused():
    values = np.zeros((2, 3, 3), np.float32)
    with pytest.raises(ValueError, match="3 years for 2 maps"):
        smooth(values, "none", years=(2015, 2016, 2017))
    with pytest.raises(ValueError, match="ascending"):
        smooth(values, "none", years=(2016, 2016))


def test_a_pair_that_is_no_pair_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 1\)"):
        change_probability(np.zeros((2, 3, 3), np.float32), RATES, [(1, 1)])


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([], "no pixel is labelled in two years"),
        ([(np.zeros((1, 4, 4), np.uint8), (2015,))], "no pixel is labelled in two years"),
        ([(np.full((2, 4, 4), 7, np.uint8), (2015, 2016))], "values 7"),
        ([(np.zeros((2, 4, 4), np.int64), (2015, 2016))], "int64"),
    ],
)
def test_labels_that_tell_no_rates_are_refused(series, message):
    with pytest.raises(ValueError, match=message):
        estimate_switch_rates(series)
