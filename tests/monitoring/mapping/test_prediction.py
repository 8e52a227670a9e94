"""Scenes through networks whose answer is known: exact constants, no seams, no borders, gaps kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor
from torch.nn import functional as F

from euromine.modeling import BANDS, EuroMineImageProcessor, create_model
from euromine.monitoring.mapping.prediction import (
    mine_probability,
    predict_probability,
)
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import ModelError

OPTIONS = SceneOptions(offset=0)
SIZES = [(1, 1), (2, 3), (31, 33), (64, 64), (97, 101), (160, 70), (203, 330)]
SMALL = {"window": 64, "overlap": 32}


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Torch's, which is another by a last bit for the last few numbers of an array that fill no vector."""
    filled = np.pad(logits, ((0, -len(logits) % 64), (0, 0)))
    values: NDArray[np.float32] = torch.from_numpy(filled).sigmoid().numpy()[: len(logits)]
    return values


def predicted(
    model: Any, processor: EuroMineImageProcessor, path: Path, **layout: int
) -> NDArray[np.float32]:
    """The whole probability of a scene, checked to come in rows that cover it once."""
    with open_scene(path, OPTIONS) as scene:
        rows = []
        for window, block in predict_probability(model, processor, scene, **layout):
            assert window == Window(0, sum(map(len, rows)), scene.grid.width, len(block))
            assert block.dtype == np.float32
            rows.append(block)
        found = np.concatenate(rows)
        assert found.shape == scene.grid.shape
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("batch_size", "answer"), [(1, 0.7), (3, 0.7), (1, 0.1), (1, 0.999), (1, 1 / 3)])
def test_a_network_that_answers_the_same_everywhere_gives_that_very_number(
    write_scene: Any,
    digital_numbers: Any,
    network: Any,
    logit_of: Any,
    size: tuple[int, int],
    batch_size: int,
    answer: float,
) -> None:
    model = network(lambda x: torch.full_like(x[:, 0], logit_of(answer)))
    path = write_scene("scene.tif", digital_numbers(*size))
    found = predicted(model, EuroMineImageProcessor(), path, batch_size=batch_size, **SMALL)
    assert np.unique(found).tolist() == [np.float32(answer)]


@pytest.mark.parametrize("resolution", [2, 3, 4, 32])
def test_so_does_one_whose_answer_is_coarser_than_the_image(
    write_scene: Any, digital_numbers: Any, network: Any, logit_of: Any, resolution: int
) -> None:
    model = network(lambda x: torch.full_like(x[:, 0, ::resolution, ::resolution], logit_of(0.7)))
    path = write_scene("scene.tif", digital_numbers(97, 130))
    assert np.unique(predicted(model, EuroMineImageProcessor(), path, **SMALL)).tolist() == [np.float32(0.7)]


@pytest.mark.parametrize("size", SIZES)
def test_a_network_that_looks_at_each_pixel_alone_shows_no_window(
    write_scene: Any, digital_numbers: Any, network: Any, raw_processor: Any, size: tuple[int, int]
) -> None:
    image = digital_numbers(*size)
    model = network(lambda x: x[:, 3] / 4000 - x[:, 9] / 3000)
    expected = sigmoid(image[3] / np.float32(4000) - image[9] / np.float32(3000))
    path = write_scene("scene.tif", image)
    np.testing.assert_array_equal(predicted(model, raw_processor(), path, **SMALL), expected)


def test_a_ramp_stays_a_ramp(write_scene: Any, network: Any, raw_processor: Any) -> None:
    ramp = (np.arange(300)[:, None] + 2 * np.arange(400)).astype(np.uint16) + 1
    path = write_scene("scene.tif", np.broadcast_to(ramp, (10, 300, 400)))
    found = predicted(network(lambda x: x[:, 0] / 500 - 1), raw_processor(), path, **SMALL)
    slopes = np.diff(np.log(found / (1 - found)).astype(np.float64) * 500, axis=1)
    np.testing.assert_allclose(slopes, 2, atol=0.01)


