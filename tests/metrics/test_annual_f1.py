"""Annual F1 against sets of pixels, hand-computed cases and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from euromine.metrics.annual_f1.annual_f1 import AnnualF1


def scores(hits, predicted, actual, pixels, zero_division):
    """F1, precision, recall and IoU of four counts."""

    def divide(numerator, denominator):
        if denominator:
            return numerator / denominator
        return zero_division if pixels else float("nan")

    return {
        "f1": divide(2 * hits, predicted + actual),
        "precision": divide(hits, predicted),
        "recall": divide(hits, actual),
        "iou": divide(hits, predicted + actual - hits),
    }


def oracle(sets, sites, zero_division, plain_mean):
    """The scores of one site, or of some as if they were one."""
    counts = []
    for year in sets.years:
        sums = [0, 0, 0, 0]
        for site in sites:
            predicted, actual = sets.predicted[site, year], sets.actual[site, year]
            for field, pixels in enumerate((predicted & actual, predicted, actual, sets.valid[site, year])):
                sums[field] += len(pixels)
        counts.append(sums)
    annual = [scores(*sums, zero_division) for sums in counts]
    pooled = scores(*(sum(column) for column in zip(*counts, strict=True)), zero_division)
    return {
        "of1": plain_mean([year["f1"] for year in annual]),
        **{name: [year[name] for year in annual] for name in pooled},
        **{("of1" if name == "f1" else name) + "_pooled": value for name, value in pooled.items()},
    }


@settings(max_examples=150, deadline=None)
@given(data=st.data(), zero_division=st.sampled_from([float("nan"), 0.0, 1.0]))
def test_it_equals_sets_of_pixels(data, zero_division, draw_examples, batch_of, pixel_sets, plain_mean):
    examples = draw_examples(data)
    sets = pixel_sets(examples)
    metric = AnnualF1()
    by_site = {site: oracle(sets, [site], zero_division, plain_mean) for site in sets.sites}
    weights = [sets.weight(site) for site in sets.sites]

    result = metric.compute(**batch_of(examples), zero_division=zero_division)
    for name in ("of1", "of1_pooled", "precision_pooled", "recall_pooled", "iou_pooled"):
        values = [by_site[site][name] for site in sets.sites]
        assert [result["sites"][site][name] for site in sets.sites] == pytest.approx(values, nan_ok=True)
        assert result[name] == pytest.approx(plain_mean(values, weights), nan_ok=True)
    for name in ("f1", "precision", "recall", "iou"):
        expected = [
            plain_mean([by_site[site][name][index] for site in sets.sites], weights)
            for index in range(len(sets.years))
        ]
        assert result[name] == pytest.approx(expected, nan_ok=True)
    assert [site["pixels"] for site in result["sites"].values()] == weights

    pooled = metric.compute(**batch_of(examples), zero_division=zero_division, average="pooled")
    for name, value in oracle(sets, sets.sites, zero_division, plain_mean).items():
        assert pooled[name] == pytest.approx(value, nan_ok=True)


def test_a_hand_computed_series():
    reference = [[[1, 1, 0, 0]], [[1, 1, 1, 255]]]
    prediction = [[[1, 1, 1, 0]], [[1, 1, 0, 1]]]
    result = AnnualF1().compute(predictions=[prediction], references=[reference], sites=["site"])
    # 2015: TP 2, FP 1, FN 0. 2016: TP 2, FP 0, FN 1.
    assert result["precision"] == [2 / 3, 1.0]
    assert result["recall"] == [1.0, 2 / 3]
    assert result["f1"] == [4 / 5, 4 / 5]
    assert result["iou"] == [2 / 3, 2 / 3]
    assert result["iou_pooled"] == 4 / 6
    assert result["pixels"] == 7


def test_a_site_weighs_its_pixels_of_all_years():
    metric = AnnualF1()
    metric.add(prediction=[[[1, 0]]], reference=[[[1, 1]]], site="small", years=[2015])
    metric.add(
        prediction=[[[1, 1, 1]], [[1, 1, 1]]], reference=[[[1, 1, 1]]] * 2, site="large", years=[2015, 2016]
    )
    result = metric.compute()
    assert result["of1"] == pytest.approx((2 * 2 / 3 + 6 * 1.0) / 8)
    assert result["f1"] == pytest.approx([(2 * 2 / 3 + 6 * 1.0) / 8, 1.0])


def test_a_year_without_mine_is_left_out_but_a_false_alarm_in_it_is_not():
    empty, alarm = np.zeros((1, 1, 4), np.uint8), np.array([[[1, 0, 0, 0]]], np.uint8)
    good = np.ones((1, 1, 4), np.uint8)
    reference = np.concatenate([empty, good])
    result = AnnualF1().compute(predictions=[reference], references=[reference], sites=["site"])
    assert np.isnan(result["f1"][0])
    assert result["of1"] == 1.0
    alarmed = np.concatenate([alarm, good])
    result = AnnualF1().compute(predictions=[alarmed], references=[reference], sites=["site"])
    assert result["f1"] == [0.0, 1.0]
    assert result["of1"] == 0.5


def test_it_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    references = (generator.random((6, 4, 21, 17)) < 0.3).astype(np.uint8)
    predictions = (references ^ (generator.random(references.shape) < 0.2)).astype(np.uint8)
    references[generator.random(references.shape) < 0.1] = 255
    result = AnnualF1().compute(predictions=predictions, references=references, average="pooled")
    functions = {"f1": f1_score, "precision": precision_score, "recall": recall_score, "iou": jaccard_score}
    for year in range(4):
        counted = references[:, year] != 255
        for name, function in functions.items():
            expected = function(references[:, year][counted], predictions[:, year][counted])
            assert result[name][year] == pytest.approx(expected, abs=1e-15)
    counted = references != 255
    assert result["of1_pooled"] == pytest.approx(
        f1_score(references[counted], predictions[counted]), abs=1e-15
    )
