"""The estimator against the worked example of Olofsson et al. 2014 and sites with simulated errors."""

import math

import numpy as np
import pytest

from euromine.monitoring.history.area_estimation import FOOTPRINT_CLASSES, Confusion, adjusted_areas
from euromine.support.errors import ArgumentError

from .drawn_sites import drawn_sites, site_names

# The example in section 5 of Olofsson et al. 2014.
EXAMPLE = Confusion(
    classes=("deforestation", "forest gain", "stable forest", "stable non-forest"),
    sites=("all",),
    counts=np.array([[[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]]),
)

EXAMPLE_HECTARES = (18_000, 13_500, 288_000, 580_500)


def test_the_worked_example_of_olofsson_and_others_is_reproduced():
    found = adjusted_areas(EXAMPLE_HECTARES, EXAMPLE, uncertainty="pixels")
    # As published, in hectares: 21,158 +- 6158, 11,686 +- 3756, 285,770 +- 15,510, 581,386 +- 16,282.
    np.testing.assert_allclose(found.area, (21_158, 11_686, 285_770, 581_386), atol=0.5)
    # They take 1.96 for the normal's quantile.
    np.testing.assert_allclose(1.96 * found.standard_error, (6158, 3756, 15_510, 16_282), atol=0.5)
    np.testing.assert_allclose(found.high - found.area, 1.96 * found.standard_error, rtol=1e-4)
    np.testing.assert_allclose(found.area - found.low, found.high - found.area)
    assert found.overall_accuracy == pytest.approx(0.95, abs=0.005)
    np.testing.assert_allclose(found.users_accuracy, (0.88, 0.73, 0.93, 0.96), atol=0.005)
    np.testing.assert_allclose(found.producers_accuracy, (0.75, 0.85, 0.93, 0.96), atol=0.005)


@pytest.fixture(scope="module")
def covered():
    """How often the intervals of each kind hold a new site's area, and the mean area of all sites."""
    generator = np.random.default_rng(11)
    mapped = np.array([1600.0, 400.0])
    mean = mapped[1] * 0.8 + mapped[0] * 2 / 60
    hits = {(kind, of): 0 for kind in ("site", "region", "pixels") for of in ("site", "region")}
    for _ in range(1500):
        counts = drawn_sites(generator, 12)
        confusion = Confusion(FOOTPRINT_CLASSES, site_names(counts), counts)
        new = generator.binomial(400, generator.beta(16, 4)) + generator.binomial(1600, generator.beta(2, 58))
        for kind in ("site", "region", "pixels"):
            found = adjusted_areas(mapped, confusion, uncertainty=kind)
            hits[kind, "site"] += found.low[1] <= new <= found.high[1]
            hits[kind, "region"] += found.low[1] <= mean <= found.high[1]
    return {key: number / 1500 for key, number in hits.items()}


def test_the_interval_of_a_site_holds_a_new_site_s_area_as_often_as_it_says(covered):
    assert covered["site", "site"] == pytest.approx(0.95, abs=0.03)


def test_the_interval_of_a_region_holds_the_mean_of_all_sites_as_often_as_it_says(covered):
    assert covered["region", "region"] == pytest.approx(0.95, abs=0.03)


def test_intervals_as_if_pixels_were_independent_are_too_narrow_for_sites(covered):
    assert covered["pixels", "region"] < 0.75
    assert covered["pixels", "site"] < 0.3


def test_the_standard_error_of_a_region_is_that_of_resampled_sites():
    generator = np.random.default_rng(3)
    counts = drawn_sites(generator, 40)
    mapped = np.array([1500.0, 500.0])
    found = adjusted_areas(
        mapped, Confusion(FOOTPRINT_CLASSES, site_names(counts), counts), uncertainty="region"
    )
    draws = generator.integers(0, 40, (4000, 40))
    resampled = counts[draws].sum(axis=1)
    estimates = (mapped[:, None] * resampled / resampled.sum(axis=2, keepdims=True)).sum(axis=1)[:, 1]
    assert found.standard_error[1] == pytest.approx(estimates.std(), rel=0.05)


def test_a_stratum_that_is_not_mapped_here_adds_nothing():
    counts = drawn_sites(np.random.default_rng(0), 6)
    confusion = Confusion(FOOTPRINT_CLASSES, site_names(counts), counts)
    found = adjusted_areas((0.0, 100.0), confusion)
    precision = counts[:, 1, 1].sum() / counts[:, 1].sum()
    assert found.area[1] == pytest.approx(100 * precision)


@pytest.mark.parametrize("kind", ["site", "region"])
def test_a_class_that_neither_the_sites_nor_this_scene_have_changes_nothing(kind):
    counts = drawn_sites(np.random.default_rng(5), 8)
    both = adjusted_areas(
        [1600, 400], Confusion(FOOTPRINT_CLASSES, site_names(counts), counts), uncertainty=kind
    )
    wider = np.zeros((8, 3, 3), np.int64)
    wider[:, :2, :2] = counts
    confusion = Confusion((*FOOTPRINT_CLASSES, "water"), site_names(counts), wider)
    found = adjusted_areas([1600, 400, 0], confusion, uncertainty=kind)
    for name in ("area", "standard_error", "low", "high"):
        np.testing.assert_allclose(getattr(found, name), [*getattr(both, name), 0])


def test_a_class_that_was_never_mapped_at_the_validation_sites_has_no_estimate():
    counts = np.array([[[90, 10], [0, 0]], [[80, 20], [0, 0]]])
    found = adjusted_areas((50.0, 50.0), Confusion(FOOTPRINT_CLASSES, site_names(counts), counts))
    assert np.isnan(found.area).all()
    assert np.isnan(found.high).all()


@pytest.mark.parametrize("kind", ["site", "region"])
def test_one_site_tells_nothing_of_another(kind):
    counts = np.array([[[90, 10], [5, 50]]])
    found = adjusted_areas(
        (50.0, 50.0), Confusion(FOOTPRINT_CLASSES, site_names(counts), counts), uncertainty=kind
    )
    assert np.isfinite(found.area).all()
    assert np.isnan(found.standard_error).all()


def test_a_stratum_of_one_site_alone_has_no_interval_of_a_site():
    counts = np.array([[[90, 10], [5, 50]], [[70, 30], [0, 0]], [[70, 30], [0, 0]]])
    found = adjusted_areas((50.0, 50.0), Confusion(FOOTPRINT_CLASSES, site_names(counts), counts))
    assert np.isnan(found.standard_error).all()


@pytest.mark.parametrize(
    ("mapped", "options", "message"),
    [
        ((1.0, 2.0), {}, "deforestation, forest gain"),
        ((1.0, 2.0, 3.0, -1.0), {}, "expected an area of at least 0"),
        ((1.0, 2.0, 3.0, math.nan), {}, "expected an area of at least 0"),
        (EXAMPLE_HECTARES, {"uncertainty": "bayes"}, "found 'bayes'; expected one of site, region, pixels"),
        (EXAMPLE_HECTARES, {"confidence": 95}, "confidence: found 95"),
    ],
)
def test_estimates_of_what_is_no_area_are_refused(mapped, options, message):
    with pytest.raises(ArgumentError, match=message):
        adjusted_areas(mapped, EXAMPLE, **options)


def test_confusions_that_do_not_fit_are_refused():
    with pytest.raises(ArgumentError, match=r"found int64 \(1, 3, 3\); expected whole numbers \(1, 2, 2\)"):
        Confusion(FOOTPRINT_CLASSES, ("a",), np.ones((1, 3, 3), np.int64))
    with pytest.raises(ArgumentError, match="counts: found only 0"):
        Confusion(FOOTPRINT_CLASSES, ("a",), np.zeros((1, 2, 2), np.int64))
    with pytest.raises(ArgumentError, match="counts: found negative ones"):
        Confusion(FOOTPRINT_CLASSES, ("a",), np.array([[[1, -1], [0, 0]]]))
