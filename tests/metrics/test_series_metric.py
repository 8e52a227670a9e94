"""What the three metrics share: batches, sites, averages, bootstraps, processes and refusals."""

import copy
import doctest
import importlib
import json
import pickle
import re
import sys

import evaluate
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.metrics.ca_tiou.ca_tiou import CATIoU
from euromine.metrics.interval_f1.interval_f1 import IntervalF1

METRICS = (AnnualF1, CATIoU, IntervalF1)


def random_examples(seed, number=12, years=4, size=10):
    """Predictions and references of as many patches, three to a site."""
    generator = np.random.default_rng(seed)
    references = (generator.random((number, years, size, size)) < 0.3).astype(np.uint8)
    flips = generator.random(references.shape) < generator.random((number, 1, 1, 1)) / 2
    predictions = (references ^ flips).astype(np.uint8)
    references[generator.random(references.shape) < 0.1] = 255
    return predictions, references, [f"site_{index // 3}" for index in range(number)]


@pytest.fixture(params=METRICS, ids=[metric.metric_name for metric in METRICS])
def metric(request):
    return request.param()


@settings(max_examples=40, deadline=None)
@given(data=st.data(), kind=st.sampled_from(METRICS))
def test_order_and_split_change_nothing(data, kind, draw_examples, batch_of):
    examples = draw_examples(data)
    expected = kind().compute(**batch_of(examples), bootstrap=0)
    shuffled = data.draw(st.permutations(examples))
    cut = data.draw(st.integers(0, len(examples)))
    metric, other = kind(), kind()
    metric.add_batch(**batch_of(shuffled[:cut]))
    for example in shuffled[cut:]:
        other.add(
            prediction=example.prediction,
            reference=example.reference,
            site=example.site,
            years=example.years,
        )
    metric.merge(pickle.loads(pickle.dumps(other)))
    result = metric.compute()
    # Bit by bit: the text of a float is the float.
    assert json.dumps(result) == json.dumps(expected)


def test_a_scene_scores_as_its_patches_with_the_rest_ignored(metric):
    generator = np.random.default_rng(3)
    reference = (generator.random((3, 20, 30)) < 0.4).astype(np.uint8)
    prediction = (reference ^ (generator.random(reference.shape) < 0.2)).astype(np.uint8)
    whole = metric.compute(predictions=[prediction], references=[reference], sites=["site"])
    for window in (np.s_[:, :, :20], np.s_[:, :, 10:]):
        owned = reference[window].copy()
        if window[2].start:
            owned[:, :, :10] = 255
        metric.add(prediction=prediction[window], reference=owned, site="site")
    assert metric.compute() == whole


