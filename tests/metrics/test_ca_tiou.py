"""CA-TIoU against sets of pixels, hand-computed cases and scikit-learn."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from euromine.metrics.ca_tiou.ca_tiou import CATIoU


def agreement(sets, site, first, second):
    """The unchanged pixels of two years, and the intersection and union of the predictions in them."""
    both = sets.valid[site, first] & sets.valid[site, second]
    unchanged = {
        pixel for pixel in both if (pixel in sets.actual[site, first]) == (pixel in sets.actual[site, second])
    }
    in_first = sets.predicted[site, first] & unchanged
    in_second = sets.predicted[site, second] & unchanged
    return unchanged, in_first & in_second, in_first | in_second


def oracle_of_site(sets, site, zero_division, plain_mean):
    """The scores of one site, pair by pair."""
    present = [year for year in sets.years if sets.valid[site, year]]
    matrix = {}
    for first in sets.years:
        for second in sets.years:
            unchanged, intersection, union = agreement(sets, site, first, second)
            if union:
                matrix[first, second] = len(intersection) / len(union)
            else:
                matrix[first, second] = zero_division if unchanged else float("nan")
    annual = []
    for year in present:
        predicted, actual = sets.predicted[site, year], sets.actual[site, year]
        both = len(predicted) + len(actual)
        annual.append(2 * len(predicted & actual) / both if both else zero_division)
    return {
        "lca_tiou": plain_mean([matrix[pair] for pair in itertools.pairwise(present)]),
        "gca_tiou": plain_mean([matrix[pair] for pair in itertools.combinations(present, 2)]),
        "of1": plain_mean(annual),
        "matrix": [[matrix[first, second] for second in sets.years] for first in sets.years],
    }


@settings(max_examples=150, deadline=None)
@given(data=st.data(), zero_division=st.sampled_from([float("nan"), 0.0, 1.0]))
def test_it_equals_sets_of_pixels(data, zero_division, draw_examples, batch_of, pixel_sets, plain_mean):
    examples = draw_examples(data)
    sets = pixel_sets(examples)
    metric = CATIoU()
    metric.add_batch(**batch_of(examples))

    table = metric.table()
    assert table.sites == tuple(sets.sites)
    assert table.years == tuple(sets.years)
    for row, site in enumerate(sets.sites):
        for i, first in enumerate(sets.years):
            predicted, actual = sets.predicted[site, first], sets.actual[site, first]
            counts = [len(predicted & actual), len(predicted), len(actual), len(sets.valid[site, first])]
            assert table.by_year[row, i].tolist() == counts
            for j, second in enumerate(sets.years[i + 1 :], i + 1):
                assert table.by_pair[row, i, j].tolist() == [
                    len(pixels) for pixels in agreement(sets, site, first, second)
                ]

    result = metric.compute(zero_division=zero_division)
    by_site = {site: oracle_of_site(sets, site, zero_division, plain_mean) for site in sets.sites}
    weights = [sets.weight(site) for site in sets.sites]
    for name in ("lca_tiou", "gca_tiou", "of1"):
        values = [by_site[site][name] for site in sets.sites]
        assert [result["sites"][site][name] for site in sets.sites] == pytest.approx(values, nan_ok=True)
        assert result[name] == pytest.approx(plain_mean(values, weights), nan_ok=True)
    matrices = np.array([by_site[site]["matrix"] for site in sets.sites])
    expected = [
        [plain_mean(list(matrices[:, i, j]), weights) for j in range(len(sets.years))]
        for i in range(len(sets.years))
    ]
    np.testing.assert_allclose(result["matrix"], expected, rtol=1e-12)
    assert result["pixels"] == sum(weights)


def test_a_hand_computed_series():
    # The second year misses one of two pixels; the third's growth is a change and not judged.
    reference = [[[1, 1, 0, 0]], [[1, 1, 0, 0]], [[1, 1, 1, 0]]]
    prediction = [[[1, 1, 0, 0]], [[1, 0, 0, 0]], [[1, 1, 1, 0]]]
    result = CATIoU().compute(predictions=[prediction], references=[reference], sites=["Spain_1"])
    assert result["matrix"] == [[1, 1 / 2, 1], [1 / 2, 1, 1 / 2], [1, 1 / 2, 1]]
    assert (result["lca_tiou"], result["gca_tiou"]) == (1 / 2, (1 / 2 + 1 + 1 / 2) / 3)
    assert result["of1"] == pytest.approx((1 + 2 / 3 + 1) / 3)


def test_a_constant_map_agrees_with_itself_but_its_f1_tells():
    generator = np.random.default_rng(0)
    reference = (generator.random((10, 40, 40)) < 0.3).astype(np.uint8)
    constant = np.broadcast_to(generator.random((40, 40)) < 0.3, reference.shape)
    result = CATIoU().compute(predictions=[constant], references=[reference], sites=["Italy_1"])
    assert result["lca_tiou"] == result["gca_tiou"] == 1.0
    assert result["of1"] < 0.4


def test_neighbours_are_the_years_that_a_site_has():
    ones, half = np.ones((1, 2), np.uint8), np.array([[1, 0]], np.uint8)
    without = [ones, half, ones]
    metric = CATIoU()
    metric.add(prediction=without, reference=np.ones((3, 1, 2), int), site="gap", years=[2015, 2016, 2018])
    result = metric.compute()
    assert result["lca_tiou"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert result["gca_tiou"] == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)


def test_a_missing_year_is_as_good_as_absent():
    generator = np.random.default_rng(1)
    reference, prediction = (generator.random((2, 4, 9, 9)) < 0.5).astype(np.uint8)
    blank = np.full((1, 9, 9), 255, np.uint8)
    metric = CATIoU()
    metric.add(prediction=prediction, reference=reference, site="site", years=[2015, 2016, 2018, 2019])
    absent = metric.compute(zero_division=0)
    metric.add(
        prediction=np.insert(prediction, 2, blank, axis=0),
        reference=np.insert(reference, 2, blank, axis=0),
        site="site",
        years=range(2015, 2020),
    )
    missing = metric.compute(zero_division=0)
    for name in ("lca_tiou", "gca_tiou", "of1", "pixels"):
        assert missing[name] == absent[name]
    assert np.isnan(missing["matrix"][2]).all()


def test_one_year_alone_has_no_pair():
    result = CATIoU().compute(predictions=[[[[1]]]], references=[[[[1]]]], sites=["site"], zero_division=1)
    assert np.isnan([result["lca_tiou"], result["gca_tiou"]]).all()
    assert (result["of1"], result["matrix"]) == (1.0, [[1.0]])


def test_a_pair_that_changed_everywhere_is_left_out_whatever_zero_division():
    reference = [[[1, 1]], [[0, 0]], [[0, 0]]]
    prediction = [[[1, 1]], [[0, 0]], [[0, 0]]]
    result = CATIoU().compute(
        predictions=[prediction], references=[reference], sites=["site"], zero_division=0
    )
    assert np.isnan(result["matrix"][0][1])
    assert result["gca_tiou"] == 0.0


def test_it_agrees_with_scikit_learn():
    generator = np.random.default_rng(2)
    reference = (generator.random((5, 30, 30)) < 0.3).astype(np.uint8)
    prediction = (reference ^ (generator.random(reference.shape) < 0.1)).astype(np.uint8)
    reference[:, :, :7] = 255
    result = CATIoU().compute(predictions=[prediction], references=[reference], average="pooled")
    for first, second in itertools.combinations(range(5), 2):
        inside = (reference[first] == reference[second]) & (reference[first] != 255)
        expected = jaccard_score(prediction[first][inside], prediction[second][inside])
        assert result["matrix"][first][second] == pytest.approx(expected, abs=1e-15)
