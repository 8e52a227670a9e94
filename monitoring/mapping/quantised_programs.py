"""int8 programs of a network for OpenVINO, beside its checkpoint, as `euromine export --int8` writes them.

Weights and maps are quantised after training (NNCF), by ranges counted on training patches. A program has one
size of windows; smaller ones are padded to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from euromine.modeling.series_model import SeriesModel
from euromine.support.errors import ArgumentError, ModelError, RecordError, with_advice
from euromine.support.records import read_record

from .checkpoint_files import checkpoint_file
from .engine_cache import PROGRAM_RECORD, ProgramRecord, is_whole_program
from .engine_choice import OPENVINO
from .engine_programs import PROGRAM_FILES, Function, Program, load_program

# The folder of the programs in a checkpoint.
INT8_FOLDER = "openvino/int8"


def check_quantisable(name: str, model: PreTrainedModel) -> None:
    """Refuse a network for series, which has no int8 programs.

    Args:
        name: The checkpoint, for the message.
        model: Any network.

    Raises:
        ModelError: It is one.
    """
    if isinstance(model, SeriesModel):
        raise ModelError(
            f"{name}: found a network for series, which is not quantised; expected a footprint mapper or a "
            "change detector. Use float32 or bfloat16."
        )


def check_quantised(name: str, digest: Callable[[], str], parts: Iterable[str]) -> None:
    """Refuse a checkpoint whose int8 export lacks parts or does not belong to it, before a scene is read.

    Args:
        name: The checkpoint: a folder, or a repository on the Hub.
        digest: Gives its digest.
        parts: The names of the network's parts.

    Raises:
        ModelError: It has no int8 export, or one of other weights, or a damaged one.
    """
    for part in parts:
        _checked_export(name, digest, part)


def load_quantised(
    name: str, digest: Callable[[], str], part: str, shapes: Sequence[Sequence[int]]
) -> Function:
    """A part of a network in int8.

    Args:
        name: The checkpoint: a folder, or a repository on the Hub.
        digest: Gives its digest.
        part: The part's name.
        shapes: The shapes of its inputs without the batch.

    Raises:
        ModelError: The checkpoint has no int8 export, or one of other weights, or a damaged one.
        ArgumentError: The windows are larger than those of the export.
    """
    folder, record = _checked_export(name, digest, part)
    sizes = [tuple(shape[-2:]) for shape in record.made_of["shapes"]]
    for shape, (height, width) in zip(shapes, sizes, strict=True):
        if shape[-2] > height or shape[-1] > width:
            raise ArgumentError(
                f"window: found windows of {shape[-2]} x {shape[-1]} pixels; expected at most {height} x "
                f"{width}, the size of the int8 export. Pass --window {height}, or export again with "
                f"--window {max(shape[-2:])}."
            )
    program = load_program(OPENVINO, name, folder, "int8")
    return _padded(program, sizes, crops=part == "forward")


def _checked_export(name: str, digest: Callable[[], str], part: str) -> tuple[Path, ProgramRecord]:
    """The folder of a part's export and its record; the export is whole and of the checkpoint's weights."""
    folder, record = _found_export(name, part)
    if record.made_of.get("model") != digest() or not is_whole_program(folder, record.made_of):
        raise ModelError(
            with_advice(
                f"{name}: found an int8 export in {INT8_FOLDER} that is damaged or of other weights; "
                "expected one of this checkpoint.",
                _make_it(name),
            )
        )
    return folder, record


def _found_export(name: str, part: str) -> tuple[Path, ProgramRecord]:
    files = (
        checkpoint_file(name, f"{INT8_FOLDER}/{part}/{file}", otherwise="it cannot run in int8")
        for file in (*PROGRAM_FILES[OPENVINO], PROGRAM_RECORD)
    )
    record = None
    for record in files:
        if record is None:
            break
    if record is None:
        raise ModelError(
            with_advice(f"{name}: found no int8 export; expected one in {INT8_FOLDER}.", _make_it(name))
        )
    try:
        return record.parent, read_record(ProgramRecord, record)
    except RecordError as error:
        raise ModelError(
            with_advice(
                f"{name}: found an int8 export that cannot be read ({error}); expected one of euromine.",
                _make_it(name),
            )
        ) from error


def _make_it(name: str) -> str:
    return f"`euromine export {name} --format openvino --int8 DATASET` makes it."


def _padded(program: Program, sizes: Sequence[tuple[int, ...]], *, crops: bool) -> Function:
    """A program for inputs that may be smaller than its own."""

    def run_one(*inputs: Tensor) -> tuple[Tensor, ...]:
        height, width = inputs[0].shape[-2:]
        grown = (
            F.pad(each, (0, size[1] - each.shape[-1], 0, size[0] - each.shape[-2]), mode="replicate")
            if each.ndim == 4
            else each
            for each, size in zip(inputs, sizes, strict=True)
        )
        found = program(*grown)
        if not crops:  # the caller crops a detector's maps to its images
            return found
        rows, columns = sizes[0]
        return tuple(
            each[..., : each.shape[-2] * height // rows, : each.shape[-1] * width // columns]
            for each in found
        )

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        items = [run_one(*(each[i : i + 1].float() for each in inputs)) for i in range(len(inputs[0]))]
        return tuple(torch.cat(each) for each in zip(*items, strict=True))

    return run
