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
        side = math.ceil(max(height, width) / LONGEST_SIDE)
        rows = max(_ROWS // side, 1) * side
        scene.cache_rows(rows)
        strips = []
        for top in range(0, height, rows):
            window = Window(0, top, width, min(rows, height - top))
            image, valid = scene.read(window, bands)
            strips.append(_block_means(image, valid, side))
        return cls(np.concatenate(strips))


def write_quicklook(quicklook: Quicklook, path: Path) -> None:
    """Write a PNG, atomically: each band stretched to the full range, grey where there is no data.

    Raises:
        OSError: The file cannot be written.
    """
    values = quicklook.values
    shown = stretched(values, contrast_limits(values[np.isfinite(values).all(axis=-1)]))
    picture = Image.fromarray(shown if shown.shape[-1] == 3 else shown[..., 0])
    data = io.BytesIO()
    # Runs alone, and no search for the best filters: 2 % more bytes than the best in two fifths of the time.
    picture.save(data, format="PNG", compress_level=1, compress_type=zlib.Z_RLE)
    write_bytes(path, data.getvalue())


def _block_means(image: NDArray[np.float32], valid: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """(bands, height, width) -> means (height / side, width / side, bands) of valid pixels, else NaN."""
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
