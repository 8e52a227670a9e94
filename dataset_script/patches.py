"""The grid of 160 x 160 patches over a scene, and the pixels that each patch owns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

PATCH_SIZE = 160

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Patch:
    """A window of a scene, and the part of it that the patch owns.

    Attributes:
        top: First row of the window in the scene, in pixels.
        left: First column of the window in the scene, in pixels.
        own: `(top, left, bottom, right)` inside the window, end excluded: the pixels that this patch alone
            owns. Pixels owned by an overlapping patch, and those that pad a scene smaller than a patch, lie
            outside.
    """

    top: int
    left: int
    own: tuple[int, int, int, int]


def patch_grid(height: int, width: int, size: int = PATCH_SIZE) -> list[Patch]:
    """The windows of a scene, in the order of the published release.

    First the whole windows, row by row; then, where the height is no multiple of `size`, a bottom row that
    ends with the scene; then a right column in the same way; then the corner. The first window in this
    order that contains a pixel owns it, so every pixel of the scene has exactly one owner and no window is
    without pixels of its own. A side shorter than `size` gets one window from 0, which `cut` fills up.

    Args:
        height: Rows of the scene.
        width: Columns of the scene.
        size: Side of a window.

    Raises:
        ValueError: A size is below 1.
    """
    for name, value in (("height", height), ("width", width), ("size", size)):
        if value < 1:
            raise ValueError(f"{name}: found {value}; expected at least 1 pixel.")

    whole_rows, last_row = _axis_windows(height, size)
    whole_columns, last_column = _axis_windows(width, size)
    rows_and_columns = (
        (whole_rows, whole_columns),
        (last_row, whole_columns),
        (whole_rows, last_column),
        (last_row, last_column),
    )
    return [
        Patch(top, left, own=(own_top, own_left, own_bottom, own_right))
        for rows, columns in rows_and_columns
        for top, own_top, own_bottom in rows
        for left, own_left, own_right in columns
    ]


def cut(array: NDArray[Scalar], patch: Patch, size: int = PATCH_SIZE) -> NDArray[Scalar]:
    """The pixels of one window.

    Args:
        array: The whole scene, `(..., height, width)`, any dtype.
        patch: A window of `patch_grid(height, width, size)`.
        size: Side of a window.

    Returns:
        `(..., size, size)` of the same dtype; a view where the scene contains the whole window. A scene
        under `size` is repeated from its origin, as `np.pad(mode="wrap")` does.

    Raises:
        ValueError: The window does not belong to this scene.
    """
    height, width = array.shape[-2:]
    last_top, last_left = max(height - size, 0), max(width - size, 0)
    if not (0 <= patch.top <= last_top and 0 <= patch.left <= last_left):
        raise ValueError(
            f"patch: found one at row {patch.top}, column {patch.left} of a {height} x {width} "
            f"scene; expected one of patch_grid({height}, {width}, {size})."
        )
    window = array[..., patch.top : patch.top + size, patch.left : patch.left + size]
    if window.shape[-2] < size:
        window = np.take(window, np.arange(size) % height, axis=-2)
    if window.shape[-1] < size:
        window = np.take(window, np.arange(size) % width, axis=-1)
    return window


def stitch(
    arrays: Iterable[NDArray[Scalar]], patches: Sequence[Patch], height: int, width: int
) -> NDArray[Scalar]:
    """The scene from its patches: each pixel from the patch that owns it.

    Args:
        arrays: One `(..., size, size)` per patch, in the order of `patches`; they may come one at a time.
        patches: All windows of the scene, in any order.
        height: Rows of the scene.
        width: Columns of the scene.

    Returns:
        `(..., height, width)` with the dtype and the leading dimensions of the arrays.

    Raises:
        ValueError: There are more or fewer arrays than patches, or the owned boxes do not cover the scene.
    """
    owned_pixels = sum(
        (bottom - top) * (right - left) for top, left, bottom, right in (p.own for p in patches)
    )
    if owned_pixels != height * width or not patches:
        raise ValueError(
            f"patches: found {len(patches)} that own {owned_pixels} pixels; expected those of "
            f"patch_grid({height}, {width}), which own {height * width}."
        )
    scene: NDArray[Scalar] | None = None
    remaining = iter(arrays)
    for number, patch in enumerate(patches):
        array = next(remaining, None)
        if array is None:
            raise ValueError(f"arrays: found {number} for {len(patches)} patches; expected one each.")
        if scene is None:
            scene = np.empty((*array.shape[:-2], height, width), dtype=array.dtype)
        top, left, bottom, right = patch.own
        rows = slice(patch.top + top, patch.top + bottom)
        columns = slice(patch.left + left, patch.left + right)
        scene[..., rows, columns] = array[..., top:bottom, left:right]
    if next(remaining, None) is not None:
        raise ValueError(f"arrays: found more than the {len(patches)} patches; expected one each.")
    assert scene is not None  # `patches` is not empty
    return scene


def owned_mask(own: Sequence[int], size: int = PATCH_SIZE) -> NDArray[np.bool_]:
    """True where a patch owns its pixels.

    Args:
        own: `[top, left, bottom, right]` inside the patch, as in `Patch.own` and in the rows' `own` column.
        size: Side of the patch.

    Returns:
        `(size, size)` bool.
    """
    top, left, bottom, right = own
    mask = np.zeros((size, size), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def _axis_windows(length: int, size: int) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """`(start, first owned, end of owned)` along one axis: the whole windows, then the one at the end."""
    if length < size:
        return [(0, 0, length)], []
    whole = [(start, 0, size) for start in range(0, length - size + 1, size)]
    remainder = length % size
    return whole, [(length - size, size - remainder, size)] if remainder else []
