"""The probability of a mine over a scene of any size, in overlapping windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor
from transformers import PreTrainedModel

from euromine.modeling import EuroMineImageProcessor
from euromine.modeling.layers import laid_out_for
from euromine.modeling.series_model import SeriesModel
from euromine.monitoring.scenes.alignment import ReadsWindows
from euromine.support.errors import ModelError
from euromine.support.gap_filling import fill_nodata
from euromine.support.workers import prefetch

from .component_groups import component_groups, component_probabilities
from .engines import expect_calls
from .tiling import Blender, Tiling

WINDOW, OVERLAP = 512, 64

_GPU_BATCH = 8
# Rows yielded at once, so that rows on their way to a file take little memory.
ROWS = 64


@torch.inference_mode()
def mine_probability(model: PreTrainedModel, pixel_values: Tensor) -> Tensor:
    """The probability of a mine in each pixel of a batch of windows.

    Args:
        model: A footprint mapper, or a network for series, to which each window is a series of one year, or
            one for components, of which any is a mine.
        pixel_values: (batch, channels, height, width), on the model's device.

    Returns:
        (batch, height, width) float32, on the model's device. Logits of a lower resolution are resized
        bilinearly; where neighbours are equal, the result is exactly equal, too.

    Raises:
        ModelError: The model has no mine class.
    """
    if (groups := component_groups(model)) is not None:
        return component_probabilities(model, groups, pixel_values)[:, 0]
    mine = mine_class(model)
    pixel_values = pixel_values.to(model.dtype)
    if isinstance(model, SeriesModel):
        return model(pixel_values=pixel_values.unsqueeze(1)).logits[:, 0].softmax(1)[:, 1]
    logits = model(pixel_values=laid_out_for(model.config.model_type, pixel_values)).logits.float()
    height, width = pixel_values.shape[-2:]
    if logits.shape[1] == 2:
        # The sigmoid of the difference is the softmax of two classes, at half the work.
        return _resized(logits[:, mine] - logits[:, 1 - mine], height, width).sigmoid()
    resized = _resized(logits.flatten(0, 1), height, width).unflatten(0, logits.shape[:2])
    return resized.softmax(1)[:, mine]


def predict_probability(
    model: PreTrainedModel,
    image_processor: EuroMineImageProcessor,
    scene: ReadsWindows,
    *,
    window: int = WINDOW,
    overlap: int = OVERLAP,
    batch_size: int | None = None,
) -> Iterator[tuple[Window, NDArray[np.float32]]]:
    """The probability of a mine over a scene, in full-width blocks from top to bottom.

    The next batch is read in a thread while the model runs. Windows without data are skipped; in other
    windows, pixels without data are filled with their nearest neighbours.

    Args:
        model: A footprint mapper; the caller puts it in evaluation mode.
        image_processor: The model's image processor; its bands are read from the scene.
        scene: An open scene.
        window: The largest side of a window in pixels, a multiple of 32.
        overlap: Pixels that neighbouring windows share.
        batch_size: Windows per call of the model; None for 1, or 8 on a GPU.

    Yields:
        Blocks of whole rows that cover each row once, and their probabilities (rows, width) float32, NaN
        where the scene has no data in one of the bands.

    Raises:
        SceneError: A band, the scale or the offset is unknown, or the file is damaged.
        ArgumentError: `window` or `overlap` is out of range.
        ModelError: The model has no mine class, or gives NaN.
    """
    tiling = Tiling.of(scene.grid.height, scene.grid.width, window, overlap)
    blender = Blender(tiling)
    network = partial(mine_probability, model)
    windows = window_maps(model, network, image_processor, scene, tiling, batch_size=batch_size)
    for row, column, values, valid in windows:
        complete = blender.add(row, column, values, valid)
        if complete is not None:
            top, rows = complete
            for begin in range(0, len(rows), ROWS):
                part = rows[begin : begin + ROWS].copy()
                yield Window(0, top + begin, rows.shape[1], len(part)), part


def window_maps(
    model: PreTrainedModel,
    network: Callable[[Tensor], Tensor],
    image_processor: EuroMineImageProcessor,
    scene: ReadsWindows,
    tiling: Tiling,
    *,
    batch_size: int | None = None,
    maps: tuple[int, ...] = (),
) -> Iterator[tuple[int, int, NDArray[np.float32], NDArray[np.bool_] | None]]:
    """A network's maps of each window of a scene, in the order of the tiling.

    Args:
        model: The network itself.
        network: Maps (batch, *maps, height, width) float32 of pixel values (batch, channels, height, width)
            on the model's device.
        image_processor: Its image processor.
        scene: An open scene.
        tiling: The windows.
        batch_size: Windows per call of the model; None for 1, or 8 on a GPU.
        maps: The number of maps, if there are several.

    Yields:
        The window's row and column, its maps (*maps, height, width), zeros in a window without data, and a
        mask (height, width) of the pixels with data; None for all.

    Raises:
        SceneError: As for `predict_probability`.
        ModelError: The network gives NaN.
    """
    is_on_gpu = model.device.type == "cuda"
    if batch_size is None:
        batch_size = _GPU_BATCH if is_on_gpu else 1
    scene.cache_rows(tiling.rows.size)
    expect_calls(model, tiling.rows.size * tiling.columns.size, forward=len(tiling))
    batches = prefetch(window_batches(scene, image_processor, tiling, batch_size, pinned=is_on_gpu), 1)
    with closing(batches):
        for batch, answers in window_answers(network, batches, model.device):
            slots = iter(answers)
            for (row, column), valid in zip(batch.places, batch.valid, strict=True):
                if valid is None or valid.any():
                    values = next(slots)
                else:
                    values = np.zeros((*maps, tiling.rows.size, tiling.columns.size), np.float32)
                if np.isnan(values).any():
                    raise ModelError(
                        f"model: found NaN in its probabilities at window {row}, {column}; expected numbers. "
                        "Check its weights and the statistics of its image processor."
                    )
                yield row, column, values, valid


@dataclass(frozen=True)
class WindowBatch:
    """Windows for one call of the model.

    Attributes:
        places: (row, column) of each window in the tiling.
        valid: A mask (height, width) of the pixels with data per window; None for all.
        pixel_values: (windows with data, bands, height, width) float32.
    """

    places: list[tuple[int, int]]
    valid: list[NDArray[np.bool_] | None]
    pixel_values: Tensor


def window_batches(
    scene: ReadsWindows,
    image_processor: EuroMineImageProcessor,
    tiling: Tiling,
    batch_size: int,
    pinned: bool,
) -> Iterator[WindowBatch]:
    """Normalised windows of a scene in batches with `batch_size` windows that have data."""
    bands = tuple(image_processor.bands)
    size = (len(bands), tiling.rows.size, tiling.columns.size)
    places: list[tuple[int, int]] = []
    masks: list[NDArray[np.bool_] | None] = []
    images: list[NDArray[np.float32]] = []

    def batch() -> WindowBatch:
        if not images:
            return WindowBatch(places, masks, torch.empty(0, *size))
        stacked = images[0][None] if len(images) == 1 else np.stack(images)
        pixel_values = image_processor.preprocess(stacked, bands=bands, return_tensors="pt").pixel_values
        return WindowBatch(places, masks, pixel_values.pin_memory() if pinned else pixel_values)

    for row, column in tiling:
        image, valid = cut_window(scene, bands, tiling.rows.inside(row), tiling.columns.inside(column))
        is_whole = bool(valid.all())
        if is_whole or valid.any():
            images.append(image if is_whole else fill_nodata(image, valid))
        places.append((row, column))
        masks.append(None if is_whole else valid)
        if len(images) == batch_size or (column == tiling.columns.count - 1 and not images):
            yield batch()
            places, masks, images = [], [], []
    if places:
        yield batch()


def cut_window(
    scene: ReadsWindows, bands: Sequence[str], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read the pixels of a scene at rows and columns that are consecutive except for mirrored borders.

    Args:
        scene: An open scene.
        bands: Their names.
        rows: Rows of the scene, from `Axis.inside`.
        columns: Columns of the scene, likewise.

    Returns:
        (bands, rows, columns) float32 digital numbers, and a mask (rows, columns) of pixels with data.

    Raises:
        SceneError: See `Scene.read`.
    """
    top, left = int(rows.min()), int(columns.min())
    height, width = int(rows.max()) + 1 - top, int(columns.max()) + 1 - left
    image, valid = scene.read(Window(left, top, width, height), bands)
    if (height, width) == (len(rows), len(columns)):
        return image, valid
    rows, columns = rows - top, columns - left
    return _mirrored(image, rows, columns), _mirrored(valid, rows, columns)


