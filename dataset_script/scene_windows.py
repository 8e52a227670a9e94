"""The patches of an open scene, read in whole lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import ArchiveError
from euromine.support.rasters import open_raster

from .archive_bands import BANDS
from .patches import PATCH_SIZE, Patch, cut, patch_grid
from .scene_headers import check_image
from .site_scene import Scene, Site

# Pixels of all years that are read at a time: 160 lines of a scene 1000 pixels wide in ten years.
_READ_BYTES = 32 * 2**20


@dataclass(frozen=True)
class PatchWindow:
    """One window of a scene.

    Attributes:
        patch_id: `<site>_<number>`, the zero-padded index of the window in `patch_grid`.
        patch: The window.
    """

    patch_id: str
    patch: Patch


@dataclass(frozen=True)
class PatchLabels(PatchWindow):
    """One window of a scene and its labels through the years.

    Attributes:
        labels: `(years, 160, 160)` uint8 0/1/255, in the order of the scene's years.
    """

    labels: NDArray[np.uint8]


def first_rows(sites: Sequence[Site]) -> list[int]:
    """The annual row at which each site of a split begins.

    Raises:
        ArchiveError: The header of an image cannot be read.
    """
    rows = []
    for site in sites:
        with ExitStack() as files:
            first = open_raster(site.image_paths[site.years[0]], files, ArchiveError)
            check_image(first, site.image_paths[site.years[0]])
            rows.append(len(patch_grid(first.height, first.width)) * len(site.years))
    return [0, *accumulate(rows)][: len(rows)]


def patch_windows(scene: Scene) -> Iterator[PatchWindow]:
    """The windows of an open scene, in the order of `patch_grid`."""
    patches = patch_grid(scene.height, scene.width)
    digits = max(4, len(str(len(patches) - 1)))
    for number, patch in enumerate(patches):
        yield PatchWindow(f"{scene.site}_{number:0{digits}d}", patch)


def read_labels(scene: Scene) -> Iterator[PatchLabels]:
    """The windows of an open scene with their labels, in the order of `patch_grid`."""
    windows = read_windows(scene, scene.years, scene.read_label, pixel_bytes=1)
    for window, labels in zip(patch_windows(scene), windows, strict=True):
        yield PatchLabels(window.patch_id, window.patch, labels)


def read_images(scene: Scene) -> Iterator[NDArray[np.int16]]:
    """The windows of an open scene, `(years, 10, 160, 160)` int16 each, in the order of `patch_grid`."""
    return read_windows(scene, scene.years, scene.read_image, pixel_bytes=2 * len(BANDS))


def read_windows(
    scene: Scene, years: Sequence[int], read: Callable[..., NDArray[Any]], pixel_bytes: int
) -> Iterator[NDArray[Any]]:
    """Each patch of some years, `(years, ..., 160, 160)`, in the order of `patch_grid`.

    Files are stored in strips or tiles, or inside a zip, where reading patch by patch would decompress the
    same pixels repeatedly. Whole lines are read instead, as many at once as memory allows. The patches of the
    right column come last but lie in lines already read, so their right ends are kept until then.
    """
    patches = patch_grid(scene.height, scene.width)
    line_bytes = len(years) * scene.width * pixel_bytes
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
            block = _read_lines(years, read, block_top, block_bottom - block_top, into=block)
        in_block = Patch(patch.top - block_top, patch.left, patch.own)
        if right is not None and patch.left == 0 and lines < scene.height:
            right_ends[patch.top] = cut(block, Patch(in_block.top, right, patch.own)).copy()
        yield cut(block, in_block).copy()  # the block's memory is used again


def _read_lines(
    years: Sequence[int], read: Callable[..., NDArray[Any]], top: int, height: int, into: NDArray[Any] | None
) -> NDArray[Any]:
    """Lines `top` to `top + height` of some years, `(years, ..., height, width)`.

    They overwrite `into` if it has their shape: fresh memory costs as much as reading.
    """
    for position, year in enumerate(years):
        pixels = read(year, top=top, height=height)
        if into is None or into.shape[1:] != pixels.shape:
            into = np.empty((len(years), *pixels.shape), dtype=pixels.dtype)
        into[position] = pixels
    assert into is not None  # there is a year
    return into
