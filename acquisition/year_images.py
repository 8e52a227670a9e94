"""The image of a site's year: chosen passes, composed and written with what made each pixel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from euromine.dataset_script.archive_bands import BANDS
from euromine.support.image_headers import DIGITAL_NUMBERS
from euromine.support.processing_levels import LEVEL_TAG
from euromine.support.rasters import gdal_cache

from .acquisition_record import (
    SiteSettings,
    UsedItem,
    UsedPass,
    YearRecord,
    file_digest,
    year_digest,
    year_tags,
)
from .cog_writing import image_draft
from .scene_items import RefusedItemError, passes
from .scene_reading import CACHE_BYTES, PART, PixelCounts, SeenPass, choose_passes, compose, see_passes
from .site_grids import SiteGrid
from .site_plans import SitePlan

logger = logging.getLogger(__name__)

Progress = Callable[[str, int], None]
"""Told of each file that was read, and how many there are to read in all as far as known."""


def make_year(plan: SitePlan, year: int, path: Path, progress: Progress) -> YearRecord | None:
    """Compose a year of a site and write it.

    Items whose numbers contradict their offset, and those whose files are missing, are left out and told.

    Args:
        plan: The site and its scenes.
        year: The year.
        path: The file to write, in a folder that exists.
        progress: Told of each file.

    Returns:
        What made the image; None where no scene shows the site.

    Raises:
        OSError: A server does not answer, or the image cannot be written.
    """
    grid = plan.grid
    assert grid is not None, "years without scenes are not made"
    refused: dict[str, str] = {}
    while True:
        groups = passes(item for item in plan.items[year] if item.id not in refused)
        sentences = (*plan.refused.get(year, ()), *refused.values())
        try:
            return _made(plan, grid, year, path, groups, sentences, progress)
        except RefusedItemError as error:
            refused[error.item] = str(error)
            logger.warning("%s %d: left out %s", plan.name, year, error)


def _made(
    plan: SitePlan,
    grid: SiteGrid,
    year: int,
    path: Path,
    groups: Sequence[tuple[object, ...]],
    refused: tuple[str, ...],
    progress: Progress,
) -> YearRecord | None:
    settings = plan.settings
    fill = settings.fill == "least-cloudy"
    total = len(groups)
    seen = see_passes(groups, grid, plan.area, settings.level, lambda text: progress(text, total))  # type: ignore[arg-type]
    chosen = choose_passes(seen, settings.scenes, fill)
    if not chosen:
        return None
    total += len(chosen) * len(BANDS) * sum(1 for _ in grid.parts(PART))
    with gdal_cache(CACHE_BYTES), image_draft(path, grid, len(BANDS), nodata=0) as draft:
        counts = compose(chosen, grid, settings.level, fill, draft.write, lambda text: progress(text, total))
        record = _record(settings, grid, year, chosen, counts, refused)
        draft.describe(BANDS, {LEVEL_TAG: settings.level, **year_tags(record)}, 1 / DIGITAL_NUMBERS)
    return replace(record, sha256=file_digest(path))


def _record(
    settings: SiteSettings,
    grid: SiteGrid,
    year: int,
    chosen: Sequence[SeenPass],
    counts: PixelCounts,
    refused: tuple[str, ...],
) -> YearRecord:
    used = tuple(
        UsedPass(items=tuple(map(UsedItem.of, one.items)), clear_share=round(one.share, 4)) for one in chosen
    )
    return YearRecord(
        year=year,
        digest=year_digest(grid, settings, "image", [one.items for one in used]),
        level=settings.level,
        passes=used,
        clear_counts={str(number): counts.by_scenes[number] for number in sorted(counts.by_scenes)},
        filled_share=round(counts.filled / counts.total, 6),
        empty_share=round(counts.empty / counts.total, 6),
        refused=refused,
    )
