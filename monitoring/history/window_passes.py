"""A pass over the windows of several years, whose finished blocks are kept on disk.

A pass that was interrupted continues at the first row of windows that is not complete, and gives the same
numbers: the row of windows above runs again, since both overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from euromine.monitoring.mapping.tiling import Block, BlockBlender, Tiling
from euromine.monitoring.scenes.alignment import AlignedScene
from euromine.support.environment import release_freed_memory
from euromine.support.workers import prefetch

from .evidence_store import EvidenceStore

_Images = TypeVar("_Images")

# Bytes of GDAL's cache for decoded blocks of all years together in which a row of windows is kept; where it
# takes more, so are only the blocks that neighbouring windows share.
_CACHE = 256 * 2**20


@contextmanager
def cached_rows(scenes: Iterable[AlignedScene], tiling: Tiling) -> Iterator[None]:
    """Reserve memory for the decoded blocks of all years while their windows are read."""
    together = list(scenes)
    try:
        for aligned in together:
            aligned.cache_rows(tiling.rows.size, tiling.columns.size, most=_CACHE // len(together))
        yield
    finally:
        for aligned in together:
            aligned.free_rows()


def gather_blocks(
    store: EvidenceStore,
    maps: int,
    read: Callable[[int, int], _Images],
    evidence: Callable[[_Images], NDArray[np.float32]],
    kept: Callable[[NDArray[np.float32], _Images, tuple[slice, slice]], NDArray[Any]],
    bar: tqdm[Any],
) -> None:
    """Run a network over the windows whose blocks are missing.

    The next window is read in a thread while the network runs; two at most are there at once.

    Args:
        store: Takes the blocks.
        maps: The number of maps that windows give and that are blended.
        read: Gives the images of a window by its row and column.
        evidence: Gives the maps of a window, (maps, height, width), which are overwritten.
        kept: Gives the block to store, from the blended maps of a block, the window's images and the block's
            rows and columns in the window.
        bar: The progress, by window.
    """
    tiling, complete = store.tiling, store.complete_rows
    # Overlaps are blended anew from the last complete row of windows.
    places = [place for place in tiling if place[0] >= complete - 1]
    bar.update(len(tiling) - len(places))
    blender = BlockBlender(tiling, maps)
    with ExitStack() as files:
        windows = files.enter_context(closing(prefetch((read(*place) for place in places), 0)))
        for (row, column), images in zip(places, windows, strict=True):
            blended = blender.add(row, column, evidence(images))
            if row >= complete:
                store.write(row, column, kept(blended, images, Block.of(tiling, row, column).inside))
            # The gaps that a window's arrays leave between those that stay would add up.
            release_freed_memory()
            bar.update()
