"""Yearly backscatter of Sentinel-1: the mean power of one relative orbit, in hundredths of a decibel."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from euromine.dataset_script.archive_bands import NO_BACKSCATTER
from euromine.support.rasters import gdal_cache

from .acquisition_record import UsedItem, UsedPass, YearRecord, file_digest, year_digest, year_tags
from .cog_writing import image_draft
from .composites import mean_power
from .remote_rasters import RemoteFile, read_on_grid
from .scene_items import POLARISATIONS, SceneItem, latest_time, passes
from .scene_reading import CACHE_BYTES, PART, Refusals, read_ahead, without_refused
from .site_grids import SiteGrid
from .site_plans import SitePlan
from .year_images import Progress

logger = logging.getLogger(__name__)


def make_radar_year(plan: SitePlan, year: int, path: Path, progress: Progress) -> YearRecord | None:
    """Average a year of backscatter and write it: VV and VH in dB x 100, int16.

    Args, returned record and errors as for `make_year`. Of more passes than the site's settings ask for, some
    are taken evenly over the season.
    """
    return without_refused(
        plan.radar_items.get(year, ()),
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
    if not items:
        return None
    grid = plan.grid
    assert grid is not None, "years without scenes are not made"
    chosen = spread_passes(passes(items), plan.settings.scenes)
    parts = list(grid.parts(PART))
    bands = [(top, left, part, name) for top, left, part in parts for name in POLARISATIONS]
    tasks = [[partial(_power, one, part, name) for one in chosen] for _, _, part, name in bands]
    total, empty = len(chosen) * len(bands), 0
    with (
        gdal_cache(CACHE_BYTES),
        image_draft(path, grid, len(POLARISATIONS), NO_BACKSCATTER) as draft,
        closing(read_ahead(tasks)) as reads,
    ):
        for (top, left, _, name), powers in zip(bands, reads, strict=True):
            decibels = mean_power(powers)
            if name == POLARISATIONS[0]:
                empty += int(np.count_nonzero(decibels == NO_BACKSCATTER))
            draft.write(POLARISATIONS.index(name), top, left, decibels)
            for one in chosen:
                progress(f"{one[0].time[:10].replace('-', '')} {name}", total)
        used = tuple(UsedPass(items=tuple(map(UsedItem.of, one)), clear_share=None) for one in chosen)
        record = YearRecord(
            year=year,
            digest=year_digest(grid, plan.settings, "radar", [one.items for one in used]),
            level=None,
            passes=used,
            empty_share=round(empty / (grid.height * grid.width), 6),
            refused=refused.sentences,
            unread=refused.unread,
            latest=latest_time(plan.radar_items[year]),
            pixels=draft.digest(),
        )
        draft.describe(POLARISATIONS, year_tags(record), 0.01)
    return replace(record, sha256=file_digest(path))


def _power(items: Sequence[SceneItem], part: SiteGrid, name: str) -> NDArray[np.float32]:
    """The linear backscatter of a pass: its first frame with data, pixel by pixel."""
    found: NDArray[np.float32] | None = None
    for item in items:
        power = np.asarray(read_on_grid(RemoteFile.of(item, name), part), np.float32)
        found = power if found is None else np.where(np.isfinite(found) & (found > 0), found, power)
    assert found is not None, "a pass has at least one frame"
    return found


def spread_passes(groups: list[tuple[SceneItem, ...]], number: int) -> list[tuple[SceneItem, ...]]:
    """At most `number` passes, evenly over the season."""
    if len(groups) <= number:
        return groups
    places = np.linspace(0, len(groups) - 1, number).round().astype(int)
    return [groups[place] for place in places]