def test_a_network_that_looks_around_sees_the_same_in_windows_as_in_the_whole_scene(
    write_scene: Any, digital_numbers: Any, network: Any, raw_processor: Any
) -> None:
    """A receptive field of 17 pixels: an overlap of 64 leaves 16 on either side of what is used."""
    torch.manual_seed(0)
    kernel = torch.randn(1, 10, 17, 17) / 4e5
    model = network(lambda x: F.conv2d(x, kernel, padding=8)[:, 0])
    image = digital_numbers(300, 200)
    path = write_scene("scene.tif", image)
    found = predicted(model, raw_processor(), path, window=128, overlap=64)
    mirrored = F.pad(torch.from_numpy(image.astype(np.float32)), (8, 8, 8, 8), mode="reflect")
    expected = F.conv2d(mirrored[None], kernel)[0, 0].sigmoid().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("coarse", "fine"), [((8, 8), (32, 32)), ((9, 7), (33, 28)), ((1, 5), (6, 6)), ((40, 40), (16, 16))]
)
def test_coarse_logits_are_resized_as_torch_does(
    network: Any, coarse: tuple[int, int], fine: tuple[int, int]
) -> None:
    logits = torch.randn(2, *coarse, generator=torch.Generator().manual_seed(0))
    found = mine_probability(network(lambda _: logits), torch.zeros(2, 10, *fine))
    expected = F.interpolate(logits[:, None], fine, mode="bilinear", align_corners=False)[:, 0].sigmoid()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_probabilities_are_those_of_the_image_processor(network: Any) -> None:
    model = network(lambda x: x[:, 0, ::4, ::4])
    pixel_values = torch.randn(1, 10, 64, 96, generator=torch.Generator().manual_seed(0))
    expected = EuroMineImageProcessor().post_process_semantic_segmentation(
        model(pixel_values=pixel_values), [(64, 96)], probabilities=True
    )[0][1]
    torch.testing.assert_close(mine_probability(model, pixel_values)[0], expected, atol=1e-6, rtol=0)


