"""Polygons along the edges of pixels, all of a map at once.

Each part of a map, pixels of one code that are connected by edges, is one valid polygon. Where two of its
pixels meet in a corner only, its outline does not pass from one side to the other there: a hole that touches
the outside, or another hole, in a corner stays a hole. Rings have corners only where they turn; the outer
one runs anticlockwise and its holes clockwise, as seen on the map with its first row on top.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Codes = NDArray[np.uint8]
Places = NDArray[np.int64]

# Rows whose corners are looked for at once, so that masks over all pixels take little memory.
_ROWS = 256

# The ways in which a ring passes a corner: around the outside of a pixel of the part, or along the two
# neighbours of a pixel that is none of it; the pixel lies south-east, south-west, north-west or north-east of
# the corner. These are the directions in which a ring that keeps its part on its right enters and leaves it.
_EAST, _SOUTH, _WEST, _NORTH = range(4)
_ENTERS = np.array([_NORTH, _EAST, _SOUTH, _WEST, _WEST, _NORTH, _EAST, _SOUTH], np.uint8)
_LEAVES = np.array([_EAST, _SOUTH, _WEST, _NORTH, _SOUTH, _WEST, _NORTH, _EAST], np.uint8)
_FIRST_INWARD = 4


@dataclass(frozen=True)
class PixelParts:
    """The parts of a map, as runs of pixels along rows.

    Attributes:
        width: Columns of the map.
        starts: (runs,) the place of each run's first pixel, row * width + column, ascending.
        ends: (runs,) the place after its last pixel.
        owners: (runs,) the part that it belongs to, counted from 0 in the order of their first pixels.
        codes: (parts,) the code of each part.
    """

    width: int
    starts: Places
    ends: Places
    owners: NDArray[np.int32]
    codes: Codes

    @classmethod
    def of(cls, codes: Codes) -> PixelParts:
        """The parts of a map (height, width) uint8, where 0 is none."""
        width = codes.shape[1]
        starts, ends = _runs(codes)
        of_runs = codes.reshape(-1)[starts]
        # The runs of the next row that a run touches are neighbours among all runs.
        first = np.searchsorted(ends, starts + width, side="right")
        number = np.searchsorted(starts, ends + width, side="left") - first
        above = np.repeat(np.arange(len(starts)), number)
        below = np.arange(len(above)) + np.repeat(first - (np.cumsum(number) - number), number)
        same = of_runs[above] == of_runs[below]
        above, below = above[same], below[same]
        shape = (len(starts), len(starts))
        touches = coo_array((np.ones(len(above), np.bool_), (above, below)), shape=shape)
        count, owners = connected_components(touches.tocsr(), directed=False)
        of_parts = np.zeros(count, np.uint8)
        of_parts[owners] = of_runs
        return cls(width, starts, ends, owners, of_parts)

    def __len__(self) -> int:
        return len(self.codes)

    def owner(self, pixels: Places) -> NDArray[np.int32]:
        """The part of pixels, by their places."""
        return self.owners[np.searchsorted(self.starts, pixels, side="right") - 1]

    def least(self, values: NDArray[Any]) -> NDArray[Any]:
        """The least value of each part in a map (height, width)."""
        return self._reduced(np.minimum, values, np.iinfo(values.dtype).max)

    def largest(self, values: NDArray[Any]) -> NDArray[Any]:
        """The largest value of each part in a map (height, width)."""
        return self._reduced(np.maximum, values, np.iinfo(values.dtype).min)

    def _reduced(self, function: np.ufunc, values: NDArray[Any], start: int) -> NDArray[Any]:
        found = np.full(len(self), start, values.dtype)
        if len(self):
            # Ends may be the starts of the next runs; the last may lie behind the map.
            borders = np.stack([self.starts, self.ends], axis=1).reshape(-1)
            flat = values.reshape(-1)
            borders = borders[:-1] if borders[-1] == flat.size else borders
            function.at(found, self.owners, function.reduceat(flat, borders)[::2])
        return found


@dataclass(frozen=True)
class _Corners:
    """The corners of all rings.

    Attributes:
        places: (corners,) row * (width + 1) + column, ascending.
        ways: (corners,) how a ring passes it, an index of `_ENTERS` and `_LEAVES`.
        pixels: (corners,) the place of a pixel of the ring's part.
    """

    places: Places
    ways: NDArray[np.uint8]
    pixels: Places


def pixel_polygons(codes: Codes, transform: Sequence[float]) -> tuple[NDArray[Any], PixelParts]:
    """The outline of each part of a map.

    Args:
        codes: (height, width) uint8, 0 is none.
        transform: Affine coefficients a, b, c, d, e, f: x = a column + b row + c, y = d column + e row + f.

    Returns:
        A `shapely.Polygon` for each part, and the parts.
    """
    import shapely

    codes = np.ascontiguousarray(codes)
    parts = PixelParts.of(codes)
    if not len(parts):
        return np.array([], object), parts
    corners = _corners(codes, parts)
    order, begins = _rings(corners, codes.shape[1])
    rows, columns = np.divmod(corners.places[order], codes.shape[1] + 1)
    a, b, c, d, e, f = transform[:6]
    points = np.stack([a * columns + b * rows + c, d * columns + e * rows + f], axis=1)
    lengths = np.diff(np.append(begins, len(order)))
    rings = shapely.linearrings(points, indices=np.repeat(np.arange(len(begins)), lengths))
    firsts = order[begins]
    # The first corner of a ring, of its uppermost ones the leftmost, tells a hole.
    is_hole = corners.ways[firsts] >= _FIRST_INWARD
    owners = parts.owner(corners.pixels[firsts])
    sorted_rings = np.lexsort((is_hole, owners))
    return shapely.polygons(rings[sorted_rings], indices=owners[sorted_rings]), parts


def _runs(codes: Codes) -> tuple[Places, Places]:
    """The starts and ends of runs of equal codes above 0 in rows."""
    height, width = codes.shape
    starts, ends = [], []
    for top in range(0, height, _ROWS):
        rows = codes[top : top + _ROWS]
        differs = np.ones((len(rows), width + 1), bool)
        np.not_equal(rows[:, 1:], rows[:, :-1], out=differs[:, 1:-1])
        is_part = rows > 0
        starts.append(np.flatnonzero(differs[:, :-1] & is_part) + top * width)
        ends.append(np.flatnonzero(differs[:, 1:] & is_part) + (top * width + 1))
    return np.concatenate(starts), np.concatenate(ends)


def _corners(codes: Codes, parts: PixelParts) -> _Corners:
    """The corners of all rings, from the top."""
    found = [_corners_of_rows(codes, top, parts) for top in range(0, codes.shape[0] + 1, _ROWS)]
    return _Corners(
        np.concatenate([each.places for each in found]),
        np.concatenate([each.ways for each in found]),
        np.concatenate([each.pixels for each in found]),
    )


def _corners_of_rows(codes: Codes, top: int, parts: PixelParts) -> _Corners:
    """The corners in some rows of the lattice of pixels' corners."""
    height, width = codes.shape
    number = min(_ROWS, height + 1 - top)
    above, below = max(top - 1, 0), min(top + number, height)
    padded = np.zeros((number + 1, width + 2), np.uint8)
    padded[above - (top - 1) : below - (top - 1), 1:-1] = codes[above:below]
    across = padded[:, 1:] != padded[:, :-1]
    is_edge = across[1:] | across[:-1]
    is_edge |= padded[1:, 1:] != padded[:-1, 1:]
    rows, columns = np.divmod(np.flatnonzero(is_edge), width + 1)
    upper, lower = padded[:-1], padded[1:]
    around = (lower[:, 1:], lower[:, :-1], upper[:, :-1], upper[:, 1:])  # from the south-east, clockwise
    quarters = [each[rows, columns] for each in around]
    rows += top
    pixels = [(rows + down) * width + columns + right for down, right in ((0, 0), (0, -1), (-1, -1), (-1, 0))]
    places = rows * (width + 1) + columns
    kept = [*_ways(quarters, pixels, parts)]
    order = np.argsort(np.concatenate([places[mask] for mask, _ in kept]), kind="stable")
    return _Corners(
        np.concatenate([places[mask] for mask, _ in kept])[order],
        np.repeat(np.arange(len(kept), dtype=np.uint8), [int(mask.sum()) for mask, _ in kept])[order],
        np.concatenate([of_part[mask] for mask, of_part in kept])[order],
    )


