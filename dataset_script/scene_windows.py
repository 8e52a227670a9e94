"""The patches of an open scene, read in whole lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .archive_bands import BANDS
from .patches import PATCH_SIZE, Patch, cut, patch_grid
from .site_scene import Scene

# Pixels of all years that are read at a time: 160 lines of a scene 1000 pixels wide in ten years.
_READ_BYTES = 32 * 2**20


@dataclass(frozen=True)
class PatchLabels:
    """One window of a scene and its labels through the years.

    Attributes:
        patch_id: `<site>_<number>`, the zero-padded index of the window in `patch_grid`.
        patch: The window.
        labels: `(years, 160, 160)` uint8 0/1/255, in the order of the scene's years.
    """

    patch_id: str
    patch: Patch
    labels: NDArray[np.uint8]


def read_labels(scene: Scene) -> Iterator[PatchLabels]:
    """The windows of an open scene with their labels, in the order of `patch_grid`."""
    patches = patch_grid(scene.height, scene.width)
    digits = max(4, len(str(len(patches) - 1)))
    windows = _read_windows(scene, patches, scene.read_label, pixel_bytes=1)
    for number, (patch, labels) in enumerate(zip(patches, windows, strict=True)):
        yield PatchLabels(f"{scene.site}_{number:0{digits}d}", patch, labels)


def read_images(scene: Scene) -> Iterator[NDArray[np.int16]]:
    """The windows of an open scene, `(years, 10, 160, 160)` int16 each, in the order of `patch_grid`."""
    patches = patch_grid(scene.height, scene.width)
    return _read_windows(scene, patches, scene.read_image, pixel_bytes=2 * len(BANDS))


def _read_windows(
    scene: Scene, patches: Sequence[Patch], read: Callable[..., NDArray[Any]], pixel_bytes: int
) -> Iterator[NDArray[Any]]:
    """Each patch of all years, `(years, ..., 160, 160)`.

    Files are stored in strips or tiles, or inside a zip, where reading patch by patch would decompress the
    same pixels repeatedly. Whole lines are read instead, as many at once as memory allows. The patches of the
    right column come last but lie in lines already read, so their right ends are kept until then.
    """
    line_bytes = len(scene.years) * scene.width * pixel_bytes
    lines = max(1, _READ_BYTES // line_bytes // PATCH_SIZE) * PATCH_SIZE
    right = scene.width - PATCH_SIZE if scene.width > PATCH_SIZE and scene.width % PATCH_SIZE else None
    right_ends: dict[int, NDArray[Any]] = {}
    block: NDArray[Any] | None = None
    block_top = block_bottom = 0
    for patch in patches:
        if patch.left == right and patch.top in right_ends:
            yield right_ends.pop(patch.top)
            continue
        bottom = min(patch.top + PATCH_SIZE, scene.height)
        if block is None or patch.top < block_top or bottom > block_bottom:
            block_top, block_bottom = patch.top, min(patch.top + lines, scene.height)
            block = _read_lines(scene, read, block_top, block_bottom - block_top, into=block)
        in_block = Patch(patch.top - block_top, patch.left, patch.own)
        if right is not None and patch.left == 0 and lines < scene.height:
            right_ends[patch.top] = cut(block, Patch(in_block.top, right, patch.own)).copy()
        yield cut(block, in_block).copy()  # the block's memory is used again


def _read_lines(
    scene: Scene, read: Callable[..., NDArray[Any]], top: int, height: int, into: NDArray[Any] | None
) -> NDArray[Any]:
    """Lines `top` to `top + height` of all years, `(years, ..., height, width)`.

    They overwrite `into` if it has their shape: fresh memory costs as much as reading.
    """
    for position, year in enumerate(scene.years):
        pixels = read(year, top=top, height=height)
        if into is None or into.shape[1:] != pixels.shape:
            into = np.empty((len(scene.years), *pixels.shape), dtype=pixels.dtype)
        into[position] = pixels
    assert into is not None  # a scene has a year
    return into
