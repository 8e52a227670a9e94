"""A training step beside busy processes, by how OpenMP's threads wait.

`python -m euromine.benchmark.shared_cores` prints two Markdown tables of TinyCD's and SegFormer-B0's training
steps: on the machine as it is, and beside `--busy` processes that compute. Each has one thread, two threads
that wait busily, as OpenMP's do by default, and two that wait asleep, as in our programs. All take turns; the
shortest step counts, on the clock and in processor time.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

from euromine.benchmark.hardware import processor
from euromine.benchmark.network_speed import measured_networks
from euromine.support.errors import reported_errors
from euromine.support.workers import usable_cores

from .command_line import benchmark_parser, check_networks, not_negative, positive

NETWORKS = ("tinycd", "segformer-b0")
# OpenMP spins 300,000 times by default if it finds as many cores as threads, and for ever here.
_BUSY = {"OMP_WAIT_POLICY": "ACTIVE"}
_ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class Step:
    """The shortest of some training steps, on the clock and in processor time, in seconds."""

    clock: float
    processor: float


def settings(threads: int) -> dict[str, Mapping[str, str]]:
    """The environments that are compared, by name."""
    several = f"{threads} threads"
    return {
        "one thread": {"OMP_NUM_THREADS": "1"},
        f"{several}, OpenMP's default": {"OMP_NUM_THREADS": str(threads)},
        f"{several} that wait busily": {"OMP_NUM_THREADS": str(threads), **_BUSY},
        f"{several} that wait asleep": {"OMP_NUM_THREADS": str(threads), **_ASLEEP},
    }


class Trainer:
    """A process that trains a network and runs a step when it is asked to."""

    def __init__(self, network: str, batch: int, environment: Mapping[str, str]) -> None:
        own = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        command = [sys.executable, "-c", _TRAINER, network, str(batch)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**own, **environment}
        )

    def step(self) -> Step:
        """Run a step."""
        print(file=_pipe(self._process.stdin), flush=True)
        clock, spent = _pipe(self._process.stdout).readline().split()
        return Step(float(clock), float(spent))

    def close(self) -> None:
        """End the process."""
        _pipe(self._process.stdin).close()
        self._process.wait()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


# Not a module's function: the package would prepare the process.
_TRAINER = """
import sys, time
import torch
from euromine.benchmark.network_speed import prepared, training_step
from euromine.support.environment import keep_freed_memory
keep_freed_memory()
network = prepared(sys.argv[1], torch.device("cpu")).train()
step = training_step(network, int(sys.argv[2]), torch.device("cpu"))
for _ in sys.stdin:
    clock, spent = time.perf_counter(), time.process_time()
    step()
    print(time.perf_counter() - clock, time.process_time() - spent, flush=True)
"""


def compute() -> None:
    """Keep a core busy."""
    while True:
        sum(range(1000))


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Processes that compute while the block runs."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=compute, daemon=True) for _ in range(number)]
    for process in processes:
        process.start()
    time.sleep(1 if processes else 0)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def measure(network: str, batch: int, threads: int, rounds: int) -> dict[str, Step]:
    """The shortest step of a network by setting; the settings take turns.

    Args:
        network: One of `list_models()`.
        batch: Inputs of a step.
        threads: Threads where there are several.
        rounds: Steps of each setting, after one that is not counted.
    """
    with ExitStack() as stack:
        trainers = {name: Trainer(network, batch, each) for name, each in settings(threads).items()}
        for trainer in trainers.values():
            stack.callback(trainer.close)
        steps: dict[str, list[Step]] = {name: [] for name in trainers}
        for _ in range(1 + rounds):
            for name, trainer in trainers.items():
                steps[name].append(trainer.step())
    return {
        name: Step(min(each.clock for each in counted), min(each.processor for each in counted))
        for name, (_, *counted) in steps.items()
    }


def markdown(rows: Sequence[tuple[str, Mapping[str, Step]]], title: str) -> str:
    """A table of the steps, in seconds, and in units of one thread's."""
    lines = [
        f"{title}:",
        "",
        "| network | threads | seconds on the clock | ratio | processor seconds | ratio |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for network, steps in rows:
        one = next(iter(steps.values()))
        lines += [
            f"| `{network}` | {name} | {step.clock:.2f} | {step.clock / one.clock:.2f} "
            f"| {step.processor:.2f} | {step.processor / one.processor:.2f} |"
            for name, step in steps.items()
        ]
    return "\n".join(lines) + "\n\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure training steps on the machine as it is, and beside busy processes.

    Returns:
        The exit status.
    """
    parser = benchmark_parser("shared_cores", __doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="names as create_model takes them")
    parser.add_argument(
        "--busy", type=not_negative, default=6, help="processes that compute in the second table"
    )
    parser.add_argument("--batch", type=positive, default=8, help="inputs of a step")
    parser.add_argument("--threads", type=positive, default=usable_cores(), help="where there are several")
    parser.add_argument("--rounds", type=positive, default=3, help="counted steps of each setting")
    options = parser.parse_args(arguments)
    check_networks(parser, options.networks, measured_networks())
    sys.stdout.write(
        f"Training steps of {options.batch}; {usable_cores()} cores of {processor()}; ratios to one thread; "
        f"the shortest of {options.rounds}.\n\n"
    )
    for number, name in (
        (0, "Nothing of ours beside"),
        (options.busy, f"Beside {options.busy} busy processes"),
    ):
        with busy_processes(number):
            rows = [
                (network, measure(network, options.batch, options.threads, options.rounds))
                for network in options.networks
            ]
            load = os.getloadavg()[0]
        sys.stdout.write(markdown(rows, f"{name}, load {load:.1f}"))
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    with reported_errors("shared_cores"):
        sys.exit(main())
