"""The image of a site's year: chosen passes, composed and written with the record of their items."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
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
from .scene_items import SceneItem, latest_time, passes
from .scene_reading import (
    CACHE_BYTES,
    PART,
    PixelCounts,
    Refusals,
    SeenPass,
    choose_passes,
    compose,
    see_passes,
    without_refused,
)
from .site_grids import SiteGrid
from .site_plans import SitePlan

logger = logging.getLogger(__name__)

Progress = Callable[[str, int], None]
"""Called after each file with its name, and with the number of files to read as far as known."""


def make_year(plan: SitePlan, year: int, path: Path, progress: Progress) -> YearRecord | None:
    """Compose a year of a site and write it.

    Items whose numbers contradict their offset, and those with missing files, are left out with a warning.

    Args:
        plan: The site and its scenes.
        year: The year.
        path: The file to write, in a folder that exists.
        progress: Called after each file.

    Returns:
        The image's record; None where no scene shows the site.

    Raises:
        OSError: A server does not answer, or the image cannot be written.
    """
    return without_refused(
        plan.items[year],
        partial(_made, plan, year, path, progress),
        lambda reason: logger.warning("%s %d: left out %s", plan.name, year, reason),
    )


def _made(
    plan: SitePlan,
    year: int,
    path: Path,
    progress: Progress,
    items: Sequence[SceneItem],
    refused: Refusals,
) -> YearRecord | None:
    grid, settings = plan.grid, plan.settings
    assert grid is not None, "years without scenes are not made"
    fill = settings.fill == "least-cloudy"
    groups = passes(items)
    total = len(groups)
    seen = see_passes(groups, grid, plan.area, settings.level, lambda text: progress(text, total))
    chosen = choose_passes(seen, settings.scenes, fill)
    if not chosen:
        return None
    total += len(chosen) * len(BANDS) * sum(1 for _ in grid.parts(PART))
    with gdal_cache(CACHE_BYTES), image_draft(path, grid, len(BANDS), nodata=0) as draft:
        counts = compose(chosen, grid, settings.level, fill, draft.write, lambda text: progress(text, total))
        record = replace(
            _record(settings, grid, year, chosen, counts),
            refused=(*plan.refused.get(year, ()), *refused.sentences),
            unread=refused.unread,
            latest=latest_time(plan.items[year]),
            pixels=draft.digest(),
        )
        draft.describe(BANDS, {LEVEL_TAG: settings.level, **year_tags(record)}, 1 / DIGITAL_NUMBERS)
    return replace(record, sha256=file_digest(path))


def _record(
    settings: SiteSettings,
    grid: SiteGrid,
    year: int,
    chosen: Sequence[SeenPass],
    counts: PixelCounts,
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
    )
