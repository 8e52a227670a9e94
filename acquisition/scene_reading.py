"""From scenes to a composite: the classification first, then one band of all scenes at a time.

Bands are read ahead in threads while the band before is composed, so that waiting for a server and work
overlap. Large sites are composed in parts, so memory does not grow with the site.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from euromine.dataset_script.archive_bands import BANDS
from euromine.support.processing_levels import Level

from .composites import (
    Mask,
    classes_without_scl,
    clear_share,
    enlarged,
    fill_from_clearest,
    median_composite,
    offset_contradiction,
    unclear_mask,
    usable_mask,
    with_offset,
)
from .remote_rasters import RemoteFile, read_on_grid
from .scene_items import CLASSES, RefusedItemError, SceneItem
from .site_grids import SiteGrid

Result = TypeVar("Result")
Step = Callable[[str], None]
"""Told of each file that was read: "20210629 B04"."""

PART = 2048
"""Side in pixels of the parts of a site that are composed at once."""

CACHE_BYTES = 64 * 2**20
"""Room for decoded blocks, each of which is read once."""

_THREADS = 8
# A further scene has to show this much of a site that the others do not.
_LEAST_GAIN = 0.01


@dataclass(frozen=True)
class SeenPass:
    """A satellite pass over a site, and what its classification shows of it.

    Attributes:
        items: Its items, those on the site's own lattice first.
        share: Of the site that it shows clearly.
        data_share: Of the site that it has data of.
        clear: Packed bits of the 20 m pixels that it shows clearly.
        data: Packed bits of those that it has data of.
    """

    items: tuple[SceneItem, ...]
    share: float
    data_share: float
    clear: NDArray[np.uint8] = field(repr=False)
    data: NDArray[np.uint8] = field(repr=False)

    @property
    def day(self) -> str:
        """The day of the pass: "20210629"."""
        return self.items[0].time[:10].replace("-", "")


@dataclass
class PixelCounts:
    """Counts of a composite's pixels, which grow with its parts.

    Attributes:
        by_scenes: How many pixels have so many usable scenes.
        filled: Pixels without any, filled from the clearest scene with data.
        empty: Pixels without data.
    """

    by_scenes: dict[int, int] = field(default_factory=dict)
    filled: int = 0
    empty: int = 0

    @property
    def total(self) -> int:
        """All pixels."""
        return sum(self.by_scenes.values())

    def add_scenes(self, usable: Mask) -> None:
        """Count the usable scenes of each pixel of a part: (scenes, height, width), before it is filled."""
        numbers, counts = np.unique(np.count_nonzero(usable, axis=0), return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            self.by_scenes[number] = self.by_scenes.get(number, 0) + count


def see_passes(
    passes: Sequence[tuple[SceneItem, ...]], grid: SiteGrid, area: Any, level: Level, step: Step
) -> list[SeenPass]:
    """Read the classification of each pass, and order passes by how much of the site they show clearly.

    Args:
        passes: As `scene_items.passes` groups them.
        grid: Of the site.
        area: The site in degrees, to leave out tiles beside one that covers all of it.
        level: Of the scenes; those of L1C have no classification and are masked by their brightness.
        step: Told of each pass.

    Raises:
        RefusedItemError: A file is missing or damaged.
        OSError: A server does not answer.
    """
    chosen = [_needed_items(items, grid, area) for items in passes]
    tasks = [[_task(_classes, items, grid, level)] for items in chosen]
    seen = []
    for items, (classes,) in zip(chosen, read_ahead(tasks, depth=_THREADS), strict=True):
        unclear, data = unclear_mask(classes), classes > 0
        seen.append(
            SeenPass(
                items,
                clear_share(unclear),
                float(np.count_nonzero(data)) / data.size,
                np.packbits(~unclear),
                np.packbits(data),
            )
        )
        step(f"{seen[-1].day} {CLASSES}")
    return sorted(seen, key=lambda one: (-one.share, -one.data_share, one.items[0].time, one.items[0].id))


def choose_passes(seen: Sequence[SeenPass], number: int, fill: bool) -> list[SeenPass]:
    """The passes to compose, the clearest first.

    Args:
        seen: Ordered as by `see_passes`.
        number: The clearest so many are taken; further ones where they alone show more of the site.
        fill: Whether pixels that none shows clearly are to be filled: then a cloudy one is better than none.
    """
    clear = [one for one in seen if one.share > 0]
    chosen = clear[:number]
    chosen += _further(clear[number:], chosen, number, lambda one: one.clear)
    if fill:
        rest = [one for one in seen if one not in chosen and one.data_share > 0]
        chosen += _further(rest, chosen, number, lambda one: one.data)
    return chosen


def compose(
    chosen: Sequence[SeenPass],
    grid: SiteGrid,
    level: Level,
    fill: bool,
    write: Callable[[int, int, int, NDArray[np.int16]], None],
    step: Step,
) -> PixelCounts:
    """Compose all bands of a year.

    Args:
        chosen: The passes, the clearest first.
        grid: Of the site.
        level: Of the scenes.
        fill: Whether pixels without a clear date are filled.
        write: Takes the place of a band among `BANDS`, first row and column, and pixels.
        step: Told of each file.

    Returns:
        The counts of pixels.

    Raises:
        RefusedItemError: A scene's numbers contradict its offset, or a file is missing or damaged.
        OSError: A server does not answer.
    """
    counts = PixelCounts()
    masks = [_unpacked(one.clear, grid) for one in chosen]
    # The offset is checked in the middle of the site, before anything else is read.
    parts = sorted(grid.parts(PART), key=lambda part: _distance(part, grid))
    bands = [(top, left, part, band) for top, left, part in parts for band in BANDS]
    shown: list[list[Callable[[], list[NDArray[Any]]]]] = [
        [_task(_pass_classes, one, parts[0][2], level) for one in chosen]
    ]
    shown += [[_task(_numbers, one, part, band) for one in chosen] for _, _, part, band in bands]
    usable = np.zeros(0, bool)
    with closing(read_ahead(shown)) as reads:
        classes = next(reads)
        for place, ((top, left, part, band), raw) in enumerate(zip(bands, reads, strict=True)):
            if place == 0:
                _check_offsets(chosen, raw, classes)
            scenes = [_with_offsets(one, numbers) for one, numbers in zip(chosen, raw, strict=True)]
            raw.clear()  # `zip` would keep it until the next band
            if band == BANDS[0]:
                blue = np.stack(scenes)
                scenes = list(blue)
                unclear = np.stack([~_cut(mask, top, left, part) for mask in masks])
                usable = usable_mask(blue, enlarged(unclear))
                counts.add_scenes(usable)
                if fill:
                    counts.filled += int(np.count_nonzero(fill_from_clearest(usable, blue)))
                counts.empty += int(np.count_nonzero(~usable.any(axis=0)))
                del blue
            write(BANDS.index(band), top, left, median_composite(scenes, usable, fill))
            for one in chosen:
                step(f"{one.day} {band}")
    return counts


def read_ahead(
    groups: Sequence[Sequence[Callable[[], Result]]], depth: int = 1
) -> Generator[list[Result], None, None]:
    """Run groups of tasks in threads and yield the results of each in order.

    Args:
        groups: Tasks without arguments.
        depth: How many groups are begun before the one that is yielded has been used.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        running: list[list[Future[Result]]] = []
        try:
            for place in range(len(groups)):
                while len(running) < min(place + 1 + depth, len(groups)):
                    running.append([threads.submit(task) for task in groups[len(running)]])
                yield _taken(running, place)
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def _taken(running: list[list[Future[Result]]], place: int) -> list[Result]:
    """The results of a group, which are not kept."""
    futures, running[place] = running[place], []
    return [future.result() for future in futures]


