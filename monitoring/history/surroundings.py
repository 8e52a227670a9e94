"""The ring around a footprint, in blocks of rows, whose memory follows the width of the scene."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

# No row of any map; twice as far as rows can lie apart.
_NOWHERE = 1 << 30


class Surroundings:
    """The pixels within a distance of a mask, without the mask itself.

    In each column, the nearest pixel of the mask above or below decides how many columns beside a pixel are
    within the distance of it.

    Args:
        blocks: The mask in blocks of rows from the top, each (rows, width).
        distance: Metres between the middles of pixels.
        sides: Height and width of a pixel in metres.
    """

    def __init__(self, blocks: Iterable[Mask], distance: float, sides: tuple[float, float]) -> None:
        self._reach = _columns_within(distance, sides)
        firsts = []
        top = 0
        for block in blocks:
            found = np.where(block.any(axis=0), top + block.argmax(axis=0), _NOWHERE)
            firsts.append(found.astype(np.int32))
            top += len(block)
        # The next row of the mask below each block, and the last one above the next block, by column.
        self._below = [np.full_like(each, _NOWHERE) for each in firsts[-1:]]
        for each in firsts[:0:-1]:
            self._below.append(np.minimum(self._below[-1], each))
        self._above = np.full(firsts[0].shape if firsts else 0, -_NOWHERE, np.int32)
        self._top = 0

    def next(self, block: Mask) -> Mask:
        """The ring in the next block of rows, of which the mask is given once more."""
        rows = np.arange(self._top, self._top + len(block), dtype=np.int32)[:, None]
        before = np.where(block, rows, -_NOWHERE)
        before[0] = np.maximum(before[0], self._above)
        np.maximum.accumulate(before, axis=0, out=before)
        after = np.where(block, rows, _NOWHERE)
        after[-1] = np.minimum(after[-1], self._below.pop())
        after = np.minimum.accumulate(after[::-1], axis=0)[::-1]
        self._above, self._top = before[-1].copy(), self._top + len(block)
        apart = np.minimum(np.minimum(rows - before, after - rows), len(self._reach) - 1)
        return _covered(self._reach[apart]) & ~block


def _columns_within(distance: float, sides: tuple[float, float]) -> NDArray[np.int32]:
    """By rows between two pixels, the most columns between them within a distance; -1 beyond, at the end."""
    down, across = sides
    rows = np.arange(math.floor(distance / down) + 2) * down
    rest = np.sqrt(np.maximum(np.square(distance) - np.square(rows), 0.0))
    most = np.floor(rest / across)
    found = np.full(len(rows), -1, np.int32)
    for columns in (most - 1, most, most + 1):  # the quotient may be rounded to the wrong side
        is_within = (columns >= 0) & (np.sqrt(np.square(rows) + np.square(columns * across)) <= distance)
        found[is_within] = columns[is_within]
    return np.append(found, np.int32(-1))


def _covered(reach: NDArray[np.int32]) -> Mask:
    """The pixels that others in their row cover, each as many columns to both sides as it reaches."""
    height, width = reach.shape
    rows, columns = np.nonzero(reach >= 0)
    reach_, first = reach[rows, columns], rows * (width + 1)
    begins = np.bincount(first + np.maximum(columns - reach_, 0), minlength=height * (width + 1))
    begins -= np.bincount(first + np.minimum(columns + reach_ + 1, width), minlength=len(begins))
    covering = np.cumsum(begins, out=begins).reshape(height, width + 1)
    return np.asarray(covering[:, :-1] > 0)
