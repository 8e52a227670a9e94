"""The maps of a scene: grid, threshold, record, resuming, and nothing half-written."""

import json
import logging
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from torch import Tensor

from euromine.modeling import EuroMineImageProcessor
from euromine.monitoring.mapping.geotiffs import CogWriter, read_map_record
from euromine.monitoring.mapping.scene_maps import output_paths, predict_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import ArgumentError, SceneError

OPTIONS = SceneOptions(offset=0)
SMALL = {"window": 64, "overlap": 32}


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        values: NDArray[Any] = dataset.read(1)
        return values


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
        "scene_footprint.qml",
        "scene_footprint.tif",
        "scene_probability.qml",
        "scene_probability.tif",
    ]
    only = predict_scene(model, EuroMineImageProcessor(), path, tmp_path / "only", options=OPTIONS)
    assert {each.name for each in (tmp_path / "only").iterdir()} == {only.name, "scene_footprint.qml"}


def test_probabilities_as_whole_numbers_have_a_scale_and_keep_their_side_of_the_threshold(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path
) -> None:
    image = digital_numbers(40, 50)
    image[:, 5, 6] = 0
    path = write_scene("scene.tif", image, nodata=0)
    model, out = network(lambda x: x[:, 0]), tmp_path / "maps"

    def maps(**how: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        predict_scene(
            model,
            EuroMineImageProcessor(),
            path,
            out,
            probability=True,
            options=OPTIONS,
            threshold=0.6,
            **how,
        )
        footprint, probability = map(read, output_paths(path, out))
        return footprint, probability

    footprint, exact = maps()
    for kind, steps in (("uint16", 10_000), ("uint8", 250)):
        same, stored = maps(probability_type=kind)
        np.testing.assert_array_equal(same, footprint)
        with rasterio.open(out / "scene_probability.tif") as file:
            assert (file.dtypes, file.scales, file.nodata) == ((kind,), (1 / steps,), np.iinfo(kind).max)
        assert stored[5, 6] == np.iinfo(kind).max
        known = ~np.isnan(exact)
        np.testing.assert_allclose(stored[known] / steps, exact[known], atol=1.001 / steps)
        np.testing.assert_array_equal(stored[known] / steps > 0.6, exact[known] > np.float32(0.6))
    seen = len(model.seen)
    maps(probability_type="uint8")
    predict_scene(model, EuroMineImageProcessor(), path, out, options=OPTIONS, threshold=0.6)
    assert len(model.seen) == seen, "the maps of the last type are kept"


def test_maps_are_made_again_only_if_something_changed(
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


@pytest.mark.parametrize("damage", ["cut", "cut far", "one number", "an overview"])
def test_a_damaged_map_is_made_again(
    damage: str, write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path, caplog: Any
) -> None:
    path = write_scene("scene.tif", digital_numbers(600, 600))
    model, processor, out = network(lambda x: x[:, 0]), EuroMineImageProcessor(), tmp_path / "maps"
    footprint = predict_scene(model, processor, path, out, options=OPTIONS)
    whole = footprint.read_bytes()
    if damage == "one number":
        with rasterio.open(footprint, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            dataset.write(1 - dataset.read(1, window=((0, 1), (0, 1))), 1, window=((0, 1), (0, 1)))
    elif damage == "an overview":
        offset = block_offset(footprint)
        footprint.write_bytes(whole[:offset] + bytes(40) + whole[offset + 40 :])
    else:
        footprint.write_bytes(whole[: -150 if damage == "cut" else 300])
    seen = len(model.seen)
    assert predict_scene(model, processor, path, out, options=OPTIONS) == footprint
    assert len(model.seen) > seen
    assert footprint.read_bytes() == whole
    if damage != "cut far":
        assert "scene_footprint.tif is damaged, so it is mapped again" in caplog.text


def block_offset(path: Path) -> int:
    """Where the first block of a file's first overview begins."""
    with rasterio.open(path, overview_level=0) as dataset:
        return int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))


@pytest.mark.parametrize("what", ["another raster", "a folder", "a link that leads nowhere"])
def test_what_somebody_else_put_in_a_maps_place_is_kept(
    what: str, write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path
) -> None:
    path = write_scene("scene.tif", digital_numbers(40, 50))
    (tmp_path / "maps").mkdir()
    other = tmp_path / "maps" / "scene_footprint.tif"
    if what == "another raster":
        shutil.copyfile(path, other)
    elif what == "a folder":
        other.mkdir()
    else:
        other.symlink_to(tmp_path / "nowhere.tif")
    before = other.lstat()
    with pytest.raises(ArgumentError, match=r"scene_footprint\.tif: found something that euromine did not"):
        predict_scene(
            network(lambda x: x[:, 0]), EuroMineImageProcessor(), path, tmp_path / "maps", options=OPTIONS
        )
    assert other.lstat() == before


def test_the_map_records_what_made_it(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path
) -> None:
    path = write_scene("scene.tif", digital_numbers(20, 20))
    model = network(lambda x: x[:, 0])
    model.name_or_path = str(tmp_path)
    record = read_map_record(
        predict_scene(model, EuroMineImageProcessor(), path, tmp_path / "maps", options=OPTIONS)
    )
    assert record is not None
    assert record["name"] == tmp_path.name
    assert record["reflectance"]["offset"] == [0.0] * 10
    assert "offset: option" in record["reflectance"]["source"]
    assert str(tmp_path) not in json.dumps(record)


def test_a_scene_without_data_is_refused_and_leaves_nothing(
    write_scene: Any, network: Any, tmp_path: Path
) -> None:
    path = write_scene("scene.tif", np.zeros((10, 70, 80), np.uint16), nodata=0)
    model = network(lambda x: x[:, 0])
    with pytest.raises(SceneError, match=r"scene\.tif: found no pixel with data in all bands"):
        predict_scene(
            model, EuroMineImageProcessor(), path, tmp_path / "maps", probability=True, options=OPTIONS
        )
    assert not list((tmp_path / "maps").iterdir())
    assert not model.seen


def test_a_file_cut_short_is_refused_and_leaves_nothing(
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
    with pytest.raises(
        SceneError,
        match=r"scene\.tif: (found truncated or damaged data at rows|found a file that is damaged)",
    ):
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


def test_a_doubtful_offset_is_warned_of(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = write_scene("scene.tif", digital_numbers(40, 50) + 1000)
    predict_scene(
        network(lambda x: x[:, 0]), EuroMineImageProcessor(), path, tmp_path / "maps", options=OPTIONS
    )
    assert "offset 0 (scale: whole numbers are reflectance x 10000; offset: option)" in caplog.text
    assert "In the second case, give --offset -1000." in caplog.text


def test_a_map_is_refused_as_imagery(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path
) -> None:
    path = write_scene("scene.tif", digital_numbers(40, 50))
    model = network(lambda x: x[:, 0])
    footprint = predict_scene(model, EuroMineImageProcessor(), path, tmp_path / "maps", options=OPTIONS)
    with pytest.raises(
        SceneError, match=r"scene_footprint\.tif: found a map that euromine made; expected imagery"
    ):
        predict_scene(model, EuroMineImageProcessor(), footprint, tmp_path / "maps", options=OPTIONS)


def test_a_scene_of_another_level_than_the_models_is_warned_of(
    write_scene: Any, digital_numbers: Any, network: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_scene("scene.tif", digital_numbers(40, 50), tags={"PROCESSING_LEVEL": "L2A"})
    model = network(lambda x: x[:, 0])
    for name, level in (("unknown", None), ("same", "L2A")):
        predict_scene(model, EuroMineImageProcessor(level=level), path, tmp_path / name, options=OPTIONS)
    assert "L2A" not in caplog.text
    predict_scene(model, EuroMineImageProcessor(level="L1C"), path, tmp_path / "maps", options=OPTIONS)
    assert "scene.tif: The image is L2A (surface reflectance), but the model was trained on" in caplog.text