def _task(work: Callable[..., Result], *arguments: Any) -> Callable[[], Result]:
    return lambda: work(*arguments)


def _needed_items(items: tuple[SceneItem, ...], grid: SiteGrid, area: Any) -> tuple[SceneItem, ...]:
    """The items of a pass that show the site, in the order in which they count."""
    import shapely

    ordered = sorted(items, key=lambda item: (item.epsg != grid.epsg, item.tile, item.id))
    for item in ordered:
        if shapely.covers(item.footprint, area):
            return (item,)
    return tuple(ordered)


def _classes(items: Sequence[SceneItem], grid: SiteGrid, level: Level) -> NDArray[np.uint8]:
    return _merged([_item_classes(item, grid, level) for item in items])


def _item_classes(item: SceneItem, grid: SiteGrid, level: Level) -> NDArray[np.uint8]:
    if level == "L2A":
        return np.asarray(read_on_grid(RemoteFile.of(item, CLASSES), grid, 2), np.uint8)
    green, red = (
        with_offset(read_on_grid(RemoteFile.of(item, band), grid, 2), item.offset) for band in ("B03", "B04")
    )
    return classes_without_scl(green, red)


def _numbers(one: SeenPass, part: SiteGrid, band: str) -> list[NDArray[Any]]:
    """The numbers of a band as in the files of each item of a pass."""
    return [read_on_grid(RemoteFile.of(item, band), part) for item in one.items]


