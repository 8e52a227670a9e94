import re
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from euromine.modeling.auto import CHANGE_DETECTORS, SEGMENTERS, create_model
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.native import NATIVE_SEGMENTERS
from euromine.support.records import record_from
from euromine.support.run_records import RunResults
from euromine.training.licences import CHECKPOINTS
from euromine.training.model_cards import make_card, usage, write_card

INTERVAL_SCORES = {
    "intervals": [1, 2],
    "f1": [0.5, float("nan")],
    "precision": [0.4, 0.3],
    "recall": [0.7, 0.6],
    "gain_f1": [0.5, 0.2],
    "loss_f1": [0.1, None],
}
DOCUMENT: dict[str, Any] = {
    "task": "segmentation",
    "architecture": "unet",
    "model": {"repository": None, "folder": "runs/unet", "class": "UNet", "parameters": 17_267_458},
    "scores": {
        "validation": {"of1": 0.9, "of1_pooled": 0.91},
        "test": {"of1": 0.71234, "of1_pooled": 0.8, "precision": float("nan"), "gca_tiou": None},
    },
    "confidence": {"test": {"of1": [0.6, 0.8]}},
    "details": {
        "test": {
            "annual_f1": {
                "years": [2015, 2016],
                "f1": [0.61, 0.62],
                "precision": [0.5, 0.5],
                "recall": [0.7, 0.7],
                "iou": [0.4, 0.41],
            },
            "interval_f1": INTERVAL_SCORES,
        }
    },
    "training": {
        "steps": 40,
        "epochs": 4.0,
        "best_step": 30,
        "selected_by": "of1",
        "batch_size": 32,
        "precision": "float32",
        "arguments": {
            "optim": "adamw_torch",
            "weight_decay": 0.01,
            "learning_rate": 1e-4,
            "lr_scheduler_type": "cosine_with_min_lr",
            "seed": 7,
        },
    },
    "protocol": {
        "dataset": "/home/somebody/euromine",
        "dataset_revision": None,
        "simulated": False,
        "digest": "abc",
        "sites": {
            "train": ["Austria_1", "Bulgaria_2", "Bulgaria_1"],
            "validation": ["Spain_1"],
            "test": ["Spain_2", "Spain_3"],
        },
        "years": None,
        "bands": ["B02", "B03"],
        "statistics": "dataset",
        "recipe": "paper",
        "augmentation": True,
        "protocol": "corrected",
        "average": "site",
        "pretrained": None,
        "pairs_per_patch": None,
        "interval_sampling": None,
    },
    "versions": {"torch": "2.13.0"},
    "hardware": "CPU",
}
RESULTS = record_from(RunResults, DOCUMENT, "metrics.json")


def changed(**sections: Any) -> RunResults:
    """The results with other values; those of a nested record are merged into it."""
    for section, values in sections.items():
        if is_dataclass(old := getattr(RESULTS, section)):
            sections[section] = replace(old, **values)
    return replace(RESULTS, **sections)


def test_a_card_says_that_patches_were_trained_on_with_all_their_years():
    pairs = {"pairs_per_patch": "9", "interval_sampling": "balanced"}
    results = changed(task="change-detection", protocol={**pairs, "training": "pairs"})
    assert "patches |" not in make_card(results, with_picture=False)
    card = make_card(changed(task="change-detection", protocol={**pairs, "training": "series"}), False)
    assert f"{RESULTS.training.batch_size} patches |" in re.sub(" +", " ", card)
    assert "9 per patch and epoch, balanced; the pairs of a patch share a batch" in card


def test_the_model_index_holds_the_scores_of_the_test_split():
    results = changed(
        model={"repository": "org/mines"}, protocol={"dataset": "org/euromine", "dataset_revision": "f00"}
    )
    data = ModelCard(make_card(results, with_picture=False)).data
    assert data.model_name == "mines"
    assert data.license == "apache-2.0"
    assert data.datasets == ["org/euromine"]
    values = {result.metric_name: result.metric_value for result in data.eval_results}
    assert values == {"OF1 (mean F1 over years)": 0.7123, "F1 pooled over years": 0.8}
    assert {result.dataset_split for result in data.eval_results} == {"test"}
    assert {result.dataset_revision for result in data.eval_results} == {"f00"}


def test_the_card_tells_scores_protocol_and_licences():
    card = make_card(RESULTS, with_picture=True)
    text = re.sub(" +", " ", card)
    for part in (
        "# euromine-unet",
        "(predictions.png)",
        "| OF1 (mean F1 over years) | 0.7123 | 0.6000 to 0.8000 |",
        "2 sites, none of them used in training",
        "| 2016 | 0.6200 |",
        "| 2 | - | 0.3000 |",
        "step 30 of 40 was selected by of1 on the validation split",
        "17.27 million parameters",
        "3 train, 1 validation, 2 test",
        "Apache-2.0",
        "CC-BY-4.0",
        "adamw_torch, weight decay 0.01",
        "| seed | 7 |",
    ):
        assert part in text, part
    assert "simulated" not in text.lower()
    # Where the data lay on somebody's machine concerns nobody else.
    assert "somebody" not in text
    assert "None" not in text
    assert "\n\n\n" not in card


def test_simulated_data_is_said_loudly():
    text = make_card(changed(protocol={"simulated": True}), with_picture=False)
    body = text.split("---\n", 2)[2]
    assert "**Trained and scored on simulated data.**" in body.split("## Scores")[0]
    assert "do not use it on real mines" in body
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert "simulated-data" in metadata["tags"]
    assert metadata["model-index"][0]["results"][0]["dataset"]["name"] == "EuroMineNet (simulated)"


