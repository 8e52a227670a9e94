"""Programs: parts of a network for one input of fixed sides, converted for OpenVINO or ONNX Runtime.

A program has no batch: on a CPU these engines run one window or pair as quickly as several at once.
"""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from euromine.support.errors import ModelError, one_line
from euromine.support.files import torn_file_error

from .engine_choice import ENGINE_PACKAGES, ONNXRUNTIME, OPENVINO

# Files of a program in its folder, by engine; the first is the one to load.
PROGRAM_FILES = {OPENVINO: ("program.xml", "program.bin"), ONNXRUNTIME: ("program.onnx",)}

# Takes and gives tensors whose first dimension is the batch.
Function = Callable[..., tuple[Tensor, ...]]


class Program(Protocol):
    """A converted part of a network."""

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run it on tensors (1, ...) of the sides that it was converted for."""
        ...


def program_versions(engine: str) -> dict[str, str]:
    """The versions of the packages on which a program depends."""
    return {name: version(name) for name in ("euromine", "torch", "transformers", *ENGINE_PACKAGES[engine])}


def export_function(
    engine: str, name: str, network: nn.Module, function: Function, shapes: Sequence[Sequence[int]]
) -> Any:
    """Export a part of a network by `torch.export`.

    Args:
        engine: The engine that will run it, for the message.
        name: The network, for the message.
        network: The network whose weights the function reads.
        function: The part.
        shapes: The shapes of its inputs without the batch.

    Raises:
        ModelError: The network cannot be exported.
    """
    # Tensors made in inference mode cannot be traced.
    with torch.inference_mode(False), torch.no_grad(), _refused_networks(engine, name):
        examples = tuple(torch.rand(1, *shape) for shape in shapes)
        return torch.export.export(_Part(network, function).eval(), examples, strict=False)


def write_program(
    engine: str,
    name: str,
    network: nn.Module,
    function: Function,
    shapes: Sequence[Sequence[int]],
    folder: Path,
) -> None:
    """Convert a part of a network in float32, and write its program to a folder.

    The arguments are those of `export_function`, and `folder` the folder of `PROGRAM_FILES`.

    Raises:
        ModelError: The engine cannot run this network.
        OSError: The files cannot be written.
    """
    exported = export_function(engine, name, network, function, shapes)
    path = folder / PROGRAM_FILES[engine][0]
    if engine == OPENVINO:
        save_openvino(converted_openvino(name, exported, shapes), path)
    else:
        converted_onnx(name, exported).save(path, external_data=False)


def converted_onnx(
    name: str, exported: Any, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None
) -> torch.onnx.ONNXProgram:
    """An exported part of a network as an ONNX program.

    Args:
        name: The network, for the message.
        exported: The part.
        inputs: Names of its inputs.
        outputs: Names of its outputs.

    Raises:
        ModelError: ONNX has no operation for a layer.
    """
    with _refused_networks(ONNXRUNTIME, name):
        program = torch.onnx.export(
            exported, dynamo=True, verbose=False, input_names=inputs, output_names=outputs
        )
        if program is None:
            raise RuntimeError("torch.onnx gave no program")
        return program


def converted_openvino(name: str, exported: Any, shapes: Sequence[Sequence[int]]) -> Any:
    """An exported part of a network as `openvino.Model` for a single input.

    Raises:
        ModelError: OpenVINO has no operation for a layer.
    """
    openvino = _openvino()
    with without_telemetry(), _refused_networks(OPENVINO, name):
        model = openvino.convert_model(exported)
        # The converter leaves out inputs that no layer reads, such as a level of features.
        kept = {each.get_friendly_name(): each for each in model.get_parameters()}
        parameters = [
            kept[each] if each in kept else openvino.opset13.parameter([1, *shape], np.float32, each)
            for each, shape in zip(exported.graph_signature.user_inputs, shapes, strict=True)
        ]
        model = openvino.Model(model.get_results(), parameters)
        model.reshape({place: [1, *shape] for place, shape in enumerate(shapes)})
        return model


def save_openvino(model: Any, path: Path) -> None:
    """Write an `openvino.Model`; the package's own default would round its weights to float16.

    Raises:
        OSError: The files cannot be written in full.
    """
    try:
        _openvino().save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:  # of a full disk, too, without its reason
        if "iostream error" not in str(error):
            raise
        raise torn_file_error(path) from error


def load_program(engine: str, name: str, folder: Path, precision: str) -> Program:
    """Load a program that `write_program` wrote.

    Args:
        engine: "openvino" or "onnxruntime".
        name: The network, for the message.
        folder: The program's folder.
        precision: "float32", "bfloat16" or, of a program that was quantised, "int8".

    Raises:
        ModelError: The engine cannot run this network.
    """
    path = folder / PROGRAM_FILES[engine][0]
    with _refused_networks(engine, name):
        if engine == OPENVINO:
            return _OpenVINOProgram(path, "bf16" if precision == "bfloat16" else "f32")
        return _ONNXProgram(path)


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Keep OpenVINO and NNCF from reporting their import and each conversion to their makers.

    They do so without being asked to, unless they believe that they run in CI.
    """
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before


