"""The gain by OpenVINO on each part of a network in float32: the figures of `engine_gains.py`.

`python -m euromine.benchmark.engine_part_speed --networks NAMES` prints a row per part: PyTorch's seconds for
a megapixel of windows, OpenVINO's gain, the seconds of the conversion, and the largest difference. Weights
are fresh. PyTorch and OpenVINO take turns; with one thread, times are the processor's. Denormal numbers,
which untrained networks make many of, are flushed to zero.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from euromine.modeling import list_models
from euromine.monitoring.mapping.engine_choice import OPENVINO
from euromine.monitoring.mapping.engine_parts import largest_difference
from euromine.monitoring.mapping.engine_programs import Function, Program, load_program, write_program
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.network_parts import network_parts
from euromine.monitoring.mapping.replaced_parts import recording_network
from euromine.support.errors import ModelError, reported_errors

from .command_line import benchmark_parser, check_networks, positive
from .engine_speed import network_of, pixel_values_of, runner
from .hardware import shortest_of_turns
from .stopwatch import Stopwatch

_COLUMNS = (
    "network",
    "part",
    "side",
    "PyTorch (ms)",
    "s a megapixel",
    "channels innermost",
    "OpenVINO",
    "conversion (s)",
    "largest difference",
)


@dataclass(frozen=True)
class PartMeasurement:
    """A part on OpenVINO, beside PyTorch, both in float32.

    Attributes:
        eager_seconds: Of PyTorch, for a window.
        innermost_seconds: Of PyTorch with the channels of the inputs innermost.
        seconds: Of OpenVINO.
        conversion: Seconds of the conversion.
        difference: The largest difference of the results, of the largest number.
    """

    eager_seconds: float
    innermost_seconds: float
    seconds: float
    conversion: float
    difference: float


@torch.inference_mode()
def inputs_of_parts(loaded: LoadedModel, side: int | None) -> tuple[int, dict[str, tuple[Tensor, ...]]]:
    """The side of a window of noise, and the inputs of each part of a network that sees it."""
    pixel_values = pixel_values_of(loaded, None, side)
    model, recorded = recording_network(loaded.model)
    network = LoadedModel(loaded.source, loaded.task, model, loaded.image_processor)
    runner(network, pixel_values)()
    return pixel_values.shape[-1], {name: inputs[0] for name, inputs in recorded.items()}


@torch.inference_mode()
def measure_part(
    network: PreTrainedModel, function: Function, inputs: Sequence[Tensor], watch: Stopwatch, turns: int
) -> PartMeasurement:
    """Measure a part of a network.

    Raises:
        ModelError: OpenVINO cannot run it.
    """
    name = network.config.model_type
    innermost = [
        each.contiguous(memory_format=torch.channels_last) if each.ndim == 4 else each for each in inputs
    ]
    programs: list[Program] = []

    def convert() -> None:
        with tempfile.TemporaryDirectory() as folder:
            shapes = [tuple(each.shape[1:]) for each in inputs]
            write_program(OPENVINO, name, network, function, shapes, Path(folder))
            programs.append(load_program(OPENVINO, name, Path(folder), "float32"))

    conversion = watch.once(convert)
    program = programs[0]
    difference = largest_difference(program(*inputs), function(*inputs))
    function(*innermost)
    times = [
        (
            watch.once(lambda: function(*inputs)),
            watch.once(lambda: function(*innermost)),
            watch.once(lambda: program(*inputs)),
        )
        for _ in range(turns)
    ]
    eager, laid_out, converted = (min(each) for each in zip(*times, strict=True))
    return PartMeasurement(eager, laid_out, converted, conversion, difference)


def _print_rows(name: str, side: int | None, watch: Stopwatch, turns: int) -> None:
    loaded, _ = network_of(name, None)
    window, inputs = inputs_of_parts(loaded, side)
    for part, function in network_parts(loaded.model).items():
        try:
            found = measure_part(loaded.model, function, inputs[part], watch, turns)
        except ModelError as error:
            sys.stderr.write(f"{name}, {part}: {error}\n")
            continue
        eager = found.eager_seconds
        sys.stdout.write(
            f"| {name} | {part} | {window} | {1e3 * eager:.0f} | {1e6 * eager / window**2:.2f} | "
            f"{eager / found.innermost_seconds:.2f} | {eager / found.seconds:.2f} | {found.conversion:.1f} | "
            f"{found.difference:.0e} |\n"
        )
        sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser("engine_part_speed", __doc__)
    parser.add_argument("--networks", nargs="+", help="names as create_model takes them; by default all")
    parser.add_argument(
        "--side", type=positive, help="side of the windows in pixels; 512, for several years 256"
    )
    parser.add_argument("--turns", type=positive, default=5, help="turns of each engine; the shortest counts")
    arguments = parser.parse_args()
    check_networks(parser, arguments.networks or [], list_models())
    with reported_errors("engine_part_speed"):
        torch.set_flush_denormal(True)
        sys.stdout.write(f"{shortest_of_turns(arguments.turns)}\n\n")
        sys.stdout.write(f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}\n")
        watch = Stopwatch(torch.device("cpu"), 0.0)
        for name in arguments.networks or list_models():
            _print_rows(name, arguments.side, watch, arguments.turns)


if __name__ == "__main__":
    main()