def _ways(
    quarters: Sequence[Codes], pixels: Sequence[Places], parts: PixelParts
) -> Iterator[tuple[NDArray[np.bool_], Places]]:
    """Where rings pass corners in each of the eight ways, and the pixels of their parts there.

    Args:
        quarters: The codes of the four pixels around each corner, from the south-east, clockwise.
        pixels: Their places.
        parts: The parts.
    """
    joined = [_joined(quarters, pixels, parts, place) for place in (0, 1)]
    for place in range(4):
        pixel, before, after = (quarters[(place + step) % 4] for step in (0, -1, 1))
        turns = (pixel > 0) & (pixel != before) & (pixel != after) & ~joined[place % 2]
        yield turns, pixels[place]
    for place in range(4):
        pixel, before, opposite, after = (quarters[(place + step) % 4] for step in (0, -1, 2, 1))
        same = (before == after) & (before > 0) & (pixel != before)
        yield same & ((opposite == before) | joined[(place + 1) % 2]), pixels[(place + 1) % 4]


def _joined(
    quarters: Sequence[Codes], pixels: Sequence[Places], parts: PixelParts, place: int
) -> NDArray[np.bool_]:
    """Where a pixel and the one opposite are of the same part and meet in the corner only."""
    pixel, opposite = quarters[place], quarters[place + 2]
    meets = (pixel == opposite) & (pixel > 0)
    meets &= (quarters[place + 1] != pixel) & (quarters[(place + 3) % 4] != pixel)
    joined = np.zeros(len(pixel), bool)
    where = np.flatnonzero(meets)
    joined[where] = parts.owner(pixels[place][where]) == parts.owner(pixels[place + 2][where])
    return joined


def _rings(corners: _Corners, width: int) -> tuple[Places, Places]:
    """The corners ring by ring, and where each ring begins: at the first of its corners."""
    enters, leaves = _ENTERS[corners.ways], _LEAVES[corners.ways]
    following = np.empty(len(corners.places), np.int64)
    by_row = np.arange(len(following))
    by_column = np.argsort(corners.places % (width + 1), kind="stable")
    # The edges of a line of the lattice that run the same way do not overlap, so that their beginnings and
    # ends take turns.
    for direction in (_EAST, _SOUTH, _WEST, _NORTH):
        along = by_row if direction in (_EAST, _WEST) else by_column
        following[along[enters[along] == direction]] = along[leaves[along] == direction]
    return _cycles(following.tolist())


def _cycles(following: list[int]) -> tuple[Places, Places]:
    """The cycles of a permutation one after the other, and where each begins; it is overwritten."""
    order: list[int] = []
    begins: list[int] = []
    for first, second in enumerate(following):
        if second < 0:
            continue
        begins.append(len(order))
        place = first
        while (after := following[place]) >= 0:
            order.append(place)
            following[place] = -1
            place = after
    return np.array(order, np.int64), np.array(begins, np.int64)
