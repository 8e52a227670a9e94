"""`predict` beside other tools for a whole scene: geoai, terratorch and torchgeo, in time and memory.

`python -m euromine.benchmark.scene_peers --sides 2048 4096` maps a scene with each, from a compressed GeoTIFF
to one of classes, by SegFormer-B0 with ten bands, in windows of 512 pixels that share 64. Each tool has the
network that its users have: geoai that of segmentation_models_pytorch, terratorch and torchgeo that of
transformers, EuroMine its own. Every turn is a process of its own, in which the network has run once before
time and memory count. Tools that are not installed are left out, and named. They need torchvision, which
EuroMine does not, so an environment of their own is best.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from euromine.modeling import BANDS, SEGMENTATION, EuroMineImageProcessor, create_model
from euromine.monitoring.mapping.engine_choice import EngineChoice
from euromine.monitoring.mapping.engines import on_engine
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.prediction import OVERLAP, WINDOW
from euromine.monitoring.mapping.scene_maps import predict_scene
from euromine.monitoring.mapping.tiling import Tiling
from euromine.support.environment import prepare_process
from euromine.support.errors import reported_errors

from .command_line import benchmark_parser, positive
from .hardware import device_name
from .scene_speed import OPTIONS, forward_passes, write_scene
from .stopwatch import PeakMemory

NETWORK = "segformer-b0"
_BATCH = 4  # of the tools that take windows in batches; EuroMine takes one at a time on a CPU
_MEGABYTE = 2**20

# A prepared tool: maps the scene at the first path to the second.
Mapping = Callable[[Path, Path], object]


@dataclass(frozen=True)
class Tool:
    """A way of mapping a scene.

    Attributes:
        prepare: Loads the network and runs it once.
        package: The distribution to be installed, or None.
        module: The module of it.
    """

    prepare: Callable[[], Mapping]
    package: str | None = None
    module: str | None = None


class PublishedSegformer(nn.Module):
    """SegFormer-B0 of transformers: images (batch, 10, height, width) to logits of the same size."""

    def __init__(self) -> None:
        super().__init__()
        self.network = SegformerForSemanticSegmentation(
            SegformerConfig(num_channels=len(BANDS))  # two classes by default
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, 2, height, width)."""
        logits = self.network(images).logits
        return nn.functional.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=False)


def _window() -> Tensor:
    return torch.randn(1, len(BANDS), WINDOW, WINDOW)


@torch.inference_mode()
def _bare() -> Mapping:
    model = create_model(NETWORK).eval()
    model(pixel_values=_window())

    def pass_windows(scene: Path, _: Path) -> None:
        with rasterio.open(scene) as dataset:
            tiling = Tiling.of(dataset.height, dataset.width)
        forward_passes(model, tiling)

    return pass_windows


def _euromine(engine: str, precision: str) -> Callable[[], Mapping]:
    def prepare() -> Mapping:
        prepare_process()  # as commands do
        loaded = LoadedModel(NETWORK, SEGMENTATION, create_model(NETWORK).eval(), EuroMineImageProcessor())
        loaded = on_engine(loaded, EngineChoice(engine, precision))
        with torch.inference_mode():
            loaded.model(pixel_values=_window())
        return lambda scene, out: predict_scene(
            loaded.model, loaded.image_processor, scene, out.parent / out.stem, options=OPTIONS
        )

    return prepare


@torch.inference_mode()
def _torchgeo() -> Mapping:
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    model = PublishedSegformer().eval()
    model(_window())

    def sample(scene: Path, out: Path) -> None:
        dataset = RasterDataset([scene])
        # The sampler asks for chips from the upper left on, row by row.
        sampler = GridGeoSampler(dataset, size=WINDOW, stride=WINDOW - OVERLAP)
        loader = DataLoader(dataset, batch_size=_BATCH, sampler=sampler, collate_fn=stack_samples)
        with rasterio.open(scene) as source:
            corners = _corners(source.height, source.width)
            classes = np.zeros((source.height, source.width), np.uint8)
        with torch.inference_mode():
            for batch in loader:
                for chip in model(batch["image"] / 10_000).argmax(1).numpy():
                    top, left = next(corners)
                    part = classes[top : top + WINDOW, left : left + WINDOW]
                    part[...] = chip[: part.shape[0], : part.shape[1]]
        _write_classes(scene, out, classes)

    return sample


def _corners(height: int, width: int) -> Iterator[tuple[int, int]]:
    stride = WINDOW - OVERLAP
    rows, columns = (range(0, max(1, side - OVERLAP), stride) for side in (height, width))
    return ((top, left) for top in rows for left in columns)


@torch.inference_mode()
def _terratorch() -> Mapping:
    from terratorch.tasks.tiled_inference import tiled_inference

    model = PublishedSegformer().eval()
    model(_window())

    def infer(scene: Path, out: Path) -> None:
        with rasterio.open(scene) as dataset:
            image = torch.from_numpy(dataset.read().astype(np.float32))[None] / 10_000
        with torch.inference_mode():
            logits = tiled_inference(
                model,
                image,
                out_channels=2,
                crop=WINDOW,
                stride=WINDOW - OVERLAP,
                delta=0,
                batch_size=_BATCH,
            )
        _write_classes(scene, out, logits[0].argmax(0).numpy().astype(np.uint8))

    return infer


