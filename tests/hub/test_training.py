"""`train_cd.py --push_to_hub`: the finished model on the Hub, as `euromine publish model` sends it."""

import json
from pathlib import Path

import pytest

from euromine.dataset_script.shards import build_dataset

from .card_rules import errors_of, missing_from
from .conftest import SITES, Worker, WorkerError, write_archive
from .server import Fault, Hub

TRAINING = """
import os
os.environ["HF_TOKEN"] = token
from euromine.train_cd import main
value = main(arguments).model.repository
"""


def train(
    publisher: Worker, dataset: Path, output_dir: Path, *arguments: str, token: str = "hf_writer"
) -> str:
    """Train a small network for a step; the repository that the results name."""
    steps = [
        "--max_steps",
        "1",
        "--use_cpu",
        "--per_device_train_batch_size",
        "1",
        "--max_train_samples",
        "1",
    ]
    given = ["--dataset", str(dataset), "--architecture", "fc-ef", "--output_dir", str(output_dir), *steps]
    return publisher.run(TRAINING, arguments=[*given, "--push_to_hub", *arguments], token=token)


@pytest.fixture(scope="module")
def output_dir(publisher: Worker, dataset: Path, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose publication fails at the very end, and is asked for again."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    refused = Fault("POST", "/api/models/.*/commit/", status=403)
    with pytest.raises(WorkerError) as caught, hub.failing(refused):
        train(publisher, dataset, folder, "--hub_model_id", "mines/trained", "--hub_private_repo", "true")
    assert caught.value.kind == "SystemExit"
    assert "The token may not write to mines/trained" in publisher.log.read_text()
    assert f"The model is complete in {folder}" in publisher.log.read_text()
    weights = (folder / "model.safetensors").stat().st_mtime_ns
    assert train(publisher, dataset, folder, "--hub_model_id", "mines/trained") == "mines/trained"
    assert (folder / "model.safetensors").stat().st_mtime_ns == weights
    return folder


def test_the_finished_model_is_published_without_states(output_dir: Path, hub: Hub) -> None:
    files = set(hub.files("model", "mines/trained"))
    assert not [name for name in files if "optimizer" in name or name.startswith(("checkpoint", "run.json"))]
    for name in (
        "model.safetensors",
        "config.json",
        "preprocessor_config.json",
        "fc_ef.py",
        "predictions.png",
    ):
        assert hub.read("model", "mines/trained", name) == (output_dir / name).read_bytes()
    assert hub.history("model", "mines/trained") == ["Publish the model with euromine", "initial commit"]
    settings = json.loads((hub.folder("model", "mines/trained") / "settings.json").read_text())
    assert settings["private"] is True


def test_the_card_of_a_run_is_what_the_hub_expects(output_dir: Path, hub: Hub) -> None:
    card = hub.read("model", "mines/trained", "README.md").decode()
    assert errors_of(card, "model") == []
    assert missing_from(card, "model") == []
    assert 'from_pretrained("mines/trained")' in card
    assert str(output_dir) not in card
    assert str(output_dir.parent) not in hub.read("model", "mines/trained", "metrics.json").decode()


def test_a_run_without_held_out_sites_has_a_picture_too(publisher: Worker, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "splits.json").write_text(json.dumps({"train": list(SITES), "validation": [], "test": []}))
    archive = write_archive(tmp_path / "EuroMineNet")
    built = build_dataset(
        archive, tmp_path / "all_of_it", splits=tmp_path / "splits.json", workers=1, progress=False
    )
    train(publisher, built, tmp_path / "run", "--hub_model_id", "mines/unscored")
    card = hub.read("model", "mines/unscored", "README.md").decode()
    assert "(predictions.png)" in card
    assert "Training patches in natural colour" in card
    assert errors_of(card, "model") == []
    assert hub.read("model", "mines/unscored", "predictions.png").startswith(b"\x89PNG")


def test_what_cannot_be_published_is_said_before_training(
    output_dir: Path, publisher: Worker, dataset: Path, hub: Hub, tmp_path: Path
) -> None:
    hub.create("model", "mines/theirs", {"config.json": b"{}"})
    for arguments, token, message in (
        (["--hub_model_id", "mines/theirs"], "hf_writer", "holds a model that none of these scripts trained"),
        (["--hub_model_id", "mines/new"], "hf_reader", "The token may not write to mines/new"),
        (["--hub_model_id", "no name"], "hf_writer", "REPO: found 'no name'; expected owner/name"),
        (["--hub_strategy", "every_save"], "hf_writer", "only the finished model is published"),
        (
            ["--hub_model_id", "mines/trained", "--max_train_samples", "2"],
            "hf_writer",
            "on other data",
        ),
    ):
        with pytest.raises(WorkerError) as caught:
            train(publisher, dataset, tmp_path / "run", *arguments, token=token)
        assert caught.value.kind == "SystemExit"
        assert message in publisher.log.read_text().splitlines()[-1], arguments
        assert not (tmp_path / "run").exists()
