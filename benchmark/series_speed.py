"""The time of all changes of a series, each year encoded once, beside pair by pair, in one run.

`python -m euromine.benchmark.series_speed` prints a Markdown table of all change detectors, or of those
named: the time of `predict_series` for the 45 pairs of ten years, the time of 45 calls of the network, and
the speed-up beside the ideal one by the number of operations. Both ways take turns on one thread
and must give the same logits. The time is the thread's processor time, which
other load does not lengthen; the shortest of several repeats counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from euromine.benchmark.costs import PATCH_SIDE, network_costs
from euromine.benchmark.hardware import processor
from euromine.modeling.auto import create_model, list_models
from euromine.modeling.change_detection import ChangeDetector, year_pairs
from euromine.support.errors import reported_errors

from .command_line import benchmark_parser, check_networks, positive

YEARS = 10
# The share of the ideal speed-up that every network shall reach.
TARGET = 0.8
# Logits of both ways may differ by rounding, in units of the largest.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Row:
    """One network's figures.

    Attributes:
        network: Its name.
        apart: Seconds of one call for each pair.
        together: Seconds of `predict_series`.
        ideal: The speed-up that its own multiplications allow (`NetworkCosts.series_speed_up`).
        difference: The largest difference of the logits, in units of the largest.
    """

    network: str
    apart: float
    together: float
    ideal: float
    difference: float

    @property
    def speed_up(self) -> float:
        """How many times faster the series is than its pairs."""
        return self.apart / self.together

    @property
    def share(self) -> float:
        """The speed-up in units of the ideal one."""
        return self.speed_up / self.ideal


def prepared(name: str, bands: int) -> ChangeDetector:
    """A change detector in evaluation mode, with batch norms that have seen images."""
    torch.manual_seed(0)
    network = create_model(name, num_channels=bands)
    assert isinstance(network, ChangeDetector)
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if key.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point() and not tensor.any():
                # Zero-started scales and biases.
                tensor.normal_(std=0.1)
    return network.eval()


def apart(network: ChangeDetector, series: Tensor) -> Tensor:
    """The logits (1, pairs, 2, height, width) of a series by one call per pair."""
    pairs = year_pairs(series.shape[1])
    return torch.stack([network(series[:, list(pair)]).logits for pair in pairs], dim=1)


def seconds_of(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """The processor time of a call, and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


@torch.no_grad()
def measure(name: str, size: int, bands: int, repeats: int) -> Row:
    """Time both ways in turn.

    Args:
        name: A change detector.
        size: Side of the images in pixels.
        bands: Their number of bands.
        repeats: How often each way is run.

    Raises:
        RuntimeError: Their logits differ by more than rounding.
    """
    network = prepared(name, bands)
    ideal = network_costs(network, size=(size, size)).series_speed_up(YEARS)
    series = torch.randn(1, YEARS, bands, size, size, generator=torch.Generator().manual_seed(0))
    # The first use of each layer pays for its preparation.
    network.predict_series(series[:, :2])
    shortest_apart = shortest_together = float("inf")
    difference = 0.0
    for _ in range(repeats):
        seconds, together = seconds_of(lambda: network.predict_series(series))
        shortest_together = min(shortest_together, seconds)
        seconds, expected = seconds_of(lambda: apart(network, series))
        shortest_apart = min(shortest_apart, seconds)
        difference = ((together - expected).abs().max() / expected.abs().max()).item()
        if not difference < TOLERANCE:
            raise RuntimeError(f"{name} gives other logits for a series than for its pairs, by {difference}.")
    return Row(name, shortest_apart, shortest_together, ideal, difference)


def markdown(rows: list[Row], size: int, bands: int, repeats: int) -> str:
    """The figures as a Markdown table."""
    slower = [row.network for row in rows if row.speed_up < 1]
    below = [row.network for row in rows if row.share < TARGET]
    lines = [
        f"{YEARS} years of {size} x {size} pixels and {bands} bands, {len(year_pairs(YEARS))} pairs; one "
        f"thread of {processor()}, torch {torch.__version__}; processor time, the shortest of {repeats}:",
        "",
        "| network | pair by pair | series | speed-up | ideal | share of the ideal | largest difference |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.network} | {row.apart:.2f} s | {row.together:.2f} s | {row.speed_up:.2f} | {row.ideal:.2f} "
        f"| {row.share:.2f} | {row.difference:.0e} |"
        for row in rows
    ]
    lines += [
        "",
        f"Below {TARGET:g} of the ideal: {', '.join(below) or 'none'}. "
        f"Slower than pair by pair: {', '.join(slower) or 'none'}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Time series of years against their pairs.

    Returns:
        The exit status.
    """
    names = list_models("change-detection")
    parser = benchmark_parser("series_speed", __doc__)
    parser.add_argument("networks", nargs="*", metavar="network", help="default: all")
    parser.add_argument("--size", type=positive, default=PATCH_SIDE, help="side of the images in pixels")
    parser.add_argument("--bands", type=positive, default=10, help="number of bands")
    parser.add_argument("--repeats", type=positive, default=3, help="how often each way is run")
    options = parser.parse_args(arguments)
    check_networks(parser, options.networks, names)
    torch.set_num_threads(1)
    rows = [measure(name, options.size, options.bands, options.repeats) for name in options.networks or names]
    sys.stdout.write(markdown(rows, options.size, options.bands, options.repeats))
    return 0


if __name__ == "__main__":
    with reported_errors("series_speed"):
        sys.exit(main())
