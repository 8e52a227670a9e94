"""Networks in int8 for `--precision int8`: quantised after training by NNCF, on training patches."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from euromine.dataset_script.reading import read_dataset
from euromine.modeling.change_detection import ChangeDetector
from euromine.support.errors import DatasetError, missing_extra
from euromine.support.files import explain_full_disk

from .engine_cache import write_program_record
from .engine_choice import OPENVINO
from .engine_programs import (
    PROGRAM_FILES,
    Function,
    converted_openvino,
    export_function,
    openvino_core,
    program_versions,
    save_openvino,
    without_telemetry,
)
from .loading import LoadedModel, model_digest
from .network_parts import network_parts
from .quantised_programs import INT8_FOLDER, check_quantisable
from .tiling import check_window

# Windows whose maps' ranges are counted.
SAMPLES = 32

# Layers that stay in float32: convolutions of single channels, whose ranges differ too much for one scale. In
# int8, SegFormer-B0 gave 4 % of its pixels another class by them (docs/benchmarks/engines.md).
_EXACT_TYPES = ["GroupConvolution"]

Example = tuple[Tensor, ...]


def export_int8(
    loaded: LoadedModel,
    dataset: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    window: int = 512,
    split: str = "train",
    revision: str | None = None,
    samples: int = SAMPLES,
) -> Path:
    """Quantise a network, and write its int8 programs where `--precision int8` finds them.

    Ranges of weights and maps are counted on windows that are filled with patches of the training split.

    Args:
        loaded: A footprint mapper or change detector in evaluation mode, on the CPU.
        dataset: A dataset that `euromine build` wrote, or one on the Hub.
        folder: The checkpoint's folder.
        window: The side of the windows; smaller ones are padded to it.
        split: The split of the patches.
        revision: Of a dataset on the Hub.
        samples: The number of windows.

    Returns:
        The folder of the programs.

    Raises:
        MissingExtraError: NNCF or OpenVINO is not installed.
        ArgumentError: The window is no multiple of 32.
        DatasetError: The dataset cannot be read, or has no patch in this split.
        ModelError: OpenVINO cannot run this network, or it is one for series.
        OSError: The folder cannot be written to.
    """
    for name in ("openvino", "nncf"):
        if importlib.util.find_spec(name) is None:
            raise missing_extra("int8", name)
    check_quantisable(loaded.source, loaded.model)
    check_window(window)
    windows = list(_windows(loaded, dataset, split, revision, window, samples))
    target = Path(folder) / INT8_FOLDER
    parts = network_parts(loaded.model)
    digest = model_digest(loaded.model, loaded.image_processor)
    with explain_full_disk(target, "the export"), torch.no_grad():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="_int8", dir=target.parent) as made:
            for part, examples in _examples(parts, windows).items():
                shapes = [tuple(each.shape[1:]) for each in examples[0]]
                place = Path(made) / "int8" / part
                place.mkdir(parents=True)
                _write_quantised(loaded, parts[part], examples, shapes, place)
                made_of = {
                    "model": digest,
                    "part": part,
                    "shapes": [list(shape) for shape in shapes],
                    "engine": OPENVINO,
                    "versions": program_versions(OPENVINO),
                }
                write_program_record(place, made_of)
            shutil.rmtree(target, ignore_errors=True)
            (Path(made) / "int8").rename(target)
    return target


def _write_quantised(
    loaded: LoadedModel,
    function: Function,
    examples: Sequence[Example],
    shapes: Sequence[Sequence[int]],
    folder: Path,
) -> None:
    with without_telemetry():
        import nncf

    openvino_core()  # before those of NNCF, which come and go
    exported = export_function(OPENVINO, loaded.source, loaded.model, function, shapes)
    model = converted_openvino(loaded.source, exported, shapes)
    inputs = [[each.numpy() for each in example] for example in examples]
    # Most networks have neither such layers nor logarithms.
    exact = nncf.IgnoredScope(types=_EXACT_TYPES, names=_before_logarithms(model), validate=False)
    quantised = nncf.quantize(model, nncf.Dataset(inputs), subset_size=len(inputs), ignored_scope=exact)
    save_openvino(quantised, folder / PROGRAM_FILES[OPENVINO][0])


def _before_logarithms(model: Any) -> list[str]:
    """The operations from probabilities to their logits, where 1 - p rounded to 0 would be divided by."""
    waiting = [each for each in model.get_ordered_ops() if each.get_type_name() == "Log"]
    names = []
    while waiting:
        operation = waiting.pop()
        names.append(operation.get_friendly_name())
        sources = [each.get_source_output().get_node() for each in operation.inputs()]
        waiting += [each for each in sources if each.get_type_name() in ("Clamp", "Divide", "Subtract")]
    return names


def _examples(parts: dict[str, Function], windows: Sequence[Example]) -> dict[str, list[Example]]:
    """Inputs of each part: the images or pairs of the windows, and what the encoder makes of pairs."""
    if "encode" not in parts:
        return {part: list(windows) for part in parts}
    encode = parts["encode"]
    return {
        # Of one window the first date, of the next the second.
        "encode": [(dates[number % 2],) for number, dates in enumerate(windows)],
        "decode": [(*encode(first), *encode(second)) for first, second in windows],
    }


def _windows(
    loaded: LoadedModel,
    dataset: str | os.PathLike[str],
    split: str,
    revision: str | None,
    window: int,
    samples: int,
) -> Iterator[Example]:
    """Windows of normalised patches beside each other: an image (1, bands, window, window), or two dates.

    A detector gets pairs of years of the same places, as the ranges of its comparisons are wider where two
    places are compared.
    """
    detector = isinstance(loaded.model, ChangeDetector)
    config, column = ("pairs", "images") if detector else ("annual", "image")
    rows: Any = read_dataset(dataset, config, split, columns=(column,), revision=revision)
    if not len(rows):
        raise DatasetError(
            f"{dataset}: found no {'pair' if detector else 'patch'} in the split {split}; expected some to "
            "count ranges on."
        )
    chosen = np.random.default_rng(0).permutation(len(rows))
    taken = 0
    for _ in range(samples):
        first = rows[int(chosen[taken % len(rows)])][column]
        side = -(-window // first.shape[-1])
        others = (rows[int(chosen[(taken + more) % len(rows)])][column] for more in range(1, side * side))
        patches = [first, *others]
        taken += side * side
        images = _mosaic(patches, side)[..., :window, :window]
        images = images.reshape(-1, first.shape[-3], window, window)
        pixel_values: Tensor = loaded.image_processor(images, return_tensors="pt").pixel_values
        if isinstance(loaded.model, ChangeDetector):
            pixel_values = loaded.model.pad(pixel_values)
        yield tuple(pixel_values.split(1))


def _mosaic(patches: Sequence[NDArray[Any]], side: int) -> NDArray[Any]:
    """Patches (..., height, width) as one image of `side` rows of `side` patches."""
    rows = [np.concatenate(patches[start : start + side], axis=-1) for start in range(0, side * side, side)]
    return np.concatenate(rows, axis=-2)
