"""The user's choice of an engine and a precision, checked before PyTorch is loaded."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Literal, get_args

from euromine.support.errors import ArgumentError, missing_extra

AUTO, EAGER, COMPILE = "auto", "eager", "compile"
OPENVINO, ONNXRUNTIME = "openvino", "onnxruntime"
EngineName = Literal["auto", "eager", "compile", "openvino", "onnxruntime"]
ENGINES: tuple[str, ...] = get_args(EngineName)
FLOAT32, BFLOAT16, INT8 = "float32", "bfloat16", "int8"
PrecisionName = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[str, ...] = get_args(PrecisionName)
ENGINE_PACKAGES = {OPENVINO: ("openvino",), ONNXRUNTIME: ("onnxruntime", "onnx", "onnxscript")}


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
        for name, value, known in (
            ("engine", self.engine, ENGINES),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                *others, last = known
                raise ArgumentError(f"{name}: found {value!r}; expected {', '.join(others)} or {last}.")
        if self.precision == INT8 and self.engine not in (AUTO, OPENVINO):
            taken = FLOAT32 if self.engine == ONNXRUNTIME else f"{FLOAT32} or {BFLOAT16}"
            raise ArgumentError(
                f"precision: found int8 with the engine {self.engine}; expected {taken}. Only openvino runs "
                "int8."
            )
        if self.precision == BFLOAT16 and self.engine == ONNXRUNTIME:
            raise ArgumentError(
                "precision: found bfloat16 with the engine onnxruntime, which has none on a CPU; expected "
                "float32. Use openvino or eager."
            )


def is_installed(engine: str) -> bool:
    """Whether the packages of an engine are installed; "auto" and those of PyTorch itself ask for none."""
    return _missing_package(engine) is None


def check_installed(engine: str, argument: str = "engine") -> None:
    """Refuse an engine whose packages are missing.

    Args:
        engine: The engine.
        argument: The argument that asks for it, for the message.

    Raises:
        MissingExtraError: They are.
    """
    if missing := _missing_package(engine):
        raise missing_extra(engine, missing, argument)


def _missing_package(engine: str) -> str | None:
    packages = ENGINE_PACKAGES.get(engine, ())
    return next((name for name in packages if importlib.util.find_spec(name) is None), None)