def test_a_network_for_series_maps_each_image_as_a_single_year() -> None:
    torch.manual_seed(0)
    model = create_model(
        "utae", encoder_widths=(8, 16), decoder_widths=(8, 16), model_width=16, num_heads=4
    ).eval()
    pixel_values = torch.randn(2, 10, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = [model(pixel_values=each[None, None]).logits[0, 0, 1].exp() for each in pixel_values]
    torch.testing.assert_close(mine_probability(model, pixel_values), torch.stack(expected))


@pytest.mark.parametrize(("model_type", "innermost"), [("mobilenet_v2", True), ("segformer", False)])
def test_networks_of_transformers_get_images_in_the_layout_that_they_run_quickest_with(
    network: Any, model_type: str, innermost: bool
) -> None:
    seen: list[Tensor] = []
    model = network(lambda x: seen.append(x) or x[:, 0])
    model.config.model_type = model_type
    mine_probability(model, torch.zeros(2, 10, 8, 8))
    assert [each.is_contiguous(memory_format=torch.channels_last) for each in seen] == [innermost]


def test_the_class_of_mines_is_found_by_its_name(network: Any) -> None:
    model = network(lambda x: x[:, 0])
    pixel_values = torch.full((1, 10, 4, 4), 2.0)
    high = torch.tensor(2.0).sigmoid().item()
    assert mine_probability(model, pixel_values).unique().tolist() == pytest.approx([high])
    model.config.id2label = {0: "Mine", 1: "background"}
    assert mine_probability(model, pixel_values).unique().tolist() == pytest.approx([1 - high])
    three = network(lambda x: x[:, 0])
    three.forward = lambda pixel_values: type(
        "Output", (), {"logits": pixel_values[:, :3] * torch.arange(3.0).view(3, 1, 1)}
    )
    three.config.id2label = {0: "water", 1: "mine", 2: "forest"}
    expected = torch.tensor([0.0, 2.0, 4.0]).softmax(0)[1].item()
    assert mine_probability(three, pixel_values).unique().tolist() == pytest.approx([expected])
    three.config.id2label = {0: "water", 1: "quarry", 2: "forest"}
    with pytest.raises(ModelError, match="found the classes water, quarry, forest; expected one named mine"):
        mine_probability(three, pixel_values)


def test_a_network_that_gives_nan_is_refused(
    write_scene: Any, digital_numbers: Any, network: Any, raw_processor: Any
) -> None:
    path = write_scene("scene.tif", digital_numbers(40, 40))
    broken = network(lambda x: torch.where(x[:, 0] > x[:, 0].mean(), torch.nan, x[:, 0]))
    with pytest.raises(ModelError, match="model: found NaN in its probabilities"):
        predicted(broken, raw_processor(), path)


def test_bands_are_taken_by_name_scaled_and_normalised(
    write_scene: Any, digital_numbers: Any, network: Any
) -> None:
    """What the network sees is what the processor makes of true digital numbers in its own order."""
    image = digital_numbers(30, 40)
    order = [9, 3, 0, 5, 1, 2, 4, 6, 7, 8]
    processor = EuroMineImageProcessor(bands=["B04", "B12", "B02"])
    path = write_scene("scene.tif", image[order] + 1000, names=tuple(BANDS[place] for place in order))
    model = network(lambda x: x[:, 0])
    with open_scene(path, SceneOptions(offset=-1000)) as scene:
        list(predict_probability(model, processor, scene, overlap=0, window=64))
    seen = model.seen[0][0, :, :30, :40]
    expected = processor(image, bands=BANDS, return_tensors="pt").pixel_values[0]
    torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize("size", [(97, 101), (203, 330)])
def test_pixels_without_data_stay_so_and_all_others_are_mapped(
    write_scene: Any, digital_numbers: Any, network: Any, raw_processor: Any, size: tuple[int, int]
) -> None:
    image = digital_numbers(*size)
    gone = np.random.default_rng(1).random(size) < 0.02
    gone[20:90, 10:95] = True
    image[4, gone] = 0
    path = write_scene("scene.tif", image, nodata=0)
    found = predicted(network(lambda x: x[:, 3] / 4000), raw_processor(), path, **SMALL)
    np.testing.assert_array_equal(np.isnan(found), gone)
    expected = sigmoid(image[3] / np.float32(4000))
    np.testing.assert_array_equal(found[~gone], expected[~gone])


def test_a_gap_does_not_show_beside_it(write_scene: Any, network: Any, raw_processor: Any) -> None:
    """On even ground a network that looks around answers the same beside a gap as anywhere."""
    image = np.full((10, 100, 120), 1234, np.uint16)
    image[:, 30:50, 40:80] = 65535
    path = write_scene("scene.tif", image, nodata=65535)
    model = network(lambda x: F.avg_pool2d(x, 9, 1, 4, count_include_pad=False)[:, 0] / 1000)
    found = predicted(model, raw_processor(), path, **SMALL)
    assert np.isnan(found).sum() == 20 * 40
    expected = torch.tensor(1.234).sigmoid().item()
    np.testing.assert_allclose(found[~np.isnan(found)], expected, atol=1e-6)


def test_windows_without_data_are_not_shown_to_the_network(
    write_scene: Any, digital_numbers: Any, network: Any
) -> None:
    image = digital_numbers(300, 300)
    image[:, :200] = 0
    model = network(lambda x: x[:, 0])
    path = write_scene("scene.tif", image, nodata=0)
    predicted(model, EuroMineImageProcessor(), path, **SMALL)
    windows = sum(len(each) for each in model.seen)
    full = network(lambda x: x[:, 0])
    predicted(full, EuroMineImageProcessor(), write_scene("full.tif", digital_numbers(300, 300)), **SMALL)
    assert 0 < windows <= sum(len(each) for each in full.seen) // 2


def test_memory_does_not_grow_with_the_height(
    write_scene: Any, network: Any, raw_processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more windows are read ahead than batches wait, however slow their answers are used."""
    read_rows: list[int] = []
    path = write_scene("scene.tif", np.ones((10, 2000, 40), np.uint16))
    with open_scene(path, OPTIONS) as scene:
        original = scene.read

        def counting(window: Window, bands: Any) -> Any:
            read_rows.append(window.row_off)
            return original(window, bands)

        monkeypatch.setattr(scene, "read", counting)
        model = network(lambda x: x[:, 0])
        blocks = predict_probability(model, raw_processor(), scene, **SMALL)
        next(blocks)
        assert len(read_rows) <= 6
        blocks.close()  # type: ignore[attr-defined]
