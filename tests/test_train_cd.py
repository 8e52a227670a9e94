import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from uuid import uuid4

import datasets
import numpy as np
import pytest
import torch

from euromine import train_cd
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.shards import build_dataset
from euromine.modeling.auto import AutoModelForChangeDetection
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.simulation.simulated_archive import simulate_archive


@pytest.fixture(scope="module", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What `datasets` caches of what is made here goes when the tests go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated sites over three years: one to train, one to test, none to validate."""
    folder = tmp_path_factory.mktemp("simulated")
    sites = ("Bulgaria_10", "Bulgaria_1")
    archive = simulate_archive(
        folder / "archive", sites=sites, size=(160, 160), years=(2015, 2016, 2018), workers=1, progress=False
    )
    splits = folder / "splits.json"
    splits.write_text(json.dumps({"train": sites[:1], "validation": [], "test": sites[1:]}))
    return build_dataset(archive, folder / f"shards_{uuid4().hex}", splits=splits, workers=1, progress=False)


def test_a_change_detector_is_trained_scored_and_described(dataset, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(
        f"dataset: {dataset}\n"
        "architecture: tinycd\n"
        "per_device_train_batch_size: 2\n"
        "max_steps: 3\n"
        "learning_rate: 0.003\n"
        "use_cpu: true\n"
        "disable_tqdm: true\n"
    )
    results = train_cd.main([str(config), "--output_dir", str(tmp_path / "run")])
    assert results.task == "change-detection"
    assert results.training.best_step is None
    assert results.details["test"]["interval_f1"]["intervals"] == [1, 2, 3]

    model = AutoModelForChangeDetection.from_pretrained(tmp_path / "run").eval()
    processor = EuroMineImageProcessor.from_pretrained(tmp_path / "run")
    row = read_dataset(dataset, "series", "test")[0]
    pixel_values = processor(torch.from_numpy(np.array(row["images"]))[None]).pixel_values
    with torch.no_grad():
        no_change, change = model.predict_series(pixel_values)[0].unbind(1)
    changes = (change > no_change).numpy()
    # Where both are as good as equal, another batch's rounding may decide otherwise.
    undecided = ((change - no_change).abs() < 1e-5).sum((1, 2)).numpy()
    truth = np.stack(
        [row["labels"][first] != row["labels"][second] for first, second in combinations(range(3), 2)]
    )
    either = changes.sum((1, 2)) + truth.sum((1, 2))
    f1 = 2 * (changes & truth).sum((1, 2)) / either
    # Pairs are (2015, 2016), (2015, 2018), (2016, 2018): intervals of 1, 3 and 2 years.
    found = np.array(results.details["test"]["interval_f1"]["f1"])[[0, 2, 1]]
    assert (undecided < 0.001 * changes[0].size).all()
    # A pixel more or less moves F1 by less than two parts of all that are changed in either.
    assert (abs(found - f1) <= 1e-12 + 2 * undecided / either).all()
    assert "Nothing was selected" in (tmp_path / "run" / "README.md").read_text()


def test_a_change_detector_is_trained_on_the_years_of_patches(dataset, tmp_path):
    argv = {
        "dataset": dataset,
        "architecture": "tinycd",
        "output_dir": tmp_path / "run",
        "training": "series",
        "pairs_per_patch": 2,
        "interval_sampling": "balanced",
        "num_train_epochs": 2,
        "logging_steps": 1,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    results = train_cd.main([part for name, value in argv.items() for part in (f"--{name}", str(value))])
    # One patch, so one step an epoch; eight of its two pairs would make a batch.
    assert results.training.steps == 2
    assert results.training.batch_size == 8
    assert results.protocol.training == "series"
    assert all(np.isfinite(log["loss"]) for log in results.history if "loss" in log)
    assert results.details["test"]["interval_f1"]["intervals"] == [1, 2, 3]
    assert "each of its years is encoded once" in (tmp_path / "run" / "README.md").read_text()


def test_a_network_for_series_is_trained_on_patches_and_scored_on_their_changes(dataset, tmp_path):
    small = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 8, 8], "num_attention_heads": [1, 1, 1, 1]}
    arguments = {
        "dataset": dataset,
        "architecture": "euromine-series-b0",
        "config_overrides": json.dumps({"encoder_fields": small, "decoder_width": 8, "detail_widths": [4]}),
        "output_dir": tmp_path / "run",
        "max_steps": 2,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    results = train_cd.main([part for name, value in arguments.items() for part in (f"--{name}", str(value))])
    assert {"of1_pooled", "of1_mean"} <= set(results.scores["test"])
    assert results.details["test"]["interval_f1"]["intervals"] == [1, 2, 3]
    assert "model.predict_series(series, years=years)" in (tmp_path / "run" / "README.md").read_text()


def test_pairs_cannot_be_chosen_for_a_network_that_learns_from_all(dataset, tmp_path, capsys):
    arguments = ["--dataset", str(dataset), "--architecture", "euromine-series-b0", "--pairs_per_patch", "3"]
    with pytest.raises(SystemExit):
        train_cd.main([*arguments, "--output_dir", str(tmp_path / "run")])
    assert (
        "--pairs_per_patch: found 3 with euromine-series-b0; expected no such option"
        in capsys.readouterr().err
    )


def test_a_footprint_mapper_is_sent_to_the_other_script(dataset, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        train_cd.main(["--dataset", str(dataset), "--architecture", "unet", "--output_dir", str(tmp_path)])
    assert left.value.code == 1
    assert capsys.readouterr().err == (
        "train_cd.py: --architecture: found unet, a footprint mapper; expected a change detector. "
        "Train it with train_seg.py.\n"
    )
