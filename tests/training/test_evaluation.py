from itertools import combinations

import numpy as np
import pytest
import torch
from transformers import EvalPrediction, PreTrainedModel

from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.metrics.ca_tiou.ca_tiou import CATIoU
from euromine.metrics.interval_f1.interval_f1 import IntervalF1
from euromine.modeling.auto import create_model
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.post_classification import PostClassification
from euromine.training.evaluation import SeriesScores, calendar_of, predict_series, task_of

PROCESSOR = EuroMineImageProcessor()
SMALL = {
    "mask2former-swin-base": {
        "embed_dim": 12,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2],
        "window_size": 4,
        "hidden_dim": 32,
        "encoder_layers": 1,
        "decoder_layers": 3,
        "dim_feedforward": 16,
        "encoder_feedforward_dim": 16,
        "num_attention_heads": 2,
        "num_queries": 5,
    }
}


def random_images(years: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5000, (2, years, 10, size, size), np.int16)


def test_footprints_of_a_series_are_those_of_its_years_one_by_one(tiny_segformer):
    torch.manual_seed(0)
    model = tiny_segformer().eval()
    images = random_images(3)
    found = predict_series(model, PROCESSOR, images)
    assert (found.dtype, found.shape) == (torch.uint8, (2, 3, 64, 64))
    for series, maps in zip(images, found, strict=True):
        for image, footprint in zip(series, maps, strict=True):
            with torch.no_grad():
                logits = model(**PROCESSOR(image, return_tensors="pt")).logits
            logits = torch.nn.functional.interpolate(logits, (64, 64), mode="bilinear", align_corners=False)
            assert torch.equal(footprint, logits[0].argmax(0).to(torch.uint8))
    assert len(found.unique()) == 2


def test_changes_of_a_series_are_those_of_its_pairs_one_by_one():
    torch.manual_seed(0)
    model = create_model("tinycd").eval()
    images = random_images(4)
    found = predict_series(model, PROCESSOR, torch.from_numpy(images), chunk=4)
    assert (found.dtype, found.shape) == (torch.uint8, (2, 6, 64, 64))
    for place, (first, second) in enumerate(combinations(range(4), 2)):
        with torch.no_grad():
            logits = model(PROCESSOR(images[:, [first, second]], return_tensors="pt").pixel_values).logits
        certain = (logits[:, 1] - logits[:, 0]).abs() > 1e-4
        assert torch.equal(found[:, place][certain], logits.argmax(1).to(torch.uint8)[certain])
        assert certain.float().mean() > 0.99


def test_images_that_are_no_series_are_refused(tiny_segformer):
    with pytest.raises(ValueError, match=r"images: found the shape .*; expected \(batch, years, channels"):
        predict_series(tiny_segformer(), PROCESSOR, random_images(3)[0])


def ragged_examples(changes: bool) -> list[dict]:
    """Series of 4 and 3 years filled up to 4, as a collator and a network give them."""
    generator = np.random.default_rng(1)
    examples = []
    for number in range(5):
        years = 3 + number % 2
        references = np.full((4, 12, 12), 255, np.uint8)
        references[:years] = generator.integers(0, 2, (years, 12, 12))
        references[:, :2] = 255
        predictions = generator.integers(0, 2, (6 if changes else 4, 12, 12)).astype(np.uint8)
        calendar = np.full(4, -1)
        calendar[:years] = [2015, 2016, 2018, 2021][:years]
        examples.append(
            {"predictions": predictions, "references": references, "site": number % 2, "calendar": calendar}
        )
    return examples


@pytest.mark.parametrize("average", ["site", "pooled"])
@pytest.mark.parametrize("task", ["segmentation", "change-detection"])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_scores_are_the_metrics_own_however_batches_are_cut(task, average, batch_size):
    changes = task == "change-detection"
    examples = ragged_examples(changes)
    sites = ("Italy_1", "Spain_1")
    scores = SeriesScores(task, sites, average)
    found: dict[str, float] = {}
    for start in range(0, 5, batch_size):
        batch = examples[start : start + batch_size]
        stacked = {name: torch.from_numpy(np.stack([each[name] for each in batch])) for name in batch[0]}
        labels = (stacked["references"], stacked["site"], stacked["calendar"])
        prediction = EvalPrediction(predictions=stacked["predictions"], label_ids=labels)
        found = scores(prediction, compute_result=start + batch_size >= 5)
        assert bool(found) == (start + batch_size >= 5)

    metrics = [IntervalF1("change")] if changes else [AnnualF1(), CATIoU(), IntervalF1()]
    for each in examples:
        years = [year for year in each["calendar"].tolist() if year > 0]
        pairs = [(a, b) for a, b in combinations(range(4), 2)]
        kept = (
            [place for place, (_, b) in enumerate(pairs) if b < len(years)] if changes else range(len(years))
        )
        for metric in metrics:
            metric.add(
                prediction=each["predictions"][list(kept)],
                reference=each["references"][: len(years)],
                site=sites[each["site"]],
                years=years,
            )
    expected = [metric.compute(average=average) for metric in metrics]
    assert found["of1_pooled"] == expected[0]["of1_pooled"]
    assert scores.details["interval_f1"]["f1"] == expected[-1]["f1"]
    if changes:
        assert set(found) == {"of1_pooled", "of1_mean"}
    else:
        assert found["of1"] == expected[0]["of1"]
        assert (found["gca_tiou"], found["lca_tiou"]) == (expected[1]["gca_tiou"], expected[1]["lca_tiou"])
        assert found["change_of1_pooled"] == expected[2]["of1_pooled"]


