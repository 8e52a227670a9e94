"""The pipeline: scenes in several forms, mapped by transformers' own call."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio import Affine
from transformers import pipeline

import euromine.monitoring.pipeline as module
from euromine.modeling import EuroMineImageProcessor, create_model
from euromine.monitoring.scenes.scene import open_scene
from euromine.support.errors import EuroMineError

HEIGHT, WIDTH = 64, 96
# One window over the whole scene: what a plain call of the network sees.
PLAIN = {"window": 96, "overlap": 0}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(1)
    create_model(
        "segformer-b0",
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
    ).save_pretrained(folder)
    EuroMineImageProcessor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(300, 3000, (10, HEIGHT, WIDTH)).astype(np.int16)


@pytest.fixture(scope="module")
def scene(image, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "image" / "Year2016.tif"
    path.parent.mkdir()
    profile = {"driver": "GTiff", "count": 10, "height": HEIGHT, "width": WIDTH, "dtype": "int16"}
    affine = Affine(20, 0, 500_000, 0, -20, 5_100_000)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=affine, **profile) as file:
        file.write(image)
    return path


@pytest.fixture(scope="module")
def mapped(checkpoint):
    return pipeline("mine-footprint", model=str(checkpoint), device="cpu")


def test_the_answer_is_the_networks_own(mapped, scene, image):
    found = mapped(str(scene), **PLAIN)
    with torch.no_grad():
        outputs = mapped.model(**mapped.image_processor(image, return_tensors="pt"))
    (probabilities,) = mapped.image_processor.post_process_semantic_segmentation(
        outputs, [(HEIGHT, WIDTH)], probabilities=True
    )
    np.testing.assert_allclose(found["probability"], probabilities[1].numpy(), atol=1e-5)
    threshold = float(np.median(found["probability"]))
    halved = mapped(str(scene), threshold=threshold, **PLAIN)
    np.testing.assert_array_equal(halved["mask"], found["probability"] > threshold)
    # Pixels of 20 m are 0.04 ha in the projection, which is 0.9996 times the ground at its central meridian.
    assert halved["area_ha"] == pytest.approx(0.04 / 0.9996**2 * halved["mask"].sum(), rel=1e-5)


def test_paths_datasets_scenes_and_arrays_are_mapped_alike(mapped, scene, image):
    expected = mapped(scene, **PLAIN)["probability"]
    with rasterio.open(scene) as dataset, open_scene(scene) as opened:
        for given in (str(scene), dataset, opened, image, torch.from_numpy(image), image.astype(np.float64)):
            np.testing.assert_array_equal(mapped(given, **PLAIN)["probability"], expected)
        # What came open stays open.
        assert not dataset.closed
    assert mapped(image, **PLAIN)["area_ha"] is None


def test_a_scene_of_another_level_than_the_models_is_warned_of(checkpoint, scene, image, caplog):
    processor = EuroMineImageProcessor(level="L1C")
    mapped = pipeline("mine-footprint", model=str(checkpoint), image_processor=processor, device="cpu")
    mapped(scene, level="l1c", **PLAIN)
    mapped(scene, **PLAIN)
    assert "trained on" not in caplog.text
    mapped(scene, level="l2a", **PLAIN)
    mapped(image, level="l2a", **PLAIN)
    assert caplog.text.count("image is L2A (surface reflectance), but the model was trained on L1C") == 2


def test_a_list_gives_a_list(mapped, scene, image):
    found = mapped([str(scene), str(scene)], **PLAIN)
    assert [each["mask"].shape for each in found] == [(HEIGHT, WIDTH)] * 2


def test_bands_in_another_order_are_found_by_name(mapped, image):
    bands = EuroMineImageProcessor().bands
    expected = mapped(image, **PLAIN)["probability"]
    found = mapped(image[::-1].copy(), bands=bands[::-1], **PLAIN)["probability"]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        mapped(image[::-1].copy(), bands=",".join(bands[::-1]), **PLAIN)["probability"], expected
    )


def test_pixels_without_data_are_unknown(mapped, image):
    holed = image.astype(np.float32)
    holed[3, :5, :7] = np.nan
    found = mapped(holed, **PLAIN)
    assert (found["mask"] == 255).sum() == np.isnan(found["probability"]).sum() == 35


@pytest.mark.parametrize(
    ("given", "options", "sentence"),
    [
        (3.5, {}, "scene: found a float; expected the path of a scene, an open dataset or an array"),
        (
            np.zeros((4, 8, 8)),
            {},
            r"image: found float64 \(4, 8, 8\); expected numbers \(10, height, width\)",
        ),
        (np.zeros((1, 8, 8)), {"bands": ["B04"]}, "image: found the bands B04; expected B02, .* as well"),
        ("nothing.tif", {}, r"nothing\.tif: found no readable file"),
        (np.zeros((10, 8, 8)), {"threshold": 2}, "threshold: found 2; expected a probability"),
        (
            np.zeros((10, 8, 8)),
            {"treshold": 0.5},
            "mine-footprint: found the option treshold; expected bands, ",
        ),
    ],
)
def test_what_is_no_scene_is_named(mapped, given, options, sentence):
    with pytest.raises(EuroMineError, match=sentence):
        mapped(given, **options)


def test_a_network_for_series_maps_a_scene_as_a_series_of_one_year(tmp_path, image):
    torch.manual_seed(2)
    model = create_model("utae", encoder_widths=(8, 16), decoder_widths=(8, 16), model_width=16, num_heads=4)
    model.save_pretrained(tmp_path)
    EuroMineImageProcessor().save_pretrained(tmp_path)
    found = pipeline("mine-footprint", model=str(tmp_path), device="cpu")(image, **PLAIN)
    with torch.no_grad():
        pixel_values = EuroMineImageProcessor()(image, return_tensors="pt").pixel_values
        expected = model.eval()(pixel_values.unsqueeze(1)).logits[0, 0, 1].exp()
    np.testing.assert_allclose(found["probability"], expected, atol=1e-5)


def test_registering_twice_is_fine(caplog):
    module.register()
    assert "already registered" not in caplog.text


def test_a_component_model_gives_a_mask_of_each_class_that_occurs(band_components, scene, tmp_path):
    bands = ("B02", "B03", "B04", "B08")
    band_components().save_pretrained(tmp_path)
    EuroMineImageProcessor(bands=bands, do_normalize=False).save_pretrained(tmp_path)
    mapped = pipeline("mine-footprint", model=str(tmp_path), device="cpu")
    image = np.full((4, HEIGHT, WIDTH), 300, np.float32)
    # The bands stand for excavation, dumping ground, stockpile and any component; no heap is higher.
    image[0, :20], image[1, 10:15, :30], image[3, :40] = 900, 800, 700
    image[:, -2:] = np.nan
    found = mapped(image, bands=bands, **PLAIN)
    assert found["mask"][:, 0].tolist() == [1] * 40 + [0] * 22 + [255] * 2
    parts = {(part["group"], part["label"]): part for part in found["components"]}
    assert list(parts) == [("ground", "excavation"), ("deposits", "dumping_ground")]
    for key, rows, columns in (
        (("ground", "excavation"), slice(0, 20), slice(None)),
        (("deposits", "dumping_ground"), slice(10, 15), slice(0, 30)),
    ):
        expected = np.zeros((HEIGHT, WIDTH), np.uint8)
        expected[rows, columns], expected[-2:] = 1, 255
        np.testing.assert_array_equal(parts[key]["mask"], expected)
        assert (parts[key]["score"], parts[key]["area_ha"]) == (None, None)
    for part in mapped(scene, **PLAIN)["components"]:
        hectares = 0.04 / 0.9996**2 * (part["mask"] == 1).sum()
        assert part["area_ha"] == pytest.approx(hectares, rel=1e-5)
