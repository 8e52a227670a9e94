"""Switch rates against the rates that labels were drawn with, and a grid search of the likelihood."""

import itertools

import numpy as np
import pytest

from euromine.monitoring.history.switch_rates import SwitchRates, estimate_switch_rates
from euromine.support.errors import ArgumentError, RecordError

from .drawn_labels import simulated_labels

RATES = SwitchRates(expansion=0.03, reclamation=0.11, prior=0.2)


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


@pytest.mark.parametrize("rates", [RATES, SwitchRates(0.03, 0.11, 0.2, emission_prior=0.35)])
def test_rates_survive_a_file(tmp_path, rates):
    rates.save(tmp_path / "rates.json")
    assert SwitchRates.load(tmp_path / "rates.json") == rates


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"found text that is not JSON .*; expected a JSON object\. Switch rates are expansion"),
        ("[1]", r"found a list; expected an object\. Switch rates are expansion"),
        ('{"expansion": 0.1, "reclamation": 0.1}', "found no prior; expected a number"),
        (
            '{"expansion": 0.1, "reclamation": 1, "prior": 0.1}',
            "reclamation: found 1; expected a probability",
        ),
    ],
)
def test_a_file_without_rates_is_refused(tmp_path, text, message):
    (tmp_path / "rates.json").write_text(text)
    with pytest.raises(RecordError, match=rf"rates\.json: {message}"):
        SwitchRates.load(tmp_path / "rates.json")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 0.1, 0.1), "expansion: found 0; expected"),
        ((0.1, 1, 0.1), "reclamation: found 1; expected"),
        ((0.6, 0.4, 0.1), "found 0.6 and 0.4; expected a sum below 1"),
    ],
)
def test_impossible_rates_are_refused(values, message):
    with pytest.raises(ArgumentError, match=message):
        SwitchRates(*values)


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([], "found no pixel that is labelled in two years"),
        ([(np.zeros((1, 4, 4), np.uint8), (2015,))], "found no pixel that is labelled in two years"),
        ([(np.full((2, 4, 4), 7, np.uint8), (2015, 2016))], "found the values 7; expected only 0, 1 and 255"),
        ([(np.zeros((2, 4, 4), np.int64), (2015, 2016))], "found int64"),
    ],
)
def test_labels_that_tell_no_rates_are_refused(series, message):
    with pytest.raises(ValueError, match=message):
        estimate_switch_rates(series)
