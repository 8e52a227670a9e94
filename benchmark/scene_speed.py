"""The cost of mapping a whole scene, beside the network's bare forward passes, in one run.

`python -m euromine.benchmark.scene_speed` writes a scene and maps it with each network by `predict_scene`,
from a compressed GeoTIFF to the footprint alone, and with the probability. Beside it, as many windows of the
same size pass through the network alone, and rasterio alone decodes the windows and writes the same maps. All
take turns, so other load slows all alike. `--memory` maps a whole tile of Sentinel-2, 10,980 x 10,980 pixels
of ten bands, with a network that takes next to no memory itself, and prints the peak memory beyond what the
process held before.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SemanticSegmenterOutput

from euromine.modeling import BANDS, SEGMENTATION, EuroMineImageProcessor, create_model, list_models
from euromine.monitoring.mapping.geotiffs import copy_as_cog
from euromine.monitoring.mapping.prediction import OVERLAP, ROWS, WINDOW
from euromine.monitoring.mapping.scene_maps import output_paths, predict_scene
from euromine.monitoring.mapping.tiling import Tiling
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import reported_errors
from euromine.support.rasters import CACHE_BYTES, gdal, gdal_cache

from .command_line import benchmark_parser, check_networks, positive
from .hardware import device_name, shortest_of_turns

TILE = 10_980
NETWORKS = ("segformer-b0", "unet")
OPTIONS = SceneOptions(offset=0)


class OneLayerConfig(PreTrainedConfig):
    """Configuration of `OneLayer`."""

    model_type = "euromine_one-layer"


class OneLayer(PreTrainedModel):
    """A network that is a weighted sum of the bands."""

    config_class = OneLayerConfig

    def __init__(self, config: OneLayerConfig) -> None:
        super().__init__(config)
        self.layer = nn.Conv2d(len(BANDS), 2, 1)
        self.post_init()

    def forward(self, pixel_values: Tensor) -> SemanticSegmenterOutput:
        """Logits (batch, 2, height, width)."""
        return SemanticSegmenterOutput(logits=self.layer(pixel_values))


def write_scene(
    path: Path, side: int, *, height: int | None = None, shift: int = 0, compress: str | None = "deflate"
) -> None:
    """A scene of smooth ground with noise, tiled and compressed as downloads are.

    Args:
        path: The file.
        side: Its columns.
        height: Its rows; by default as many.
        shift: Pixels by which the ground is moved, for another year.
        compress: The compression; None for none, which is quicker to read.
    """
    height = height or side
    noise = np.random.default_rng(0)
    profile = {"driver": "GTiff", "width": side, "height": height, "count": len(BANDS), "dtype": "uint16"}
    storage: dict[str, object] = {"tiled": True, "blockxsize": 512, "blockysize": 512}
    if compress is not None:
        storage |= {"compress": compress, "predictor": 2, "zlevel": 1}
    georeferencing = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 300_000, 0, -10, 5_000_000)}
    texture = noise.integers(0, 64, (len(BANDS), 512, side), dtype=np.uint16)
    with rasterio.open(path, "w", **profile, **storage, **georeferencing, bigtiff="if_safer") as dataset:
        dataset.descriptions = BANDS
        columns = np.arange(side)
        for top in range(0, height, 512):
            rows = np.arange(top, min(top + 512, height))
            ground = 1500 + 1000 * np.sin((rows[:, None] + shift) / 90) * np.cos(columns / 110)
            block = texture[:, : len(rows)] + ground.astype(np.uint16)
            dataset.write(block, window=Window(0, top, side, len(rows)))


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock time of a call, and processor time over all cores."""
    clock, cores = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cores


def forward_passes(model: PreTrainedModel, tiling: Tiling) -> None:
    """The network alone, on as many windows as the scene has.

    In a thread, as `predict_scene` does it: OpenMP's threads wait busily for those of the main thread alone,
    which on a machine with other work would make the bare passes look slower than they are.
    """
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_forward_passes, model, tiling).result()


def _forward_passes(model: PreTrainedModel, tiling: Tiling) -> None:
    pixel_values = torch.randn(1, len(BANDS), tiling.rows.size, tiling.columns.size, device=model.device)
    with torch.inference_mode():
        for _ in range(len(tiling)):
            logits = model(pixel_values=pixel_values).logits
        logits.cpu()


def decode_windows(scene: Path, tiling: Tiling) -> None:
    """Decode the windows of a scene by rasterio alone, each block once."""
    with gdal(), gdal_cache(CACHE_BYTES), rasterio.open(scene) as dataset:
        for row, column in tiling:
            spans = [(int(each.min()), int(each.max()) + 1) for each in _inside(tiling, row, column)]
            dataset.read(window=Window.from_slices(*spans))


