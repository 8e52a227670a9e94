"""Scenes through networks whose answer is known: exact constants, no seams, no borders, gaps kept."""

import json
import logging
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor
from torch.nn import functional as F

from euromine.modeling import BANDS, EuroMineImageProcessor
from euromine.monitoring.mapping.geotiffs import CogWriter, read_record
from euromine.monitoring.mapping.prediction import (
    mine_probability,
    output_paths,
    predict_probability,
    predict_scene,
    predict_scenes,
)
from euromine.monitoring.scenes.scene import SceneOptions, open_scene
from euromine.support.errors import SceneError

OPTIONS = SceneOptions(offset=0)
SIZES = [(1, 1), (2, 3), (31, 33), (64, 64), (97, 101), (160, 70), (203, 330)]
SMALL = {"window": 64, "overlap": 32}


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        values: NDArray[Any] = dataset.read(1)
        return values


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
    with pytest.raises(
        ValueError, match="has the classes water, quarry, forest, one called mine was expected"
    ):
        mine_probability(three, pixel_values)


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


def test_maps_have_the_scenes_grid_and_are_those_of_the_threshold(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path
) -> None:
    image = digital_numbers(97, 101)
    image[:, 5, 6] = 0
    path = write_scene("scene.tif", image, nodata=0)
    model = network(lambda x: x[:, 0])
    footprint = predict_scene(
        model,
        EuroMineImageProcessor(),
        path,
        tmp_path / "maps",
        probability=True,
        options=OPTIONS,
        threshold=0.6,
    )
    assert footprint == tmp_path / "maps" / "scene_footprint.tif"
    probability = read(tmp_path / "maps" / "scene_probability.tif")
    expected = np.where(probability > 0.6, 1, 0)
    expected[5, 6] = 255
    np.testing.assert_array_equal(read(footprint), expected)
    assert np.isnan(probability[5, 6])
    with rasterio.open(path) as scene, rasterio.open(footprint) as mapped:
        assert mapped.crs == scene.crs
        assert mapped.transform == scene.transform
        assert mapped.nodata == 255
    assert sorted(each.name for each in (tmp_path / "maps").iterdir()) == [
        "scene_footprint.tif",
        "scene_probability.tif",
    ]
    only = predict_scene(model, EuroMineImageProcessor(), path, tmp_path / "only", options=OPTIONS)
    assert [each.name for each in (tmp_path / "only").iterdir()] == [only.name]


def test_what_is_mapped_already_is_not_mapped_again_unless_something_changed(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path
) -> None:
    path = write_scene("scene.tif", digital_numbers(40, 50))
    processor, out = EuroMineImageProcessor(), tmp_path / "maps"
    model = network(lambda x: x[:, 0])

    def is_mapped_anew(**changed: Any) -> bool:
        before = len(model.seen)
        predict_scene(
            model,
            **{"image_processor": processor, "path": path, "out_dir": out, "options": OPTIONS, **changed},
        )
        return len(model.seen) > before

    assert is_mapped_anew()
    assert not is_mapped_anew()
    assert is_mapped_anew(probability=True)
    assert not is_mapped_anew(probability=True)
    assert not is_mapped_anew()
    assert is_mapped_anew(threshold=0.4)
    assert is_mapped_anew(threshold=0.4, options=SceneOptions(offset=-1000))
    assert is_mapped_anew(threshold=0.4, overlap=32)
    assert is_mapped_anew(image_processor=EuroMineImageProcessor(statistics="paper"))
    with torch.no_grad():
        model.unused += 1
    assert is_mapped_anew()
    write_scene("scene.tif", digital_numbers(40, 51))
    assert is_mapped_anew()
    assert not is_mapped_anew()
    output_paths(path, out)[0].write_bytes(b"torn")
    assert is_mapped_anew()


def test_the_map_tells_what_made_it(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path
) -> None:
    path = write_scene("scene.tif", digital_numbers(20, 20))
    model = network(lambda x: x[:, 0])
    model.name_or_path = str(tmp_path)
    record = read_record(
        predict_scene(model, EuroMineImageProcessor(), path, tmp_path / "maps", options=OPTIONS)
    )
    assert record is not None
    assert record["name"] == tmp_path.name
    assert record["reflectance"]["offset"] == [0.0] * 10
    assert "offset: option" in record["reflectance"]["source"]
    assert str(tmp_path) not in json.dumps(record)