def _openvino() -> Any:
    """The package, whose first import is not reported."""
    with without_telemetry():
        import openvino

    return openvino


@functools.cache
def openvino_core() -> Any:
    """The process's one `openvino.Core`, which is never freed.

    A core gives the thread that makes it a stack for signals and unmaps it with itself. Of two cores the
    second to be freed hands the thread back the first one's, so that the next signal, be it Ctrl-C or the end
    of a child process, ends the process with SIGSEGV.
    """
    return _openvino().Core()


def openvino_has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this machine's CPU."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class _OpenVINOProgram:
    """A program on OpenVINO's CPU plugin."""

    def __init__(self, path: Path, precision_hint: str) -> None:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # Unset, it is bf16 on CPUs with AMX.
            "INFERENCE_PRECISION_HINT": precision_hint,
        }
        self._compiled = openvino_core().compile_model(path, "CPU", settings)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = self._compiled([each.contiguous().numpy() for each in inputs], share_inputs=True)
        return tuple(torch.from_numpy(found[output]) for output in self._compiled.outputs)


class _ONNXProgram:
    """A program on ONNX Runtime's CPU provider."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # As our OpenMP threads: beside other work, waiting busily costs more than it saves.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        # The package's own errors share no base class but Exception.
        except Exception as error:
            if type(error).__module__.startswith("onnxruntime"):
                raise RuntimeError(one_line(error)) from error
            raise
        self._names = [each.name for each in self._session.get_inputs()]

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        arrays = (np.ascontiguousarray(each.numpy()) for each in inputs)
        found = self._session.run(None, dict(zip(self._names, arrays, strict=True)))
        return tuple(torch.from_numpy(each) for each in found)


class _Part(nn.Module):
    """A part of a network as a module, as `torch.export` needs it."""

    def __init__(self, network: nn.Module, function: Function) -> None:
        super().__init__()
        self.network = network
        self._function = function

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._function(*inputs)


@contextmanager
def _refused_networks(engine: str, name: str) -> Iterator[None]:
    """Report a converter's refusal of a network in one sentence, and hold its warnings back."""
    refusals: tuple[type[Exception], ...] = (RuntimeError, NotImplementedError)
    if engine == OPENVINO:
        from openvino.frontend import OpConversionFailure

        refusals = (*refusals, OpConversionFailure)
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except refusals as error:
        reason = one_line(error)[:200].rstrip(". ")
        raise ModelError(
            f"{name}: found a network that {engine} cannot run ({reason}); expected one that it can. "
            "Use --engine eager."
        ) from error
    finally:
        exporter.setLevel(level)
