"""From scenes to a composite: the classification first, then one band of all scenes at a time.

Threads read the next band while one is composed, so that waiting for a server and work overlap. Large sites
are composed in parts, so memory does not grow with the site.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
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
"""Called after each file: "20210629 B04"."""

PART = 2048
"""Side in pixels of the parts in which a site is composed."""

CACHE_BYTES = 64 * 2**20
"""GDAL's cache: small, as no block is decoded twice."""

_THREADS = 8
# A further pass has to show this share of a site that the others do not.
_LEAST_GAIN = 0.01


@dataclass(frozen=True)
class SeenPass:
    """A satellite pass over a site with its clear pixels, from its classification.

    Attributes:
        items: Its items, those on the site's own lattice first.
        share: The share of the site that it shows clearly.
        data_share: The share of the site with data.
        clear: Packed bits of the 20 m pixels that it shows clearly.
        data: Packed bits of the 20 m pixels with data.
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
    """Counts of a composite's pixels, summed over its parts.

    Attributes:
        by_scenes: The number of pixels by their number of usable scenes.
        filled: Pixels without a usable scene, filled from the clearest one with data.
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
        """Add a part: its usable scenes (scenes, height, width) before it is filled."""
        numbers, counts = np.unique(np.count_nonzero(usable, axis=0), return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            self.by_scenes[number] = self.by_scenes.get(number, 0) + count


def see_passes(
    passes: Sequence[tuple[SceneItem, ...]], grid: SiteGrid, area: Any, level: Level, step: Step
) -> list[SeenPass]:
    """Read the classification of each pass, and order passes by the share of the site that they show clearly.

    Args:
        passes: Items grouped by `scene_items.passes`.
        grid: The site's grid.
        area: The site in degrees. Where one tile covers it, others are left out.
        level: The scenes' level. L1C has no classification and is masked by brightness.
        step: Called after each pass.

    Raises:
        RefusedItemError: A file is missing or damaged.
        OSError: A server does not answer.
    """
    chosen = [_needed_items(items, grid, area) for items in passes]
    tasks = [[partial(_classes, items, grid, level)] for items in chosen]
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
        seen: All passes, in the order of `see_passes`.
        number: The number of clearest passes to take. At most as many are added that show more of the site.
        fill: Also add cloudy passes that alone have data of a part of the site.
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
        grid: The site's grid.
        level: The scenes' level.
        fill: Fill pixels without a clear date.
        write: Called with the place of a band in `BANDS`, first row, first column and pixels.
        step: Called after each file.

    Returns:
        The counts of pixels.

    Raises:
        RefusedItemError: A scene's numbers contradict its offset, or a file is missing or damaged.
        OSError: A server does not answer.
    """
    counts = PixelCounts()
    # Offsets are checked in the middle of the site, before anything else is read.
    parts = sorted(grid.parts(PART), key=lambda part: _distance(part, grid))
    bands = [(top, left, part, band) for top, left, part in parts for band in BANDS]
    shown: list[list[Callable[[], list[NDArray[Any]]]]] = [
        [partial(_pass_classes, one, parts[0][2], level) for one in chosen]
    ]
    shown += [[partial(_numbers, one, part, band) for one in chosen] for _, _, part, band in bands]
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
                clear = np.stack([_clear_pixels(one, grid, top, left, part) for one in chosen])
                usable = usable_mask(blue, enlarged(~clear))
                counts.add_scenes(usable)
                if fill:
                    counts.filled += int(np.count_nonzero(fill_from_clearest(usable, blue)))
                counts.empty += int(np.count_nonzero(~usable.any(axis=0)))
                del blue
            write(BANDS.index(band), top, left, median_composite(scenes, usable, fill))
            for one in chosen:
                step(f"{one.day} {band}")
    return counts


@dataclass(frozen=True)
class Refusals:
    """Items that turned out to be unusable.

    Attributes:
        sentences: The reason of each.
        unread: The names of those whose files could not be read.
    """

    sentences: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def with_item(self, error: RefusedItemError) -> Refusals:
        """These and a further one."""
        unread = (*self.unread, error.item) if error.is_unread else self.unread
        return Refusals((*self.sentences, str(error)), unread)


def without_refused(
    items: Iterable[SceneItem],
    work: Callable[[list[SceneItem], Refusals], Result],
    warn: Callable[[str], None],
) -> Result:
    """Work on items, again without each that turns out to be unusable.

    Args:
        items: Scenes, or frames of radar.
        work: Called with the remaining items and the refusals of the others.
        warn: Called with each reason.
    """
    remaining, refusals = list(items), Refusals()
    while True:
        try:
            return work(remaining, refusals)
        except RefusedItemError as error:
            refusals = refusals.with_item(error)
            warn(str(error))
            remaining = [item for item in remaining if item.id != error.item]


def read_ahead(
    groups: Sequence[Sequence[Callable[[], Result]]], depth: int = 1
) -> Generator[list[Result], None, None]:
    """Run groups of tasks in threads, and yield the results of each group in order.

    Args:
        groups: Tasks without arguments.
        depth: The number of groups that run ahead of the caller.
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
    """The results of a group, without keeping them."""
    futures, running[place] = running[place], []
    return [future.result() for future in futures]


def _needed_items(items: tuple[SceneItem, ...], grid: SiteGrid, area: Any) -> tuple[SceneItem, ...]:
    """The items of a pass that show the site, the preferred ones first."""
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
    """The numbers of a band in the file of each item of a pass."""
    return [read_on_grid(RemoteFile.of(item, band), part) for item in one.items]


def _merged(layers: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The first layer with data, pixel by pixel."""
    found = layers[0]
    for other in layers[1:]:
        found = np.where(found == 0, other, found)
    return found


def _with_offsets(one: SeenPass, numbers: Sequence[NDArray[Any]]) -> NDArray[np.uint16]:
    """A band of a pass: each item corrected by its own offset, then merged."""
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
                    is_unread=False,
                )


def _further(
    candidates: Sequence[SeenPass],
    chosen: Sequence[SeenPass],
    most: int,
    bits: Callable[[SeenPass], NDArray[np.uint8]],
) -> list[SeenPass]:
    """Passes that add pixels to the chosen ones, greedily the one that adds most."""
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


def _clear_pixels(one: SeenPass, grid: SiteGrid, top: int, left: int, part: SiteGrid) -> Mask:
    """The 20 m pixels of a part that a pass shows clearly. Only the part's rows are unpacked."""
    columns = grid.width // 2
    first, end = top // 2 * columns, (top + part.height) // 2 * columns
    found = np.unpackbits(one.clear[first // 8 : -(-end // 8)])[first % 8 :][: end - first].astype(bool)
    return found.reshape(-1, columns)[:, left // 2 : (left + part.width) // 2]


def _distance(part: tuple[int, int, SiteGrid], grid: SiteGrid) -> float:
    """The distance of a part's centre from the site's, in pixels."""
    top, left, own = part
    return abs(top + own.height / 2 - grid.height / 2) + abs(left + own.width / 2 - grid.width / 2)
