"""Change between labels of two years: as a map, and as counts of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UNKNOWN = 255
"""The label of an unknown pixel; a change from or to it is unknown, too."""


def change_between(label_1: NDArray[np.uint8], label_2: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Change between two labels: 0 unchanged, 1 changed, 255 where either label is unknown.

    Args:
        label_1: Label of the earlier year, uint8 0/1/255, any shape.
        label_2: Label of the later year.
    """
    change = (label_1 != label_2).astype(np.uint8)
    if max(label_1.max(initial=0), label_2.max(initial=0)) == UNKNOWN:
        change[(label_1 == UNKNOWN) | (label_2 == UNKNOWN)] = UNKNOWN
    return change


def change_counts(
    labels: NDArray[np.uint8], own: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count the owned pixels that change between any two years.

    Args:
        labels: `(years, 160, 160)` uint8 0/1/255.
        own: `[top, left, bottom, right]`, the box that counts.

    Returns:
        Three `(years, years)` int64 matrices: pixels gained (0, then 1), lost (1, then 0), and pixels that
        are labelled (not 255) in both years, of which the first two are a part.
    """
    top, left, bottom, right = own
    owned = labels[:, top:bottom, left:right].reshape(len(labels), -1)
    # 64 pixels per word: faster than a matrix product, and without BLAS threads beside the reader.
    mine, other = _words(owned == 1), _words(owned == 0)
    known = mine | other
    return _common(other, mine), _common(mine, other), _common(known, known)


def _words(masks: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Masks (years, pixels) as bits of whole words, the last of them filled up with zeros."""
    packed = np.packbits(masks, axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def _common(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many bits are set in a row of each, for any two rows."""
    return np.bitwise_count(first[:, None] & second[None]).sum(axis=-1, dtype=np.int64)
