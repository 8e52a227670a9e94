"""Probabilities, footprints, first and last years."""

from dataclasses import asdict

import numpy as np
import rasterio

from euromine.monitoring.history import map_rows
from euromine.monitoring.history.smoothing import smooth
from euromine.monitoring.history.yearly_maps import first_and_last_years

from .site_images import HEIGHT, PLAIN, RATES, WIDTH, YEARS, image_of, read, series_of


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


def test_a_series_with_bytes_has_the_same_footprints_and_smaller_maps(made, place, mapper, tmp_path):
    result = series_of([mapper], place, tmp_path / "out", smoothing="none", probability_type="uint8", **PLAIN)
    for year in YEARS:
        name = f"probability_{year}.tif"
        with rasterio.open(result.path / name) as file:
            assert (file.dtypes, file.scales, file.nodata) == (("uint8",), (1 / 250,), 255)
        np.testing.assert_allclose(result.probability(year), made.probability(year), atol=1.001 / 250)
        assert (result.path / name).stat().st_size < (made.path / name).stat().st_size / 2
        assert (
            read(result.path / f"footprint_{year}.tif") == read(made.path / f"footprint_{year}.tif")
        ).all()
    assert result.manifest.settings["probability_type"] == "uint8"
    assert "probability_type" not in made.manifest.settings
    # Another type is another series, whose probabilities are mapped anew.
    series_of([mapper], place, result.path, smoothing="none", probability_type="uint16", **PLAIN)
    assert read(result.path / f"probability_{YEARS[0]}.tif").dtype == np.uint16
