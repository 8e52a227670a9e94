"""Rounded probabilities against those they were made of."""

import numpy as np
import pytest
import rasterio

from euromine.monitoring.history.series_settings import SeriesSettings
from euromine.monitoring.history.stored_probabilities import decode_probability, encode_probability

from .site_images import PLAIN, YEARS, read, series_of

STEPS = {"uint16": 10_000, "uint8": 250}


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("threshold", [0.0, 0.123, 0.5, 0.998])
def test_rounded_probabilities_are_near_and_stay_on_their_side_of_the_threshold(kind, threshold):
    near = np.float32(threshold) + np.linspace(-0.01, 0.01, 4001, dtype=np.float32)
    probability = np.concatenate([np.linspace(0, 1, 5001, dtype=np.float32), near.clip(0, 1)])
    stored = encode_probability(probability, kind, threshold)
    assert stored.dtype == kind
    found = decode_probability(stored)
    np.testing.assert_array_equal(found > np.float32(threshold), probability > np.float32(threshold))
    difference = abs(found - probability)
    assert difference.max() <= 1.001 / STEPS[kind]
    is_clear = abs(probability - threshold) > 1 / STEPS[kind]
    assert difference[is_clear].max() <= 0.501 / STEPS[kind]
    assert (np.diff(found[np.argsort(probability, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("kind", ["float32", *STEPS])
def test_gaps_stay_gaps(kind):
    probability = np.array([[np.nan, 0, 1]], np.float32)
    found = decode_probability(encode_probability(probability, kind))
    np.testing.assert_array_equal(found, probability)


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


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="found 'int8'; expected float32, uint16 or uint8"):
        SeriesSettings(probability_type="int8")