def test_a_scene_that_is_all_gap_is_told_and_leaves_nothing(
    write_scene: Any, network: Any, tmp_path: Path
) -> None:
    path = write_scene("scene.tif", np.zeros((10, 70, 80), np.uint16), nodata=0)
    model = network(lambda x: x[:, 0])
    with pytest.raises(SceneError, match=r"scene\.tif: has no pixel with data in all of the bands"):
        predict_scene(
            model, EuroMineImageProcessor(), path, tmp_path / "maps", probability=True, options=OPTIONS
        )
    assert not list((tmp_path / "maps").iterdir())
    assert not model.seen


def test_a_file_cut_short_is_told_and_leaves_nothing(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path
) -> None:
    path = write_scene(
        "scene.tif", digital_numbers(400, 300), compress="deflate", tiled=True, blockxsize=64, blockysize=64
    )
    with rasterio.open(path, "r+") as dataset:  # rewritten at the end, so that the header is not what is cut
        dataset.write(digital_numbers(400, 300)[::-1])
    content = path.read_bytes()
    path.write_bytes(content[:-200_000])
    threads = threading.active_count()
    with pytest.raises(SceneError, match=r"scene\.tif: (cannot be read at rows|is no GeoTIFF)"):
        predict_scene(
            network(lambda x: x[:, 0]),
            EuroMineImageProcessor(),
            path,
            tmp_path / "maps",
            options=OPTIONS,
            **SMALL,
        )
    assert not (tmp_path / "maps").exists() or not list((tmp_path / "maps").iterdir())
    assert threading.active_count() == threads


def test_an_error_in_the_network_stops_all_threads_and_leaves_nothing(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path
) -> None:
    def fail(_: Tensor) -> Tensor:
        raise RuntimeError("the network failed")

    path = write_scene("scene.tif", digital_numbers(300, 300))
    threads = threading.active_count()
    with pytest.raises(RuntimeError, match="the network failed"):
        predict_scene(
            network(fail), EuroMineImageProcessor(), path, tmp_path / "maps", options=OPTIONS, **SMALL
        )
    assert not list((tmp_path / "maps").iterdir())
    assert threading.active_count() == threads


def test_an_interrupt_stops_all_threads_and_leaves_nothing(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C reaches the main thread, which writes."""

    def interrupt(self: CogWriter, rows: NDArray[Any]) -> None:
        raise KeyboardInterrupt

    path = write_scene("scene.tif", digital_numbers(300, 300))
    threads = threading.active_count()
    monkeypatch.setattr(CogWriter, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        predict_scene(
            network(lambda x: x[:, 0]),
            EuroMineImageProcessor(),
            path,
            tmp_path / "maps",
            options=OPTIONS,
            **SMALL,
        )
    assert not list((tmp_path / "maps").iterdir())
    assert threading.active_count() == threads


def test_a_doubtful_offset_is_told(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = write_scene("scene.tif", digital_numbers(40, 50) + 1000)
    predict_scene(
        network(lambda x: x[:, 0]), EuroMineImageProcessor(), path, tmp_path / "maps", options=OPTIONS
    )
    assert "offset 0 (scale: whole numbers are reflectance x 10000; offset: option)" in caplog.text
    assert "if so, give --offset -1000" in caplog.text


def test_a_map_of_ours_is_no_imagery(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path
) -> None:
    path = write_scene("scene.tif", digital_numbers(40, 50))
    model = network(lambda x: x[:, 0])
    footprint = predict_scene(model, EuroMineImageProcessor(), path, tmp_path / "maps", options=OPTIONS)
    with pytest.raises(
        SceneError, match=r"scene_footprint\.tif: is a map that euromine made; expected imagery"
    ):
        predict_scene(model, EuroMineImageProcessor(), footprint, tmp_path / "maps", options=OPTIONS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.0}, "threshold is 1.0, a probability of at least 0 and below 1 was expected"),
        ({"threshold": math.nan}, "threshold is nan"),
        ({"window": 100}, "window is 100, a multiple of 32 was expected"),
        ({"overlap": 300}, "overlap is 300, 0 to half of the window"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_a_model_is_loaded(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        predict_scenes("no model", ["a.tif"], tmp_path / "maps", **settings)
    assert not (tmp_path / "maps").exists()


def test_scenes_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a/Year2015\.tif and .*b/Year2015\.tif have one name"):
        predict_scenes("no model", [tmp_path / "a/Year2015.tif", tmp_path / "b/Year2015.tif"], tmp_path)
    with pytest.raises(ValueError, match="no scene is given"):
        predict_scenes("no model", [], tmp_path)


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
