"""The share of each pixel inside an outline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .map_windows import Span

# Pixels on a side below which each is cut by itself.
_SMALL = 8
_TOLERANCE = 1e-9


def pixel_shares(outline: Any, span: Span) -> NDArray[np.float64]:
    """The share of each pixel of a window inside an outline, exact.

    Args:
        outline: A shapely polygon or multipolygon in pixels: x is the column, y the row, and the first pixel
            begins at 0, 0.
        span: The window.

    Returns:
        (height, width) from 0 to 1.
    """
    import shapely

    (top, bottom), (left, right) = span
    shares = np.zeros((bottom - top, right - left))
    waiting = [(outline, top, bottom, left, right)]
    while waiting:
        whole, first, end, start, stop = waiting.pop()
        # Cut step by step, so that each cut has few corners.
        part = shapely.clip_by_rect(whole, start, first, stop, end)
        if part.is_empty:
            continue
        here = np.s_[first - top : end - top, start - left : stop - left]
        size = (end - first) * (stop - start)
        if part.area >= size * (1 - _TOLERANCE):
            shares[here] = 1
        elif max(end - first, stop - start) <= _SMALL:
            shares[here] = _cut(part, first, end, start, stop)
        elif end - first >= stop - start:
            middle = (first + end) // 2
            waiting += [(part, first, middle, start, stop), (part, middle, end, start, stop)]
        else:
            middle = (start + stop) // 2
            waiting += [(part, first, end, start, middle), (part, first, end, middle, stop)]
    return shares


def _cut(part: Any, first: int, end: int, start: int, stop: int) -> NDArray[np.float64]:
    import shapely

    rows, columns = np.mgrid[first:end, start:stop]
    pixels = shapely.box(columns, rows, columns + 1, rows + 1)
    return np.asarray(shapely.area(shapely.intersection(part, pixels)), np.float64)
