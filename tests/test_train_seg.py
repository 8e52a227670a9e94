import errno
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import datasets
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

from euromine import train_cd, train_seg
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.shards import build_dataset
from euromine.modeling.auto import create_model
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.series_network import EuroMineSeries
from euromine.simulation.simulated_archive import simulate_archive
from euromine.support.locks import lock_folder
from euromine.support.records import record_to_json, write_record
from euromine.support.run_records import RunRecord
from euromine.training import checkpoints
from euromine.training.evaluation import predict_series

TINY = json.dumps(
    {
        "hidden_sizes": [8, 8, 8, 8],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 1, 1],
        "decoder_hidden_size": 8,
    }
)


@pytest.fixture(scope="module", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What `datasets` caches of what is made here goes when the tests go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four simulated sites over three years, in all three splits."""
    folder = tmp_path_factory.mktemp("simulated")
    archive = simulate_archive(
        folder / "archive", sites=4, size=(160, 160), years=(2015, 2016, 2018), workers=1, progress=False
    )
    return build_dataset(
        archive, folder / f"shards_{uuid4().hex}", splits=archive / "splits.json", workers=1, progress=False
    )


def test_a_network_for_series_is_trained_on_patches_and_scored_on_their_footprints(dataset, tmp_path):
    small = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 8, 8], "num_attention_heads": [1, 1, 1, 1]}
    arguments = {
        "dataset": dataset,
        "architecture": "euromine-series-b0",
        "config_overrides": json.dumps({"encoder_fields": small, "decoder_width": 8, "detail_widths": [4]}),
        "output_dir": tmp_path / "run",
        "num_train_epochs": 8,
        "learning_rate": 0.02,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    results = train_seg.main(
        [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
    )
    # Two patches, each a sample with its three years.
    assert results.training.batch_size == 2
    assert results.training.steps == 8
    assert {"of1", "gca_tiou", "change_of1_pooled"} <= set(results.scores["test"])
    model = EuroMineSeries.from_pretrained(tmp_path / "run").eval()
    processor = EuroMineImageProcessor.from_pretrained(tmp_path / "run")
    hits = sizes = 0
    for row in read_dataset(dataset, "series")["test"]:
        with torch.no_grad():
            pixel_values = processor(np.asarray(row["images"])[None], return_tensors="pt").pixel_values
            maps = model(pixel_values, years=torch.tensor([row["years"]])).logits.argmax(2)[0].numpy()
        top, left, bottom, right = row["own"]
        own = np.s_[:, top:bottom, left:right]
        found, truth = maps[own] == 1, row["labels"][own] == 1
        hits += (found & truth).sum(axis=(1, 2))
        sizes += found.sum(axis=(1, 2)) + truth.sum(axis=(1, 2))
    expected = np.divide(2 * hits, sizes, out=np.full(3, np.nan), where=sizes > 0)
    np.testing.assert_allclose(results.details["test"]["annual_f1"]["f1"], expected, rtol=1e-12)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "model(series, years=years)" in card
    assert "patches, each with all of its years" in card


def test_a_footprint_mapper_is_trained_scored_and_described(dataset, tmp_path):
    arguments = {
        "dataset": dataset,
        "architecture": "segformer-b0",
        "config_overrides": TINY,
        "bands": "B04,B08,B11",
        "output_dir": tmp_path / "run",
        "per_device_train_batch_size": 2,
        "learning_rate": 0.01,
        "num_train_epochs": 2,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    results = train_seg.main(
        [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
    )

    assert record_to_json(results) == json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert results.training.steps == 6
    assert {"of1", "of1_pooled", "gca_tiou", "lca_tiou", "change_of1_pooled"} <= set(results.scores["test"])
    assert results.protocol.sites["test"] == ["Bulgaria_1"]
    assert results.details["test"]["annual_f1"]["years"] == [2015, 2016, 2018]
    card = ModelCard.load(tmp_path / "run" / "README.md")
    assert card.data.model_name == "euromine-segformer-b0"
    assert "B04, B08, B11" in card.text

    # What lies in the folder gives the very maps that were scored.
    model = create_model(
        "segformer-b0", bands=["B04", "B08", "B11"], pretrained=str(tmp_path / "run"), stem_init=None,
        **json.loads(TINY),
    ).eval()  # fmt: skip
    processor = EuroMineImageProcessor.from_pretrained(tmp_path / "run")
    row = read_dataset(dataset, "series", "test")[0]
    maps = predict_series(model, processor, row["images"][None])[0].numpy()
    hits = ((maps == 1) & (row["labels"] == 1)).sum((1, 2))
    sizes = (maps == 1).sum((1, 2)) + (row["labels"] == 1).sum((1, 2))
    np.testing.assert_allclose(results.details["test"]["annual_f1"]["f1"], 2 * hits / sizes, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--dataset", "./missing", "--architecture", "unet"], "missing: there is no such folder"),
        (["--dataset", "{dataset}", "--architecture", "tinycd"], "Train it with train_cd.py."),
        (
            ["--dataset", "{dataset}", "--architecture", "unnet"],
            "--architecture: found 'unnet'; expected unet",
        ),
        (
            ["--dataset", "{dataset}", "--architecture", "unet", "--bands", "VV"],
            "--bands: found VV without --label_groups; expected some of B02, B03, B04",
        ),
        (
            ["--dataset", "{dataset}", "--architecture", "unet", "--config_overrides", '{"depth": 3}'],
            "train_seg.py: unet: found unknown field 'depth'",
        ),
        (
            ["--dataset", "{dataset}", "--architecture", "unet", "--years", "1999"],
            "--years: found 1999; expected",
        ),
        (
            ["--dataset", "{dataset}", "--architecture", "unet", "--years", "2015", "2030"],
            "--years: found 2030, without images in ",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_no_traceback(arguments, sentence, dataset, tmp_path, capsys):
    argv = [part.format(dataset=dataset) if part.startswith("{dataset") else part for part in arguments]
    with pytest.raises(SystemExit) as left:
        train_seg.main([*argv, "--output_dir", str(tmp_path / "run"), "--use_cpu"])
    assert left.value.code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("train_seg.py: ")
    assert sentence in last
    # Nothing that the corrected command would stumble over.
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_run_whose_checkpoints_cannot_be_resumed_is_not_begun_again_unasked(
    dataset, tmp_path, capsys, caplog
):
    arguments = ["--dataset", str(dataset), "--architecture", "segformer-b0", "--config_overrides", TINY]
    arguments += ["--output_dir", str(tmp_path), "--use_cpu", "--max_steps", "1", "--save_only_model"]
    arguments += ["--per_device_train_batch_size", "1", "--max_eval_samples", "1", "--disable_tqdm", "true"]
    train_seg.main(arguments)
    assert "an interrupted run cannot be resumed" in caplog.text
    # As a run that was killed after its first checkpoint.
    (tmp_path / "metrics.json").unlink()
    weights = (tmp_path / "checkpoint-1" / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(SystemExit):
        train_seg.main(arguments)
    assert (
        "found an unfinished run whose checkpoint-1 has no optimiser (--save_only_model); expected one to "
        in (capsys.readouterr().err)
    )
    assert (tmp_path / "checkpoint-1" / "model.safetensors").stat().st_mtime_ns == weights
    train_seg.main([*arguments, "--restart"])
    assert (tmp_path / "metrics.json").is_file()


def test_a_folder_of_another_run_is_not_written_into(dataset, tmp_path, capsys):
    (tmp_path / "checkpoint-7" / "mine").mkdir(parents=True)
    argv = ["--dataset", str(dataset), "--architecture", "unet", "--output_dir", str(tmp_path), "--use_cpu"]
    with pytest.raises(SystemExit):
        train_seg.main([*argv, "--restart"])
    assert "found checkpoint-7, which no run of these scripts wrote; expected" in capsys.readouterr().err
    (tmp_path / "checkpoint-7" / "mine").rmdir()
    (tmp_path / "checkpoint-7").rmdir()

    record = {"task": "segmentation", "data": "other", "arguments": {"seed": 41, "years": None}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(SystemExit):
        train_seg.main(argv)
    assert (
        "found a run with seed 41 instead of 42, other data; expected the same run. Pass --restart"
        in capsys.readouterr().err
    )
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_model_does_not_replace_the_card_of_its_dataset(dataset, capsys):
    card = (dataset / "README.md").read_bytes()
    argv = ["--dataset", str(dataset), "--architecture", "unet", "--output_dir", str(dataset), "--use_cpu"]
    with pytest.raises(SystemExit):
        train_seg.main(argv)
    assert "found a dataset, whose card the model's would replace" in capsys.readouterr().err
    assert (dataset / "README.md").read_bytes() == card
    assert not (dataset / "run.json").exists()


@pytest.mark.parametrize("script", [train_seg, train_cd], ids=["seg", "cd"])
@pytest.mark.parametrize(
    ("error", "status", "last"),
    [
        (
            OSError(errno.ENOSPC, "no space left for checkpoint-3 in runs."),
            1,
            "no space left for",
        ),
        (KeyboardInterrupt(), 130, "interrupted."),
        (RuntimeError("shapes differ"), 1, "this is a bug in EuroMine."),
    ],
    ids=["full disk", "interrupted", "bug"],
)
def test_what_ends_a_training_is_reported(script, error, status, last, monkeypatch, capsys):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(script, "read_splits", fail)
    name = "unet" if script is train_seg else "tinycd"
    with pytest.raises(SystemExit) as left:
        script.main(["--dataset", "shards", "--architecture", name, "--use_cpu"])
    assert left.value.code == status
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith(f"{script.__name__.rpartition('.')[2]}.py: {last}")
    assert ("Traceback" in said) == isinstance(error, RuntimeError)


def test_a_second_training_in_one_folder_is_refused_before_anything_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train_seg, "read_splits", lambda *_: pytest.fail("the data were read"))
    argv = ["--dataset", "shards", "--architecture", "unet", "--output_dir", str(tmp_path), "--use_cpu"]
    with lock_folder(tmp_path), pytest.raises(SystemExit) as left:
        train_seg.main(argv)
    assert left.value.code == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"train_seg.py: {tmp_path}: found another run at work (process ")
    assert not list(tmp_path.iterdir())


AGAIN = "Run the same command again"


@pytest.mark.parametrize(
    ("checkpoint", "options", "advice"),
    [
        (
            None,
            [],
            "Run the same command again; as there is no checkpoint yet, it starts from the first step.",
        ),
        ("checkpoint-2", [], f"{AGAIN} to resume from {{}}."),
        ("checkpoint-2", ["--restart"], f"{AGAIN} without --restart to resume from {{}}."),
    ],
)
def test_ctrl_c_says_where_training_resumes_and_leaves_nothing_half_written(
    checkpoint, options, advice, tmp_path, monkeypatch, capsys
):
    def interrupt(*_):
        write_record(tmp_path / "run.json", RunRecord("segmentation", "digest", {}, files=["run.json"]))
        (tmp_path / "_incomplete").mkdir()
        (tmp_path / "_metrics.json.part").touch()
        if checkpoint is not None:
            staged = tmp_path / "staged"
            staged.mkdir()
            for name in ("trainer_state.json", "scheduler.pt", "optimizer.pt"):
                (staged / name).touch()
            checkpoints.publish(staged, tmp_path / checkpoint)
        raise KeyboardInterrupt

    monkeypatch.setattr(train_seg, "read_splits", interrupt)
    argv = ["--dataset", "shards", "--architecture", "unet", "--output_dir", str(tmp_path), "--use_cpu"]
    with pytest.raises(SystemExit) as left:
        train_seg.main([*argv, *options])
    assert left.value.code == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"train_seg.py: interrupted. {advice.format(tmp_path / str(checkpoint))}"
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", checkpoint} - {None}
