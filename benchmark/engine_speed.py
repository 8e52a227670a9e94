"""Engines and precisions of prediction side by side: time, memory, agreement and scores of every network.

`python -m euromine.benchmark.engine_speed` measures networks with fresh weights. `--runs FOLDER --dataset
DATASET` takes the trained networks in FOLDER/<name> and scores them on the test split, too; int8 is measured
where `euromine export --int8` was run. PyTorch in float32 and the other engine take turns, so that other load
slows both alike; with one thread, times are the processor's. Denormal numbers, which untrained networks make
many of, are flushed to zero.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from euromine.dataset_script.patches import owned_mask
from euromine.dataset_script.reading import read_dataset
from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.metrics.interval_f1.interval_f1 import IntervalF1
from euromine.modeling import (
    CHANGE_DETECTION,
    SEGMENTATION,
    SERIES,
    EuroMineImageProcessor,
    create_model,
    list_models,
)
from euromine.modeling.change_detection import ChangeDetector
from euromine.modeling.series_model import SeriesModel
from euromine.monitoring.mapping.engine_choice import INT8, EngineChoice
from euromine.monitoring.mapping.engines import on_engine
from euromine.monitoring.mapping.loading import LoadedModel, load_model
from euromine.support.errors import ArgumentError, EuroMineError, MissingExtraError, reported_errors
from euromine.support.gap_filling import fill_gaps
from euromine.training.evaluation import predict_series

from .command_line import benchmark_parser, check_networks, positive
from .hardware import shortest_of_turns
from .stopwatch import PeakMemory, Stopwatch

CHOICES = (
    "eager:bfloat16",
    "openvino:float32",
    "openvino:bfloat16",
    "openvino:int8",
    "onnxruntime:float32",
)
# Sides of the inputs: windows of a scene for mappers, for detectors and series a quarter of one.
_SIDES = {SEGMENTATION: 512, CHANGE_DETECTION: 256, SERIES: 256}
_YEARS = {SEGMENTATION: 1, CHANGE_DETECTION: 2, SERIES: 10}
_MEGABYTE = 2**20
_COLUMNS = (
    "network",
    "weights",
    "engine",
    "ms",
    "PyTorch float32 (ms)",
    "times as fast",
    "added (MB)",
    "same class",
    "largest difference",
    "score",
    "change",
)


@dataclass(frozen=True)
class Measurement:
    """A network on an engine, beside PyTorch in float32.

    Attributes:
        seconds: Of one window, of two years and their change, or of a series of ten years.
        eager_seconds: Of the same by PyTorch in float32, in turns with the former.
        memory: Bytes added by preparing the engine and a first run.
        difference: The largest difference of the logits, of the largest logit.
        agreement: The share of pixels with the same class.
        score: OF1 of a mapper or series network, or change F1 of a detector, on the test split, 0 to 100;
            None if not measured.
    """

    seconds: float
    eager_seconds: float
    memory: int
    difference: float
    agreement: float
    score: float | None = None


def network_of(name: str, runs: Path | None) -> tuple[LoadedModel, bool]:
    """A network, and whether its weights are trained."""
    if runs is not None and (runs / name / "config.json").is_file():
        return load_model(runs / name, device="cpu"), True
    torch.manual_seed(0)
    task = next((each for each in (CHANGE_DETECTION, SERIES) if name in list_models(each)), SEGMENTATION)
    return LoadedModel(name, task, create_model(name).eval(), EuroMineImageProcessor()), False


def runner(loaded: LoadedModel, pixel_values: Tensor) -> Callable[[], Tensor]:
    """A call of a network: logits of a window, of the change between two years, or of all years."""
    model: Any = loaded.model
    if isinstance(model, SeriesModel):
        return lambda: cast("Tensor", model(pixel_values=pixel_values).logits[0])
    if isinstance(model, ChangeDetector):
        return lambda: model.predict_series(pixel_values)[:, 0]
    return lambda: cast("Tensor", model(pixel_values=pixel_values).logits)


@torch.inference_mode()
def measure(
    loaded: LoadedModel, choice: EngineChoice, pixel_values: Tensor, watch: Stopwatch, turns: int
) -> Measurement:
    """Measure a network on an engine."""
    eager = runner(loaded, pixel_values)
    expected = eager().float()
    memory = PeakMemory(watch.device)
    other = runner(on_engine(loaded, choice), pixel_values)
    other()
    found = other().float()
    added = memory.bytes()
    times = [(watch.once(eager), watch.once(other)) for _ in range(turns)]
    return Measurement(
        seconds=min(each for _, each in times),
        eager_seconds=min(each for each, _ in times),
        memory=added,
        difference=float((found - expected).abs().max() / expected.abs().max()),
        agreement=float((found.argmax(1) == expected.argmax(1)).float().mean()),
    )


@torch.inference_mode()
def score(loaded: LoadedModel, rows: Sequence[Any]) -> float:
    """OF1 of a mapper or series network, or a detector's change F1 over all intervals, 0 to 100."""
    is_detector = loaded.task == CHANGE_DETECTION
    metric: Any = IntervalF1("change") if is_detector else AnnualF1()
    for row in rows:
        images = fill_gaps(row["images"], row["labels"])[None]
        maps = predict_series(loaded.model, loaded.image_processor, images)[0].cpu().numpy()
        ignored = ~owned_mask(row["own"])
        prediction, reference = (np.where(ignored, np.uint8(255), each) for each in (maps, row["labels"]))
        metric.add(prediction=prediction, reference=reference, site=row["site"], years=list(row["years"]))
    return 100 * float(metric.compute()["of1_pooled" if is_detector else "of1"])


