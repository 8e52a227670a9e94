"""Polygons along the edges of pixels, of maps that are read in blocks of rows.

A map is held as runs of pixels, and the corners of its outlines only until all those of a part are found, so
that memory grows with the outlines, not with the pixels.

Each part of a map, pixels of one code that are connected by edges, is one valid polygon. Where two of its
pixels meet in a corner only, its outline does not pass from one side to the other there: a hole that touches
the outside, or another hole, in a corner stays a hole. Rings have corners only where they turn; the outer
one runs anticlockwise and its holes clockwise, as seen on the map with its first row on top.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Codes = NDArray[np.uint8]
Places = NDArray[np.int64]

# Rows whose corners are looked for at once, so that masks over all pixels take little memory.
_ROWS = 256
# Corners that are kept before parts that are complete become polygons; a corner takes some 200 bytes then.
_CORNERS = 1 << 18

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
        runs = PixelRuns(codes.shape[1])
        runs.add(codes)
        return runs.parts()

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def box(self) -> tuple[slice, slice]:
        """The rows and columns around all parts, of which there is at least one."""
        first, last = self.starts % self.width, (self.ends - 1) % self.width
        rows = slice(int(self.starts[0]) // self.width, (int(self.ends[-1]) - 1) // self.width + 1)
        return rows, slice(int(first.min()), int(last.max()) + 1)

    def cut(self, box: tuple[slice, slice]) -> PixelParts:
        """The same parts in a map that is cut to a box around them."""
        rows, columns = box
        width = columns.stop - columns.start
        row = self.starts // self.width
        # From a place in the whole map to one in the box.
        moved = rows.start * width + columns.start + row * (self.width - width)
        return replace(self, width=width, starts=self.starts - moved, ends=self.ends - moved)

    def owner(self, pixels: Places) -> NDArray[np.int32]:
        """The part of pixels, by their places."""
        return self.owners[np.searchsorted(self.starts, pixels, side="right") - 1]

    def last_rows(self) -> Places:
        """The last row of each part."""
        found = np.zeros(len(self), np.int64)
        found[self.owners] = self.starts // self.width  # ascending, and the last one stays
        return found

    def least(self, of_runs: NDArray[Any]) -> NDArray[Any]:
        """The least of the values of each part's runs."""
        found = np.full(len(self), np.iinfo(of_runs.dtype).max, of_runs.dtype)
        np.minimum.at(found, self.owners, of_runs)
        return found

    def largest(self, of_runs: NDArray[Any]) -> NDArray[Any]:
        """The largest of the values of each part's runs."""
        found = np.full(len(self), np.iinfo(of_runs.dtype).min, of_runs.dtype)
        np.maximum.at(found, self.owners, of_runs)
        return found

    def rows(self, top: int, bottom: int) -> Codes:
        """The codes of rows, (bottom - top, width), 0 where there is no part."""
        first, last = np.searchsorted(self.starts, (top * self.width, bottom * self.width))
        codes = self.codes[self.owners[first:last]]
        # Steps up and down, whose sums along the map are the codes again.
        steps = np.zeros((bottom - top) * self.width + 1, np.uint8)
        steps[self.starts[first:last] - top * self.width] = codes
        steps[self.ends[first:last] - top * self.width] -= codes
        return np.add.accumulate(steps[:-1], dtype=np.uint8).reshape(bottom - top, self.width)


class PixelRuns:
    """Collects the runs of a map whose rows are given from the top.

    Args:
        width: Columns of the map.
    """

    def __init__(self, width: int) -> None:
        self._width, self._row = width, 0
        self._runs: list[tuple[Places, Places, Codes]] = []

    def add(self, rows: Codes) -> tuple[Places, Places]:
        """Take the next rows, (rows, width) uint8, where 0 is none.

        Returns:
            Where runs in them start and end, as of `PixelParts`, but counted from the first of these rows.
        """
        found = [_runs(rows[top : top + _ROWS], top) for top in range(0, len(rows), _ROWS)]
        starts, ends = (np.concatenate([each[place] for each in found]) for place in (0, 1))
        first = self._row * self._width
        self._runs.append((starts + first, ends + first, rows.reshape(-1)[starts]))
        self._row += len(rows)
        return starts, ends

    def parts(self) -> PixelParts:
        """The parts of the rows so far."""
        starts, ends, of_runs = map(np.concatenate, zip(*self._runs, strict=True))
        # The runs of the next row that a run touches are neighbours among all runs.
        first = np.searchsorted(ends, starts + self._width, side="right")
        number = np.searchsorted(starts, ends + self._width, side="left") - first
        above = np.repeat(np.arange(len(starts)), number)
        below = np.arange(len(above)) + np.repeat(first - (np.cumsum(number) - number), number)
        same = of_runs[above] == of_runs[below]
        above, below = above[same], below[same]
        shape = (len(starts), len(starts))
        touches = coo_array((np.ones(len(above), np.bool_), (above, below)), shape=shape)
        count, owners = connected_components(touches.tocsr(), directed=False)
        of_parts = np.zeros(count, np.uint8)
        of_parts[owners] = of_runs
        return PixelParts(self._width, starts, ends, owners, of_parts)


