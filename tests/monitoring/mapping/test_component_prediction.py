"""Components over scenes, by networks whose classes are set by hand."""

import numpy as np
import pytest
import rasterio
import torch
from torch import nn
from typer.testing import CliRunner

from euromine.commands import app
from euromine.dataset_script.label_groups import COMPONENT_COLOURS
from euromine.modeling import SEGMENTATION, create_model
from euromine.monitoring.mapping.component_groups import component_groups
from euromine.monitoring.mapping.component_prediction import predict_components
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.model_export import CompleteNetwork
from euromine.monitoring.mapping.prediction import mine_probability, predict_probability
from euromine.monitoring.scenes.scene import open_scene
from euromine.support.errors import ModelError

GROUPS = {
    "ground": ["excavation"],
    "deposits": ["dumping_ground", "stockpile"],
    "transformed_area": ["any component"],
}
BANDS = ("B02", "B03", "B04", "B08")

PLAIN = {"PROCESSING_BASELINE": "03.01"}


def whole(model, processor, path, **layout):
    with open_scene(path) as scene:
        blocks = list(predict_components(model, processor, scene, **layout))
        assert [int(block.window.row_off) for block in blocks] == list(
            np.cumsum([0, *(len(block.probability) for block in blocks[:-1])])
        )
    return (
        np.concatenate([block.probability for block in blocks]),
        np.concatenate([block.maps for block in blocks], axis=1),
    )


@pytest.mark.parametrize("layout", [{"window": 64, "overlap": 16}, {"window": 128, "overlap": 0}])
def test_each_pixel_gets_the_class_that_its_bands_call_for(
    band_components, raw_processor, write_scene, layout
) -> None:
    random = np.random.default_rng(5)
    image = random.integers(1, 1000, (4, 150, 90)).astype(np.uint16)
    image[:, 40:60, 20:30] = 0  # no data
    path = write_scene("scene.tif", image, names=BANDS, nodata=0, tags=PLAIN)
    probability, maps = whole(band_components(), raw_processor(BANDS), path, **layout)
    missing = (image == 0).all(axis=0)
    ground, dump, heap, total = image.astype(int) - 500
    expected = np.stack([ground > 0, np.where((dump > 0) & (dump >= heap), 1, np.where(heap > 0, 2, 0))])
    expected[:, missing] = 255
    near = (abs(ground) < 2) | (abs(dump) < 2) | (abs(heap) < 2) | (abs(dump - heap) < 2)
    assert maps.dtype == np.uint8
    assert (maps == expected)[:, ~near].all()
    assert np.isnan(probability[missing]).all()
    assert ((probability > 0.5) == (total > 0))[~missing & (abs(total) > 1)].all()


def test_the_probability_of_any_component_is_that_of_the_footprint(
    band_components, raw_processor, write_scene, digital_numbers
) -> None:
    path = write_scene("scene.tif", digital_numbers(80, 70)[:4], names=BANDS, tags=PLAIN)
    for groups in (GROUPS, {name: GROUPS[name] for name in ("ground", "deposits")}):
        model = band_components(groups)
        probability, maps = whole(model, raw_processor(BANDS), path, window=64, overlap=32)
        with open_scene(path) as scene:
            blocks = predict_probability(model, raw_processor(BANDS), scene, window=64, overlap=32)
            footprint = np.concatenate([rows for _, rows in blocks])
        np.testing.assert_array_equal(probability, footprint)
    # Without a total, ground is mined where any group has a class that is likelier than not.
    sure = (maps > 0).any(axis=0)
    assert (probability > 0.5)[sure & (probability != 0.5)].mean() > 0.9
    assert not (probability[~sure] > 2 / 3).any()


def test_groups_are_in_the_order_of_the_model_with_the_total_apart(band_components) -> None:
    groups = component_groups(band_components())
    assert groups is not None
    assert (list(groups.groups), groups.total) == (["ground", "deposits"], "transformed_area")
    assert component_groups(nn.Identity()) is None


@pytest.fixture
def alone():
    """Makes a mapper of one group, as `train_seg.py --group` trains one, with fresh weights."""

    def mapper(classes, label_group=None):
        torch.manual_seed(4)
        names = dict(enumerate(("none", *classes)))
        model = create_model("unet", bands=BANDS, widths=(4, 4, 4, 4, 4), id2label=names).eval()
        if label_group is not None:
            model.config.label_group = label_group
        return model

    return mapper


def test_a_mapper_of_one_group_is_a_component_model(alone) -> None:
    deposits = ("dumping_ground", "stockpile")
    for name, expected in (("heaps", "heaps"), (None, "deposits")):  # the name is that of the preset's group
        groups = component_groups(alone(deposits, name))
        assert (dict(groups.groups), groups.total) == ({expected: deposits}, None)
    assert list(component_groups(alone(("dam", "outcrop"))).groups) == ["components"]
    assert component_groups(alone(("any component",), "transformed_area")) is None  # a footprint mapper
    assert component_groups(alone(("mine",))) is None
    with pytest.raises(ModelError, match="found the class 'moat'"):
        component_groups(alone(("moat",), "water"))


