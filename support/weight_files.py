"""Weights as safetensors in a checkpoint's folder, checked by the headers of their files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ModelError
from .files import check_regular
from .records import read_record, record_from, values_from_bytes

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = f"{WEIGHTS}.index.json"

_PICKLED = "pytorch_model.bin"
_LARGEST_HEADER = 100 * 2**20  # safetensors' own limit
_METADATA = "__metadata__"
# Weights in bytes, in 8-bit floats or smaller are quantised, and mean nothing without their scales.
_PLAIN_TYPES = frozenset({"F64", "F32", "F16", "BF16", "I64", "I32", "BOOL"})


@dataclass(frozen=True)
class _Index:
    """`model.safetensors.index.json`: the file of each tensor."""

    weight_map: dict[str, str]
    metadata: dict[str, Any]


@dataclass(frozen=True)
class _Tensor:
    """A tensor in the header of a safetensors file: its type, and where its bytes begin and end."""

    dtype: str
    data_offsets: tuple[int, int]


def weight_files(folder: Path) -> list[Path]:
    """The file of the weights, or the index and its files: each whole, and with the tensors listed for it.

    Raises:
        ModelError: A file is missing, cut off, outside the folder or quantised, or the index does not fit.
        RecordError: The index is damaged.
        OSError: A file cannot be read.
    """
    if (folder / WEIGHTS).is_file() or not (folder / WEIGHTS_INDEX).is_file():
        _tensors(folder, WEIGHTS)
        return [folder / WEIGHTS]
    listed: dict[str, set[str]] = {}
    for tensor, name in read_record(_Index, folder / WEIGHTS_INDEX).weight_map.items():
        listed.setdefault(name, set()).add(tensor)
    for name, tensors in sorted(listed.items()):
        if Path(name).name != name:
            raise ModelError(
                f"{folder / WEIGHTS_INDEX}: found the file {name!r}; expected files in the same folder."
            )
        if differing := sorted(tensors ^ set(_tensors(folder, name))):
            raise ModelError(
                f"{folder / name}: found other tensors than {WEIGHTS_INDEX} lists ({differing[0]}); expected "
                "each tensor in one file. Save the model again."
            )
    return [folder / WEIGHTS_INDEX, *(folder / name for name in sorted(listed))]


def weights_digest(folder: Path) -> str:
    """The SHA-256 of `model.safetensors`, or of an index and its files one after the other.

    Raises:
        ModelError: As `weight_files`.
        RecordError: As `weight_files`.
        OSError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for path in weight_files(folder):
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def _tensors(folder: Path, name: str) -> dict[str, _Tensor]:
    """The tensors of a file, whose length must agree with its header."""
    path = folder / name
    if not path.exists() and (folder / _PICKLED).is_file():
        raise ModelError(
            f"{folder}: found pickled weights ({_PICKLED}), which can hold code; expected safetensors. Save "
            "the model with save_pretrained."
        )
    if path.exists():
        check_regular(path, error_class=ModelError)
    if not path.is_file():
        raise ModelError(f"{folder}: found no {name}; expected the weights as safetensors.")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size, _LARGEST_HEADER):
            raise ModelError(f"{path}: found no header of a safetensors file; expected a whole one.")
        header = file.read(length)
    tensors = {
        tensor: record_from(_Tensor, entry, f"{path}, {tensor}")
        for tensor, entry in values_from_bytes(dict[str, Any], header, str(path)).items()
        if tensor != _METADATA
    }
    promised = 8 + length + max((tensor.data_offsets[1] for tensor in tensors.values()), default=0)
    if size != promised:
        raise ModelError(
            f"{path}: found {size} bytes; expected the {promised} that its header promises. The file was not "
            "written whole."
        )
    for tensor, entry in tensors.items():
        if entry.dtype not in _PLAIN_TYPES:
            raise ModelError(
                f"{path}: found quantised weights ({tensor} as {entry.dtype}); expected floats. Save "
                "the model without quantisation."
            )
    return tensors
