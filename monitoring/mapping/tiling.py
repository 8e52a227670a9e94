"""Overlapping windows over a scene of any size, and blending of their results without seams.

Along each axis, the scene is extended beyond its borders by half an overlap and covered by windows of one
size at a fixed stride, so that at most two windows meet at a pixel. The outer quarter of a window's overlap,
where a network sees the least context, is discarded; over the middle half, one window fades into the next.
The blend is `first + weight * (second - first)`, so where both agree the result is exactly their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import ArgumentError

# Windows start and end at multiples of 32, the stride of most networks' deepest maps, so that a pixel lies in
# the same place of their cells in every window.
_MULTIPLE = 32


@dataclass(frozen=True)
class Axis:
    """Windows along one axis of a scene, in pixels of the extended scene.

    Attributes:
        length: Pixels of the scene.
        size: Pixels of each window.
        stride: Pixels from the start of a window to the start of the next.
        count: Number of windows.
    """

    length: int
    size: int
    stride: int
    count: int

    @classmethod
    def of(cls, length: int, window: int, overlap: int) -> Axis:
        """The smallest number of windows of at most `window` pixels, and then the smallest windows."""
        covered = length + 2 * (overlap // 2)
        count = max(1, math.ceil((covered - overlap) / (window - overlap)))
        needed = math.ceil((covered - overlap) / count) + overlap
        size = min(window, math.ceil(needed / _MULTIPLE) * _MULTIPLE)
        return cls(length, size, size - overlap, count)

    @property
    def overlap(self) -> int:
        """Pixels shared by neighbouring windows."""
        return self.size - self.stride

    @property
    def margin(self) -> int:
        """Pixels by which the scene is extended before its first pixel."""
        return self.overlap // 2

    @property
    def blended(self) -> int:
        """Pixels over which one window fades into the next."""
        return self.overlap - 2 * (self.overlap // 4)

    def begin(self, number: int) -> int:
        """The first pixel where window `number` is used; there it begins to fade in."""
        return 0 if number == 0 else number * self.stride + self.overlap // 4

    def inside(self, number: int) -> NDArray[np.int64]:
        """The scene's pixel behind each pixel of a window; beyond its borders, the scene is mirrored."""
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
        """The windows over a scene.

        Args:
            height: Of the scene, in pixels.
            width: Of the scene, in pixels.
            window: The largest side of a window.
            overlap: Pixels shared by neighbouring windows; with 0, seams show.

        Raises:
            ArgumentError: The window is not a multiple of 32, or the overlap is more than half of it.
        """
        check_layout(window, overlap)
        return cls(Axis.of(height, window, overlap), Axis.of(width, window, overlap))

    def __len__(self) -> int:
        return self.rows.count * self.columns.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(row, column) of each window, in the order that `Blender` expects."""
        for row in range(self.rows.count):
            for column in range(self.columns.count):
                yield row, column


def check_window(window: int) -> None:
    """Refuse a side in pixels that windows cannot have.

    Raises:
        ArgumentError: It is not a positive multiple of 32.
    """
    if window < _MULTIPLE or window % _MULTIPLE:
        raise ArgumentError(f"window: found {window}; expected a positive multiple of {_MULTIPLE}.")


def check_layout(window: int, overlap: int) -> None:
    """Refuse sizes that windows cannot have.

    Raises:
        ArgumentError: The window is not a multiple of 32, or the overlap is more than half of it.
    """
    check_window(window)
    if not 0 <= overlap <= window // 2:
        raise ArgumentError(f"overlap: found {overlap}; expected 0 to {window // 2}, half of the window.")


class Blender:
    """Blends the results of windows in row order, holding one row of windows in memory.

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
        """Add the result of one window, in the order of the tiling.

        Args:
            row: The window's row in the tiling.
            column: The window's column in the tiling.
            values: (rows.size, columns.size) float32.
            valid: A mask (rows.size, columns.size) of pixels with data; None for all.

        Returns:
            After the last window of a row, the first scene row that it completes, and all completed rows
            (rows, width) float32, NaN without data. They are a view of the blender's buffer, valid until the
            next call. None after any other window.
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


@dataclass(frozen=True)
class Block:
    """The part of a scene that a window completes.

    Attributes:
        top: Its first row in the scene.
        left: Its first column in the scene.
        inside: Its rows and columns in the window.
    """

    top: int
    left: int
    inside: tuple[slice, slice]

    @classmethod
    def of(cls, tiling: Tiling, row: int, column: int) -> Block:
        """The block of one window."""
        rows, top = _completed(tiling.rows, row)
        columns, left = _completed(tiling.columns, column)
        return cls(top, left, (rows, columns))


def _completed(axis: Axis, number: int) -> tuple[slice, int]:
    """The pixels that a window completes along an axis, in the window, and the first of them in the scene."""
    start = number * axis.stride
    begin = max(axis.begin(number), axis.margin)
    end = axis.margin + axis.length if number == axis.count - 1 else axis.begin(number + 1)
    return slice(begin - start, end - start), begin - axis.margin


class BlockBlender:
    """Blends stacks of maps as `Blender` does, but gives back a block per window instead of rows.

    It holds overlaps only: of one row of windows with the next, and of one window with the next.

    Args:
        tiling: The windows.
        maps: Number of maps in a stack.
    """

    def __init__(self, tiling: Tiling, maps: int) -> None:
        self._tiling, rows, columns = tiling, tiling.rows, tiling.columns
        width = columns.stride * (columns.count - 1) + columns.size
        self._above = np.zeros((maps, rows.blended, width), np.float32)
        self._before = np.zeros((maps, rows.size, columns.blended), np.float32)

    def add(self, row: int, column: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add the result of one window, in the order of the tiling; a first row of windows may be any.

        Args:
            row: The window's row in the tiling.
            column: The window's column in the tiling.
            values: (maps, rows.size, columns.size) float32, which are overwritten.

        Returns:
            The block that the window completes (`Block`), (maps, rows, columns) float32, a view of `values`.
            After another first row than that of the tiling, the blocks of this row are unfinished.
        """
        rows, columns = self._tiling.rows, self._tiling.columns
        if column:
            _blend(self._before, values, columns.begin(column) - column * columns.stride, axis=2)
        if column < columns.count - 1:
            end = columns.begin(column + 1) - column * columns.stride
            self._before[:] = values[:, :, end : end + columns.blended]
        start = column * columns.stride
        above = self._above[:, :, start : start + columns.size]
        # The next window's share of the overlap is still to come: it fades in there, and then goes down.
        last = columns.size if column == columns.count - 1 else columns.begin(column + 1) - start
        first = columns.begin(column) - start
        shown = slice(first, last)
        if row:
            _blend(above[..., shown], values[..., shown], rows.begin(row) - row * rows.stride, axis=1)
        if row < rows.count - 1:
            end = rows.begin(row + 1) - row * rows.stride
            above[..., shown] = values[:, end : end + rows.blended, shown]
        return values[:, *Block.of(self._tiling, row, column).inside]


def _blend(first: NDArray[np.float32], values: NDArray[np.float32], begin: int, axis: int) -> None:
    """Fade `first` into the pixels of `values` from `begin` on along an axis, in place."""
    zone = (slice(None),) * axis + (slice(begin, begin + first.shape[axis]),)
    _fade(first, values[zone], axis)
    values[zone] = first


def _fade(first: NDArray[np.float32], second: NDArray[np.float32], axis: int) -> None:
    """Blend `first` into the beginning of `second` along an axis, in place."""
    length = first.shape[axis]
    weights = ((np.arange(length, dtype=np.float32) + 0.5) / max(length, 1)).astype(np.float32)
    shape = [1] * first.ndim
    shape[axis] = length
    difference = second[(slice(None),) * axis + (slice(length),)] - first
    difference *= weights.reshape(shape)
    first += difference
