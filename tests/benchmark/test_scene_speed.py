"""The scene benchmark runs and counts what it says; how quick things are is no test's business."""

from pathlib import Path

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
    row = benchmark.compare("one layer", tmp_path / "scene.tif", 600, repeats=1)
    assert bare == [(1, 10, 384, 384)] * 4
    # A turn to warm up and one that counts, of both ways.
    assert seen == bare * 4
    assert row.startswith("| one layer | 4 | ")
    assert row.count("%") == 6


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