def _merged(layers: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The first of several layers that has data, pixel by pixel."""
    found = layers[0]
    for other in layers[1:]:
        found = np.where(found == 0, other, found)
    return found


def _with_offsets(one: SeenPass, numbers: Sequence[NDArray[Any]]) -> NDArray[np.uint16]:
    """A band of a pass, each item corrected by its own offset before they are joined."""
    return _merged([with_offset(each, item.offset) for each, item in zip(numbers, one.items, strict=True)])


def _pass_classes(one: SeenPass, part: SiteGrid, level: Level) -> list[NDArray[Any]]:
    return [_item_classes(item, part, level) for item in one.items]


def _check_offsets(
    chosen: Sequence[SeenPass], blue: Sequence[list[NDArray[Any]]], classes: Sequence[list[NDArray[Any]]]
) -> None:
    """Refuse a scene whose numbers of blue contradict its offset."""
    for one, numbers, known in zip(chosen, blue, classes, strict=True):
        for item, seen, kinds in zip(one.items, numbers, known, strict=True):
            doubt = offset_contradiction(seen[::2, ::2], kinds, item.offset)
            if doubt is not None:
                raise RefusedItemError(
                    f"{item.id}: found numbers that contradict its offset of {item.offset} ({doubt}); "
                    f"expected what processing baseline {item.baseline} and its flags say.",
                    item=item.id,
                )


def _further(
    candidates: Sequence[SeenPass],
    chosen: Sequence[SeenPass],
    most: int,
    bits: Callable[[SeenPass], NDArray[np.uint8]],
) -> list[SeenPass]:
    """Passes that show what none of the chosen ones does, that which shows most of it first."""
    if not candidates:
        return []
    covered = np.zeros_like(bits(candidates[0]))
    for one in chosen:
        covered |= bits(one)
    least = _LEAST_GAIN * 8 * covered.size
    further: list[SeenPass] = []
    rest = list(candidates)
    while rest and len(further) < most:
        gains = [int(np.bitwise_count(bits(one) & ~covered).sum()) for one in rest]
        place = int(np.argmax(gains))
        if gains[place] < max(least, 1):
            break
        further.append(rest.pop(place))
        covered |= bits(further[-1])
    return further


def _unpacked(bits: NDArray[np.uint8], grid: SiteGrid) -> Callable[[int, int, int, int], Mask]:
    """Windows of packed bits of a site's 20 m pixels, unpacked row by row."""
    width = grid.width // 2

    def window(top: int, left: int, height: int, columns: int) -> Mask:
        first, end = top * width, (top + height) * width
        found = np.unpackbits(bits[first // 8 : -(-end // 8)])[first % 8 :][: end - first].astype(bool)
        return found.reshape(height, width)[:, left : left + columns]

    return window


def _cut(mask: Callable[[int, int, int, int], Mask], top: int, left: int, part: SiteGrid) -> Mask:
    return mask(top // 2, left // 2, part.height // 2, part.width // 2)


def _distance(part: tuple[int, int, SiteGrid], grid: SiteGrid) -> float:
    """How far a part's middle is from that of the site, in pixels."""
    top, left, own = part
    return abs(top + own.height / 2 - grid.height / 2) + abs(left + own.width / 2 - grid.width / 2)