def run_extremes(function: np.ufunc, values: NDArray[Any], starts: Places, ends: Places) -> NDArray[Any]:
    """The least or largest value in each run, with `np.minimum` or `np.maximum`.

    Args:
        function: The function.
        values: (rows, width), of the same rows as the runs.
        starts: As of `PixelRuns.add`.
        ends: Likewise.
    """
    if not len(starts):
        return np.array([], values.dtype)
    # Ends may be the starts of the next runs; the last may lie behind the rows.
    borders = np.stack([starts, ends], axis=1).reshape(-1)
    flat = values.reshape(-1)
    return function.reduceat(flat, borders[:-1] if borders[-1] == flat.size else borders)[::2]


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

    @classmethod
    def joined(cls, some: Sequence[_Corners]) -> _Corners:
        """Corners one after the other."""
        if len(some) == 1:
            return some[0]
        return cls(
            np.concatenate([each.places for each in some]),
            np.concatenate([each.ways for each in some]),
            np.concatenate([each.pixels for each in some]),
        )

    def where(self, mask: NDArray[np.bool_]) -> _Corners:
        """Those of a mask."""
        return _Corners(self.places[mask], self.ways[mask], self.pixels[mask])


def pixel_polygons(codes: Codes, transform: Sequence[float]) -> tuple[NDArray[Any], PixelParts]:
    """The outline of each part of a map.

    Args:
        codes: (height, width) uint8, 0 is none.
        transform: Affine coefficients a, b, c, d, e, f: x = a column + b row + c, y = d column + e row + f.

    Returns:
        A `shapely.Polygon` for each part, and the parts.
    """
    parts = PixelParts.of(codes)
    found = np.empty(len(parts), object)
    for owners, polygons in part_polygons(parts, transform, codes):
        found[owners] = polygons
    return found, parts


def part_polygons(
    parts: PixelParts, transform: Sequence[float], codes: Codes | None = None
) -> Iterator[tuple[NDArray[np.intp], NDArray[Any]]]:
    """The outlines of parts, some at a time.

    Args:
        parts: The parts.
        transform: As for `pixel_polygons`.
        codes: Their map; by default, its rows are made of the runs again.

    Yields:
        Places of parts, ascending, and a `shapely.Polygon` for each. Each part comes once, soon after those
        that end above it.
    """
    if not len(parts):
        return
    height, last_rows = (int(parts.ends[-1]) - 1) // parts.width + 1, parts.last_rows()
    waiting: list[_Corners] = []
    number, most = 0, _CORNERS
    for top in range(0, height + 1, _ROWS):
        waiting.append(_corners_of_rows(parts, top, height, codes))
        number += len(waiting[-1].places)
        bottom = top + _ROWS
        if number < most and bottom <= height:
            continue
        corners, waiting = _Corners.joined(waiting), []
        if bottom <= height:
            # The last corners of a part are below its last row.
            is_complete = last_rows[parts.owner(corners.pixels)] < bottom - 1
            waiting = [corners.where(~is_complete)]
            corners = corners.where(is_complete)
        number = sum(len(each.places) for each in waiting)
        most = max(_CORNERS, 2 * number)
        if len(corners.places):
            yield _polygons(corners, parts, transform)


def _polygons(
    corners: _Corners, parts: PixelParts, transform: Sequence[float]
) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """The parts that corners are all those of, and their outlines."""
    import shapely

    order, begins = _rings(corners, parts.width)
    rows, columns = np.divmod(corners.places[order], parts.width + 1)
    a, b, c, d, e, f = transform[:6]
    points = np.stack([a * columns + b * rows + c, d * columns + e * rows + f], axis=1)
    lengths = np.diff(np.append(begins, len(order)))
    rings = shapely.linearrings(points, indices=np.repeat(np.arange(len(begins)), lengths))
    firsts = order[begins]
    # The first corner of a ring, of its uppermost ones the leftmost, tells a hole.
    is_hole = corners.ways[firsts] >= _FIRST_INWARD
    owners, of_rings = np.unique(parts.owner(corners.pixels[firsts]), return_inverse=True)
    sorted_rings = np.lexsort((is_hole, of_rings))
    return owners.astype(np.intp), shapely.polygons(rings[sorted_rings], indices=of_rings[sorted_rings])


def _runs(rows: Codes, top: int) -> tuple[Places, Places]:
    """The starts and ends of runs of equal codes above 0 in rows of which the first is row `top`."""
    width = rows.shape[1]
    if not rows.any():
        return np.array([], np.int64), np.array([], np.int64)
    differs = np.ones((len(rows), width + 1), bool)
    np.not_equal(rows[:, 1:], rows[:, :-1], out=differs[:, 1:-1])
    is_part = rows > 0
    first = top * width
    return (
        np.flatnonzero(differs[:, :-1] & is_part) + first,
        np.flatnonzero(differs[:, 1:] & is_part) + (first + 1),
    )


def _corners_of_rows(parts: PixelParts, top: int, height: int, codes: Codes | None) -> _Corners:
    """The corners in some rows of the lattice of pixels' corners, of a map of so many rows."""
    width = parts.width
    number = min(_ROWS, height + 1 - top)
    above, below = max(top - 1, 0), min(top + number, height)
    padded = np.zeros((number + 1, width + 2), np.uint8)
    padded[above - (top - 1) : below - (top - 1), 1:-1] = (
        parts.rows(above, below) if codes is None else codes[above:below]
    )
    across = padded[:, 1:] != padded[:, :-1]
    # Where a ring turns, an edge between two columns begins or ends.
    rows, columns = np.divmod(np.flatnonzero(across[1:] | across[:-1]), width + 1)
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
