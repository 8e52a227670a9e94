"""The comparisons behind docs/protocols.md."""

import argparse
import json
from uuid import uuid4

import numpy as np
import pytest
import torch
from transformers import get_scheduler

from euromine.dataset_script.shards import build_dataset
from euromine.experiments import defects
from euromine.experiments.defects import check_dataset, doubled_share
from euromine.experiments.effects import compared
from euromine.experiments.recounting import counted, counted_once, rows_of
from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.metrics.ca_tiou.ca_tiou import CATIoU
from euromine.metrics.interval_f1.interval_f1 import IntervalF1
from euromine.modeling.auto import create_model
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.simulation.simulated_archive import simulate_archive
from euromine.support.errors import ArgumentError, DatasetError
from euromine.training.evaluation import predict_series

SITES = [f"Spain_{number}" for number in range(1, 7)]


def counts_of(seed, wrong):
    """The counts of predictions with a share of wrong pixels."""
    references, noise = np.random.default_rng(0), np.random.default_rng(seed)
    metrics = {"annual_f1": AnnualF1(), "ca_tiou": CATIoU(), "interval_f1": IntervalF1()}
    for site in SITES:
        reference = (references.random((3, 9, 9)) < 0.4).astype(np.uint8)
        prediction = reference ^ (noise.random(reference.shape) < wrong)
        for metric in metrics.values():
            metric.add(prediction=prediction, reference=reference, site=site, years=[2015, 2016, 2017])
    return metrics


def tables_of(metrics):
    return {name: metric.table() for name, metric in metrics.items()}


def test_an_effect_is_the_score_with_the_defect_less_that_without_it():
    without, with_it = ([tables_of(counts_of(seed, wrong)) for seed in (1, 2)] for wrong in (0.05, 0.3))
    effects = {effect.score: effect for effect in compared("a defect", "what", without, with_it, "pooled")}
    expected = [
        counts_of(seed, 0.3)["annual_f1"].compute(average="pooled")["of1"]
        - counts_of(seed, 0.05)["annual_f1"].compute(average="site")["of1"]
        for seed in (1, 2)
    ]
    np.testing.assert_allclose(effects["OF1"].differences, expected, rtol=1e-12)
    low, high = effects["OF1"].interval
    assert low < np.mean(expected) < high < 0
    assert set(effects) == {"OF1", "GCA-TIoU", "change OF1"}


def test_the_same_counts_have_no_effect_in_any_resample():
    counts = [tables_of(counts_of(1, 0.2))]
    for effect in compared("a defect", "what", counts, counts):
        assert effect.differences.tolist() == [0.0]
        assert effect.interval == (0.0, 0.0)


def test_the_oscillating_rate_is_that_of_torchs_cosine_stepped_every_batch():
    options = argparse.Namespace(steps=100)
    kwargs = json.loads(defects.variants(options)["oscillating-rate"]["lr_scheduler_kwargs"])
    optimizers = [torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-4) for _ in range(2)]
    ours = get_scheduler(
        "cosine_with_min_lr",
        optimizers[0],
        num_warmup_steps=0,
        num_training_steps=100,
        scheduler_specific_kwargs=kwargs,
    )
    published = torch.optim.lr_scheduler.CosineAnnealingLR(optimizers[1], T_max=10, eta_min=1e-7)
    rates = []
    for _ in range(100):
        rates.append((ours.get_last_lr()[0], published.get_last_lr()[0]))
        for optimizer, scheduler in zip(optimizers, (ours, published), strict=True):
            optimizer.step()
            scheduler.step()
    np.testing.assert_allclose(*zip(*rates, strict=True), rtol=1e-4, atol=1e-10)
    # It rises as often as it falls.
    assert np.sign(np.diff([rate for rate, _ in rates])).sum() == pytest.approx(0, abs=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """One simulated site of two overlapping patches."""
    folder = tmp_path_factory.mktemp("simulated")
    archive = simulate_archive(
        folder / "archive", sites=["Spain_1"], size=(130, 200), years=(2015, 2016), workers=1, progress=False
    )
    splits = folder / "splits.json"
    splits.write_text(json.dumps({"train": [], "validation": [], "test": ["Spain_1"]}))
    return build_dataset(archive, folder / f"shards_{uuid4().hex}", splits=splits, workers=1, progress=False)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    torch.manual_seed(0)
    model = create_model("linknet")
    model.save_pretrained(folder)
    EuroMineImageProcessor.from_statistics("corrected").save_pretrained(folder)
    return folder


def test_pixels_are_counted_once_and_as_whole_patches(dataset, network):
    found = counted(network, rows_of(str(dataset), "test"))
    owned, whole = (found[way]["annual_f1"].by_year[0, :, 3].tolist() for way in ("owned", "whole"))
    # 130 x 200 is two patches, filled up below and overlapping side by side.
    assert owned == [130 * 200] * 2
    assert whole == [2 * 160 * 160] * 2
    assert doubled_share(found) == pytest.approx(2 * 160 * 160 / (130 * 200) - 1)


def test_another_standard_deviation_is_given_to_the_network(dataset, network):
    rows = rows_of(str(dataset), "test")
    found = counted(network, rows, std_divisor=2.0)["whole"]["annual_f1"]
    model = create_model("linknet", pretrained=str(network), stem_init=None).eval()
    processor = EuroMineImageProcessor.from_pretrained(network)
    halved = EuroMineImageProcessor(mean=processor.mean, std=[value / 2 for value in processor.std])
    predicted = sum(int((predict_series(model, halved, row["images"][None]) == 1).sum()) for row in rows)
    assert found.by_year[..., 1].sum() == predicted
    assert predicted != counted(network, rows)["whole"]["annual_f1"].by_year[..., 1].sum()


def test_counts_are_kept(dataset, network, tmp_path):
    first = counted_once(tmp_path / "counts.npz", network, lambda: rows_of(str(dataset), "test"))
    again = counted_once(tmp_path / "counts.npz", network, lambda: pytest.fail("counted twice"))
    for way in ("owned", "whole"):
        for metric, table in first[way].items():
            np.testing.assert_array_equal(table.by_pair, again[way][metric].by_pair)
            assert again[way][metric].sites == ("Spain_1",)


def test_a_folder_of_other_arguments_is_refused(tmp_path):
    options = argparse.Namespace(out=tmp_path / "out", architecture="linknet", steps=100, batch=4, scenes=3)
    defects.check_arguments(options)
    defects.check_arguments(options)
    options.steps = 200
    with pytest.raises(
        ArgumentError, match=r"found results of .*100.*; expected those of .*200.*Give another --out"
    ):
        defects.check_arguments(options)


def test_a_dataset_that_would_mix_two_defects_is_refused(tmp_path, capsys):
    folder = simulate_archive(
        tmp_path / "archive",
        sites=["Spain_1", "Bulgaria_1"],
        size=(160, 170),
        years=(2015,),
        workers=1,
        progress=False,
    )
    built = build_dataset(
        folder, tmp_path / f"shards_{uuid4().hex}", splits=folder / "splits.json", workers=1, progress=False
    )
    with pytest.raises(DatasetError, match=r"found scenes of several patches; expected scenes of 160 x 160"):
        check_dataset(str(built))
    assert defects.main(["--dataset", str(built), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("defects: ")
    assert defects.main(["--dataset", str(built), "--steps", "2"]) == 2