def _mirrored(values: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[Any]:
    """The pixels (..., rows, columns) at numbers as for `cut_window`, copied in runs, not one by one."""
    taken = np.empty((*values.shape[:-2], len(rows), len(columns)), values.dtype)
    for to_rows, from_rows in _runs(rows):
        for to_columns, from_columns in _runs(columns):
            taken[..., to_rows, to_columns] = values[..., from_rows, from_columns]
    return taken


def _runs(places: NDArray[np.int64]) -> list[tuple[slice, slice]]:
    """Stretches of numbers that rise or fall by one, or stay the same: their indices and the numbers."""
    turns = np.flatnonzero(np.diff(places, 2)) + 1
    runs = []
    for begin, end in pairwise([0, *turns.tolist(), len(places)]):
        first, last = int(places[begin]), int(places[end - 1])
        falling = slice(first, last - 1 if last else None, -1)
        runs.append((slice(begin, end), falling if last < first else slice(first, last + 1)))
    return runs


@dataclass(frozen=True)
class _Arriving:
    """A result on its way to the CPU: complete once the event has passed, at once without one."""

    values: Tensor
    event: torch.cuda.Event | None = None

    def array(self) -> NDArray[np.float32]:
        if self.event is not None:
            self.event.synchronize()
        return self.values.numpy()


def window_answers(
    network: Callable[[Tensor], Tensor], batches: Iterable[WindowBatch], device: torch.device
) -> Iterator[tuple[WindowBatch, NDArray[np.float32]]]:
    """Each batch with a network's maps of it, (windows with data, ..., height, width) float32.

    On a GPU, a batch is started before the result of the one before it is awaited.
    """
    waiting: tuple[WindowBatch, _Arriving] | None = None
    for batch in batches:
        arriving = _start(network, batch.pixel_values, device)
        if waiting:
            yield waiting[0], waiting[1].array()
        # Without its pixel values, which would take memory while the batch waits.
        waiting = replace(batch, pixel_values=batch.pixel_values[:0].clone()), arriving
    if waiting:
        yield waiting[0], waiting[1].array()


def _start(network: Callable[[Tensor], Tensor], pixel_values: Tensor, device: torch.device) -> _Arriving:
    """Run the network on a batch and start copying its maps to the CPU."""
    if not len(pixel_values):
        return _Arriving(pixel_values[:, 0])
    maps = network(pixel_values.to(device, non_blocking=True))
    if maps.device.type != "cuda":
        return _Arriving(maps.cpu())
    values = torch.empty(maps.shape, dtype=maps.dtype, pin_memory=True)
    values.copy_(maps, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return _Arriving(values, event)


def mine_class(model: PreTrainedModel) -> int:
    """The index of the mine class: by name, else the second of two."""
    names = {str(name).lower(): int(index) for index, name in (model.config.id2label or {}).items()}
    if "mine" in names:
        return names["mine"]
    if len(names) == 2:
        return 1
    raise ModelError(f"model: found the classes {', '.join(names)}; expected one named mine.")


def _resized(maps: Tensor, height: int, width: int) -> Tensor:
    """Resize maps (maps, height', width') bilinearly, as `F.interpolate` with `align_corners=False`.

    Unlike there, the result between equal numbers is exactly that number, because `lerp` adds a weighted
    difference.
    """
    for axis, length in ((1, height), (2, width)):
        count = maps.shape[axis]
        if count == length:
            continue
        places = (torch.arange(length, device=maps.device, dtype=torch.float32) + 0.5) * (
            count / length
        ) - 0.5
        places = places.clamp(0, count - 1)
        first = places.floor().long()
        second = (first + 1).clamp(max=count - 1)
        weights = places - first
        maps = torch.lerp(
            _taken(maps, axis, first),
            _taken(maps, axis, second),
            weights[:, None] if axis == 1 else weights,
        )
    return maps


def _taken(maps: Tensor, axis: int, places: Tensor) -> Tensor:
    """Rows (axis 1) or columns (axis 2) of maps (maps, height, width)."""
    if axis == 1:
        return maps.index_select(1, places)
    # Of three axes, PyTorch copies column by column: sixteen times as slow for rows of 512 pixels.
    return maps.flatten(0, 1).index_select(1, places).unflatten(0, maps.shape[:2])
