"""Spectral indices against spyndex, an independent catalogue of formulas, and at their edges."""

import numpy as np
import pytest
import spyndex

from euromine.monitoring.scenes.spectral_indices import (
    INDICES,
    bands_of,
    iron_oxide,
    parse_indices,
    spectral_indices,
)
from euromine.support.errors import ArgumentError

# Names of our indices and bands in spyndex.
NAMES = {
    "ndvi": "NDVI",
    "ndwi": "NDWI",
    "mndwi": "MNDWI",
    "ndmi": "NDMI",
    "bsi": "BI",
    "nbr": "NBR",
    "ndti": "NDTI",
}
LETTERS = {"B02": "B", "B03": "G", "B04": "R", "B08": "N", "B11": "S1", "B12": "S2"}


@pytest.fixture(scope="module")
def reflectance() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {band: random.uniform(0.005, 0.9, (20, 30)) for band in LETTERS}


@pytest.mark.parametrize("name", NAMES)
def test_an_index_equals_that_of_spyndex(name, reflectance):
    letters = {LETTERS[band]: values for band, values in reflectance.items()}
    expected = spyndex.computeIndex(NAMES[name], params=letters)
    found = spectral_indices(reflectance, [name])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, rtol=2e-5, atol=1e-6)


def test_ratios_of_minerals_are_quotients_of_two_bands(reflectance):
    oxide, ferrous = spectral_indices(reflectance, ["iron_oxide", "ferrous"])
    np.testing.assert_allclose(oxide, reflectance["B04"] / reflectance["B02"], rtol=1e-5)
    np.testing.assert_allclose(ferrous, reflectance["B11"] / reflectance["B08"], rtol=1e-5)


@pytest.mark.parametrize("name", INDICES)
def test_an_index_reads_the_bands_that_it_names_and_no_others(name, reflectance):
    index = INDICES[name]
    needed = {band: reflectance[band] for band in index.bands}
    assert np.isfinite(index.compute(needed)).all()
    for band in index.bands:
        without = {other: values for other, values in needed.items() if other != band}
        with pytest.raises(KeyError, match=band):
            index.compute(without)


def test_division_by_zero_gives_nan_without_a_warning(recwarn):
    dark = {band: np.zeros((1, 2)) for band in LETTERS}
    assert np.isnan(spectral_indices(dark, list(INDICES))).all()
    assert not recwarn.list


def test_negative_reflectance_over_water_counts_as_none():
    water = {"B03": np.array([0.03]), "B11": np.array([-0.004]), "B08": np.array([-0.002])}
    assert spectral_indices(water, ["mndwi", "ndwi"]).ravel().tolist() == [1, 1]
    assert iron_oxide({"B04": np.array([-0.01]), "B02": np.array([0.02])}).tolist() == [0]


def test_integers_are_no_modular_arithmetic():
    bands = {"B08": np.array([2], np.uint16), "B04": np.array([6], np.uint16)}
    assert spectral_indices(bands, ["ndvi"])[0, 0] == pytest.approx(-0.5)


def test_names_are_read_from_text():
    assert parse_indices("MNDWI, ndvi,iron-oxide,ndvi") == ("ndvi", "mndwi", "iron_oxide")
    assert parse_indices("all") == tuple(INDICES)
    assert parse_indices(["nbr"]) == ("nbr",)
    assert bands_of(["ndvi", "mndwi"]) == ("B03", "B04", "B08", "B11")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "ndvy",
            r"--indices: found 'ndvy'; expected all, or some of .*, of which ndvi is the nearest\.$",
        ),
        ("water", r"found 'water'; expected all, or some of ndvi, [a-z_, ]*\.$"),
        (" , ", r"--indices: found no index; expected all, or some of ndvi"),
    ],
)
def test_an_unknown_index_is_refused_and_the_nearest_named(text, message):
    with pytest.raises(ArgumentError, match=message):
        parse_indices(text, "--indices")
