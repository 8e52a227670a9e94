"""Engines: a network's arithmetic by PyTorch, compiled, or by OpenVINO or ONNX Runtime.

`on_engine` gives a network that is called as before, by `forward` or `predict_series`, while an engine runs
its parts. A change detector's encoder and decoder are parts of their own, so a year is still encoded once. Of
a network for series, the layers that see single years are parts, so that any number of years may be missing.
"""

from __future__ import annotations

import copy
import os
import shutil
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel

from euromine.modeling.series_model import SeriesModel
from euromine.modeling.series_network import EuroMineSeries
from euromine.support.errors import ArgumentError, ModelError

from .engine_choice import (
    AUTO,
    BFLOAT16,
    COMPILE,
    EAGER,
    FLOAT32,
    INT8,
    ONNXRUNTIME,
    OPENVINO,
    EngineChoice,
    check_installed,
    is_installed,
)
from .engine_parts import EnginePart, PartSettings
from .engine_programs import openvino_has_bfloat16
from .loading import LoadedModel, model_digest
from .network_parts import architecture_name, network_parts
from .precision_losses import check_precision_loss
from .quantised_programs import check_quantisable, check_quantised
from .replaced_parts import replace_parts

_PLACE = "_euromine_engine"
_COMPILERS = ("c++", "g++", "clang++", "cl")


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
    architecture = architecture_name(loaded.model.config)
    check_precision_loss(loaded.source, architecture, resolved.precision, force=resolved.force_precision)
    # A shallow copy shares the weights.
    model = copy.copy(loaded.model)
    settings = PartSettings(
        name=loaded.source,
        architecture=architecture,
        engine=resolved.engine,
        precision=resolved.precision,
        digest=_Digest(loaded),
    )
    functions = network_parts(loaded.model)
    if resolved.precision == INT8:
        check_quantised(loaded.source, settings.digest, functions)
    parts = {name: EnginePart(name, loaded.model, each, settings) for name, each in functions.items()}
    replace_parts(model, loaded.model, parts)
    object.__setattr__(model, _PLACE, _Engine(resolved, parts))
    return replace(loaded, model=model)


def expect_calls(model: PreTrainedModel, pixels: int, **calls: int) -> None:
    """Announce work to a network's engine, against which "auto" weighs the cost of a conversion.

    Announce the whole of a work also where a part of it is done already: its engine, and so its results, are
    then the same in a run that was resumed.

    Args:
        model: Any network; without an engine, nothing happens.
        pixels: Pixels of a window.
        **calls: The number of calls for a single window or pair by part, as `network_parts` names them;
            others are ignored.
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
                f"engine: found {engine} with a model on {loaded.model.device.type}; expected one on the "
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
            "precision: found bfloat16, which this machine does not compute in; expected float32. "
            "CPUs with AVX-512 BF16 or AMX do."
        )


def _check_compiler() -> None:
    compilers = (os.environ["CXX"],) if os.environ.get("CXX") else _COMPILERS
    if not any(shutil.which(each) for each in compilers):
        raise ArgumentError(
            f"engine: found compile without a C++ compiler ({', '.join(compilers)}); expected one on this "
            "machine. Install g++, or use --engine eager or openvino."
        )
