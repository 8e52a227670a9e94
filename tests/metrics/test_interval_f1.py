"""Interval F1 against sets of pixels, hand-computed cases, scikit-learn and the paper's tables."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from euromine.metrics.interval_f1.interval_f1 import IntervalF1

FACTS = Path(__file__).parents[2].parent / "shared" / "facts"


def change_maps(maps):
    """Footprints (years, height, width) -> what changed, pixel by pixel, in the order of combinations."""
    changes = []
    for first, second in itertools.combinations(maps, 2):
        ignored = (first == 255) | (second == 255)
        changes.append(np.where(ignored, 255, (first != second).astype(np.uint8)))
    return np.array(changes, np.uint8).reshape(-1, *maps.shape[1:])


def direction_sets(sets, site, first, second, maps):
    """Changed, gained and lost pixels of two years, of `sets.predicted` or `sets.actual`."""
    valid = sets.valid[site, first] & sets.valid[site, second]
    gained = (maps[site, second] - maps[site, first]) & valid
    lost = (maps[site, first] - maps[site, second]) & valid
    return {"": gained | lost, "gain_": gained, "loss_": lost}


def f1_of(hits, predicted, actual, pixels, zero_division):
    if predicted + actual:
        return 2 * hits / (predicted + actual)
    return zero_division if pixels else float("nan")


def oracle_of_site(sets, site, zero_division, plain_mean, *, directed):
    """The F1 scores of one site; undirected predictions take the direction that the reference allows."""
    result = {}
    pairs = list(itertools.combinations(sets.years, 2))
    intervals = sorted({second - first for first, second in pairs})
    for prefix in ("", "gain_", "loss_"):
        counts = {interval: [0, 0, 0, 0] for interval in intervals}
        for first, second in pairs:
            valid = sets.valid[site, first] & sets.valid[site, second]
            predicted = direction_sets(sets, site, first, second, sets.predicted)
            actual = direction_sets(sets, site, first, second, sets.actual)
            chosen = predicted[prefix]
            if not directed and prefix == "gain_":
                chosen = predicted[""] - sets.actual[site, first]
            if not directed and prefix == "loss_":
                chosen = predicted[""] & sets.actual[site, first]
            sums = (len(chosen & actual[prefix]), len(chosen), len(actual[prefix]), len(valid))
            counts[second - first] = [a + b for a, b in zip(counts[second - first], sums, strict=True)]
        by_interval = [f1_of(*counts[interval], zero_division) for interval in intervals]
        pooled = [sum(counts[interval][field] for interval in intervals) for field in range(4)]
        result[f"{prefix}f1"] = by_interval
        result[f"{prefix}of1_mean"] = plain_mean(by_interval)
        result[f"{prefix}of1_pooled"] = f1_of(*pooled, zero_division)
    return intervals, result


@pytest.mark.parametrize("config_name", ["footprint", "change"])
@settings(max_examples=100, deadline=None)
@given(data=st.data(), zero_division=st.sampled_from([float("nan"), 0.0, 1.0]))
def test_it_equals_sets_of_pixels(
    config_name, data, zero_division, draw_examples, batch_of, pixel_sets, plain_mean
):
    examples = draw_examples(data)
    sets = pixel_sets(examples)
    batch = batch_of(examples)
    if config_name == "change":
        batch["predictions"] = [change_maps(prediction) for prediction in batch["predictions"]]
    result = IntervalF1(config_name).compute(**batch, zero_division=zero_division)

    directed = config_name == "footprint"
    oracles = [
        oracle_of_site(sets, site, zero_division, plain_mean, directed=directed) for site in sets.sites
    ]
    weights = [sets.weight(site) for site in sets.sites]
    assert result["intervals"] == oracles[0][0]
    assert result["pixels"] == sum(weights)
    for name in oracles[0][1]:
        values = [scores[name] for _, scores in oracles]
        if name.endswith("f1"):
            expected = [plain_mean(list(column), weights) for column in zip(*values, strict=True)]
        else:
            expected = plain_mean(values, weights)
            of_sites = [site[name] for site in result["sites"].values()]
            assert of_sites == pytest.approx(values, nan_ok=True)
        assert result[name] == pytest.approx(expected, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_change_against_change_counts_the_same_pixels_as_against_footprints(data, draw_examples, batch_of):
    batch = batch_of(draw_examples(data))
    batch["predictions"] = [change_maps(prediction) for prediction in batch["predictions"]]
    to_footprints, to_changes = IntervalF1("change"), IntervalF1("change_to_change")
    to_footprints.add_batch(**batch)
    batch["references"] = [change_maps(reference) for reference in batch["references"]]
    to_changes.add_batch(**batch)
    assert np.array_equal(to_footprints.table().by_pair[..., :4], to_changes.table().by_pair)
    result = to_changes.compute()
    assert not [name for name in result if name.startswith(("gain", "loss"))]
    assert result["pixels"] == sum(int((reference != 255).sum()) for reference in batch["references"])


def test_hand_computed_directions():
    # One pixel each: gain found, gain missed, loss predicted where there was a gain, false gain, loss found.
    reference = [[[0, 0, 0, 0, 1]], [[1, 1, 1, 0, 0]]]
    prediction = [[[0, 0, 1, 0, 1]], [[1, 0, 0, 1, 0]]]
    result = IntervalF1().compute(predictions=[prediction], references=[reference], sites=["site"])
    assert result["of1_pooled"] == 2 * 3 / (4 + 4)
    assert result["gain_of1_pooled"] == 2 * 1 / (2 + 3)
    assert result["loss_of1_pooled"] == 2 * 1 / (2 + 1)
    # A change map cannot be wrong about the direction: the third pixel is a gain found.
    changes = [[[1, 0, 1, 1, 1]]]
    result = IntervalF1("change").compute(predictions=[changes], references=[reference], sites=["site"])
    assert result["of1_pooled"] == 2 * 3 / (4 + 4)
    assert result["gain_of1_pooled"] == 2 * 2 / (3 + 3)
    assert result["loss_of1_pooled"] == 1.0


def test_intervals_are_calendar_years():
    maps = np.array([[[0]], [[1]], [[0]]], np.uint8)
    metric = IntervalF1()
    metric.add(prediction=maps, reference=maps, site="site", years=[2015, 2016, 2019])
    assert metric.compute()["intervals"] == [1, 3, 4]


def test_pairs_may_come_one_by_one():
    generator = np.random.default_rng(0)
    reference, prediction = (generator.random((2, 4, 11, 7)) < 0.4).astype(np.uint8)
    together, apart = IntervalF1("change"), IntervalF1("change")
    changes = change_maps(prediction)
    together.add(prediction=changes, reference=reference, site="site", years=range(2015, 2019))
    for index, (first, second) in enumerate(itertools.combinations(range(4), 2)):
        apart.add(
            prediction=changes[index : index + 1],
            reference=reference[[first, second]],
            site="site",
            years=(2015 + first, 2015 + second),
        )
    assert np.array_equal(together.table().by_pair, apart.table().by_pair)


@pytest.mark.parametrize("config_name", IntervalF1.config_names)
def test_one_year_alone_has_no_interval(config_name):
    maps = np.ones((1, 3, 3), np.uint8)
    changes = np.ones((0, 3, 3), np.uint8)
    prediction = maps if config_name == "footprint" else changes
    reference = changes if config_name == "change_to_change" else maps
    result = IntervalF1(config_name).compute(
        predictions=[prediction], references=[reference], sites=["site"], zero_division=1
    )
    assert result["intervals"] == result["f1"] == []
    assert np.isnan([result["of1_pooled"], result["of1_mean"]]).all()


def test_it_agrees_with_scikit_learn():
    generator = np.random.default_rng(1)
    references = (generator.random((3, 5, 20, 20)) < 0.3).astype(np.uint8)
    predictions = (references ^ (generator.random(references.shape) < 0.1)).astype(np.uint8)
    references[:, :, :, :3] = 255
    result = IntervalF1().compute(predictions=predictions, references=references, average="pooled")
    of_pairs = [(change_maps(r), change_maps(p)) for r, p in zip(references, predictions, strict=True)]
    lengths = np.array([second - first for first, second in itertools.combinations(range(5), 2)])
    for index, interval in enumerate(result["intervals"]):
        truth = np.concatenate([actual[lengths == interval].ravel() for actual, _ in of_pairs])
        found = np.concatenate([predicted[lengths == interval].ravel() for _, predicted in of_pairs])
        expected = f1_score(truth[truth != 255], found[truth != 255])
        assert result["f1"][index] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("table", "least", "most"),
    [("table5_change_detection", 0.001, 0.0065), ("table6_postclassification", -0.0315, -0.0235)],
)
def test_the_papers_overall_score_is_no_plain_mean_of_its_rows(table, least, most):
    path = FACTS / f"{table}.csv"
    if not path.is_file():
        pytest.skip(f"needs the paper's tables in {FACTS}")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        mean = np.mean([float(row[f"interval_{interval}"]) for interval in range(1, 10)])
        assert least < float(row["OF1"]) - mean < most