def scored_series(segmenter: PreTrainedModel) -> tuple[np.ndarray, np.ndarray, dict, dict]:
    """Footprints, changes and both tasks' interval scores of a mapper, by the code that scores a training."""
    images = random_images(4)
    references = np.random.default_rng(2).integers(0, 2, (2, 4, 64, 64)).astype(np.uint8)
    references[:, :, :7] = 255
    found: list[np.ndarray] = []
    details: list[dict] = []
    for model, task in ((segmenter, "segmentation"), (PostClassification(segmenter), "change-detection")):
        maps = predict_series(model.eval(), PROCESSOR, images)
        labels = (references, np.array([0, 1]), np.tile([2015, 2016, 2018, 2021], (2, 1)))
        scores = SeriesScores(task, ("Italy_1", "Spain_1"))
        assert task_of(model) == task
        scores(EvalPrediction(maps, labels), compute_result=True)
        found.append(maps.numpy())
        details.append(scores.details["interval_f1"])
    return found[0], found[1], details[0], details[1]


@pytest.mark.parametrize("name", ["segformer-b0", "unet", "mask2former-swin-base"])
def test_post_classification_scores_as_the_mapper_whose_maps_it_compares(name, tiny_segformer):
    """Logits of a quarter of the resolution, of the whole, and of a network within a network."""
    # Random weights that find some change and some ground without: which do depends on transformers' version.
    for seed in range(20):
        torch.manual_seed(seed)
        segmenter = tiny_segformer() if name == "segformer-b0" else create_model(name, **SMALL.get(name, {}))
        footprints, changes, of_footprints, of_changes = scored_series(segmenter)
        if changes.any() and not changes.all():
            break
    assert (changes.dtype, changes.shape) == (np.uint8, (2, 6, 64, 64))
    for place, (first, second) in enumerate(combinations(range(4), 2)):
        np.testing.assert_array_equal(changes[:, place], footprints[:, first] != footprints[:, second])
    assert changes.any()
    assert not changes.all()
    for score in ("of1_pooled", "of1_mean", "f1", "precision", "recall", "iou", "intervals"):
        np.testing.assert_array_equal(of_changes[score], of_footprints[score], err_msg=score)
    assert 0 < of_changes["of1_pooled"] < 1


def test_a_second_split_starts_from_nothing():
    example = ragged_examples(changes=False)[1]
    references, calendar, maps = (
        torch.from_numpy(example[name][None]) for name in ("references", "calendar", "predictions")
    )
    prediction = EvalPrediction(maps, (references, torch.tensor([0]), calendar))
    scores = SeriesScores("segmentation", ("Italy_1", "Spain_1"))
    assert scores(prediction, True) == scores(prediction, True)


def test_missing_years_at_the_end_come_after_the_last_one():
    years, mask = calendar_of(torch.tensor([[2015, 2016, 2018], [2020, -1, -1]], dtype=torch.int32))
    assert years.tolist() == [[2015, 2016, 2018], [2020, 2021, 2022]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    years, mask = calendar_of(torch.tensor([[2015, 2018]], dtype=torch.int32))
    assert (years.tolist(), years.dtype, mask) == ([[2015, 2018]], torch.int64, None)


def test_a_network_for_series_maps_both_tasks_with_the_years_of_each_series():
    torch.manual_seed(0)
    fields = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 8, 8], "num_attention_heads": [1, 1, 1, 1]}
    model = create_model(
        "euromine-series-b0", encoder_fields=fields, decoder_width=8, detail_widths=[4, 4], num_channels=10
    ).eval()
    processor = EuroMineImageProcessor()
    images = np.random.default_rng(0).integers(0, 3000, (2, 3, 10, 32, 32), np.int16)
    years = torch.tensor([[2015, 2016, 2020], [2018, 2019, -1]], dtype=torch.int32)
    footprints = predict_series(model, processor, images, years=years)
    changes = predict_series(model, processor, images, task="change-detection", years=years)
    assert (footprints.shape, changes.shape) == ((2, 3, 32, 32), (2, 3, 32, 32))
    shorter = torch.from_numpy(images[1:, :2])
    with torch.no_grad():
        output = model(processor(shorter).pixel_values, years=torch.tensor([[2018, 2019]]), pairs=[(0, 1)])
    assert torch.equal(footprints[1, :2], output.logits[0].argmax(1).to(torch.uint8))
    assert torch.equal(changes[1, 0], output.change_logits[0, 0].argmax(0).to(torch.uint8))
    assert task_of(model) == "segmentation"
