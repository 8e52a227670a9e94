"""The cost and speed of every network, measured in one process each, as Markdown tables.

`python -m euromine.benchmark.network_speed --results runs/models` measures all networks, or those named:
parameters, GMACs, the time for one and for eight images or pairs, also in channels_last, the time and peak
memory of a training step on one and on eight, and the share of copies in the time. `--compile` measures the
compiled network against the eager one, which takes minutes each. Results lie in the folder as JSON, so an
interrupted run resumes; the tables are made from all that are there.

On one CPU thread, times are processor time, which other load does not lengthen; otherwise wall-clock time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm
from transformers import PreTrainedModel

from euromine.benchmark.costs import PATCH_SIDE, network_costs
from euromine.benchmark.hardware import device_name
from euromine.benchmark.stopwatch import PeakMemory, Stopwatch
from euromine.modeling.auto import create_model, list_models
from euromine.modeling.change_detection import ChangeDetector
from euromine.modeling.tasks import CHANGE_DETECTION, SEGMENTATION
from euromine.monitoring.mapping.loading import usable_device
from euromine.support.errors import ModelError, reported_errors

from .command_line import benchmark_parser, check_networks, duration, positive

BANDS = 10
BATCH = 8
# How the files of both kinds of figures end.
PLAIN, COMPILED = "-plain", "-compiled"
# What copies and computes nothing.
_COPIES = {"aten::copy_", "aten::clone", "aten::contiguous", "aten::_to_copy"}


@dataclass(frozen=True)
class Figures:
    """The measurements of a network. An input is an image of 160 x 160, or a pair of dates.

    Attributes:
        name: The network.
        task: "segmentation" or "change-detection".
        parameters: All of them.
        gmacs: Thousand millions of multiplications and additions of one input.
        one: Seconds of one input.
        eight: Seconds of eight inputs at once.
        channels_last: Seconds of eight inputs at once with weights and inputs in channels_last.
        train_one: Seconds of a training step (forward, loss, backward, Adam) with one input.
        train_eight: Seconds of a training step with eight.
        train_memory: Bytes that training with eight takes beyond the network's own weights, at the peak.
        copying: Share of the time of eight inputs that goes into copies.
        machine: What it ran on.
    """

    name: str
    task: str
    parameters: int
    gmacs: float
    one: float
    eight: float
    channels_last: float
    train_one: float
    train_eight: float
    train_memory: int
    copying: float
    machine: str


@dataclass(frozen=True)
class CompiledFigures:
    """A compiled network, beside the eager one in the same process.

    Attributes:
        name: The network.
        task: "segmentation" or "change-detection".
        plain: Seconds of one input as the network stands.
        compiled: Seconds of one input, compiled; None where it cannot be compiled.
        compiling: Seconds on the clock until the compiled network had answered for the first time.
        failure: Why it cannot be compiled.
        machine: What it ran on.
    """

    name: str
    task: str
    plain: float
    compiled: float | None
    compiling: float
    failure: str | None
    machine: str


Kind = TypeVar("Kind", Figures, CompiledFigures)


def measured_networks() -> list[str]:
    """Names of all networks for single images and for pairs of dates, sorted."""
    return sorted([*list_models(SEGMENTATION), *list_models(CHANGE_DETECTION)])


def prepared(name: str, device: torch.device) -> PreTrainedModel:
    """A network with fresh weights."""
    torch.manual_seed(0)
    with device:
        return create_model(name, num_channels=BANDS)


def task_of(network: nn.Module) -> str:
    """The task of a network."""
    return CHANGE_DETECTION if isinstance(network, ChangeDetector) else SEGMENTATION


def machine(device: torch.device) -> str:
    """The machine and the versions of the libraries."""
    return f"{device_name(device)}, torch {torch.__version__}"


def inputs(
    network: nn.Module, batch: int, device: torch.device, side: int = PATCH_SIDE
) -> tuple[Tensor, Tensor]:
    """Random square images, or pairs of dates, and labels for them."""
    generator = torch.Generator().manual_seed(0)
    dates = (2,) if isinstance(network, ChangeDetector) else ()
    pixel_values = torch.randn(batch, *dates, BANDS, side, side, generator=generator)
    labels = torch.randint(0, 2, (batch, side, side), generator=generator)
    return pixel_values.to(device), labels.to(device)


def in_channels_last(pixel_values: Tensor) -> Tensor:
    """The same images with their channels innermost; pairs of dates likewise."""
    if pixel_values.ndim == 4:
        return pixel_values.contiguous(memory_format=torch.channels_last)
    dates = pixel_values.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return dates.unflatten(0, tuple(pixel_values.shape[:2]))


def training_step(network: nn.Module, batch: int, device: torch.device) -> Callable[[], None]:
    """A function that runs one training step, as `train_seg.py` and `train_cd.py` do."""
    return step_on(network, *inputs(network, batch, device))


def step_on(network: nn.Module, pixel_values: Tensor, labels: Tensor) -> Callable[[], None]:
    """A function that runs one training step (forward, loss, backward, Adam) on the same inputs each time."""
    optimizer = torch.optim.Adam((each for each in network.parameters() if each.requires_grad), lr=1e-4)

    def step() -> None:
        network(pixel_values=pixel_values, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def share_of_copies(call: Callable[[], Any], device: torch.device) -> float:
    """The share of a call's time that goes into copies."""
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=kinds) as profiler:
        call()
    of_device = device.type == "cuda"
    times = {
        event.key: float(event.self_device_time_total if of_device else event.self_cpu_time_total)
        for event in profiler.key_averages()
    }
    return sum(taken for key, taken in times.items() if key in _COPIES) / sum(times.values())


