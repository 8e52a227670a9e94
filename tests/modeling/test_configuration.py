"""Configurations: which bands, how many channels, and that JSON keeps all of it."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModel

from euromine.modeling.auto import create_model
from euromine.modeling.bands import BANDS, KNOWN_BANDS, checked_bands
from euromine.modeling.configuration import ChangeDetectionConfig, MultispectralConfig, SegmentationConfig
from euromine.modeling.fc_ef import FCEFForChangeDetection


def test_the_bands_are_those_of_the_archive_and_sentinel_2_knows_them_all() -> None:
    assert ",".join(BANDS) == "B02,B03,B04,B05,B06,B07,B08,B8A,B11,B12"
    sentinel_2 = {f"B{number:02}" for number in range(1, 13)} | {"B8A"}
    assert sentinel_2 == {band for band in KNOWN_BANDS if band.startswith("B")}
    assert len(KNOWN_BANDS) == len(set(KNOWN_BANDS)) == 16


@pytest.mark.parametrize(
    ("given", "bands"),
    [
        ({}, BANDS),
        ({"num_channels": 10}, BANDS),
        ({"bands": ["B08", "B04"]}, ("B08", "B04")),
        ({"bands": ["VV", "VH", "DEM"], "num_channels": 3}, ("VV", "VH", "DEM")),
        ({"num_channels": 3}, ("band_1", "band_2", "band_3")),
        ({"num_channels": 20}, tuple(f"band_{number}" for number in range(1, 21))),
    ],
)
def test_the_number_of_channels_follows_from_the_bands(given: dict[str, Any], bands: tuple[str, ...]) -> None:
    config = MultispectralConfig(**given)
    assert config.bands == bands
    assert config.num_channels == len(bands)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"bands": "B04"}, "a list such as"),
        ({"bands": []}, "at least one band"),
        ({"num_channels": 0}, "at least one band"),
        ({"bands": ["b8"]}, "did you mean B"),
        ({"bands": ["red"]}, "unknown band 'red'"),
        ({"bands": ["band_x"]}, "unknown band 'band_x'"),
        ({"bands": [4]}, "unknown band 4"),
        ({"bands": ["B04", "B04", "B03"]}, "found B04 more than once"),
        (
            {"bands": ["B04"], "num_channels": 2},
            "num_channels: found 2; expected 1, the number of bands: B04",
        ),
    ],
)
def test_bands_that_cannot_be_are_refused_with_a_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MultispectralConfig(**given)


def test_checked_bands_makes_a_tuple_of_what_it_gets() -> None:
    assert checked_bands(iter(["B04", "band_7"])) == ("B04", "band_7")


def test_the_classes_of_each_task_have_names() -> None:
    assert SegmentationConfig().id2label == {0: "background", 1: "mine"}
    assert ChangeDetectionConfig().label2id == {"no change": 0, "change": 1}


def test_other_classes_keep_their_own_names() -> None:
    assert SegmentationConfig(num_labels=3).num_labels == 3
    assert "mine" not in SegmentationConfig(num_labels=3).id2label.values()
    assert SegmentationConfig(id2label={0: "land", 1: "pit", 2: "dump"}).num_labels == 3


@pytest.mark.parametrize("config_class", [SegmentationConfig, ChangeDetectionConfig])
def test_a_saved_configuration_comes_back_equal(
    config_class: type[MultispectralConfig], tmp_path: Path
) -> None:
    config = config_class(bands=["B11", "VV"], stem_init="cyclic", semantic_loss_ignore_index=9)
    config.save_pretrained(tmp_path)
    loaded = config_class.from_pretrained(tmp_path)
    assert loaded.to_dict() == config.to_dict()
    assert loaded.bands == ("B11", "VV")
    assert loaded.num_channels == 2


@pytest.mark.parametrize("name", ["fc-ef", "linknet", "segformer-b0"])
@pytest.mark.parametrize(
    "given",
    [
        {"num_channels": 4},
        {"bands": ["B04", "B03", "B02", "B08"]},
        # As many, in another order: the weights would silently be taken for other bands.
        {"bands": list(reversed(BANDS))},
    ],
)
def test_other_bands_than_a_checkpoints_are_refused_however_they_are_given(
    name: str, given: dict[str, Any], tmp_path: Path
) -> None:
    network = create_model(name)
    network.save_pretrained(tmp_path)
    # For SegFormer the Auto classes take transformers' own network.
    classes: list[Any] = [type(network)] if name == "segformer-b0" else [type(network), AutoModel]
    for each in classes:
        with pytest.raises(ValueError, match=r"expected (the number of bands|those of)"):
            each.from_pretrained(tmp_path, ignore_mismatched_sizes=True, **given)
        same = each.from_pretrained(tmp_path, bands=list(BANDS), num_channels=10)
        assert list(same.config.bands) == list(BANDS)


def test_a_changed_number_of_channels_makes_no_network() -> None:
    config = create_model("fc-ef").config
    config.num_channels = 4
    with pytest.raises(ValueError, match="num_channels: found 4 with 10 bands"):
        FCEFForChangeDetection(config)