@pytest.mark.parametrize(
    "convert",
    [np.asarray, torch.from_numpy, np.ndarray.tolist, list],
    ids=["array", "tensor", "lists", "list of arrays"],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_arrays_tensors_lists_integers_and_booleans_are_all_taken(metric, convert, dtype):
    predictions, references, sites = random_examples(0)
    predictions, references = predictions.astype(dtype), (references == 1).astype(dtype)
    expected = metric.compute(
        predictions=predictions.astype(np.uint8), references=references.astype(np.uint8), sites=sites
    )
    result = metric.compute(predictions=convert(predictions), references=convert(references), sites=sites)
    assert result == expected


def test_one_name_of_a_site_and_one_list_of_years_hold_for_a_batch(metric):
    predictions, references, _ = random_examples(1, number=2)
    metric.add_batch(predictions=predictions, references=references, sites="Spain_1", years=range(2015, 2019))
    result = metric.compute()
    assert list(result["sites"]) == ["Spain_1"]
    assert result["years"] == [2015, 2016, 2017, 2018]


def test_pooled_needs_no_sites_and_equals_one_site(metric):
    predictions, references, sites = random_examples(2)
    pooled = metric.compute(predictions=predictions, references=references, average="pooled")
    named = metric.compute(predictions=predictions, references=references, sites=sites, average="pooled")
    one = metric.compute(predictions=predictions, references=references, sites="all of them")
    assert pooled.pop("sites") == {}
    del named["sites"], one["sites"]
    assert pooled == named
    for name, value in one.items():
        # A weight multiplied and divided away again may round.
        assert np.array(pooled[name]) == pytest.approx(np.array(value), rel=1e-15)


def test_large_scenes_are_counted_block_by_block(metric, monkeypatch):
    predictions, references, sites = random_examples(10)
    expected = metric.compute(predictions=predictions, references=references, sites=sites)
    counts = importlib.import_module(type(metric).__module__.rpartition(".")[0] + ".counts")
    # 100 pixels are two words: a block each.
    monkeypatch.setattr(counts, "_WORDS_AT_ONCE", 1)
    assert metric.compute(predictions=predictions, references=references, sites=sites) == expected


def test_an_empty_batch_adds_nothing_and_a_score_forgets_all(metric):
    predictions, references, sites = random_examples(3)
    metric.add_batch(predictions=predictions[:0], references=references[:0], sites=[])
    assert len(metric) == 0
    assert metric
    metric.add_batch(predictions=predictions, references=references, sites=sites)
    assert len(metric) == 12
    metric.compute()
    with pytest.raises(ValueError, match="examples: found none; expected some before a score"):
        metric.compute()


def test_what_is_ignored_all_over_scores_nan(metric):
    blank = np.full((1, 3, 4, 4), 255, np.uint8)
    result = metric.compute(predictions=blank, references=blank, sites=["site"], zero_division=1)
    assert result["pixels"] == 0
    scalars = [value for value in result.values() if isinstance(value, float)]
    assert len(scalars) >= 2
    assert np.isnan(scalars).all()


# Each row: what is passed to compute() instead of a good batch, and the sentence that refuses it.
GOOD = {
    "predictions": np.ones((2, 3, 4, 4), int),
    "references": np.ones((2, 3, 4, 4), int),
    "sites": ["A", "B"],
}
REFUSED = {
    "nothing": (dict.fromkeys(GOOD), "examples: found none; expected some before a score"),
    "no references": (
        {"references": None},
        "references: found None; expected predictions and references together",
    ),
    "no predictions": (
        {"predictions": None},
        "predictions: found None; expected predictions and references together",
    ),
    "sites alone": (
        {"predictions": None, "references": None},
        "predictions: found None beside sites or years",
    ),
    "no sites": ({"sites": None}, "sites: found examples without one; expected one each for average='site'"),
    "one site too few": ({"sites": ["A"]}, "sites: found 1 for 2 examples; expected one per example"),
    "numbered sites": ({"sites": [1, 2]}, "sites: found 1; expected the name of a site"),
    "logits": (
        {"predictions": np.ones((2, 3, 4, 4))},
        "prediction of example 0: found the type float64; expected the classes 0, 1 and 255",
    ),
    "tensor of logits": ({"predictions": torch.ones(2, 3, 4, 4)}, "found the type float32"),
    "texts": ({"predictions": [[[["1"]]]] * 2, "references": [[[[1]]]] * 2}, "found the type <U1"),
    "a wrong value": (
        {"predictions": np.full((2, 3, 4, 4), 2)},
        "prediction of example 0: found the values 2; expected 0, 1 and 255",
    ),
    "a wrong byte": (
        {"references": np.full((2, 3, 4, 4), 2, np.uint8)},
        "reference of example 0: found the values 2; expected 0, 1 and 255",
    ),
    "many wrong values": (
        {"references": np.arange(96).reshape(2, 3, 4, 4) - 8},
        "reference of example 0: found the values -8, -7, -6, -5, -4, ...; expected",
    ),
    "an undecided prediction": (
        {"predictions": np.full((2, 3, 4, 4), 255)},
        "prediction of example 0: found 255 in 48 pixels whose reference is 0 or 1",
    ),
    "another shape": (
        {"predictions": np.ones((2, 3, 4, 5), int)},
        "found a prediction of shape (3, 4, 5) and a reference of shape (3, 4, 4); expected the same",
    ),
    "another number": (
        {"predictions": np.ones((1, 3, 4, 4), int)},
        "references: found 2 for 1 predictions; expected as many",
    ),
    "no batch": (
        {"predictions": np.ones((3, 4, 4), int)},
        "predictions: found the shape (3, 4, 4); expected (batch, years",
    ),
    "maps without years": (
        {"predictions": [np.ones((4, 4), int)] * 2, "references": [np.ones((4, 4), int)] * 2},
        "found the shape (4, 4); expected (years, height, width)",
    ),
    "no year": (
        {"predictions": np.ones((2, 0, 4, 4), int), "references": np.ones((2, 0, 4, 4), int)},
        "example 0: found no map; expected at least one year",
    ),
    "no pixel": (
        {"predictions": np.ones((2, 3, 0, 4), int), "references": np.ones((2, 3, 0, 4), int)},
        "found the shape (3, 0, 4); expected (years, height, width) with pixels in it",
    ),
    "ragged lists": (
        {"predictions": [[[[1], [1, 0]]]] * 2},
        "example 0 of the predictions: found no array (",
    ),
    "a dictionary": ({"predictions": {}}, "predictions: found a dict; expected an array"),
    "too few years": ({"years": [2015, 2016]}, "years: found 2 for example 0; expected 3, one per map"),
    "years of one example": (
        {"years": [[2015, 2016, 2017]]},
        "years: found 1 series for 2 examples; expected one per example",
    ),
    "descending years": (
        {"years": [2017, 2016, 2015]},
        "years: found [2017, 2016, 2015]; expected ascending years, each once",
    ),
    "a doubled year": (
        {"years": [2015, 2015, 2016]},
        "years: found [2015, 2015, 2016]; expected ascending years, each once",
    ),
    "fractional years": ({"years": [2015.0, 2016.0, 2017.5]}, "expected whole numbers"),
    "one year": ({"years": 2015}, "years: found 2015; expected a list"),
    "another average": ({"average": "macro"}, "average: found 'macro'; expected 'site' or 'pooled'"),
    "another zero_division": ({"zero_division": 0.5}, "zero_division: found 0.5; expected 0, 1 or nan"),
    "a warning zero_division": (
        {"zero_division": "warn"},
        "zero_division: found 'warn'; expected 0, 1 or nan",
    ),
    "a negative bootstrap": ({"bootstrap": -1}, "bootstrap: found -1; expected a number of resamples"),
    "a fractional bootstrap": ({"bootstrap": 0.5}, "bootstrap: found 0.5; expected a number of resamples"),
    "a wrong confidence": ({"bootstrap": 9, "confidence": 95}, "confidence: found 95; expected a share"),
    "a bootstrap of one site": (
        {"bootstrap": 9, "sites": "A"},
        "sites: found 1 with valid pixels; expected at least two for a bootstrap",
    ),
    "a bootstrap without sites": (
        {"bootstrap": 9, "sites": None, "average": "pooled"},
        "sites: found examples without one; expected one each for a bootstrap",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_refused_in_one_sentence_and_leaves_nothing_behind(metric, case):
    changed, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        metric.compute(**{**GOOD, **changed})
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert len(metric) == 0
    assert metric.compute(**GOOD)["pixels"] == 96


def test_a_refused_batch_leaves_what_was_there(metric):
    predictions, references, sites = random_examples(4)
    expected = metric.compute(predictions=predictions, references=references, sites=sites)
    metric.add_batch(predictions=predictions, references=references, sites=sites)
    spoilt = predictions.copy()
    spoilt[-1, 0, 0, 0] = 7
    with pytest.raises(ValueError, match="prediction of example 11: found the values 7"):
        metric.add_batch(predictions=spoilt, references=references, sites=sites)
    assert metric.compute() == expected


def test_calendar_years_come_for_all_examples_or_for_none(metric):
    metric.add(prediction=[[[1]]], reference=[[[1]]], site="A", years=[2015])
    with pytest.raises(ValueError, match="years: found with some examples and not with others"):
        metric.add(prediction=[[[1]]], reference=[[[1]]], site="B")
    assert len(metric) == 1


def test_add_names_what_is_missing_or_unknown(metric):
    with pytest.raises(ValueError, match="reference: found None"):
        metric.add(prediction=[[[1]]])
    with pytest.raises(TypeError, match="found the argument 'region'; expected prediction"):
        metric.add(prediction=[[[1]]], reference=[[[1]]], region="B")


def test_add_batch_names_what_is_missing(metric):
    with pytest.raises(ValueError, match="predictions: found None"):
        metric.add_batch(references=[[[[1]]]])


@pytest.mark.parametrize(
    ("config_name", "prediction", "reference", "sentence"),
    [
        ("change", (3, 4, 4), (4, 4, 4), "expected (pairs, height, width), one change map for each pair"),
        ("change", (6, 4, 4), (4, 4, 5), "expected (pairs, height, width), one change map for each pair"),
        (
            "change_to_change",
            (4, 4, 4),
            (4, 4, 4),
            "expected one change map for each pair of a series' years",
        ),
        ("change_to_change", (3, 4, 4), (3, 4, 5), "expected the same (years, height, width)"),
    ],
)
def test_change_maps_must_be_those_of_all_pairs(config_name, prediction, reference, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        IntervalF1(config_name).add(prediction=np.ones(prediction, int), reference=np.ones(reference, int))


def test_a_change_may_be_undecided_only_where_a_year_is_ignored():
    reference = np.array([[[0, 255]], [[1, 1]]], np.uint8)
    metric = IntervalF1("change")
    metric.add(prediction=[[[1, 255]]], reference=reference)
    with pytest.raises(
        ValueError, match="prediction of example 0: found 255 in 1 pixels whose reference is 0 or 1"
    ):
        metric.add(prediction=[[[255, 255]]], reference=reference)


def test_there_is_no_other_configuration_and_no_second_process():
    with pytest.raises(
        ValueError, match="config_name: found 'pairs' for interval_f1; expected 'footprint' or"
    ):
        IntervalF1("pairs")
    with pytest.raises(ValueError, match="num_process: found 2; expected 1"):
        CATIoU(num_process=2)
    with pytest.raises(
        ValueError, match=r"other: found interval_f1 \(change\); expected interval_f1 \(footprint\)"
    ):
        IntervalF1().merge(IntervalF1("change"))


@pytest.mark.parametrize("average", ["site", "pooled"])
def test_the_bootstrap_equals_scoring_every_resample_anew(metric, average):
    predictions, references, sites = random_examples(5)
    result = metric.compute(
        predictions=predictions,
        references=references,
        sites=sites,
        average=average,
        bootstrap=30,
        confidence=0.8,
        seed=4,
    )
    draws = np.random.default_rng(4).multinomial(4, [1 / 4] * 4, size=30)
    resampled = []
    for times in draws:
        for site, repeats in enumerate(times):
            patches = slice(3 * site, 3 * site + 3)
            for repeat in range(repeats):
                metric.add_batch(
                    predictions=predictions[patches],
                    references=references[patches],
                    sites=f"{site}, drawn as number {repeat}",
                )
        resampled.append(metric.compute(average=average))
    assert len(result["confidence_intervals"]) >= 2
    for name, interval in result["confidence_intervals"].items():
        expected = np.quantile([scores[name] for scores in resampled], [0.1, 0.9])
        assert interval == pytest.approx(list(expected))
        assert interval[0] < result[name] < interval[1]


def test_the_bootstrap_is_seeded_and_takes_more_resamples_than_it_holds_at_once(metric):
    predictions, references, sites = random_examples(6, number=60)
    options = {"sites": sites, "average": "pooled", "bootstrap": 2100}
    first, second, other = (
        metric.compute(predictions=predictions, references=references, seed=seed, **options)
        for seed in (1, 1, 2)
    )
    assert first == second
    assert first["confidence_intervals"] != other["confidence_intervals"]
    for name, (low, high) in first["confidence_intervals"].items():
        assert other["confidence_intervals"][name] == pytest.approx([low, high], abs=0.2 * (high - low))


def test_a_bootstrap_leaves_out_sites_without_pixels(metric):
    predictions, references, sites = random_examples(7)
    options = {"bootstrap": 50, "average": "pooled"}
    expected = metric.compute(predictions=predictions, references=references, sites=sites, **options)
    metric.add(prediction=predictions[0], reference=np.full_like(references[0], 255), site="blank")
    result = metric.compute(predictions=predictions, references=references, sites=sites, **options)
    assert result["confidence_intervals"] == expected["confidence_intervals"]


def test_a_metric_survives_pickling_and_copying_with_its_counts(metric):
    predictions, references, sites = random_examples(8)
    expected = metric.compute(predictions=predictions, references=references, sites=sites)
    metric.add_batch(predictions=predictions[:5], references=references[:5], sites=sites[:5])
    for twin in (pickle.loads(pickle.dumps(metric)), copy.deepcopy(metric)):
        twin.add_batch(predictions=predictions[5:], references=references[5:], sites=sites[5:])
        assert twin.compute() == expected
    assert len(metric) == 5


def test_combine_hands_everything_on_and_merges_the_results():
    predictions, references, sites = random_examples(9)
    combined = evaluate.combine([CATIoU(), AnnualF1(), IntervalF1()])
    combined.add_batch(predictions=predictions[:6], references=references[:6], sites=sites[:6], years=None)
    for index in range(6, 12):
        combined.add(
            prediction=predictions[index], reference=references[index], sites=sites[index], years=None
        )
    result = combined.compute(average="pooled", bootstrap=10)
    batch = {"predictions": predictions, "references": references, "sites": sites}
    assert result["lca_tiou"] == CATIoU().compute(**batch, average="pooled")["lca_tiou"]
    assert result["annual_f1_of1"] == AnnualF1().compute(**batch, average="pooled")["of1"]
    assert result["of1_mean"] == IntervalF1().compute(**batch, average="pooled")["of1_mean"]


def test_a_metric_makes_no_file(metric, tmp_path):
    kind = type(metric)
    metric = kind(cache_dir=str(tmp_path / "cache"))
    metric.compute(**GOOD)
    assert not list(tmp_path.iterdir())


def test_a_metric_knows_its_name_and_whom_to_cite(metric):
    assert metric.name == metric.metric_name
    assert "10.1016/j.isprsjprs.2026.04.046" in metric.citation
    assert metric.metric_name in repr(metric)
    assert "predictions" in metric.compute.__doc__


def test_the_examples_of_the_docstrings_hold(metric):
    outcome = doctest.testmod(sys.modules[type(metric).__module__])
    assert outcome.attempted >= 3
    assert outcome.failed == 0


def test_the_counts_can_be_read_before_they_are_scored_and_are_gone_after():
    metric = AnnualF1()
    metric.add(prediction=[[[1, 1, 0]]], reference=[[[1, 0, 255]]], site="Spain_1", years=[2015])
    table = metric.table()
    assert (table.sites, table.years) == (("Spain_1",), (2015,))
    # True positives, predicted, actual and valid pixels.
    assert table.by_year.tolist() == [[[1, 2, 1, 2]]]
    metric.compute()
    with pytest.raises(ValueError, match="examples: found none; expected some before a score"):
        metric.table()
