"""Quicklooks of a series' years, each with a contrast stretch of its own.

Years differ in season, atmosphere and processing, so a common stretch would leave some of them dark or pale.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.windows import Window

from euromine.support.contrast import contrast_limits, stretched
from euromine.support.files import write_bytes

from .alignment import ReadsWindows

LONGEST_SIDE = 1024
# Rows of the scene read at once.
_ROWS = 256
# Pixels of a picture whose percentiles set its contrast, as many as QGIS takes for an estimate.
_SAMPLE = 250_000


@dataclass(frozen=True)
class Quicklook:
    """A downsampled scene.

    Attributes:
        values: (height, width, bands) float32 digital numbers; NaN without data.
    """

    values: NDArray[np.float32]

    @classmethod
    def of(cls, scene: ReadsWindows, bands: Sequence[str]) -> Quicklook:
        """Downsample a scene by averaging square blocks, to a longest side of at most `LONGEST_SIDE`.

        Args:
            scene: Read in strips from the top.
            bands: Red, green and blue; or one band for a grey image.
        """
        height, width = scene.grid.shape
        side = _block_side((height, width))
        rows = max(_ROWS // side, 1) * side
        scene.cache_rows(rows)
        strips = []
        for top in range(0, height, rows):
            window = Window(0, top, width, min(rows, height - top))
            image, valid = scene.read(window, bands)
            strips.append(_block_means(image, valid, side))
        return cls(np.concatenate(strips))


class PicturedScene:
    """A scene whose quicklook is made while a network reads it in windows, so that it is decoded once.

    Attributes:
        grid: The scene's grid.
    """

    def __init__(self, scene: ReadsWindows, bands: Sequence[str]) -> None:
        """Take a scene.

        Args:
            scene: An open scene.
            bands: As for `Quicklook.of`.
        """
        self.grid = scene.grid
        self._scene, self._bands = scene, tuple(bands)
        self._side = _block_side(scene.grid.shape)
        rows, columns = (math.ceil(length / self._side) for length in scene.grid.shape)
        self._values = np.empty((rows, columns, len(bands)), np.float32)
        self._is_drawn = np.zeros((rows, columns), bool)

    def cache_rows(self, rows: int) -> None:
        """As `Scene.cache_rows`."""
        self._scene.cache_rows(rows)

    def read(self, window: Window, bands: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """As `Scene.read`."""
        image, valid = self._scene.read(window, bands)
        if valid.all() and set(self._bands) <= set(bands):
            self._draw(window, image[[bands.index(band) for band in self._bands]], valid)
        else:  # the picture shows ground that other bands do not
            self._draw(window, *self._scene.read(window, self._bands))
        return image, valid

    def quicklook(self) -> Quicklook | None:
        """The picture; None if the windows read so far left out any of it."""
        return Quicklook(self._values) if self._is_drawn.all() else None

    def _draw(self, window: Window, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Draw the blocks that lie in a window completely."""
        rows, in_rows = self._blocks(int(window.row_off), int(window.height), self.grid.height)
        columns, in_columns = self._blocks(int(window.col_off), int(window.width), self.grid.width)
        if not self._is_drawn[rows, columns].all():
            inside = (in_rows, in_columns)
            self._values[rows, columns] = _block_means(image[:, *inside], valid[inside], self._side)
            self._is_drawn[rows, columns] = True

    def _blocks(self, begin: int, length: int, whole: int) -> tuple[slice, slice]:
        """The blocks inside a window along an axis, and their pixels in the window."""
        side, end = self._side, begin + length
        first, last = -(-begin // side), -(-end // side) if end == whole else end // side
        return slice(first, last), slice(first * side - begin, min(last * side, end) - begin)


def write_quicklook(quicklook: Quicklook, path: Path) -> None:
    """Write a PNG, atomically: each band stretched to the full range, grey where there is no data.

    Raises:
        OSError: The file cannot be written.
    """
    shown = stretched(quicklook.values, contrast_limits(_sampled(quicklook.values)))
    picture = Image.fromarray(shown if shown.shape[-1] == 3 else shown[..., 0])
    data = io.BytesIO()
    # Runs alone, and no search for the best filters: 2 % more bytes than the best in two fifths of the time.
    picture.save(data, format="PNG", compress_level=1, compress_type=zlib.Z_RLE)
    write_bytes(path, data.getvalue())


def _sampled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Enough pixels with data for percentiles, (pixels, bands)."""
    step = max(1, round(math.sqrt(values[..., 0].size / _SAMPLE)))
    known = np.empty((0, values.shape[-1]), np.float32)
    for every in dict.fromkeys((step, 1)):
        pixels = values[::every, ::every].reshape(-1, values.shape[-1])
        known = pixels[~np.isnan(pixels[:, 0])]  # as in all bands
        if len(known):
            break
    return known


def _block_side(shape: tuple[int, int]) -> int:
    """The side of the blocks that become a pixel each."""
    return math.ceil(max(shape) / LONGEST_SIDE)


def _block_means(image: NDArray[np.float32], valid: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """(bands, height, width) -> means (height / side, width / side, bands) of valid pixels, else NaN."""
    if not valid.all():
        image = np.where(valid, image, 0)
    sums, counts = _block_sums(image, side), _block_sums(valid.astype(np.float32)[None], side)[0]
    means = np.empty((*counts.shape, len(image)), np.float32)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
        for band, total in enumerate(sums):
            np.divide(total, counts, out=means[..., band])
    return means


def _block_sums(maps: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Sums over blocks (maps, height / side, width / side), those at the end smaller."""
    if side == 1:
        return maps
    height, width = maps.shape[1:]
    across = np.zeros((len(maps), height, math.ceil(width / side)), np.float32)
    for place in range(side):
        part = maps[..., place::side]
        across[..., : part.shape[-1]] += part
    sums = np.zeros((len(maps), math.ceil(height / side), across.shape[-1]), np.float32)
    for place in range(side):
        part = across[:, place::side]
        sums[:, : part.shape[1]] += part
    return sums
