"""Networks for components are trained, resumed, scored and described."""

import json
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForSemanticSegmentation, EvalPrediction, TrainingArguments

from euromine import train_seg
from euromine.dataset_script.label_groups import COMPONENT_CLASSES, LabelGroups
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.shards import build_dataset
from euromine.modeling.auto import create_model
from euromine.modeling.component_segmenter import ComponentSegmenter
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.simulation.simulated_archive import simulate_archive
from euromine.training import checkpoints
from euromine.training.collation import SeriesCollator
from euromine.training.component_cards import component_score_names
from euromine.training.component_scores import ComponentScores
from euromine.training.component_trainer import ComponentTrainer
from euromine.training.recipes import COMMON

YEARS = (2016, 2018)
BANDS = "B04,B03,B08,VV,VH"
TINY = json.dumps(
    {
        "hidden_sizes": [8, 8, 8, 8],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 1, 1],
        "decoder_hidden_size": 16,
    }
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five simulated sites over two years; one training year has no radar image."""
    folder = tmp_path_factory.mktemp("simulated")
    archive = simulate_archive(
        folder / "archive",
        sites=5,
        size=(160, 160),
        years=YEARS,
        components=True,
        radar=True,
        workers=1,
        progress=False,
    )
    splits = json.loads((archive / "splits.json").read_text())
    (archive / "EuroMineNet" / splits["train"][0] / "radar" / "Year2018.tif").unlink()
    return build_dataset(
        archive, folder / f"shards_{uuid4().hex}", splits=archive / "splits.json", workers=1, progress=False
    )


def train(dataset: Path, folder: Path, **options):
    arguments = {
        "dataset": dataset,
        "architecture": "segformer-b0",
        "config_overrides": TINY,
        "label_groups": "preset",
        "output_dir": folder,
        "max_steps": 8,
        "logging_steps": 2,
        "learning_rate": 0.02,
        "eval_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        **options,
    }
    argv: list[str] = []
    for name, value in arguments.items():
        argv += [f"--{name}", *map(str, value if isinstance(value, tuple) else (value,))]
    return train_seg.main(argv)


def test_heads_are_trained_on_radar_and_resumed_to_the_same_weights(dataset, tmp_path, caplog):
    results = train(dataset, tmp_path / "run", bands=BANDS, save_steps=4)
    assert "1 image of 10, at 1 site, without radar" in caplog.text
    groups = LabelGroups.preset()
    assert results.protocol.label_groups == {name: list(each) for name, each in groups.classes.items()}
    assert results.protocol.bands == BANDS.split(",")
    losses = [log["loss"] for log in results.history if "loss" in log]
    assert losses[-1] < 0.9 * losses[0]

    processor = EuroMineImageProcessor.from_pretrained(tmp_path / "run")
    assert processor.source_bands[-2:] == ["VV", "VH"]
    radar = [np.asarray(row["radar"]).astype(float) for row in read_dataset(dataset, "components")["train"]]
    known = np.concatenate([each[0].ravel() for each in radar if each.min() > -32_768])
    np.testing.assert_allclose([processor.mean[3], processor.std[3]], [known.mean(), known.std()], rtol=1e-5)

    card = ModelCard.load(tmp_path / "run" / "README.md")
    assert "mine-components" in card.data.tags
    for words in ("simulated data", "deposits (dumping_ground, stockpile)", "B04, B03, B08, VV, VH"):
        assert words in card.text
    model = ComponentSegmenter.from_pretrained(tmp_path / "run").eval()
    assert list(model.groups) == list(groups.names)
    # The scores again, from the saved network's maps and the rows; the one test site has one patch.
    hits = sizes = 0
    for row in read_dataset(dataset, "components")["test"]:
        image = np.concatenate([row["image"], row["radar"]])
        found = model.predict_maps(processor(image, return_tensors="pt").pixel_values)[0, -1].numpy() == 1
        truth = np.asarray(row["components"]) > 0
        hits, sizes = hits + (found & truth).sum(), sizes + (found | truth).sum()
    assert results.scores["test"]["transformed_area_iou"] == pytest.approx(hits / sizes, abs=1e-3)

    # As after a kill: the second half again, from the checkpoint of the first.
    checkpoints.remove(tmp_path / "run" / "metrics.json")
    checkpoints.remove(tmp_path / "run" / "checkpoint-8")
    again = train(dataset, tmp_path / "run", bands=BANDS, save_steps=4)
    assert "Resuming from" in caplog.text
    assert again.scores == results.scores
    resumed = ComponentSegmenter.from_pretrained(tmp_path / "run").state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in model.state_dict().items())


def test_one_group_is_an_ordinary_mapper_of_chosen_sites(dataset, tmp_path):
    sites = read_dataset(dataset, "components", columns=("site", "mine_type"))["train"].with_format(None)
    mine_type = sites["mine_type"][0]
    wanted = {site for site, each in zip(sites["site"], sites["mine_type"], strict=True) if each == mine_type}
    results = train(dataset, tmp_path, group="ground", where=f"mine_type={mine_type}", max_steps=1)
    assert set(results.protocol.sites["train"]) == wanted
    assert results.protocol.where == {"mine_type": [mine_type]}
    model = AutoModelForSemanticSegmentation.from_pretrained(tmp_path)
    assert model.config.id2label == {0: "none", 1: "preparatory_works", 2: "excavation"}
    assert model.config.label_group == "ground"
    if "test" in results.details:
        iou = results.details["test"]["component_iou"]["iou"]
        # Classes of other groups are unknown to it.
        assert all(np.isnan(value) for value in iou[2:])


def test_radar_is_refused_where_no_year_has_any(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("euromine.training.component_data.lacks_radar", lambda row: True)
    with pytest.raises(SystemExit):
        train(dataset, tmp_path, bands="B04,VH")
    assert "--bands: found VV or VH, but no radar image in" in capsys.readouterr().err


def test_years_without_components_are_refused(dataset, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train(dataset, tmp_path, years=(2016, 2017))
    assert "--years: found 2017, without images in" in capsys.readouterr().err


def test_the_parts_of_a_batch_share_the_known_pixels_of_each_group(tmp_path):
    groups = {"rock": ["outcrop"], "area": ["any component"]}
    model = create_model("segformer-b0", label_groups=groups, **json.loads(TINY))
    trainer = ComponentTrainer(
        model,
        TrainingArguments(output_dir=str(tmp_path), use_cpu=True, disable_tqdm=True, **COMMON),
        image_processor=EuroMineImageProcessor(),
        train_dataset=[{}],
        collator=SeriesCollator(),
        scores=ComponentScores(LabelGroups({"rock": ("outcrop",)}, "area"), []),
    )
    labels = torch.zeros(2, 2, 4, 4, dtype=torch.uint8)
    labels[0, 0, :3] = 255
    counts = trainer._get_num_items_in_batch([{"labels": labels}, {"labels": labels}], torch.device("cpu"))
    # Rock has 32 - 12 known pixels in each part, the total all 32.
    assert counts.tolist() == [40, 64]


def test_scores_of_maps_by_hand():
    """One patch of one year and four pixels: each group's classes, the total and what is unknown."""
    groups = LabelGroups({"rock": ("outcrop",), "deposits": ("dumping_ground", "stockpile")}, "area")
    scores = ComponentScores(groups, ["Spain_1"])
    dump, stockpile, outcrop = (
        1 << COMPONENT_CLASSES.index(name) for name in ("dumping_ground", "stockpile", "outcrop")
    )
    references = np.array([[[[dump, dump | outcrop, stockpile, 0, 1 << 15]]]], np.int32)
    # (batch, years, groups, height, width): rock, deposits, area.
    maps = np.array([[[[[0, 1, 1, 0, 1]], [[1, 2, 2, 0, 1]], [[1, 1, 0, 0, 1]]]]], np.uint8)
    found = scores(EvalPrediction(maps, (references, np.array([0]), np.array([[2020]]))))
    iou = dict(zip(COMPONENT_CLASSES, scores.details["component_iou"]["iou"], strict=True))
    # The last pixel is not annotated.
    assert (iou["outcrop"], iou["dumping_ground"], iou["stockpile"]) == (0.5, 0.5, 0.5)
    assert np.isnan(iou["excavation"])
    assert (found["macro_iou"], found["macro_iou_rock"]) == (0.5, 0.5)
    assert found["area_iou"] == pytest.approx(2 / 3)


def test_the_total_alone_is_scored_as_the_one_class_that_there_is():
    scores = ComponentScores(LabelGroups({}, "area"), ["Spain_1"])
    references = np.array([[[[2, 4, 0, 1 << 15]]]], np.int32)
    maps = np.array([[[[[1, 0, 1, 1]]]]], np.uint8)
    found = scores(EvalPrediction(maps, (references, np.array([0]), np.array([[2020]]))))
    assert found == {"macro_iou": pytest.approx(1 / 3), "macro_f1": 0.5, "of1": 0.5}
    headlines = component_score_names(
        SimpleNamespace(label_groups={"area": ["any component"]})  # all that it reads
    )
    assert headlines["macro_iou"][0] == "Mean IoU of the classes"
