"""Small pictures of a series' years, each stretched so that the ground is recognised.

Years differ by season, by atmosphere and by the processing of their products: a stretch in common leaves some
of them green, dark or pale.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.windows import Window

from euromine.support.files import write_bytes

from .alignment import ReadsWindows

LONGEST_SIDE = 1024
# Rows of the scene that are read at once, at least.
_ROWS = 256
# Shares of all pixels that are shown black and white: shadows and bare rock in the sun.
_DARKEST, _BRIGHTEST = 1.0, 99.0
# A slight lift of the shadows, as maps have it.
_GAMMA = 0.8
_NO_DATA = 128


@dataclass(frozen=True)
class Quicklook:
    """A thinned scene.

    Attributes:
        values: (height, width, bands) float32 digital numbers; NaN without data.
    """

    values: NDArray[np.float32]

    @classmethod
    def of(cls, scene: ReadsWindows, bands: Sequence[str]) -> Quicklook:
        """The means of squares of a scene's pixels, the longest side at most `LONGEST_SIDE`.

        Args:
            scene: Read in strips from the top.
            bands: Red, green and blue, or one for grey.
        """
        height, width = scene.grid.shape
        side = math.ceil(max(height, width) / LONGEST_SIDE)
        rows = max(_ROWS // side, 1) * side
        scene.cache_rows(rows)
        strips = []
        for top in range(0, height, rows):
            window = Window(0, top, width, min(rows, height - top))
            image, valid = scene.read(window, bands)
            strips.append(_thinned(image, valid, side))
        return cls(np.concatenate(strips))


def write_quicklook(quicklook: Quicklook, path: Path) -> None:
    """Write a thinned scene as PNG, at once: each band from dark to bright, unknown ground grey.

    Raises:
        OSError: The file cannot be written.
    """
    values = quicklook.values
    known = values[np.isfinite(values).all(axis=-1)]
    if not len(known):
        known = np.zeros((1, values.shape[-1]), np.float32)
    low, high = np.percentile(known, (_DARKEST, _BRIGHTEST), axis=0)
    shares = np.clip((values - low) / np.maximum(high - low, 1), 0, 1)
    shown = np.where(np.isfinite(shares), 255 * shares**_GAMMA, _NO_DATA).round().astype(np.uint8)
    picture = Image.fromarray(shown if shown.shape[-1] == 3 else shown[..., 0])
    data = io.BytesIO()
    picture.save(data, format="PNG", optimize=True)
    write_bytes(path, data.getvalue())


def _thinned(image: NDArray[np.float32], valid: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """(bands, height, width) -> the means (height / side, width / side, bands) of what is known."""
    bands, height, width = image.shape
    rows, columns = math.ceil(height / side), math.ceil(width / side)
    padding = ((0, rows * side - height), (0, columns * side - width))
    known = np.pad(valid, padding).reshape(rows, side, columns, side)
    counts = known.sum(axis=(1, 3))
    result = np.full((rows, columns, bands), np.nan, np.float32)
    for band in range(bands):
        values = np.pad(np.where(valid, image[band], 0), padding).reshape(rows, side, columns, side)
        with np.errstate(invalid="ignore"):
            result[..., band] = np.where(counts > 0, values.sum(axis=(1, 3)) / np.maximum(counts, 1), np.nan)
    return result
