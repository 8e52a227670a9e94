"""What the manifest says of a model, from the files beside its weights."""

import json

import pytest

from euromine.modeling import SEGMENTATION
from euromine.monitoring.history.checkpoint_records import model_record
from euromine.monitoring.mapping.loading import LoadedModel

RESULTS = {
    "task": "segmentation",
    "architecture": "segformer-b0",
    "model": {"repository": None, "folder": "runs/x", "class": "Segmenter", "parameters": 5},
    "scores": {
        "validation": {"of1": 0.5, "of1_pooled": 0.6, "gca_tiou": None, "other": 1.0},
        "test": {"of1": 0.7, "gca_tiou": 0.8, "other": 1.0},
    },
    "training": {
        "steps": 1,
        "epochs": 1.0,
        "best_step": None,
        "selected_by": None,
        "batch_size": 1,
        "precision": "float32",
        "arguments": {},
    },
    "protocol": {
        "dataset": "runs/my_dataset",
        "dataset_revision": None,
        "simulated": True,
        "digest": "abc",
        "sites": {"train": ["A"], "test": ["B", "C"]},
        "years": None,
        "bands": ["B02"],
        "statistics": "corrected",
        "recipe": "default",
        "augmentation": True,
        "protocol": "corrected",
        "average": "site",
        "pretrained": None,
    },
    "versions": {},
    "hardware": "cpu",
}


@pytest.fixture
def trained(mapper, tmp_path) -> LoadedModel:
    folder = tmp_path / "my-model"
    folder.mkdir()
    return LoadedModel(str(folder), SEGMENTATION, mapper.model, mapper.image_processor)


def test_a_model_has_the_scores_of_its_run(trained, tmp_path):
    (tmp_path / "my-model" / "metrics.json").write_text(json.dumps(RESULTS), encoding="utf-8")
    record = model_record(trained, "0123456789abcdef0123", None)
    assert (record.source, record.architecture, record.digest) == (
        "my-model",
        "segformer-b0",
        "0123456789abcdef",
    )
    assert (record.simulated, record.dataset) == (True, "my_dataset")
    assert (record.scored_split, record.scored_sites) == ("test", 2)
    assert record.scores == {"of1": 0.7, "gca_tiou": 0.8}


def test_a_component_model_has_the_scores_of_its_components(trained, tmp_path):
    scores = {"macro_iou": 0.4, "pooled_iou": 0.5, "transformed_area_iou": 0.7, "macro_iou_rock": 0.1}
    results = {**RESULTS, "scores": {"test": scores}}
    (tmp_path / "my-model" / "metrics.json").write_text(json.dumps(results), encoding="utf-8")
    record = model_record(trained, "0123456789abcdef0123", None)
    assert record.scores == {"macro_iou": 0.4, "pooled_iou": 0.5, "transformed_area_iou": 0.7}


def test_a_model_without_a_run_has_none(trained, caplog):
    record = model_record(trained, "0123", None)
    assert (record.architecture, record.simulated, record.dataset) == ("segformer", None, None)
    assert (record.scores, record.scored_split, record.scored_sites) == ({}, None, None)
    assert not caplog.text


@pytest.mark.parametrize("text", ["{", "{}", json.dumps({**RESULTS, "scores": 1})])
def test_damaged_results_are_left_out_with_a_warning(trained, tmp_path, caplog, text):
    (tmp_path / "my-model" / "metrics.json").write_text(text, encoding="utf-8")
    assert model_record(trained, "0123", None).scores == {}
    assert "metrics.json: found " in caplog.text
    assert "The report shows no scores of this model." in caplog.text
