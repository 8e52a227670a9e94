"""Engines: a network's arithmetic by PyTorch, compiled, or by OpenVINO or ONNX Runtime.

`on_engine` gives a network that is called as before, by `forward` or `predict_series`, while an engine runs
its parts. A change detector's encoder and decoder are parts of their own, so a year is still encoded once. Of
a network for series, the layers that see single years are parts, so that any number of years may be missing.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import SemanticSegmenterOutput

from euromine.modeling.change_detection import Features
from euromine.modeling.series_decoder import DetailBranch
from euromine.modeling.series_model import SeriesModel
from euromine.modeling.series_network import EuroMineSeries
from euromine.support.errors import ArgumentError, ModelError

from .engine_parts import EnginePart, PartSettings
from .engine_programs import (
    ONNXRUNTIME,
    OPENVINO,
    Function,
    check_installed,
    is_installed,
    openvino_has_bfloat16,
)
from .loading import LoadedModel, model_digest
from .network_parts import detail_name, joined_features, listed_features, network_parts
from .precision_losses import check_precision_loss
from .quantised_programs import check_quantisable

AUTO, EAGER, COMPILE = "auto", "eager", "compile"
ENGINES = (AUTO, EAGER, COMPILE, OPENVINO, ONNXRUNTIME)
FLOAT32, BFLOAT16, INT8 = "float32", "bfloat16", "int8"
PRECISIONS = (FLOAT32, BFLOAT16, INT8)

_PLACE = "_euromine_engine"
_COMPILERS = ("c++", "g++", "clang++", "cl")


@dataclass(frozen=True)
class EngineChoice:
    """The user's choice of an engine and a precision.

    Attributes:
        engine: "auto", "eager" (PyTorch), "compile" (`torch.compile`), "openvino" or "onnxruntime". "auto"
            takes the quickest that is exact: OpenVINO where it is installed and the work ahead is worth the
            conversion, else PyTorch.
        precision: "float32", "bfloat16" or "int8". Only float32 is exact.
        force_precision: Whether to take a precision that was measured to lose more than half a point.

    Raises:
        ArgumentError: A name is unknown, or the engine does not have the precision.
    """

    engine: str = AUTO
    precision: str = FLOAT32
    force_precision: bool = False

    def __post_init__(self) -> None:
        for option, value, known in (
            ("engine", self.engine, ENGINES),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                *others, last = known
                raise ArgumentError(f"--{option}: found {value!r}; expected {', '.join(others)} or {last}.")
        if self.precision == INT8 and self.engine not in (AUTO, OPENVINO):
            raise ArgumentError(
                f"--precision: found int8 with --engine {self.engine}; expected float32 or bfloat16. "
                "Only --engine openvino runs int8."
            )
        if self.precision == BFLOAT16 and self.engine == ONNXRUNTIME:
            raise ArgumentError(
                "--precision: found bfloat16 with --engine onnxruntime, which has none on a CPU; expected "
                "float32. Use --engine openvino or eager."
            )


@dataclass(frozen=True)
class _Engine:
    """The engine behind a network: its resolved choice and its parts by name."""

    choice: EngineChoice
    parts: dict[str, EnginePart]


def on_engine(loaded: LoadedModel, choice: EngineChoice | None = None) -> LoadedModel:
    """A loaded network that computes on an engine. Its weights are those of `loaded`, not copied.

    Args:
        loaded: A footprint mapper, change detector or network for series in evaluation mode.
        choice: The engine and the precision; None for the quickest that is exact.

    Raises:
        MissingExtraError: The engine is not installed.
        ArgumentError: The precision is not available on this machine, or loses too much with this network.
        ModelError: The engine cannot run this network, or there is no int8 export of it.
    """
    resolved = _resolved(loaded, choice or EngineChoice())
    if resolved.engine == EAGER and resolved.precision == FLOAT32:
        return loaded
    check_precision_loss(
        loaded.source, loaded.model.config.model_type, resolved.precision, force=resolved.force_precision
    )
    # A shallow copy shares the weights.
    model = copy.copy(loaded.model)
    settings = PartSettings(
        name=loaded.source,
        model_type=loaded.model.config.model_type,
        engine=resolved.engine,
        precision=resolved.precision,
        digest=_Digest(loaded),
    )
    object.__setattr__(model, _PLACE, _Engine(resolved, _replace_parts(model, loaded.model, settings)))
    return replace(loaded, model=model)


def expect_calls(model: PreTrainedModel, pixels: int, **calls: int) -> None:
    """Announce work to a network's engine, against which "auto" weighs the cost of a conversion.

    Announce the whole of a work also where a part of it is done already: its engine, and so its results, are
    then the same in a run that was resumed.

    Args:
        model: Any network; without an engine, nothing happens.
        pixels: Pixels of a window.
        **calls: The number of calls for a single window or pair by part: "forward", "encode", "decode" or
            "compare"; others are ignored.
    """
    engine: _Engine | None = getattr(model, _PLACE, None)
    if engine is not None:
        for name, part in engine.parts.items():
            part.expect(pixels * calls.get(name, 0))


def engine_record(model: PreTrainedModel) -> dict[str, str]:
    """The engine and precision of a network for the records of its maps; empty if its maps are exact.

    Exact engines differ by float32 rounding, so a map that one began may be finished by another.
    """
    engine: _Engine | None = getattr(model, _PLACE, None)
    if engine is None or engine.choice.precision == FLOAT32:
        return {}
    return {"engine": engine.choice.engine, "precision": engine.choice.precision}


class _Digest:
    """A checkpoint's digest, computed when it is first asked for."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._digest: str | None = None

    def __call__(self) -> str:
        if self._digest is None:
            self._digest = model_digest(self._loaded.model, self._loaded.image_processor)
        return self._digest