def _geoai() -> Mapping:
    from geoai.train import get_smp_model, semantic_segmentation

    model = get_smp_model("segformer", "mit_b0", None, len(BANDS), 2).eval()
    with torch.inference_mode():
        model(_window())
    weights = Path(tempfile.mkdtemp()) / "weights.pth"
    torch.save(model.state_dict(), weights)
    return lambda scene, out: semantic_segmentation(
        str(scene),
        str(out),
        str(weights),
        architecture="segformer",
        encoder_name="mit_b0",
        num_channels=len(BANDS),
        num_classes=2,
        window_size=WINDOW,
        overlap=OVERLAP,
        batch_size=_BATCH,
        device=torch.device("cpu"),
        quiet=True,
    )


def _write_classes(scene: Path, out: Path, classes: NDArray[np.uint8]) -> None:
    with rasterio.open(scene) as dataset:
        profile: dict[str, Any] = dataset.profile | {"count": 1, "dtype": "uint8", "compress": "deflate"}
    profile.pop("predictor", None)
    with rasterio.open(out, "w", **profile) as dataset:
        dataset.write(classes, 1)


TOOLS = {
    "the network alone": Tool(_bare),
    "euromine": Tool(_euromine("eager", "float32")),
    "euromine, openvino": Tool(_euromine("openvino", "float32"), "openvino", "openvino"),
    "euromine, openvino bfloat16": Tool(_euromine("openvino", "bfloat16"), "openvino", "openvino"),
    "geoai": Tool(_geoai, "geoai-py", "geoai"),
    "terratorch": Tool(_terratorch, "terratorch", "terratorch"),
    "torchgeo": Tool(_torchgeo, "torchgeo", "torchgeo"),
}


def measure(name: str, scene: Path, threads: int) -> tuple[float, int]:
    """Processor seconds and added bytes of mapping a scene, in a process of its own."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # fresh weights make many of them
    torch.manual_seed(0)
    work = TOOLS[name].prepare()
    with tempfile.TemporaryDirectory(dir=scene.parent) as out:
        memory = PeakMemory(torch.device("cpu"))
        started = time.process_time()
        work(scene, Path(out) / "classes.tif")
        return time.process_time() - started, memory.bytes()


def table(side: int, found: dict[str, list[tuple[float, int]]]) -> str:
    """The shortest times and their memory, as Markdown."""
    best = {name: min(turns) for name, turns in found.items()}
    bare, ours = best["the network alone"][0], best["euromine"][0]
    lines = [
        f"{side:,} x {side:,} pixels:\n",
        "| | processor s | beside the network alone | beside euromine | added memory (MB) |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, (seconds, memory) in best.items():
        lines.append(
            f"| {name} | {seconds:.1f} | {seconds / bare:.2f} | {seconds / ours:.2f} "
            f"| {memory / _MEGABYTE:,.0f} |"
        )
    return "\n".join(lines) + "\n\n"


def compare(side: int, names: Sequence[str], turns: int, threads: int, folder: Path | None) -> str:
    """Measure tools in turn, and return the table of a scene."""
    context = multiprocessing.get_context("spawn")
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        scene = Path(place) / "scene.tif"
        write_scene(scene, side)
        for _ in range(turns):
            for name in names:
                with ProcessPoolExecutor(1, mp_context=context) as process:
                    found[name].append(process.submit(measure, name, scene, threads).result())
                sys.stderr.write(f"{side} {name}: {found[name][-1]}\n")
    return table(side, found)


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser("scene_peers", __doc__)
    parser.add_argument(
        "--sides", nargs="+", type=positive, default=[2048, 4096], help="pixels of the scenes"
    )
    parser.add_argument("--turns", type=positive, default=2, help="turns of each tool")
    parser.add_argument("--threads", type=positive, default=1, help="threads of PyTorch")
    parser.add_argument("--folder", type=Path, help="where the scenes are written")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    missing = [n for n, each in TOOLS.items() if each.module and not importlib.util.find_spec(each.module)]
    names = [name for name in TOOLS if name not in missing]
    packages = sorted({each.package for n, each in TOOLS.items() if each.package and n in names})
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    sys.stdout.write(
        f"{NETWORK}; {device_name(torch.device('cpu'))}, torch {torch.__version__}; {versions}.\n"
    )
    if missing:
        sys.stdout.write(f"Not installed: {', '.join(missing)}.\n")
    for side in arguments.sides:
        sys.stdout.write("\n" + compare(side, names, arguments.turns, arguments.threads, arguments.folder))
        sys.stdout.flush()


if __name__ == "__main__":
    with reported_errors("scene_peers"):
        main()