def measure_compiled(name: str, device: torch.device, seconds: float) -> CompiledFigures:
    """Measure a network compiled for its shape against the eager one.

    Args:
        name: One of `list_models()`.
        device: Where it runs.
        seconds: For how long each call is repeated at least.
    """
    network, watch = prepared(name, device), Stopwatch(device, seconds)
    pixel_values, _ = inputs(network.eval(), 1, device)
    compiled = torch.compile(network, dynamic=False)
    quick = failure = None
    with torch.no_grad():
        plain = watch.shortest(lambda: network(pixel_values=pixel_values))
        started = time.perf_counter()
        try:
            compiled(pixel_values=pixel_values)
        except Exception as error:
            # Whatever the compiler stumbles over is a finding about the network.
            failure = f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
        compiling = time.perf_counter() - started
        if failure is None:
            quick = watch.shortest(lambda: compiled(pixel_values=pixel_values))
    return CompiledFigures(name, task_of(network), plain, quick, compiling, failure, machine(device))


def measure(name: str, device: torch.device, seconds: float) -> Figures:
    """All measurements of a network but those of `measure_compiled`.

    Args:
        name: One of `list_models()`.
        device: Where it runs.
        seconds: For how long each call is repeated at least.
    """
    network, watch = prepared(name, device), Stopwatch(device, seconds)
    costs = network_costs(network)

    network.train()
    train_one = watch.shortest(training_step(network, 1, device))
    peak = PeakMemory(device)
    train_eight = watch.shortest(training_step(network, BATCH, device))
    train_memory = peak.bytes()

    network.eval()
    with torch.no_grad():
        one, _ = inputs(network, 1, device)
        eight, _ = inputs(network, BATCH, device)
        time_of_one = watch.shortest(lambda: network(pixel_values=one))
        time_of_eight = watch.shortest(lambda: network(pixel_values=eight))
        copying = share_of_copies(lambda: network(pixel_values=eight), device)
        # Not the network as a whole: weights over time have a fifth dimension.
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        last = in_channels_last(eight)
        channels_last = watch.shortest(lambda: network(pixel_values=last))
    return Figures(
        name=name,
        task=task_of(network),
        parameters=costs.parameters,
        gmacs=costs.gmacs,
        one=time_of_one,
        eight=time_of_eight,
        channels_last=channels_last,
        train_one=train_one,
        train_eight=train_eight,
        train_memory=train_memory,
        copying=copying,
        machine=machine(device),
    )


def measure_apart(name: str, path: Path, options: Sequence[str]) -> None:
    """Measure a network in a process of its own and write its measurements as JSON.

    The process compiles with an empty cache: what another network left there would shorten its compiling.

    Raises:
        ModelError: The process failed.
    """
    command = [sys.executable, "-m", "euromine.benchmark.network_speed", name, "--here", *options]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
        measured = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=environment)
    if measured.returncode:
        raise ModelError(
            f"{name}: found status {measured.returncode} of the process that measures it; expected 0. Its "
            "message is above."
        )
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(measured.stdout.splitlines()[-1] + "\n", encoding="utf-8")
    unfinished.replace(path)


