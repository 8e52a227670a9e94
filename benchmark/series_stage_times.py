"""Processor seconds of one series of maps by stage, in the checkout that a path names.

A program for a process of its own: `python series_stage_times.py CHECKOUT IMAGES OUT`. It imports EuroMine
from CHECKOUT, which may be an older one, maps the series with a network of one layer and prints a JSON
object: seconds by stage, and the bytes of the outputs by kind.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

# The functions whose time is counted, by the module whose name for them is replaced: a stage's own time is
# without that of the stages that it calls. Modules and functions that a checkout lacks are left out.
STAGES = {
    "history.series": {
        "plan_series": "plan, records and manifest",
        "map_probability": "reading, blending, probabilities",
        "map_footprints": "footprints",
        "compare_years": "changes",
        "draw_quicklooks": "pictures",
        "tabulate_areas": "areas",
        "write_styles": "styles",
        "outline": "polygons",
        "finished_manifest": "digests",
    },
    "history.yearly_maps": {
        "save_picture": "pictures",
    },
    "history.series_outputs": {
        "write_polygons": "GeoPackage and GeoParquet",
        "write_polygon_files": "GeoPackage and GeoParquet",
    },
    "history.polygon_files": {
        "_append": "GeoPackage and GeoParquet",
        "_copy": "GeoPackage and GeoParquet",
        "complete_file": "GeoPackage and GeoParquet",
    },
}
NETWORK = "network"
REST = "plan, records and manifest"


class StageTimes:
    """Processor seconds by stage, of all threads; nested stages count for themselves alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._stack = [REST]
        self._since = time.process_time()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block for a stage."""
        self._switch()
        self._stack.append(name)
        try:
            yield
        finally:
            self._switch()
            self._stack.pop()

    def _switch(self) -> None:
        now = time.process_time()
        self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    def move(self, seconds: float, source: str, target: str) -> None:
        """Count seconds of one stage for another instead."""
        self.seconds[source] -= seconds
        self.seconds[target] += seconds


def use_checkout(checkout: Path) -> None:
    """Import EuroMine from a checkout, whichever one is installed."""
    package = ModuleType("euromine")
    package.__path__ = [str(checkout)]
    sys.modules["euromine"] = package


def count(times: StageTimes) -> None:
    """Replace the stages by functions that count their time."""
    for name, functions in STAGES.items():
        try:
            module = import_module(f"euromine.monitoring.{name}")
        except ModuleNotFoundError:  # an older checkout
            continue
        for function, stage in functions.items():
            if hasattr(module, function):
                setattr(module, function, _counted(getattr(module, function), times, stage))


def _counted(function: Callable[..., Any], times: StageTimes, stage: str) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        with times.stage(stage):
            return function(*arguments, **options)

    return counted


def quick_network(times: list[float]) -> Any:
    """A footprint mapper of one layer, a weighted sum of the bands; notes the seconds of its calls."""
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import SemanticSegmenterOutput

    loading = import_module("euromine.monitoring.mapping.loading")
    modeling = import_module("euromine.modeling")

    class QuickConfig(PreTrainedConfig):
        model_type = "euromine_quick"

    class Quick(PreTrainedModel):
        config_class = QuickConfig

        def __init__(self) -> None:
            super().__init__(QuickConfig())
            self.layer = torch.nn.Conv2d(len(modeling.BANDS), 2, 1)
            self.post_init()

        def forward(self, pixel_values: torch.Tensor) -> SemanticSegmenterOutput:
            started = time.thread_time()
            logits = self.layer(pixel_values)
            times.append(time.thread_time() - started)
            return SemanticSegmenterOutput(logits=logits)

    torch.set_num_threads(1)
    model = Quick().eval()
    with torch.no_grad():
        model.layer.weight.zero_()
        # Images in which a mine is bright: 2,000 is the edge, and 100 digital numbers are a logit of 1.
        model.layer.weight[1, :, 0, 0] = 1 / (100 * len(modeling.BANDS))
        model.layer.bias[:] = torch.tensor([0.0, -20.0])
    processor = modeling.EuroMineImageProcessor(do_normalize=False)
    return loading.LoadedModel("quick", "segmentation", model, processor)


def measure(images: Path, out: Path) -> dict[str, Any]:
    """Map a series and say what it took."""
    # Commands keep freed memory and let threads wait asleep, in checkouts that do.
    if find_spec("euromine.support.environment"):
        import_module("euromine.support.environment").prepare_process()
    calls: list[float] = []
    network = quick_network(calls)
    series = import_module("euromine.monitoring.history.series")
    settings = import_module("euromine.monitoring.history.series_settings").SeriesSettings()
    find_scenes = import_module("euromine.monitoring.history.yearly_images").find_scenes
    options = import_module("euromine.monitoring.scenes.scene_options").SceneOptions(offset=0)
    import_module("euromine.monitoring.history.polygons")
    import geopandas  # noqa: F401  (importing takes seconds that are none of a series')

    times = StageTimes()
    count(times)
    scenes = find_scenes(images, None, options)
    with times.stage(REST):
        series.make_series([network], scenes, out, settings, options=options)
    times.move(sum(calls), "reading, blending, probabilities", NETWORK)
    sizes: dict[str, int] = defaultdict(int)
    for path in out.iterdir():
        sizes[_kind(path)] += path.stat().st_size
    return {"seconds": times.seconds, "bytes": sizes}


def _kind(path: Path) -> str:
    for kind in ("probability", "footprint_", "change_", "quicklook"):
        if path.name.startswith(kind):
            return kind.strip("_") + path.suffix
    return path.suffix


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"  # the network lies on no Hub
    use_checkout(Path(sys.argv[1]))
    sys.stdout.write(json.dumps(measure(Path(sys.argv[2]), Path(sys.argv[3]))) + "\n")
