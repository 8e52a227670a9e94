"""The scene benchmark runs and counts what it says; how quick things are is no test's business."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from euromine.benchmark import scene_speed as benchmark
from euromine.modeling import BANDS
from euromine.monitoring.mapping.tiling import Tiling


def test_the_scene_is_one_that_predict_reads(tmp_path: Path) -> None:
    benchmark.write_scene(tmp_path / "scene.tif", 700)
    with rasterio.open(tmp_path / "scene.tif") as dataset:
        assert dataset.descriptions == BANDS
        assert dataset.shape == (700, 700)
        assert (dataset.read() > 0).all()


def test_both_ways_pass_the_same_windows_through_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark.write_scene(tmp_path / "scene.tif", 600)
    model = benchmark.OneLayer(benchmark.OneLayerConfig()).eval()
    seen: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(
        lambda _module, _arguments, fields: seen.append(tuple(fields["pixel_values"].shape)), with_kwargs=True
    )
    tiling = Tiling.of(600, 600)
    benchmark.forward_passes(model, tiling)
    bare, seen[:] = list(seen), []
    monkeypatch.setattr(benchmark, "create_model", lambda name: model)
    rows = benchmark.compare("one layer", tmp_path / "scene.tif", 600, repeats=1).splitlines()
    assert bare == [(1, 10, 384, 384)] * 4
    # A scene whose maps are written anew; then passes and two scenes, once to warm up and once to count.
    assert seen == bare * (1 + 2 * 3)
    for row, maps in zip(rows, ("footprint", "footprint, probability"), strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[:3] == ["one layer", maps, "4"]
        model, decoding, writing, rest, scene = map(float, cells[3:8])
        assert scene == pytest.approx(model + decoding + writing + rest, abs=0.03)
        assert min(decoding, writing) >= 0


def test_rasterio_alone_reads_each_window_and_writes_the_same_map(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((600, 600), dtype=np.float32)
    profile = {"driver": "GTiff", "width": 600, "height": 600, "count": 1, "dtype": "float32"}
    georeferencing = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(tmp_path / "map.tif", "w", **profile, **georeferencing, nodata=np.nan) as dataset:
        dataset.write(values, 1)
    benchmark.decode_windows(tmp_path / "map.tif", Tiling.of(600, 600))
    benchmark.WrittenMap(tmp_path / "map.tif").write(tmp_path)
    with rasterio.open(tmp_path / "copy.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(dataset.read(1), values)


def test_memory_is_told_in_numbers(tmp_path: Path) -> None:
    benchmark.write_scene(tmp_path / "scene.tif", 100)
    told = benchmark.measure_memory(tmp_path / "scene.tif", tmp_path, window=128)
    assert " MB beyond the model, in " in told
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "scene.tif",
        "scene_footprint.qml",
        "scene_footprint.tif",
        "scene_probability.qml",
        "scene_probability.tif",
    ]
