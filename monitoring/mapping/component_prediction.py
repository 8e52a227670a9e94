"""The components of a mine over a scene of any size: a map of each group, and the probability of any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from transformers import PreTrainedModel

from euromine.dataset_script.label_groups import LabelGroups
from euromine.modeling import EuroMineImageProcessor
from euromine.monitoring.scenes.alignment import ReadsWindows
from euromine.support.errors import ModelError

from .component_groups import component_groups, component_probabilities
from .map_values import NODATA
from .prediction import OVERLAP, ROWS, WINDOW, predict_probability, window_maps
from .tiling import Block, BlockBlender, Tiling


@dataclass(frozen=True)
class ComponentRows:
    """Whole rows of a scene with their components.

    Attributes:
        window: The rows.
        probability: (rows, width) float32, the probability of any component; NaN without data.
        maps: (groups without the total, rows, width) uint8, 0 none, n the n-th class, 255 without data.
    """

    window: Window
    probability: NDArray[np.float32]
    maps: NDArray[np.uint8]


def predict_components(
    model: PreTrainedModel,
    image_processor: EuroMineImageProcessor,
    scene: ReadsWindows,
    *,
    window: int = WINDOW,
    overlap: int = OVERLAP,
    batch_size: int | None = None,
) -> Iterator[ComponentRows]:
    """The components over a scene, in full-width rows from top to bottom.

    Windows overlap and their probabilities are blended, as in `predict_probability`; the class of a pixel is
    the likeliest of its group.

    Args:
        model: A component model; the caller puts it in evaluation mode.
        image_processor: Its image processor; its bands are read from the scene.
        scene: An open scene.
        window: The largest side of a window in pixels, a multiple of 32.
        overlap: Pixels that neighbouring windows share.
        batch_size: Windows per call of the model; None for 1, or 8 on a GPU.

    Raises:
        SceneError: A band, the scale or the offset is unknown, or the file is damaged.
        ArgumentError: `window` or `overlap` is out of range.
        ModelError: The model maps no components of known groups, or gives NaN.
    """
    groups = component_groups(model)
    if groups is None:
        raise ModelError(f"model: found a {model.config.model_type}; expected a component model.")
    tiling = Tiling.of(scene.grid.height, scene.grid.width, window, overlap)
    assembly = _Assembly(tiling, groups)
    network = partial(component_probabilities, model, groups)
    for each in window_maps(
        model, network, image_processor, scene, tiling, batch_size=batch_size, maps=(assembly.count,)
    ):
        yield from assembly.add(*each)


def predict_footprint_rows(
    model: PreTrainedModel, image_processor: EuroMineImageProcessor, scene: ReadsWindows, **layout: Any
) -> Iterator[ComponentRows]:
    """The rows of a footprint mapper, without components; see `predict_probability`."""
    for window, probability in predict_probability(model, image_processor, scene, **layout):
        yield ComponentRows(window, probability, np.empty((0, *probability.shape), np.uint8))


class _Assembly:
    """Rows assembled from the blended blocks of windows.

    Attributes:
        count: Number of maps of a window: any component, then the classes of each group.
    """

    def __init__(self, tiling: Tiling, groups: LabelGroups) -> None:
        self._tiling = tiling
        self._sizes = [1 + len(classes) for classes in groups.groups.values()]
        self.count = 1 + sum(self._sizes)
        self._blender = BlockBlender(tiling, self.count)
        self._probability = np.empty((0, 0), np.float32)
        self._maps = np.empty((0, 0, 0), np.uint8)

    def add(
        self, row: int, column: int, values: NDArray[np.float32], valid: NDArray[np.bool_] | None
    ) -> Iterator[ComponentRows]:
        """Add the maps of a window; after the last one of a row, give the rows that are complete."""
        block = Block.of(self._tiling, row, column)
        blended = self._blender.add(row, column, values)
        rows, columns = blended.shape[1:]
        width = self._tiling.columns.length
        if column == 0:
            self._probability = np.empty((rows, width), np.float32)
            self._maps = np.empty((len(self._sizes), rows, width), np.uint8)
        here = slice(block.left, block.left + columns)
        self._probability[:, here] = blended[0]
        first = 1
        for place, size in enumerate(self._sizes):
            self._maps[place, :, here] = blended[first : first + size].argmax(axis=0)
            first += size
        if valid is not None:
            missing = ~valid[block.inside]
            self._probability[:, here][missing] = np.nan
            self._maps[:, :, here][:, missing] = NODATA
        if column == self._tiling.columns.count - 1:
            for begin in range(0, rows, ROWS):
                part = slice(begin, begin + ROWS)
                probability = self._probability[part]
                window = Window(0, block.top + begin, width, len(probability))
                yield ComponentRows(window, probability, self._maps[:, part])