def test_a_mapper_of_one_group_maps_the_classes_of_its_softmax(
    alone, raw_processor, write_scene, tmp_path
) -> None:
    model, processor = alone(("dumping_ground", "stockpile"), "heaps"), raw_processor(BANDS)
    image = np.random.default_rng(8).integers(1, 9, (4, 64, 64)).astype(np.uint16)
    path = write_scene("scene.tif", image, names=BANDS, tags=PLAIN)
    with torch.no_grad():
        shares = model(pixel_values=torch.from_numpy(image.astype(np.float32))[None]).logits.softmax(1)[0]
    probability, maps = whole(model, processor, path, window=64, overlap=0)
    np.testing.assert_array_equal(maps[0], shares.argmax(0))
    np.testing.assert_allclose(probability, 1 - shares[0], atol=1e-6)
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    arguments = [str(tmp_path / "model"), str(path), "--out", str(tmp_path / "maps")]
    outcome = CliRunner().invoke(app, ["predict", *arguments, "--window", "64", "--overlap", "0"])
    assert outcome.exit_code == 0, outcome.output
    with rasterio.open(tmp_path / "maps" / "scene_components_heaps.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), maps[0])
        names = [dataset.tags(1)[f"CLASS_{value}"] for value in range(3)]
    assert names == ["none", "dumping_ground", "stockpile"]
    with pytest.raises(ModelError, match="found a component model; expected a footprint mapper"):
        CompleteNetwork(LoadedModel("runs/heaps", SEGMENTATION, model, processor))


def test_groups_without_a_meaning_are_refused(band_components, raw_processor) -> None:
    model = band_components({"ground": ["moat"], "deposits": ["dumping_ground", "stockpile"]})
    with pytest.raises(
        ModelError,
        match=r"found the class 'moat'; expected a component class\. .*Train it with --label_groups",
    ):
        mine_probability(model, torch.zeros(1, 4, 32, 32))


def test_other_models_are_no_component_models(network, raw_processor, write_scene, digital_numbers) -> None:
    path = write_scene("scene.tif", digital_numbers(40, 40))
    model = network(lambda pixel_values: pixel_values[:, 0])
    with (
        open_scene(path) as scene,
        pytest.raises(ModelError, match="found a pointwise; expected"),
    ):
        next(predict_components(model, raw_processor(), scene))


def test_a_checkpoint_of_architecture_gives_one_map_a_group() -> None:
    torch.manual_seed(1)
    model = create_model("unet", bands=BANDS, widths=(4, 4, 4, 4, 4), label_groups=GROUPS).eval()
    values = torch.randn(2, 4, 32, 48)
    probability = mine_probability(model, values)
    logits = model(pixel_values=values).logits
    expected = logits[:, -1].sub(logits[:, -2]).sigmoid()
    torch.testing.assert_close(probability, expected.detach())


def test_predict_writes_a_map_a_group_with_names_and_colours(
    band_components, raw_processor, write_scene, tmp_path
) -> None:
    band_components().save_pretrained(tmp_path / "model")
    raw_processor(BANDS).save_pretrained(tmp_path / "model")
    image = np.full((4, 40, 40), 300, np.uint16)
    image[0, :20], image[1, :10], image[2, 10:30], image[3, :30] = 900, 800, 700, 600
    write_scene("Year2020.tif", image, names=BANDS, tags=PLAIN)
    arguments = [str(tmp_path / "model"), str(tmp_path / "Year2020.tif"), "--out", str(tmp_path / "maps")]
    for _ in range(2):  # the second run keeps the maps
        outcome = CliRunner().invoke(app, ["predict", *arguments])
        assert outcome.exit_code == 0, outcome.output
    names = {path.name for path in (tmp_path / "maps").iterdir() if not path.name.startswith(".")}
    stems = ("footprint", "components_ground", "components_deposits")
    assert names == {f"Year2020_{stem}.{suffix}" for stem in stems for suffix in ("tif", "qml")}
    found = {}
    for stem in stems:
        with rasterio.open(tmp_path / "maps" / f"Year2020_{stem}.tif") as dataset:
            found[stem] = dataset.read(1)
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            tags, colours = dataset.tags(1), dataset.colormap(1)
    assert [tags[f"CLASS_{value}"] for value in (0, 1, 2)] == ["none", "dumping_ground", "stockpile"]
    assert "#{:02x}{:02x}{:02x}".format(*colours[2][:3]) == COMPONENT_COLOURS["stockpile"]
    rows = {stem: values[:, 0].tolist() for stem, values in found.items()}
    assert rows == {
        "footprint": [1] * 30 + [0] * 10,
        "components_ground": [1] * 20 + [0] * 20,
        "components_deposits": [1] * 10 + [2] * 20 + [0] * 10,
    }
