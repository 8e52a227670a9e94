"""Overlapping windows over a scene of any size, and their answers blended without a seam.

Along either axis the scene is continued beyond its borders by half an overlap, and covered by windows of
one size that begin at a fixed stride, so that no more than two meet at a pixel. The outer quarter of an
overlap, where a network sees least around a pixel, is used of neither; over the middle half one fades into
the other. Fading is `first + weight * (second - first)`: where the two agree, the result is that very
number, with no rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Windows begin and end at multiples of this, which is what networks halve their maps by: then each sees the
# scene's pixels in the same places of its own grid.
_MULTIPLE = 32


@dataclass(frozen=True)
class Axis:
    """Windows along one side of a scene, in pixels of the continued scene.

    Attributes:
        length: Pixels of the scene.
        size: Pixels of each window.
        stride: From the beginning of a window to that of the next.
        count: Number of windows.
    """

    length: int
    size: int
    stride: int
    count: int

    @classmethod
    def of(cls, length: int, window: int, overlap: int) -> Axis:
        """The fewest windows of at most `window` pixels, as small as that many allow."""
        covered = length + 2 * (overlap // 2)
        count = max(1, math.ceil((covered - overlap) / (window - overlap)))
        needed = math.ceil((covered - overlap) / count) + overlap
        size = min(window, math.ceil(needed / _MULTIPLE) * _MULTIPLE)
        return cls(length, size, size - overlap, count)

    @property
    def overlap(self) -> int:
        """Pixels that two neighbouring windows share."""
        return self.size - self.stride

    @property
    def margin(self) -> int:
        """Pixels by which the scene is continued before its first."""
        return self.overlap // 2

    @property
    def blended(self) -> int:
        """Pixels over which one window fades into the next."""
        return self.overlap - 2 * (self.overlap // 4)

    def begin(self, number: int) -> int:
        """Where window `number` begins to fade in: from here on it is looked at."""
        return 0 if number == 0 else number * self.stride + self.overlap // 4

    def inside(self, number: int) -> NDArray[np.int64]:
        """The scene's pixel that each pixel of a window shows: beyond a border the scene is mirrored."""
        places = np.arange(self.size) + number * self.stride - self.margin
        if self.length == 1:
            return np.zeros_like(places)
        period = 2 * (self.length - 1)
        places = np.abs(places) % period
        return np.where(places < self.length, places, period - places)


@dataclass(frozen=True)
class Tiling:
    """The windows over a scene, row by row.

    Attributes:
        rows: The windows along the height.
        columns: The windows along the width.
    """

    rows: Axis
    columns: Axis

    @classmethod
    def of(cls, height: int, width: int, window: int = 512, overlap: int = 64) -> Tiling:
        """Windows over a scene.

        Args:
            height: Pixels of the scene.
            width: Pixels of the scene.
            window: The largest side of a window.
            overlap: Pixels that neighbouring windows share; 0 for none, which shows seams.

        Raises:
            ValueError: The window is no multiple of 32, or the overlap is more than half of it.
        """
        if window < _MULTIPLE or window % _MULTIPLE:
            raise ValueError(f"window is {window}, a multiple of {_MULTIPLE} was expected")
        if not 0 <= overlap <= window // 2:
            raise ValueError(f"overlap is {overlap}, 0 to half of the window ({window // 2}) was expected")
        return cls(Axis.of(height, window, overlap), Axis.of(width, window, overlap))

    def __len__(self) -> int:
        return self.rows.count * self.columns.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(row, column) of each window, in the order in which a `Blender` takes them."""
        for row in range(self.rows.count):
            for column in range(self.columns.count):
                yield row, column


class Blender:
    """Puts the answers of windows together, in row order, holding no more than one row of windows.

    Args:
        tiling: The windows.
    """

    def __init__(self, tiling: Tiling) -> None:
        self._rows, self._columns = tiling.rows, tiling.columns
        width = self._columns.stride * (self._columns.count - 1) + self._columns.size
        self._strip = np.zeros((self._rows.size, width), np.float32)
        self._fading = np.zeros((self._rows.blended, width), np.float32)
        self._valid = np.ones(self._strip.shape, bool)

    def add(
        self, row: int, column: int, values: NDArray[np.float32], valid: NDArray[np.bool_] | None = None
    ) -> tuple[int, NDArray[np.float32]] | None:
        """Take the answer of one window; windows come in the order of the tiling.

        Args:
            row: Number of the window along the height.
            column: Number of the window along the width.
            values: (rows.size, columns.size) float32.
            valid: Where (rows.size, columns.size) the window shows data; None for everywhere.

        Returns:
            With the last window of a row: the first row of the scene that is complete with it, and all
            complete ones (rows, width) float32, NaN where there are no data; these are the blender's own
            memory, to be used before the next window. Else None.
        """
        axis = self._columns
        start, begin = column * axis.stride, axis.begin(column)
        self._valid[:, start : start + axis.size] = True if valid is None else valid
        if column:
            _fade(self._strip[:, begin : begin + axis.blended], values[:, begin - start :], axis=1)
            begin += axis.blended
        self._strip[:, begin : start + axis.size] = values[:, begin - start :]
        if column < axis.count - 1:
            return None
        return self._finish(row)

    def _finish(self, row: int) -> tuple[int, NDArray[np.float32]]:
        axis = self._rows
        start, begin = row * axis.stride, axis.begin(row)
        is_last = row == axis.count - 1
        end = axis.margin + axis.length if is_last else axis.begin(row + 1)
        if row:
            zone = self._strip[begin - start :][: axis.blended]
            _fade(self._fading, zone, axis=0)
            zone[:] = self._fading
        if not is_last:
            self._fading[:] = self._strip[end - start :][: axis.blended]
        top = max(begin, axis.margin)
        left = self._columns.margin
        shown = (slice(top - start, end - start), slice(left, left + self._columns.length))
        complete = self._strip[shown]
        complete[~self._valid[shown]] = np.nan
        return top - axis.margin, complete


def _fade(first: NDArray[np.float32], second: NDArray[np.float32], axis: int) -> None:
    """Let `first` fade into the beginning of `second` along an axis, in place."""
    length = first.shape[axis]
    weights = ((np.arange(length, dtype=np.float32) + 0.5) / max(length, 1)).astype(np.float32)
    if axis == 0:
        weights, second = weights[:, None], second[:length]
    else:
        second = second[:, :length]
    difference = second - first
    difference *= weights
    first += difference
