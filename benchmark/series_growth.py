"""Growth of a network for series with the number of years: time and memory of a scene's window.

`python -m euromine.benchmark.series_growth` prints a Markdown table for 2 to 40 years: of the network's pass,
which gives the evidence, and of the chains, which turn it into probabilities, footprints and the changes of
all pairs of years. On one thread, times are the thread's processor time, unaffected by other load.

With `--sides`, it prints the peak memory of whole series by stage instead: of a footprint mapper, a change
detector and a network for series that take next to no memory themselves (`stage_memory.py`).
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from euromine.benchmark.costs import PATCH_SIDE
from euromine.benchmark.hardware import device_name
from euromine.benchmark.stage_memory import STAGE_HEADER, TASKS, stage_lines, stage_rows
from euromine.benchmark.stopwatch import PeakMemory, Stopwatch
from euromine.modeling.auto import create_model, list_models
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.tasks import SERIES
from euromine.monitoring.history.chain_maps import maps_of_chains
from euromine.monitoring.history.series_windows import evidence_of
from euromine.monitoring.mapping.loading import LoadedModel, usable_device
from euromine.support.errors import reported_errors

from .command_line import benchmark_parser, duration, positive

YEARS = (2, 5, 10, 20, 40)


@dataclass(frozen=True)
class GrowthRow:
    """The figures of a number of years.

    Attributes:
        years: The number.
        network: Seconds of the network's pass.
        chains: Seconds of the chains.
        network_memory: Peak memory of the pass in bytes, beyond the network itself.
        chains_memory: The same of the chains.
    """

    years: int
    network: float
    chains: float
    network_memory: int
    chains_memory: int


def measure(network: LoadedModel, years: int, size: int, seconds: float) -> GrowthRow:
    """Time and memory of one window.

    Args:
        network: A network for series.
        years: The number of years.
        size: The window's side in pixels.
        seconds: Calls are repeated for at least this long.
    """
    generator = np.random.default_rng(0)
    bands = len(network.image_processor.bands)
    images = generator.integers(300, 3000, (years, bands, size, size)).astype(np.float32)
    valid = np.ones((years, size, size), bool)
    calendar = range(2025 - years, 2025)
    pairs = list(combinations(range(years), 2))
    watch = Stopwatch(network.model.device, seconds)

    peak = PeakMemory(network.model.device)
    evidence = evidence_of(network, images, valid, calendar)
    network_memory = peak.bytes()
    pixels = evidence.reshape(len(evidence), -1)
    peak = PeakMemory(network.model.device)
    maps_of_chains(pixels, calendar, pairs, device=network.model.device)
    chains_memory = peak.bytes()
    return GrowthRow(
        years,
        watch.shortest(lambda: evidence_of(network, images, valid, calendar)),
        watch.shortest(lambda: maps_of_chains(pixels, calendar, pairs, device=network.model.device)),
        network_memory,
        chains_memory,
    )


def header(name: str, size: int, device: torch.device) -> str:
    """The beginning of a Markdown table of the figures."""
    lines = [
        f"{name}, a window of {size} x {size} pixels, {device_name(device)}, torch {torch.__version__}:",
        "",
        "| years | pairs | network | a year | memory | chains | memory |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    return "\n".join(lines) + "\n"


def line(row: GrowthRow) -> str:
    """The figures of a number of years as a row of the table."""
    return (
        f"| {row.years} | {row.years * (row.years - 1) // 2} | {row.network:.2f} s "
        f"| {row.network / row.years:.3f} s | {row.network_memory / 2**20:.0f} MB | {row.chains:.2f} s "
        f"| {row.chains_memory / 2**20:.0f} MB |\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Time a network for series over more and more years.

    Returns:
        The exit status.
    """
    known = list_models(SERIES)
    parser = benchmark_parser("series_growth", __doc__)
    parser.add_argument("--network", choices=known, help="default: euromine-series-b0")
    parser.add_argument("--years", type=positive, nargs="+", default=YEARS, help="numbers of years")
    parser.add_argument("--size", type=positive, default=PATCH_SIDE, help="side of the window in pixels")
    parser.add_argument("--seconds", type=duration, default=0.5, help="the least time of each measurement")
    parser.add_argument("--device", default="cpu", help="cpu, on one thread, or cuda")
    whole = parser.add_argument_group("whole series")
    whole.add_argument("--sides", type=positive, nargs="+", help="sides of scenes in pixels")
    whole.add_argument("--height", type=positive, help="rows of scenes, if they are not squares")
    whole.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS, help="default: all")
    whole.add_argument("--impact", action="store_true", help="with indices, recovery, land cover and permits")
    whole.add_argument("--folder", type=Path, help="where images and maps are written")
    options = parser.parse_args(arguments)
    if options.sides:
        years = 10 if options.years is YEARS else max(options.years)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            tasks = options.tasks if options.network is None else [SERIES]
            sizes = [(side, options.height or side) for side in options.sides]
            sys.stdout.write(STAGE_HEADER)
            for row in stage_rows(
                tasks, options.network, sizes, years, Path(folder), with_impact=options.impact
            ):
                sys.stdout.write(stage_lines(row))
                sys.stdout.flush()
        return 0
    torch.set_num_threads(1)
    name = options.network or "euromine-series-b0"
    model = create_model(name).eval().to(usable_device(options.device))
    network = LoadedModel(name, SERIES, model, EuroMineImageProcessor())
    sys.stdout.write(header(name, options.size, model.device))
    # Ascending, because a process keeps some of the memory that it once had.
    for years in sorted(options.years):
        sys.stdout.write(line(measure(network, years, options.size, options.seconds)))
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    with reported_errors("series_growth"):
        sys.exit(main())