def _resolved(loaded: LoadedModel, choice: EngineChoice) -> EngineChoice:
    """The choice with another engine in place of "auto" where that is settled without looking at the work."""
    is_on_cpu = loaded.model.device.type == "cpu"
    is_whole = isinstance(loaded.model, SeriesModel) and not isinstance(loaded.model, EuroMineSeries)
    engine = choice.engine
    if engine == AUTO:
        if choice.precision == INT8:
            engine = OPENVINO
        elif not is_on_cpu or is_whole or not is_installed(OPENVINO):
            engine = EAGER
        elif choice.precision == BFLOAT16:
            engine = OPENVINO if openvino_has_bfloat16() else EAGER
    if is_whole and (engine != EAGER or choice.precision != FLOAT32):
        raise ModelError(
            f"{loaded.source}: found a {loaded.model.config.model_type}, whose decoder mixes the years at "
            "every scale, so that it runs on PyTorch in float32 alone; expected another network. Leave "
            "--engine and --precision out."
        )
    if choice.precision == INT8:
        check_quantisable(loaded.source, loaded.model)
    if engine in (OPENVINO, ONNXRUNTIME):
        check_installed(engine)
        if not is_on_cpu:
            raise ArgumentError(
                f"--engine: found {engine} with a model on {loaded.model.device.type}; expected one on the "
                "CPU. Pass --device cpu, or use --engine eager or compile."
            )
    if engine == COMPILE:
        _check_compiler()
    if choice.precision == BFLOAT16:
        _check_bfloat16(engine, loaded.model.device)
    return replace(choice, engine=engine)


def _check_bfloat16(engine: str, device: torch.device) -> None:
    if device.type == "cuda":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    elif engine == OPENVINO:
        has = openvino_has_bfloat16()
    else:
        has = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if not has:
        raise ArgumentError(
            "--precision: found bfloat16, which this machine does not compute in; expected float32. "
            "CPUs with AVX-512 BF16 or AMX do."
        )


def _check_compiler() -> None:
    compilers = (os.environ["CXX"],) if os.environ.get("CXX") else _COMPILERS
    if not any(shutil.which(each) for each in compilers):
        raise ArgumentError(
            f"--engine: found compile without a C++ compiler ({', '.join(compilers)}); expected one on this "
            "machine. Install g++, or use --engine eager or openvino."
        )


def _replace_parts(
    model: PreTrainedModel, network: PreTrainedModel, settings: PartSettings
) -> dict[str, EnginePart]:
    """Let an engine run the parts of `model`, a shallow copy of `network`."""
    functions = network_parts(network)
    parts = {name: EnginePart(name, network, each, settings) for name, each in functions.items()}

    def forward(pixel_values: Tensor) -> SemanticSegmenterOutput:
        return SemanticSegmenterOutput(logits=parts["forward"](pixel_values)[0])

    def compare(image_1: Tensor, image_2: Tensor) -> Tensor:
        return parts["compare"](image_1, image_2)[0]

    def encode(images: Tensor) -> Features:
        return joined_features(parts["encode"](images))

    def decode(first: Features, second: Features) -> Tensor:
        return parts["decode"](*listed_features(first), *listed_features(second))[0]

    replaced: dict[str, Any] = {"forward": forward}
    if "pyramid" in parts:
        assert isinstance(network, EuroMineSeries)
        replaced = {
            "encoder": _in_own_type(parts["encode"]),
            "detail": _detail_branch(network, parts),
            "decoder": _SeriesDecoder(parts),
        }
    elif "encode" in parts:
        replaced = {"encode": encode, "decode": decode, "decode_main": decode}
    elif "compare" in parts:
        replaced = {"compare": compare}
    for name, function in replaced.items():
        object.__setattr__(model, name, function)
    return parts


def _detail_branch(network: EuroMineSeries, parts: dict[str, EnginePart]) -> DetailBranch:
    """The detail branch of a network for series with its convolutions on an engine."""

    def scale(place: int) -> Callable[[Tensor], Tensor]:
        part = _in_own_type(parts[detail_name(place)])
        return lambda images: part(images)[0]

    branch = copy.copy(network.detail)
    object.__setattr__(branch, "scales", [scale(place) for place in range(len(network.detail.scales))])
    return branch


class _SeriesDecoder:
    """The decoder of a network for series on an engine; its maps have the type of the inputs."""

    def __init__(self, parts: dict[str, EnginePart]) -> None:
        self._pyramid, self._evidence = (_in_own_type(parts[name]) for name in ("pyramid", "evidence"))

    def pyramid(self, maps: Sequence[Tensor], details: Sequence[Tensor]) -> Tensor:
        """As of `SeriesDecoder`."""
        return self._pyramid(*maps, *details)[0]

    def evidence(self, features: Tensor, details: Sequence[Tensor]) -> Tensor:
        """As of `SeriesDecoder`."""
        return self._evidence(features, *details)[0]


def _in_own_type(part: EnginePart) -> Function:
    """A part whose outputs have the type of its inputs, for the layers between years in PyTorch."""
    return lambda *inputs: tuple(each.to(inputs[0].dtype) for each in part(*inputs))
