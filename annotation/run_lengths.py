"""Masks as runs of equal pixels: CVAT's by rows inside a box, COCO's by columns over the whole picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import AnnotationError

# COCO packs a count into characters of six bits: five of the number, and one that is set if more follow.
_FIRST_CHARACTER, _BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10
_LONGEST_COUNT = 7
"""Characters that a number of 32 bits takes."""


@dataclass(frozen=True)
class Runs:
    """A mask by the lengths of its runs, of which the first counts pixels outside.

    Attributes:
        counts: int64.
        left: The column of the box's left edge in the picture.
        top: The row of its upper edge.
        width: Columns of the box.
        height: Its rows.
        order: Whether pixels are counted along rows or down columns.
    """

    counts: NDArray[np.int64]
    left: int
    top: int
    width: int
    height: int
    order: Literal["rows", "columns"]

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_]) -> Runs:
        """The runs along rows of a whole picture's mask (height, width)."""
        height, width = mask.shape
        return cls(np.array(mask_runs(mask, "rows"), np.int64), 0, 0, width, height, "rows")

    def mask(self) -> NDArray[np.bool_]:
        """The pixels inside: bool (height, width)."""
        values = np.zeros(len(self.counts), bool)
        values[1::2] = True
        flat = np.repeat(values, self.counts)
        if self.order == "rows":
            return flat.reshape(self.height, self.width)
        return flat.reshape(self.width, self.height).T

    def cropped(self) -> Runs:
        """The same mask without the rows or columns before its first and after its last pixel.

        COCO's masks are as large as the picture, even those of small shapes.
        """
        ends = np.cumsum(self.counts)
        inside = np.flatnonzero(self.counts[1::2]) * 2 + 1
        if not len(inside):
            return self
        line = self.width if self.order == "rows" else self.height
        start, end = int(ends[inside[0] - 1]), int(ends[inside[-1]])
        first, last = start // line, (end - 1) // line + 1
        between = self.counts[inside[0] : inside[-1] + 1]
        counts = np.concatenate([[start - first * line], between, [last * line - end]])
        if self.order == "rows":
            return replace(self, counts=counts, top=self.top + first, height=last - first)
        return replace(self, counts=counts, left=self.left + first, width=last - first)

    @property
    def pixels(self) -> int:
        """The number of pixels inside."""
        return int(self.counts[1::2].sum())


def checked_runs(
    counts: Sequence[Any],
    box: tuple[int, int, int, int],
    order: Literal["rows", "columns"],
    where: str,
) -> Runs:
    """Runs that fill a box exactly.

    Args:
        counts: Their lengths.
        box: left, top, width and height.
        order: As in `Runs`.
        where: The mask, for messages.

    Raises:
        AnnotationError: A length is negative or no whole number, or they do not fill the box.
    """
    left, top, width, height = box
    try:
        lengths = np.array([_whole(count) for count in counts], dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        raise AnnotationError(
            f"{where}: found a run that is no whole number; expected the lengths of runs."
        ) from None
    # Python's integers, as a sum of int64 may wrap round.
    total = sum(lengths.tolist())
    if width < 1 or height < 1 or (lengths < 0).any() or total != width * height:
        raise AnnotationError(
            f"{where}: found runs of {total} pixels in {height} x {width}; expected runs that fill it."
        )
    return Runs(lengths, left, top, width, height, order)


def _whole(count: Any) -> int:
    if isinstance(count, bool) or (not isinstance(count, int) and int(count) != float(count)):
        raise ValueError(count)
    return int(count)


def mask_runs(mask: NDArray[np.bool_], order: Literal["rows", "columns"]) -> list[int]:
    """The lengths of the runs of a mask (height, width), from 0 pixels outside on."""
    flat = (mask if order == "rows" else mask.T).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], edges, [flat.size]])
    lengths = np.diff(bounds).tolist()
    return [0, *lengths] if flat.size and flat[0] else lengths


def unpacked_counts(text: str, where: str) -> list[int]:
    """The lengths of runs that COCO's tools have packed into a string.

    From the fourth on, a number is the difference to the one two before it.

    Raises:
        AnnotationError: The string is damaged.
    """
    counts: list[int] = []
    number, place = 0, 0
    for character in text:
        bits = ord(character) - _FIRST_CHARACTER
        if not 0 <= bits < 64 or place >= _LONGEST_COUNT:
            raise _packed_error(where)
        number |= (bits & (_MORE - 1)) << (_BITS * place)
        place += 1
        if bits & _MORE:
            continue
        if bits & _SIGN:
            number -= 1 << (_BITS * place)
        counts.append(number + counts[-2] if len(counts) > 2 else number)
        number, place = 0, 0
    if place:
        raise _packed_error(where)
    return counts


def _packed_error(where: str) -> AnnotationError:
    return AnnotationError(f"{where}: found packed runs that are damaged; expected those of COCO's tools.")
