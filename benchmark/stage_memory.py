"""Peak memory of whole series of maps by stage, with networks that take next to none themselves.

The networks are weighted sums of the bands, so a peak is that of reading, blending, resuming and writing.
Each series runs in a process of its own, whose memory is not another's. `series_growth --sides` prints it.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from euromine.benchmark.impact_inputs import impact_settings, write_impact_inputs
from euromine.benchmark.scene_speed import OPTIONS, OneLayer, OneLayerConfig, write_scene
from euromine.benchmark.stopwatch import PeakMemory
from euromine.modeling import BANDS, EuroMineImageProcessor, create_model
from euromine.modeling.change_detection import Features, SiameseChangeDetector
from euromine.modeling.configuration import ChangeDetectionConfig
from euromine.modeling.series_model import Evidence, SeriesConfig, SeriesModel
from euromine.modeling.tasks import CHANGE_DETECTION, SEGMENTATION, SERIES
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.support.environment import prepare_process

# Digital numbers: the scene's ground is a mine where it is brighter, and 100 are a logit of 1.
_EDGE, _STEP = 2000.0, 100.0
# Between the neighbouring years of the chain.
_RATE = 0.02
_FIRST_YEAR = 2015

# The stages by the module and the name under which it calls them.
_STAGES = {
    "history.series.map_probability": "probabilities",
    "history.chain_maps.gather_evidence": "evidence",
    "history.chain_maps._write": "maps of chains",
    "history.series.map_footprints": "footprints",
    "history.detected_changes.gather_marks": "detection",
    "history.series.detect_changes": "change maps",
    "history.series.compare_years": "changes",
    "history.series.draw_quicklooks": "pictures",
    "history.series.tabulate_areas": "areas",
    "history.series.outline": "polygons",
    "history.series_outputs.compare_with_permits": "permits",
    "history.impact_outputs.map_year_indices": "maps of indices",
    "history.impact_outputs._measure_indices": "indices and water",
    "history.impact_outputs._measure_recovery": "recovery",
    "history.impact_outputs._measure_land_taken": "land cover",
}


class BrightnessConfig(ChangeDetectionConfig):
    """Configuration of `BrightnessDetector`."""

    model_type = "euromine_brightness-detector"


class BrightnessDetector(SiameseChangeDetector):
    """A change is where only one of two years is bright."""

    config_class = BrightnessConfig

    def __init__(self, config: BrightnessConfig) -> None:
        super().__init__(config)
        self.layer = nn.Conv2d(len(BANDS), 1, 1)
        self.post_init()

    def encode(self, pixel_values: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the logit of a mine, (batch, 1, height, width)."""
        return self.layer(pixel_values)

    def decode(self, features_1: Features, features_2: Features) -> Tensor:
        """Two years' logits -> change logits (batch, 2, height, width)."""
        assert isinstance(features_1, Tensor)
        assert isinstance(features_2, Tensor)
        change = -torch.minimum(features_1, features_2) * torch.maximum(features_1, features_2)
        return torch.cat([torch.zeros_like(change), change], dim=1)


class BrightnessSeriesConfig(SeriesConfig):
    """Configuration of `BrightnessSeries`."""

    model_type = "euromine_brightness-series"


class BrightnessSeries(SeriesModel):
    """A mine is where a year is bright; the rates of gain and loss are the same everywhere."""

    config_class = BrightnessSeriesConfig

    def __init__(self, config: BrightnessSeriesConfig) -> None:
        super().__init__(config)
        self.layer = nn.Conv2d(len(BANDS), 1, 1)
        self.post_init()

    def evidence(self, pixel_values: Tensor, years: Tensor, mask: Tensor | None) -> Evidence:
        """As of `SeriesModel`."""
        mine = torch.stack([self.layer(each)[:, 0] for each in pixel_values.unbind(1)], dim=1)
        rates = torch.tensor([[1 - _RATE, _RATE], [_RATE, 1 - _RATE]]).log()[..., None, None]
        steps = (mine.shape[0], mine.shape[1] - 1, 2, 2, *mine.shape[-2:])
        return Evidence.of(mine, rates.expand(steps), mask)


_NETWORKS: dict[str, Callable[[], PreTrainedModel]] = {
    SEGMENTATION: lambda: OneLayer(OneLayerConfig()),
    CHANGE_DETECTION: lambda: BrightnessDetector(BrightnessConfig()),
    SERIES: lambda: BrightnessSeries(BrightnessSeriesConfig()),
}
TASKS = tuple(_NETWORKS)


def quick_network(task: str) -> tuple[PreTrainedModel, EuroMineImageProcessor]:
    """A network of one layer that sees a mine where the bands' mean is above 2,000."""
    model = _NETWORKS[task]().eval()
    with torch.no_grad():
        layer: Any = model.layer
        layer.weight.zero_()
        layer.bias.zero_()
        layer.weight[-1] = 1 / (_STEP * len(BANDS))
        layer.bias[-1] = -_EDGE / _STEP
    return model, EuroMineImageProcessor(do_normalize=False)


