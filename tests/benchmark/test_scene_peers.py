"""The comparison with other tools: its figures, and what it does without them."""

import sys

import numpy as np
import pytest
import rasterio
import torch

from euromine.benchmark import scene_peers as benchmark
from euromine.benchmark.scene_speed import write_scene

FOUND = {
    "the network alone": [(4.0, 2**20), (2.0, 2**20)],
    "euromine": [(2.5, 100 * 2**20), (3.0, 90 * 2**20)],
    "geoai": [(5.0, 1500 * 2**20), (9.0, 1500 * 2**20)],
}


def test_the_shortest_turns_are_compared() -> None:
    rows = benchmark.table(2048, FOUND).splitlines()
    assert rows[0] == "2,048 x 2,048 pixels:"
    assert rows[4:7] == [
        "| the network alone | 2.0 | 1.00 | 0.80 | 1 |",
        "| euromine | 2.5 | 1.25 | 1.00 | 100 |",
        "| geoai | 5.0 | 2.50 | 2.00 | 1,500 |",
    ]


def test_tools_that_are_not_installed_are_named(monkeypatch, capsys) -> None:
    monkeypatch.setattr(
        benchmark.importlib.util, "find_spec", lambda name: None if name != "openvino" else object()
    )
    monkeypatch.setattr(benchmark, "compare", lambda side, names, *_: f"{side}: {', '.join(names)}\n")
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["scene_peers", "--sides", "64"])
    benchmark.main()
    told = capsys.readouterr().out
    assert "Not installed: geoai, terratorch, torchgeo.\n" in told
    assert "64: the network alone, euromine, euromine, openvino, euromine, openvino bfloat16\n" in told


def test_the_published_network_gives_logits_of_every_pixel() -> None:
    with torch.inference_mode():
        assert benchmark.PublishedSegformer().eval()(torch.zeros(1, 10, 64, 96)).shape == (1, 2, 64, 96)


def test_euromine_maps_the_whole_scene(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(benchmark, "WINDOW", 64)  # of the run before the measurement
    monkeypatch.setattr(benchmark, "prepare_process", lambda: None)
    write_scene(tmp_path / "scene.tif", 64)
    benchmark.TOOLS["euromine"].prepare()(tmp_path / "scene.tif", tmp_path / "classes.tif")
    with rasterio.open(tmp_path / "classes" / "scene_footprint.tif") as dataset:
        assert dataset.shape == (64, 64)
        assert set(np.unique(dataset.read())) <= {0, 1}


@pytest.mark.parametrize("name", ["geoai", "terratorch", "torchgeo"])
def test_every_other_tool_maps_the_whole_scene(name, tmp_path) -> None:
    pytest.importorskip(benchmark.TOOLS[name].module)
    write_scene(tmp_path / "scene.tif", 700)
    benchmark.TOOLS[name].prepare()(tmp_path / "scene.tif", tmp_path / "classes.tif")
    with rasterio.open(tmp_path / "classes.tif") as dataset:
        assert dataset.shape == (700, 700)