def pixel_values_of(loaded: LoadedModel, rows: Sequence[Any] | None, side: int | None) -> Tensor:
    """An input of the size that is mapped in practice: of test patches beside each other, else noise."""
    side = side or _SIDES[loaded.task]
    bands = len(loaded.image_processor.bands)
    years = _YEARS[loaded.task]
    if rows is None:
        noise = torch.randn(1, years, bands, side, side, generator=torch.Generator().manual_seed(0))
        return noise[:, 0] if years == 1 else noise
    across = -(-side // rows[0]["images"].shape[-1])
    chosen = [0, -1] if years == 2 else list(range(min(years, len(rows[0]["images"]))))
    patches = [np.asarray(rows[place % len(rows)]["images"])[chosen] for place in range(across**2)]
    lines = [np.concatenate(patches[start : start + across], 3) for start in range(0, across**2, across)]
    image = np.concatenate(lines, 2)[None, :, :, :side, :side]
    found: Tensor = loaded.image_processor(image, return_tensors="pt").pixel_values
    return found[:, 0] if years == 1 else found


def spread(count: int, wanted: int | None) -> list[int]:
    """Places of `wanted` rows of `count`, spread evenly over them; all by default."""
    wanted = count if wanted is None else min(wanted, count)
    return [place * count // wanted for place in range(wanted)]


def table(
    names: Sequence[str],
    choices: Sequence[EngineChoice],
    arguments: argparse.Namespace,
    rows: list[Any] | None,
) -> None:
    """Measure and print a row per network and engine."""
    watch = Stopwatch(torch.device("cpu"), 0.0)
    sys.stdout.write(f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}\n")
    for name in names:
        loaded, is_trained = network_of(name, arguments.runs)
        pixel_values = pixel_values_of(loaded, rows, arguments.side)
        exact = score(loaded, rows) if is_trained and rows is not None else None
        for choice in choices:
            label = f"{choice.engine} {choice.precision}"
            if choice.precision == INT8 and not is_trained:
                sys.stderr.write(f"{name}, {label}: needs trained weights and `euromine export --int8`\n")
                continue
            try:
                found = measure(loaded, choice, pixel_values, watch, arguments.turns)
                other = None if exact is None else score(on_engine(loaded, choice), rows or [])
            except MissingExtraError:
                raise
            except EuroMineError as error:  # a network that an engine cannot run, or has no int8 export
                sys.stderr.write(f"{name}, {label}: {error}\n")
                continue
            scores = ("", "") if exact is None or other is None else (f"{other:.2f}", f"{other - exact:+.2f}")
            sys.stdout.write(
                f"| {name} | {'trained' if is_trained else 'fresh'} | {label} | {1e3 * found.seconds:.0f} | "
                f"{1e3 * found.eager_seconds:.0f} | {found.eager_seconds / found.seconds:.2f} | "
                f"{found.memory / _MEGABYTE:.0f} | {found.agreement:.4%} | {found.difference:.1e} | "
                f"{' | '.join(scores)} |\n"
            )
            sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser("engine_speed", __doc__)
    parser.add_argument("--networks", nargs="+", help="names as create_model takes them; by default all")
    parser.add_argument("--runs", type=Path, help="folder of trained networks by name; others are fresh")
    parser.add_argument("--dataset", help="a built dataset, whose test split scores trained networks")
    parser.add_argument("--series", type=positive, help="series, spread over the test split; by default all")
    parser.add_argument(
        "--engines", nargs="+", default=CHOICES, metavar="ENGINE:PRECISION", help="beside eager:float32"
    )
    parser.add_argument(
        "--side", type=positive, help="side of the inputs in pixels; 512, for several years 256"
    )
    parser.add_argument("--turns", type=positive, default=5, help="turns of each engine; the shortest counts")
    arguments = parser.parse_args()
    check_networks(parser, arguments.networks or [], list_models())
    with reported_errors("engine_speed"):
        if arguments.runs is not None and not arguments.runs.is_dir():
            raise ArgumentError(
                f"--runs: found {arguments.runs}, no folder; expected trained networks there."
            )
        names = arguments.networks or [
            *(name for task in (SEGMENTATION, CHANGE_DETECTION, SERIES) for name in list_models(task))
        ]
        choices = [_choice(text) for text in arguments.engines]
        rows: list[Any] | None = None
        if arguments.dataset is not None:
            columns = ("images", "labels", "own", "site", "years")
            series: Any = read_dataset(arguments.dataset, "series", "test", columns=columns)
            rows = [series[place] for place in spread(len(series), arguments.series)]
        torch.set_flush_denormal(True)
        sys.stdout.write(f"{shortest_of_turns(arguments.turns)}\n\n")
        table(names, choices, arguments, rows)


def _choice(text: str) -> EngineChoice:
    engine, _, precision = text.partition(":")
    if not precision:
        raise ArgumentError(
            f"--engines: found {text!r}; expected ENGINE:PRECISION, such as openvino:float32."
        )
    return EngineChoice(engine, precision, force_precision=True)


if __name__ == "__main__":
    main()
