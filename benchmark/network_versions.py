"""Networks of this checkout beside those of another, in one process.

`git worktree add ../before COMMIT` and `python -m euromine.benchmark.network_versions ../before segformer-b0`
print a Markdown table: the time per image, or pair of dates, of both versions with the same weights, which
take turns, and the largest difference of their logits; with `--train`, the time of a training step as well.
One thread; processor time, the shortest of several.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from euromine.benchmark.hardware import processor
from euromine.benchmark.network_speed import BANDS, inputs, measured_networks, step_on
from euromine.modeling.auto import create_model
from euromine.support.errors import reported_errors

from .command_line import benchmark_parser, check_networks, not_negative, positive

_OTHER = "euromine_before"
_DEVICE = torch.device("cpu")


@dataclass(frozen=True)
class Comparison:
    """A network's times in both versions.

    Attributes:
        network: Its name.
        what: The timed call, such as "batch 4, 512 px".
        before: Seconds of an image or pair, or of a training step, in the other checkout.
        after: Here.
        difference: The largest difference of the logits in units of the largest; None for a training step.
    """

    network: str
    what: str
    before: float
    after: float
    difference: float | None


def other_create_model(checkout: Path) -> Callable[..., Any]:
    """`create_model` of another checkout, whose networks then also answer to transformers' Auto classes.

    Raises:
        FileNotFoundError: It has no `modeling/`.
    """
    folder = checkout / "modeling"
    spec = importlib.util.spec_from_file_location(
        _OTHER, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[_OTHER] = package
    spec.loader.exec_module(package)
    create: Callable[..., Any] = importlib.import_module(f"{_OTHER}.auto").create_model
    return create


def twins(name: str, before: Callable[..., Any], after: Callable[..., Any]) -> tuple[Any, Any]:
    """The network in both versions, with the same fresh weights."""
    networks = before(name, num_channels=BANDS), after(name, num_channels=BANDS)
    networks[1].load_state_dict(networks[0].state_dict())
    return networks


def in_turns(calls: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """The shortest processor seconds of each call; they take turns, and the first time is not counted."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(1 + rounds):
        for call, taken in zip(calls, times, strict=True):
            started = time.process_time()
            call()
            taken.append(time.process_time() - started)
    return [min(taken[1:]) for taken in times]


def compare_forward(name: str, networks: tuple[Any, Any], batch: int, size: int, rounds: int) -> Comparison:
    """Time the forward pass of both versions in evaluation mode.

    Args:
        name: The network's name.
        networks: Both versions, with the same weights.
        batch: Images at once.
        size: Their side in pixels.
        rounds: Counted calls.
    """
    images, _ = inputs(networks[1], batch, _DEVICE, size)
    for network in networks:
        network.eval()
    with torch.no_grad():
        first, second = (network(pixel_values=images).logits for network in networks)
        calls = [lambda network=network: network(pixel_values=images) for network in networks]
        before, after = (seconds / batch for seconds in in_turns(calls, rounds))
    difference = ((first - second).abs().max() / first.abs().max()).item()
    return Comparison(name, f"batch {batch}, {size} px", before, after, difference)


def compare_training(name: str, networks: tuple[Any, Any], batch: int, size: int, rounds: int) -> Comparison:
    """Time a training step (forward, loss, backward, Adam) of both versions; arguments as above."""
    images, labels = inputs(networks[1], batch, _DEVICE, size)
    before, after = in_turns([step_on(network.train(), images, labels) for network in networks], rounds)
    return Comparison(name, f"training step of {batch}, {size} px", before, after, None)


def row(result: Comparison) -> str:
    """A row of the table."""
    difference = "" if result.difference is None else f"{result.difference:.0e}"
    return (
        f"| `{result.network}` | {result.what} | {1000 * result.before:,.0f} | {1000 * result.after:,.0f} "
        f"| {result.before / result.after:.2f} | {difference} |\n"
    )


def comparisons(name: str, before: Callable[..., Any], options: argparse.Namespace) -> Iterator[Comparison]:
    """All comparisons of a network."""
    networks = twins(name, before, create_model)
    for size in options.sizes:
        for batch in options.batches:
            yield compare_forward(name, networks, batch, size, options.rounds)
    if options.train:
        yield compare_training(name, networks, options.train, options.sizes[0], options.rounds)


def main(arguments: list[str] | None = None) -> int:
    """Compare networks of this checkout with those of another.

    Returns:
        The exit status.
    """
    names = measured_networks()
    parser = benchmark_parser("network_versions", __doc__)
    parser.add_argument("checkout", type=Path, help="the other checkout")
    parser.add_argument("networks", nargs="*", metavar="network", help="default: all")
    parser.add_argument("--sizes", type=positive, nargs="+", default=[160, 512], help="sides in pixels")
    parser.add_argument("--batches", type=positive, nargs="+", default=[1, 4], help="images at once")
    parser.add_argument(
        "--train", type=not_negative, default=0, help="inputs of a training step; 0 times none"
    )
    parser.add_argument("--rounds", type=positive, default=3, help="counted calls")
    options = parser.parse_args(arguments)
    check_networks(parser, options.networks, names)
    if not (options.checkout / "modeling").is_dir():
        parser.error(f"{options.checkout}: no checkout with a folder modeling/")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # fresh weights make them, trained ones hardly
    before = other_create_model(options.checkout)
    sys.stdout.write(
        f"Milliseconds per image or pair, or per step; one thread of {processor()}, torch "
        f"{torch.__version__}, load {os.getloadavg()[0]:.1f}.\n\n"
        "| network | what | before | after | ratio | difference |\n|---|---|--:|--:|--:|--:|\n"
    )
    for name in options.networks or names:
        for result in comparisons(name, before, options):
            sys.stdout.write(row(result))
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    with reported_errors("network_versions"):
        sys.exit(main())
