"""Parts of a network that an engine runs: the whole of a mapper, a detector's encoder or decoder."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from euromine.support.errors import ModelError

from .engine_cache import cached_program
from .engine_choice import OPENVINO
from .engine_gains import OPENVINO_GAINS
from .engine_programs import Function, Program, load_program, program_versions, write_program
from .quantised_programs import load_quantised

logger = logging.getLogger(__name__)

# Engines that sum in another order differ by this much of the largest number; with fresh weights, up to 8e-5
# was measured over all networks.
_ROUNDING = 2e-4
# Seconds that it takes to load a converted program.
_LOADING = 1.0

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class PartSettings:
    """The settings that all parts of a network share.

    Attributes:
        name: The checkpoint, for messages and for its int8 export.
        architecture: Of `architecture_name`.
        engine: "auto", "eager", "compile", "openvino" or "onnxruntime".
        precision: "float32", "bfloat16" or "int8".
        digest: Gives the checkpoint's digest.
    """

    name: str
    architecture: str
    engine: str
    precision: str
    digest: Callable[[], str]


class EnginePart:
    """A part of a network, called with tensors whose first dimension is the batch.

    Args:
        part: Its name: "forward", "encode", "decode" or "compare".
        network: The network whose weights it reads.
        function: The part, as PyTorch runs it.
        settings: Of the network.
    """

    def __init__(self, part: str, network: nn.Module, function: Function, settings: PartSettings) -> None:
        self._part, self._network, self._function, self._settings = part, network, function, settings
        self._runs: dict[Shapes, Function] = {}
        self._pixels = 0
        self._converted: set[Shapes] = set()
        self._unfit: set[Shapes] = set()

    @property
    def is_converted(self) -> bool:
        """Whether another engine than PyTorch runs inputs of some size."""
        return bool(self._converted)

    def expect(self, pixels: int) -> None:
        """Take note of a work of so many pixels of input; the largest counts."""
        if pixels > self._pixels:
            self._pixels = pixels
            if self._settings.engine == "auto":
                decided = self._converted | self._unfit
                self._runs = {shapes: run for shapes, run in self._runs.items() if shapes in decided}

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the part."""
        shapes = tuple(tuple(each.shape[1:]) for each in inputs)
        run = self._runs.get(shapes)
        return run(*inputs) if run is not None else self._begin(shapes, inputs)

    def _begin(self, shapes: Shapes, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run inputs of shapes for which there is no program yet, and make one if it is time."""
        engine = self._settings.engine
        if engine == "auto":
            return self._try(shapes, inputs)
        if engine in ("eager", "compile"):
            run = _in_bfloat16(self._function) if self._settings.precision == "bfloat16" else self._function
            self._runs[shapes] = torch.compile(run, dynamic=False) if engine == "compile" else run
            return self._runs[shapes](*inputs)
        expected = self._function(*inputs)
        found = self._programmed(engine, shapes)(*inputs)
        if self._settings.precision == "float32" and (off := largest_difference(found, expected)) > _ROUNDING:
            raise ModelError(
                f"{self._settings.name}: found results of {engine} that differ from PyTorch's by {off:.1e} "
                f"of the largest; expected at most {_ROUNDING:.0e}, float32 rounding. Use --engine eager."
            )
        return found

    def _try(self, shapes: Shapes, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run PyTorch, and change to OpenVINO if the work announced is worth its conversion."""
        found = self._function(*inputs)
        if not self._is_worth_conversion():
            self._stay(shapes)
            return found
        try:
            off = largest_difference(self._programmed(OPENVINO, shapes)(*inputs), found)
        except ModelError as error:
            logger.warning("%s PyTorch goes on.", error)
            self._unfit.add(shapes)
            self._stay(shapes)
            return found
        if off > _ROUNDING:
            logger.warning(
                "%s: results of OpenVINO differ from PyTorch's by %.1e of the largest, so PyTorch goes on.",
                self._settings.name,
                off,
            )
            self._unfit.add(shapes)
            self._stay(shapes)
        return found

    def _is_worth_conversion(self) -> bool:
        """Whether OpenVINO saves more time than it takes to convert this part.

        By constants, not by the clock or the state of the cache: the same work gets the same engine, and so
        the same last bits, in every run.
        """
        gain = OPENVINO_GAINS.get((self._settings.architecture, self._part))
        if gain is None:
            return False
        seconds = self._pixels / 1e6 * gain.seconds
        return seconds * (1 - 1 / gain.times) > _LOADING + gain.conversion

    def _stay(self, shapes: Shapes) -> None:
        """Let PyTorch run all further inputs of these shapes."""
        self._runs[shapes] = self._function
        self._converted.discard(shapes)

    def _programmed(self, engine: str, shapes: Shapes) -> Function:
        """The part on an engine, kept for further inputs of these shapes."""
        if self._settings.precision == "int8":
            run = load_quantised(self._settings.name, self._settings.digest, self._part, shapes)
        else:
            run = _item_by_item(self._program(engine, shapes))
        self._runs[shapes] = run
        self._converted.add(shapes)
        return run

    def _program(self, engine: str, shapes: Shapes) -> Program:
        def write(folder: Path) -> None:
            logger.info("%s: converting it for %s.", self._settings.name, engine)
            write_program(engine, self._settings.name, self._network, self._function, shapes, folder)

        precision = self._settings.precision
        try:
            folder = cached_program(self._made_of(engine, shapes), write)
            return load_program(engine, self._settings.name, folder, precision)
        except OSError as error:
            logger.warning("The converted network cannot be kept for later runs (%s).", error)
        with tempfile.TemporaryDirectory() as name:
            write(Path(name))
            return load_program(engine, self._settings.name, Path(name), precision)

    def _made_of(self, engine: str, shapes: Shapes) -> dict[str, Any]:
        return {
            "model": self._settings.digest(),
            "part": self._part,
            "shapes": [list(shape) for shape in shapes],
            "engine": engine,
            "versions": program_versions(engine),
        }


def _item_by_item(program: Program) -> Function:
    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        items = [program(*(each[i : i + 1].float() for each in inputs)) for i in range(len(inputs[0]))]
        return items[0] if len(items) == 1 else tuple(torch.cat(each) for each in zip(*items, strict=True))

    return run


def _in_bfloat16(function: Function) -> Function:
    """A function under bfloat16 autocast, on maps whose channels lie innermost, as its kernels take them."""

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        innermost = (
            each.contiguous(memory_format=torch.channels_last) if each.ndim == 4 else each for each in inputs
        )
        with torch.autocast(inputs[0].device.type, dtype=torch.bfloat16):
            return function(*innermost)

    return run


def largest_difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest difference relative to the largest number of each tensor; infinite for NaN alone in one."""
    worst = 0.0
    for ours, theirs in zip(found, expected, strict=True):
        # HCGMNet passes the images' sides on in an empty map; NaN is for the caller to report.
        if not theirs.numel() or not torch.isfinite(theirs).all():
            continue
        scale = max(float(theirs.abs().max()), torch.finfo(torch.float32).tiny)
        off = float((ours - theirs).abs().max()) / scale
        worst = max(worst, off if off == off else float("inf"))
    return worst
