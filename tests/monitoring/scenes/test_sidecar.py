"""STAC items beside scenes."""

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from euromine.modeling import BANDS
from euromine.monitoring.scenes.scene import open_scene
from euromine.support.errors import SceneError
from euromine.support.rasters import open_raster
from euromine.support.sidecars import Sidecar, read_sidecar

from .scene_files import NO_BASELINE, WriteScene, numbers, read


def test_real_stac_items_give_the_offset_of_their_baseline_unless_it_was_applied(
    real_data: Path, write_scene: WriteScene
) -> None:
    """Subtract 1000 only where the baseline is 04.00 or later and the offset was not applied already."""
    subtracted = {}
    for path in sorted((real_data / "real" / "stac_items").glob("*.json")):
        item = json.loads(path.read_text())
        if not (isinstance(item, dict) and item.get("type") == "Feature"):
            continue
        properties = item["properties"]
        is_later = float(properties["s2:processing_baseline"]) >= 4
        expected = -1000 if is_later and not properties.get("earthsearch:boa_offset_applied") else 0
        scene = write_scene(f"{path.stem}.tif", numbers(), item=item)
        with open_scene(scene) as opened:
            reflectance = opened.reflectance(BANDS)
            assert opened.year == int(properties["datetime"][:4])
            assert "STAC item" in reflectance.source
        assert set(reflectance.offset) == {expected}, path.name
        assert set(reflectance.scale) == {0.0001}
        subtracted[path.stem] = expected
    assert len(subtracted) >= 16
    assert sorted(set(subtracted.values())) == [-1000, 0]


def test_a_stac_item_names_the_bands_of_its_file(write_scene: WriteScene) -> None:
    image = numbers(count=2)
    asset = {"href": "https://somewhere/scene.tif", "eo:bands": [{"name": "red"}, {"name": "nir"}]}
    properties = {"s2:processing_baseline": "03.01", "datetime": "2019-07-07T09:57:41Z"}
    item = {"type": "Feature", "properties": properties, "assets": {"data": asset}}
    path = write_scene("scene.tif", image, names=None, item=item)
    values, _ = read(path, bands=("B08", "B04"))
    np.testing.assert_array_equal(values, image[::-1])


@pytest.mark.parametrize(("baseline", "offset"), [("05.00", 0.0), ("02.10", -0.1)])
def test_a_stac_item_that_contradicts_itself_is_refused(
    write_scene: WriteScene, baseline: str, offset: float
) -> None:
    band = {"raster:bands": [{"scale": 0.0001, "offset": offset}], "href": "B02.tif"}
    properties = {"s2:processing_baseline": baseline}
    path = write_scene(
        "scene.tif", numbers(), item={"type": "Feature", "properties": properties, "assets": {"blue": band}}
    )
    with pytest.raises(
        SceneError, match=rf"scene\.json: found an offset of .*{baseline}, which contradict each other"
    ):
        open_scene(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"type": "Feature"}', '{"type": "FeatureCollection"}', "[" * 9999]
)
def test_a_json_file_that_is_not_a_stac_item_is_ignored(write_scene: WriteScene, text: str) -> None:
    path = write_scene("scene.tif", numbers())
    path.with_suffix(".json").write_text(text)
    with pytest.raises(SceneError, match=NO_BASELINE):
        read(path)


def test_a_stac_item_gives_nodata(write_scene: WriteScene) -> None:
    image = numbers()
    image[3, 2, 4] = 0
    band = {"raster:bands": [{"nodata": 0, "scale": 0.0001}], "href": "B02.tif"}
    properties = {"s2:processing_baseline": "02.10"}
    item = {"type": "Feature", "properties": properties, "assets": {"blue": band}}
    _, valid = read(write_scene("scene.tif", image, item=item))
    assert np.argwhere(~valid).tolist() == [[2, 4]]


@pytest.mark.parametrize(
    "fields",
    [
        {"assets": [1]},
        {"assets": {"blue": 3}},
        {"assets": {"blue": {"roles": 5, "eo:bands": 7, "raster:bands": {"scale": 2}, "bands": [None]}}},
        {"assets": {"blue": {"roles": [["data"]], "href": None}}},
    ],
)
def test_malformed_assets_of_a_stac_item_are_ignored(write_scene: WriteScene, fields: dict[str, Any]) -> None:
    properties = {"s2:processing_baseline": "05.11"}
    path = write_scene("scene.tif", numbers(), item={"type": "Feature", "properties": properties, **fields})
    values, _ = read(path)
    np.testing.assert_array_equal(values, numbers().astype(np.float32) - 1000)


def test_a_stac_item_that_cannot_be_read_is_warned_of(
    write_scene: WriteScene, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_scene("scene.tif", numbers())
    open_scene(path).close()
    assert not caplog.records
    path.with_suffix(".json").write_text("{")
    open_scene(path).close()
    assert "scene.json: ignored as a STAC item of the scene (not valid JSON)." in caplog.text
    path.with_suffix(".json").unlink()
    path.with_name("scene.tif.json").mkdir()
    open_scene(path).close()
    assert "scene.tif.json: ignored as a STAC item of the scene (Is a directory)." in caplog.text


def test_a_pipe_or_device_in_place_of_an_item_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "scene.json")
    (tmp_path / "scene.tif.json").symlink_to("/dev/zero")
    assert read_sidecar(tmp_path / "scene.tif") == Sidecar()
    assert caplog.text.count("ignored as a STAC item of the scene (no ordinary file)") == 2


def test_a_pipe_in_place_of_a_scene_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scene.tif")
    with (
        ExitStack() as files,
        pytest.raises(SceneError, match=r"scene\.tif: found a pipe or device; expected"),
    ):
        open_raster(str(tmp_path / "scene.tif"), files, SceneError)