def _inside(tiling: Tiling, row: int, column: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return tiling.rows.inside(row), tiling.columns.inside(column)


class WrittenMap:
    """A map in memory, which rasterio alone writes anew.

    Args:
        path: The map.
    """

    def __init__(self, path: Path) -> None:
        with rasterio.open(path) as dataset:
            self._values = dataset.read()
            names = ("crs", "transform", "width", "height", "count", "dtype", "nodata")
            self._profile: dict[str, Any] = {name: dataset.profile[name] for name in names}
            self._colours = dataset.colormap(1) if dataset.dtypes[0] == "uint8" else None

    def write(self, folder: Path) -> None:
        """Write it row by row, and copy it to a Cloud-Optimised GeoTIFF, as `predict_scene` does."""
        rows, copy = folder / "rows.tif", folder / "copy.tif"
        with gdal(), gdal_cache(CACHE_BYTES):
            with rasterio.open(rows, "w", driver="GTiff", **self._profile) as dataset:
                if self._colours:
                    dataset.write_colormap(1, self._colours)
                for top in range(0, dataset.height, ROWS):
                    part = self._values[:, top : top + ROWS]
                    dataset.write(part, window=Window(0, top, dataset.width, part.shape[1]))
            is_amount = self._colours is None
            copy_as_cog(rows, copy, resampling="average" if is_amount else "mode", is_amount=is_amount)


def compare(name: str, scene: Path, side: int, repeats: int) -> str:
    """Two rows of the table, of the footprint alone and with the probability: each part and the whole."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, image_processor = create_model(name).eval().to(device), EuroMineImageProcessor()
    tiling = Tiling.of(side, side)

    def predict(*, probability: bool, out: Path | None = None) -> None:
        with tempfile.TemporaryDirectory(dir=scene.parent) as fresh:
            predict_scene(
                model, image_processor, scene, out or fresh, probability=probability, options=OPTIONS
            )

    with tempfile.TemporaryDirectory(dir=scene.parent) as written:
        predict(probability=True, out=Path(written))
        footprint, probability = map(WrittenMap, output_paths(scene, written))
        times = _shortest(
            {
                "model": lambda: forward_passes(model, tiling),
                "decoding": lambda: decode_windows(scene, tiling),
                "footprint": lambda: footprint.write(Path(written)),
                "probability": lambda: probability.write(Path(written)),
                "one map": lambda: predict(probability=False),
                "two maps": lambda: predict(probability=True),
            },
            repeats,
        )
    wholes = {"one map": ("footprint",), "two maps": ("footprint", "probability")}
    return "".join(
        f"| {name} | {', '.join(maps)} | {len(tiling)} | {_row(times, whole, maps)}"
        for whole, maps in wholes.items()
    )


def _shortest(parts: Mapping[str, Callable[[], None]], repeats: int) -> dict[str, tuple[float, float]]:
    """Each part's least seconds on the clock and of the processor, in turns."""
    turns = [{part: seconds(work) for part, work in parts.items()} for _ in range(repeats + 1)]
    turns = turns[1:]  # the first brings the files into memory
    return {
        part: (min(turn[part][0] for turn in turns), min(turn[part][1] for turn in turns)) for part in parts
    }


def _row(times: Mapping[str, tuple[float, float]], whole: str, maps: Sequence[str]) -> str:
    """The end of a row, from the model's seconds on."""
    model, decoding, scene = (times[part][1] for part in ("model", "decoding", whole))
    writing = sum(times[each][1] for each in maps)
    parts = (model, decoding, writing, scene - model - decoding - writing, scene)
    clock = (times["model"][0], times[whole][0])
    cells = [f"{each:.2f}" for each in parts] + [f"{scene / model - 1:.1%}"]
    cells += [f"{each:.2f}" for each in clock] + [f"{clock[1] / clock[0] - 1:.1%}"]
    return f"{' | '.join(cells)} |\n"


def peak_memory() -> float:
    """The peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measure_memory(scene: Path, out: Path, window: int) -> str:
    """The memory of mapping a scene beyond the network and the imported libraries."""
    model, image_processor = OneLayer(OneLayerConfig()).eval(), EuroMineImageProcessor()
    with torch.inference_mode():
        model(pixel_values=torch.zeros(1, len(BANDS), window, window))
    before = peak_memory()
    clock, _ = seconds(
        lambda: predict_scene(
            model,
            image_processor,
            scene,
            out,
            probability=True,
            options=OPTIONS,
            window=window,
            progress=True,
        )
    )
    return (
        f"{before:.0f} MB before, {peak_memory():.0f} MB at most: {peak_memory() - before:.0f} MB beyond "
        "the model, "
        f"in {clock:.0f} s\n"
    )


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser("scene_speed", __doc__)
    parser.add_argument(
        "--side", type=positive, help="pixels of the scene's side; 1792, or a whole tile with --memory"
    )
    parser.add_argument("--repeats", type=positive, default=5, help="turns of each")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="names as create_model takes them")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    parser.add_argument("--window", type=positive, default=WINDOW, help="side of the windows, with --memory")
    parser.add_argument("--folder", type=Path, help="where the scene is written")
    arguments = parser.parse_args()
    check_networks(parser, arguments.networks, list_models(SEGMENTATION))
    side = arguments.side or (TILE if arguments.memory else 4 * (WINDOW - OVERLAP))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        scene = Path(name) / "scene.tif"
        # In a process of its own, whose memory is not this one's.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            process.submit(write_scene, scene, side).result()
        if arguments.memory:
            sys.stdout.write(measure_memory(scene, Path(name), arguments.window))
            return
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        conditions = shortest_of_turns(arguments.repeats)
        if device.type == "cuda":
            conditions = f"{device_name(device)}; {conditions}"
        sys.stdout.write(
            f"A scene of {side} x {side} pixels, {len(BANDS)} bands; {conditions}\n\n"
            "Seconds of the processor, at the end on the clock; rasterio's alone of decoding and writing.\n\n"
            "| network | maps | windows | model | decoding | writing | rest | scene | around it | "
            "clock: model | scene | around it |\n"
            "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        )
        for network in arguments.networks:
            sys.stdout.write(compare(network, scene, side, arguments.repeats))
            sys.stdout.flush()


if __name__ == "__main__":
    with reported_errors("scene_speed"):
        main()