def read(folder: Path, kind: type[Kind], suffix: str) -> list[Kind]:
    """The measurements in a folder, footprint mappers first, each task by name."""
    found = [
        kind(**json.loads(path.read_text(encoding="utf-8"))) for path in folder.glob(f"[!.]*{suffix}.json")
    ]
    return sorted(found, key=lambda each: (each.task != SEGMENTATION, each.name))


def markdown(figures: Sequence[Figures]) -> str:
    """The table of all networks, one per machine."""
    lines = []
    for where in sorted({each.machine for each in figures}):
        lines += [
            f"An image, or a pair of dates, of {PATCH_SIDE} x {PATCH_SIDE} pixels and {BANDS} bands;",
            f"{where}.",
            f"Milliseconds of one and of {BATCH} at once, the shortest of several; memory beyond weights,",
            f"at the peak of a training step with {BATCH}.",
            "",
            f"| network | parameters | GMAC | one | {BATCH} | {BATCH} in channels_last | copies "
            f"| training step, one | {BATCH} | memory |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        ]
        lines += [
            f"| `{each.name}` | {each.parameters / 1e6:.2f} M | {each.gmacs:.2f} | {_milliseconds(each.one)} "
            f"| {_milliseconds(each.eight)} | {_beside(each.channels_last, each.eight)} | {each.copying:.1%} "
            f"| {_milliseconds(each.train_one)} | {_milliseconds(each.train_eight)} "
            f"| {each.train_memory / 1e9:.2f} GB |"
            for each in figures
            if each.machine == where
        ]
        lines.append("")
    return "\n".join(lines)


def markdown_compiled(figures: Sequence[CompiledFigures]) -> str:
    """The table of compiled networks, one per machine."""
    lines = []
    for where in sorted({each.machine for each in figures}):
        lines += [
            f"`torch.compile` against the network as it stands, one input; {where}.",
            "",
            "| network | as it stands | compiled | compiling |",
            "|---|--:|--:|--:|",
        ]
        for each in figures:
            if each.machine == where:
                compiled = each.failure if each.compiled is None else _beside(each.compiled, each.plain)
                lines.append(
                    f"| `{each.name}` | {_milliseconds(each.plain)} | {compiled} | {each.compiling:.0f} s |"
                )
        lines.append("")
    return "\n".join(lines)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f}"


def _beside(seconds: float, plain: float) -> str:
    return f"{_milliseconds(seconds)} ({plain / seconds:.2f} x)"


def main(arguments: list[str] | None = None) -> int:
    """Measure networks and print the tables.

    Returns:
        The exit status.
    """
    names = measured_networks()
    parser = benchmark_parser("network_speed", __doc__)
    parser.add_argument("networks", nargs="*", metavar="network", help="default: all")
    parser.add_argument("--results", type=Path, default=Path("runs/models"), help="where figures are kept")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=positive, default=1, help="of a CPU")
    parser.add_argument("--seconds", type=duration, default=3, help="for how long each call is repeated")
    parser.add_argument("--compile", action="store_true", help="compile them, which takes minutes each")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    check_networks(parser, options.networks, names)
    place = usable_device(options.device)
    if options.here:
        torch.set_num_threads(options.threads)
        torch.set_flush_denormal(True)  # fresh weights make them, trained ones hardly
        way = measure_compiled if options.compile else measure
        figures = way(options.networks[0], place, options.seconds)
        sys.stdout.write(json.dumps(asdict(figures)) + "\n")
        return 0
    options.results.mkdir(parents=True, exist_ok=True)
    passed_on = ["--device", options.device, "--threads", str(options.threads)]
    passed_on += ["--seconds", str(options.seconds), *(["--compile"] if options.compile else [])]
    suffix = COMPILED if options.compile else PLAIN
    paths = {name: options.results / f"{name}{suffix}.json" for name in options.networks or names}
    missing = [name for name, path in paths.items() if not path.is_file()]
    for name in tqdm(missing, desc="Measuring", unit="network"):
        measure_apart(name, paths[name], passed_on)
    sys.stdout.write(markdown(read(options.results, Figures, PLAIN)))
    sys.stdout.write(markdown_compiled(read(options.results, CompiledFigures, COMPILED)))
    return 0


if __name__ == "__main__":
    with reported_errors("network_speed"):
        sys.exit(main())
