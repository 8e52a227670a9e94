"""Stacks of yearly maps (years, height, width): checks, and work in blocks of pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.mapping.map_values import NODATA
from euromine.support.errors import DataError
from euromine.support.workers import usable_cores

Float = NDArray[np.float32]
Maps = NDArray[np.uint8]

# Pixels of a block: ten years of them are 1.3 MB, which fits a processor's cache.
_BLOCK = 1 << 15


def in_pixel_blocks(
    work: Callable[[Float, Any], None],
    probability: NDArray[np.floating[Any]],
    result: NDArray[Any],
    threads: int | None,
) -> None:
    """Apply `work` to blocks of pixels that fit a processor's cache, several at a time.

    Args:
        work: Takes probabilities (years, pixels) and fills (maps, pixels).
        probability: (years, height, width).
        result: (maps, height, width), C-contiguous.
        threads: Number of threads; one per core by default.
    """
    values = probability.reshape(len(probability), -1)
    found = result.reshape(len(result), -1)

    def run(start: int) -> None:
        block = np.ascontiguousarray(values[:, start : start + _BLOCK], dtype=np.float32)
        out = np.empty((len(found), block.shape[1]), found.dtype)
        with np.errstate(invalid="ignore"):  # NaN marks missing data, and compares as false
            work(block, out)
        found[:, start : start + _BLOCK] = out

    starts = range(0, values.shape[1], _BLOCK)
    workers = min(threads or usable_cores(), len(starts))
    if workers <= 1:
        for start in starts:
            run(start)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(run, starts):
            pass


def checked_calendar(probability: NDArray[Any], years: Sequence[int] | None) -> tuple[int, ...]:
    """The years of a stack of probabilities, whose shape, type and range are checked.

    Args:
        probability: (years, height, width), 0 to 1 or NaN.
        years: The calendar years; consecutive ones by default.

    Raises:
        ValueError: These are not probabilities, or the years do not fit them.
    """
    if probability.ndim != 3 or 0 in probability.shape:
        raise ValueError(
            f"probability: found the shape {probability.shape}; expected (years, height, width), with pixels."
        )
    if probability.dtype.kind != "f":
        raise ValueError(f"probability: found {probability.dtype}; expected floats from 0 to 1.")
    low, high = np.fmin.reduce(probability, axis=None), np.fmax.reduce(probability, axis=None)
    if low < 0 or high > 1:
        raise ValueError(
            f"probability: found values from {low:.6g} to {high:.6g}; expected 0 to 1. Logits need a softmax."
        )
    return checked_years(range(len(probability)) if years is None else years, len(probability))


def checked_years(years: Sequence[int], number: int) -> tuple[int, ...]:
    """Years as integers, one per map and ascending.

    Args:
        years: The calendar years.
        number: How many maps there are.

    Raises:
        ValueError: There are more or fewer years than maps, or they do not ascend.
    """
    calendar = tuple(int(year) for year in years)
    if len(calendar) != number:
        raise ValueError(f"years: found {len(calendar)} for {number} maps; expected one per map.")
    if any(first >= second for first, second in pairwise(calendar)):
        raise ValueError(f"years: found {list(calendar)}; expected ascending ones without repetition.")
    return calendar


def check_labels(labels: Maps) -> None:
    """Check the shape, type and values of yearly labels.

    Raises:
        ValueError: They have another shape or type.
        DataError: They hold other values than 0, 1 and 255.
    """
    if labels.ndim != 3 or labels.dtype != np.uint8:
        raise ValueError(
            f"labels: found {labels.dtype} {labels.shape}; expected uint8 (years, height, width)."
        )
    counts = np.bincount(labels.reshape(-1), minlength=256)
    counts[[0, 1, NODATA]] = 0
    if counts.any():
        found = ", ".join(map(str, np.flatnonzero(counts)[:5]))
        raise DataError(f"labels: found the values {found}; expected only 0, 1 and 255 (unknown).")
