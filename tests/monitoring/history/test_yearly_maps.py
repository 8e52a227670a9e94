"""Probabilities, footprints, first and last years."""

from dataclasses import asdict

import numpy as np

from euromine.monitoring.history import map_rows
from euromine.monitoring.history.smoothing import smooth
from euromine.monitoring.history.yearly_maps import first_and_last_years

from .site_images import HEIGHT, PLAIN, RATES, WIDTH, YEARS, image_of, series_of


def test_each_year_is_mapped_as_the_network_maps_it(made, plain_probability):
    assert made.years == list(YEARS)
    for year in YEARS:
        expected = plain_probability(image_of(year))
        np.testing.assert_allclose(made.probability(year), expected, atol=1e-5)
        is_clear = abs(expected - 0.5) > 1e-4
        np.testing.assert_array_equal(made.footprint(year)[is_clear], (expected > 0.5)[is_clear])
    shares = [float((made.footprint(year) == 1).mean()) for year in YEARS]
    assert all(0.05 < share < 0.95 for share in shares), "the network of the test maps something and not all"


def test_first_and_last_years_are_those_of_each_pixel(made):
    stack = [made.footprint(year) for year in YEARS]
    for row, column in np.random.default_rng(0).integers(0, (HEIGHT, WIDTH), (200, 2)):
        mined = [year for year, footprint in zip(YEARS, stack, strict=True) if footprint[row, column]]
        assert made.first_year[row, column] == (mined[0] if mined else 0)
        assert made.last_year[row, column] == (mined[-1] if mined else 0)


def test_years_without_data_are_unknown_and_never_the_first():
    footprints = np.array([[[255, 255, 0, 1]], [[1, 255, 0, 255]], [[0, 255, 255, 0]]], np.uint8)
    first, last = first_and_last_years(footprints, (2015, 2016, 2018))
    np.testing.assert_array_equal(first, [[2016, 65535, 0, 2015]])
    np.testing.assert_array_equal(last, [[2016, 65535, 0, 2015]])


def test_smoothing_over_the_years_is_that_of_the_whole_stack(place, mapper, made, tmp_path, monkeypatch):
    """In rows of a few pixels at a time, too."""
    monkeypatch.setattr(map_rows, "ROWS_MEMORY", 5 * len(YEARS) * WIDTH * 7)
    result = series_of([mapper], place, tmp_path, smoothing="viterbi", rates=RATES, threshold=0.4, **PLAIN)
    probability = np.stack([made.probability(year) for year in YEARS])
    expected = smooth(probability, "viterbi", RATES, years=YEARS)
    np.testing.assert_array_equal(np.stack([result.footprint(year) for year in YEARS]), expected)
    assert result.manifest.settings["rates"] == asdict(RATES)
