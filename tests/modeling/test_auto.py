"""Names, creation by name and transformers' Auto classes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSemanticSegmentation

from euromine.modeling import (
    BANDS,
    CHANGE_DETECTION,
    SEGMENTATION,
    SERIES,
    AutoModelForChangeDetection,
    create_model,
    list_models,
)
from euromine.modeling.auto import CHANGE_DETECTORS, SEGMENTERS, published_weights

SEGMENTATION_NAMES = {
    *("deeplabv3-mobilevitv2", "deeplabv3plus-resnet101", "deeplabv3plus-mobilenetv2", "linknet"),
    *("mask2former-swin-base", "unet", "upernet-convnext-base", "upernet-swin-base", "pspnet", "sqnet"),
    *("segformer-b0", "segformer-b1", "segformer-b2", "segformer-b3", "segformer-b4", "segformer-b5"),
}
CHANGE_NAMES = {
    *("a2net", "afcf3d", "bit", "cgnet", "changeformer", "dminet", "dtcdscn", "fc-ef", "fcnpp", "hanet"),
    *("hcgmnet", "icifnet", "mspsnet", "rdpnet", "resunet", "snunet", "siamunet-conc", "siamunet-diff"),
    *("tfi-gr", "tinycd"),
}

SERIES_NAMES = {
    *("euromine-series-b0", "euromine-series-b1", "euromine-series-b2", "euromine-series-convnext-tiny"),
    *("euromine-series-resnet50", "utae"),
}


def test_the_names_are_the_benchmarks() -> None:
    assert list_models(SEGMENTATION) == sorted(SEGMENTATION_NAMES)
    assert set(list_models(CHANGE_DETECTION)) <= CHANGE_NAMES
    assert set(list_models(SERIES)) == SERIES_NAMES
    assert list_models() == sorted(
        name for task in (SEGMENTATION, CHANGE_DETECTION, SERIES) for name in list_models(task)
    )


@pytest.mark.parametrize("name", list_models())
def test_every_network_is_built_for_the_bands_asked_for(name: str) -> None:
    with torch.device("meta"):
        network = create_model(name, bands=["B08", "VV", "DEM"])
    assert list(network.config.bands) == ["B08", "VV", "DEM"]
    assert network.config.num_channels == 3
    assert network.config.num_labels == 2
    assert network.config.id2label[1] == ("change" if name in CHANGE_NAMES else "mine")
    assert network.training


@pytest.mark.parametrize(
    ("fields", "bands"),
    [
        ({}, list(BANDS)),
        ({"num_channels": 10}, list(BANDS)),
        ({"num_channels": 2}, ["band_1", "band_2"]),
        ({"bands": ("B04",), "num_channels": 1}, ["B04"]),
    ],
)
@pytest.mark.parametrize("name", ["segformer-b0", "tinycd"])
def test_bands_follow_from_what_is_given(name: str, fields: dict[str, Any], bands: list[str]) -> None:
    with torch.device("meta"):
        assert list(create_model(name, **fields).config.bands) == bands


@pytest.mark.parametrize("model_class", [*SEGMENTERS.values(), *CHANGE_DETECTORS.values()])
def test_model_types_cannot_collide_with_transformers_own(model_class: Any) -> None:
    config_class = model_class.config_class
    assert config_class.model_type.startswith("euromine_")
    assert type(AutoConfig.for_model(config_class.model_type)) is config_class


def test_model_types_are_the_names() -> None:
    for name, model_class in {**SEGMENTERS, **CHANGE_DETECTORS}.items():
        assert model_class.config_class.model_type == f"euromine_{name}"


@pytest.mark.parametrize(
    ("name", "fields", "sentence"),
    [
        (
            "segformer",
            {},
            r"name: found unknown architecture 'segformer' \(did you mean segformer-b.*\?\); expected one of",
        ),
        ("TinyCDs", {}, r"'TinyCDs' \(did you mean tinycd"),
        ("xxxxxxxxxxx", {}, "'xxxxxxxxxxx'; expected one of a2net, afcf3d, "),
        ("segformer-b0", {"bands": ["B4"]}, "unknown band 'B4'"),
        (
            "tinycd",
            {"bands": ["B04"], "num_channels": 2},
            "num_channels: found 2; expected 1, the number of bands: B04",
        ),
        (
            "segformer-b0",
            {"bands": ["B04"], "num_channels": 2},
            "num_channels: found 2; expected 1, the number of bands: B04",
        ),
        (
            "segformer-b0",
            {"depth": [1]},
            r"b0: found unknown field 'depth' \(did you mean depths.*\); expected fields of SegformerConfig",
        ),
        ("tinycd", {"auxilary_loss_weight": 1}, r"\(did you mean auxiliary_loss_weight"),
        ("segformer-b0", {"batch_norm_momentum": 0.1}, "found unknown field 'batch_norm_momentum'"),
        (
            "segformer-b0",
            {"depths": "x"},
            r"^segformer-b0: found fields \{'depths': 'x'\} with which no network .*'depths'.*; expected",
        ),
        ("segformer-b0", {"depths": [1]}, r"found fields \{'depths': \[1\]\} .* \(IndexError: .*; expected"),
        ("segformer-b0", {"decoder_hidden_size": -1}, r"no network can be made \(RuntimeError: .*; expected"),
        ("unet", {"widths": 5}, r"^unet: found fields \{'widths': 5\} .*; expected values like those"),
        ("euromine-series-b0", {"encoder_fields": {"depths": [1]}}, r"no network can be made \(IndexError"),
        (
            "segformer-b0",
            {"stem_init": "mean"},
            "stem_init: found 'mean'; expected one of semantic, cyclic, random",
        ),
    ],
)
def test_what_cannot_be_created_is_refused_with_a_sentence(
    name: str, fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        create_model(name, **fields)


def test_an_unknown_task_is_refused_with_a_sentence() -> None:
    with pytest.raises(
        ValueError,
        match=r"^task: found 'detection'; expected 'segmentation', 'change-detection', 'series' or None",
    ):
        list_models("detection")


def test_a_change_detector_comes_back_through_both_auto_classes(tmp_path: Path) -> None:
    network = create_model("tinycd", bands=["B04", "B08"]).eval()
    network.save_pretrained(tmp_path)
    images = torch.randn(1, 2, 2, 32, 32)
    for auto_class in (AutoModel, AutoModelForChangeDetection):
        loaded = auto_class.from_pretrained(tmp_path)
        assert type(loaded) is type(network)
        torch.testing.assert_close(loaded(images).logits, network(images).logits)


def test_a_segmenter_of_ours_comes_back_through_both_auto_classes(tmp_path: Path) -> None:
    network = create_model("sqnet", bands=["B04", "B08"]).eval()
    network.save_pretrained(tmp_path)
    images = torch.randn(1, 2, 32, 32)
    for auto_class in (AutoModel, AutoModelForSemanticSegmentation):
        loaded = auto_class.from_pretrained(tmp_path)
        assert type(loaded) is type(network)
        torch.testing.assert_close(loaded(images).logits, network(images).logits)


def test_the_configuration_alone_is_refused_by_the_auto_class_of_the_other_task() -> None:
    with torch.device("meta"):
        config = create_model("tinycd").config
    with pytest.raises(ValueError, match="Unrecognized configuration class"):
        AutoModelForSemanticSegmentation.from_config(config)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("segformer-b0", ("nvidia/segformer-b0-finetuned-ade-512-512",)),
        ("mask2former-swin-base", ("facebook/mask2former-swin-base-ade-semantic",)),
        ("icifnet", ("timm/resnet18.tv_in1k", "timm/pvt_v2_b1.in1k")),
        ("fc-ef", ()),
    ],
)
def test_a_name_tells_which_published_weights_there_are(name, expected):
    with torch.device("meta"):
        assert published_weights(name, create_model(name)) == expected