def test_the_card_tells_the_level_of_the_training_images():
    unknown = make_card(RESULTS, with_picture=False)
    assert "| processing level | not recorded" in unknown
    assert "looks like top-of-atmosphere reflectance (L1C), though its authors do not state it" in unknown
    card = make_card(changed(protocol={"level": "L2A"}), with_picture=False)
    assert "| processing level | L2A (surface reflectance)" in card
    assert "Trained on L2A (surface reflectance); expect less accurate maps" in card
    mixed = make_card(changed(protocol={"level": "mixed"}), with_picture=False)
    assert "of different or unknown processing levels" in mixed


def test_data_that_are_no_part_of_euromine_net_are_not_claimed_for_it():
    sites = {"train": ["Kiruna"], "validation": ["Aitik"], "test": []}
    own = make_card(changed(protocol={"sites": sites}), with_picture=False)
    assert "- **Data**: the sites are no part of EuroMineNet, and the licence" in own
    assert "CC-BY-4.0" not in own
    assert "European Union at 10 m" not in own
    assert "experts drew" not in own
    assert "dataset: name: EuroMineNet" not in " ".join(own.split())
    some = make_card(changed(protocol={"sites": {**sites, "test": ["Spain_2"]}}), with_picture=False)
    assert "2 of 3 sites are no part of EuroMineNet" in some
    assert "The others: EuroMineNet, CC-BY-4.0" in some
    simulated = make_card(changed(protocol={"sites": sites, "simulated": True}), with_picture=False)
    assert "no part of EuroMineNet" not in simulated


def test_scores_of_the_split_that_chose_the_epoch_are_called_too_good():
    text = make_card(changed(scores={"validation": {"of1": 0.9}}, details={}), with_picture=False)
    assert "The epoch was selected by these very scores" in text
    unscored = changed(scores={}, details={})
    assert "None: the dataset has neither" in make_card(unscored, with_picture=False)


def test_a_run_without_validation_says_that_nothing_was_selected():
    text = make_card(changed(training={"best_step": None, "selected_by": None}), with_picture=False)
    assert "Nothing was selected: this is the last checkpoint, of step 40" in text


@pytest.mark.parametrize(
    ("pretrained", "identifier", "sentence"),
    [
        (None, "apache-2.0", "- **Weights**: trained from scratch, Apache-2.0."),
        (
            "openmmlab/upernet-swin-base",
            "apache-2.0",
            "training started from `openmmlab/upernet-swin-base` (MIT).",
        ),
        (
            "timm/resnet18.tv_in1k, timm/pvt_v2_b1.in1k",
            "apache-2.0",
            "`timm/resnet18.tv_in1k` (BSD-3-Clause) and `timm/pvt_v2_b1.in1k` (Apache-2.0).",
        ),
        ("timm/resnet18.tv_in1k, someone/else", "other", "`someone/else`; its licence is unknown"),
        ("nvidia/segformer-b5-finetuned-ade-640-640", "other", "for research and evaluation only"),
        ("facebook/mask2former-swin-base-ade-semantic", "other", "its page states the licence `other`"),
        (
            "somebody/weights",
            "other",
            "its licence is unknown (https://huggingface.co/somebody/weights)",
        ),
    ],
)
def test_code_data_and_weights_are_licensed_apart(pretrained, identifier, sentence):
    text = make_card(changed(protocol={"pretrained": pretrained}), with_picture=False)
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert metadata["license"] == identifier
    assert ("license_name" in metadata) == (identifier == "other")
    several = pretrained is not None and ", " in pretrained
    assert metadata.get("base_model") == (pretrained.split(", ") if several else pretrained)
    assert "- **Code**: Apache-2.0." in text
    assert "- **Data**: EuroMineNet, CC-BY-4.0" in text
    assert sentence in text


def test_a_folder_that_training_began_from_is_named_alone(tmp_path: Path):
    (tmp_path / "weights").mkdir()
    text = make_card(changed(protocol={"pretrained": str(tmp_path / "weights")}), with_picture=False)
    assert str(tmp_path) not in text
    assert "training started from `weights`; its licence is unknown. Check it" in text


def test_the_licence_of_every_checkpoint_to_start_from_is_known():
    classes = [*SEGMENTERS.values(), *CHANGE_DETECTORS.values()]
    checkpoints = {network.checkpoint for network in (*classes, *NATIVE_SEGMENTERS.values())} - {None}
    assert checkpoints
    assert checkpoints <= set(CHECKPOINTS)


@pytest.mark.parametrize("architecture", ["segformer-b0", "unet", "tinycd"])
def test_the_code_in_the_card_runs(architecture, tmp_path, tiny_segformer):
    task = "change-detection" if architecture == "tinycd" else "segmentation"
    model = tiny_segformer() if architecture == "segformer-b0" else create_model(architecture)
    model.save_pretrained(tmp_path)
    EuroMineImageProcessor().save_pretrained(tmp_path)
    code = usage(changed(task=task, model={"folder": str(tmp_path)}))
    # Four years do as well as ten.
    names: dict[str, Any] = {}
    exec(code.replace("(10, 10, 160, 160)", "(4, 10, 64, 64)"), names)
    if task == "segmentation":
        assert names["footprint"].shape == (160, 160)
    else:
        assert names["change"].shape == (6, 64, 64)
    assert isinstance(names["model"], torch.nn.Module)


def test_card_and_picture_are_written(tmp_path: Path):
    write_card(tmp_path, RESULTS, b"picture")
    assert (tmp_path / "predictions.png").read_bytes() == b"picture"
    assert ModelCard.load(tmp_path / "README.md").data.library_name == "transformers"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "predictions.png"]