@dataclass(frozen=True)
class StageRow:
    """The peak of each stage of a series.

    Attributes:
        network: The network's name.
        size: The scene's columns and rows.
        years: The number of years.
        peaks: Bytes beyond the process with the loaded network, by stage.
        seconds: Processor time of the series.
    """

    network: str
    size: tuple[int, int]
    years: int
    peaks: dict[str, int]
    seconds: float


class StagePeaks:
    """Notes the peak memory of each stage while a series is made."""

    def __init__(self) -> None:
        self.peaks: dict[str, int] = {}
        self._memory = PeakMemory(torch.device("cpu"))
        self._running: list[str] = []

    def watch(self) -> None:
        """Replace the stages by functions that note their peak. For a process that ends afterwards."""
        for name, stage in _STAGES.items():
            module_name, function = name.rsplit(".", 1)
            module = import_module(f"euromine.monitoring.{module_name}")
            setattr(module, function, self._watched(getattr(module, function), stage))

    def _watched(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            self._note()
            self._running.append(stage)
            try:
                return function(*arguments, **options)
            finally:
                self._note()
                self._running.pop()

        return watched

    def _note(self) -> None:
        """Count the memory since the last call for the stage that ran."""
        stage = self._running[-1] if self._running else "the rest"
        self.peaks[stage] = max(self.peaks.get(stage, 0), self._memory.bytes())
        self._memory.forget_peak()


def write_years(folder: Path, size: tuple[int, int], years: int) -> None:
    """The images of all years: two scenes whose ground differs, by turns."""
    width, height = size
    folder.mkdir()
    for place in range(years):
        path = folder / f"Year{_FIRST_YEAR + place}.tif"
        if place < 2:
            write_scene(path, width, height=height, shift=60 * place, compress=None)
        else:
            os.link(folder / f"Year{_FIRST_YEAR + place % 2}.tif", path)


def measure_series(
    task: str,
    network: str | None,
    images: Path,
    size: tuple[int, int],
    out: Path,
    inputs: Path | None = None,
) -> StageRow:
    """Map a series and note the peak of each stage. For a process of its own.

    Args:
        task: The network's task.
        network: The name of a network with random weights in place of the quick one.
        images: The images by year.
        size: Their columns and rows.
        out: The folder to fill.
        inputs: The files of `write_impact_inputs`, for a series with all options on its ground.
    """
    prepare_process()  # as commands do; it changes what memory is kept
    series = import_module("euromine.monitoring.history.series")
    find_scenes = import_module("euromine.monitoring.history.yearly_images").find_scenes
    import_module("geopandas")  # so that its size does not count for the polygons
    import_module("pyarrow.parquet")
    torch.set_num_threads(1)
    if network is None:
        model, processor = quick_network(task)
    else:
        model, processor = create_model(network).eval(), EuroMineImageProcessor()
    # As a folder, a source is not looked for on the Hub.
    loaded = LoadedModel(str(images), task, model, processor)
    scenes = find_scenes(images, None, OPTIONS)
    settings = None if inputs is None else impact_settings(inputs, task)
    stages = StagePeaks()
    stages.watch()
    started = time.process_time()
    series.make_series([loaded], scenes, out, settings, options=OPTIONS)
    seconds = time.process_time() - started
    return StageRow(network or f"one layer, {task}", size, len(scenes), stages.peaks, seconds)


def stage_rows(
    tasks: Sequence[str],
    network: str | None,
    sizes: Sequence[tuple[int, int]],
    years: int,
    folder: Path,
    *,
    with_impact: bool = False,
) -> Iterator[StageRow]:
    """The peaks of a series for each size and task; images and maps are deleted as soon as possible.

    Args:
        tasks: The networks' tasks.
        network: As for `measure_series`.
        sizes: Columns and rows of the scenes.
        years: The number of years.
        folder: Where images and maps are written.
        with_impact: Whether all options on the ground in and around a mine are on.
    """
    for size in sizes:
        images, out, inputs = (folder / name for name in ("images", "maps", "inputs"))
        _in_process(write_years, images, size, years)
        if with_impact:
            _in_process(write_impact_inputs, inputs, images / f"Year{_FIRST_YEAR}.tif")
        for task in tasks:
            row = _in_process(
                measure_series, task, network, images, size, out, inputs if with_impact else None
            )
            shutil.rmtree(out)
            yield row
        shutil.rmtree(images)
        shutil.rmtree(inputs, ignore_errors=True)


def _in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


STAGE_HEADER = (
    "| network | scene | years | stage | peak | processor |\n"
    "|---|---:|---:|---|---:|---:|\n"
)  # fmt: skip


def stage_lines(row: StageRow) -> str:
    """The peaks of a series as rows of a Markdown table, one for each stage."""
    whole = f"**{max(row.peaks.values()) / 2**20:.0f} MB**"
    lines = [
        f"| {row.network} | {row.size[0]} x {row.size[1]} px | {row.years} | all | {whole} "
        f"| {row.seconds:.0f} s |"
    ]
    lines += [f"| | | | {stage} | {peak / 2**20:.0f} MB | |" for stage, peak in row.peaks.items()]
    return "\n".join(lines) + "\n"
