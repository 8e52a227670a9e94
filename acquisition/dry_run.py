"""The dry run of an acquisition: a table of scenes to compose, their clear shares and sizes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from euromine.dataset_script.archive_bands import BANDS
from euromine.support.errors import SceneError
from euromine.support.markdown import table
from euromine.support.wording import counted

from .acquisition_options import AcquisitionOptions
from .acquisition_record import AcquisitionRecord
from .backscatter import spread_passes
from .remote_rasters import RemoteFile, window_bytes
from .scene_items import POLARISATIONS, SceneItem, passes
from .scene_reading import Refusals, SeenPass, choose_passes, read_ahead, see_passes, without_refused
from .site_acquisition import image_path, planned_site, site_folder
from .site_grids import PIXEL, SiteGrid
from .site_plans import SitePlan, renewal_reasons

_HEADER = ("year", "day", "scene", "baseline", "offset", "clear", "MB")


def describe_acquisition(
    out: str | os.PathLike[str], name: str, options: AcquisitionOptions, outline: Any
) -> str:
    """Describe an acquisition as text: a table of scenes and a summary. Nothing is written.

    The clear share is that of the site, read from each scene's classification. Sizes are those of the
    compressed blocks to read, taken from the files' headers.

    Args:
        out: As for `acquire_site`.
        name: The site's name.
        options: As for `acquire_site`.
        outline: A shapely geometry in degrees; None for that of an earlier run.

    Raises:
        EuroMineError, OSError: As for `acquire_site`.
    """
    folder = site_folder(out, name)
    plan, record = planned_site(folder, name, options, outline)
    if plan.grid is None:
        raise SceneError(
            f"{name}: found no scene of {', '.join(map(str, options.years))}; expected at least one. Give "
            "other --years or --months, and check that the place is right: longitude comes first."
        )
    rows: list[tuple[str, ...]] = []
    total = 0
    notes = plan.all_notes
    for year in sorted(options.years):
        if not _is_kept(folder, record, plan, options, year, notes) and plan.items[year]:
            added, size = _year_rows(plan, plan.grid, year, notes)
            rows += added
            total += size
        if not _is_kept(folder, record, plan, options, year, notes, radar=True):
            added, size = _radar_rows(plan, plan.grid, year)
            rows += added
            total += size
    grid = plan.grid
    lines = [
        f"{name}: {grid.width} x {grid.height} pixels of {PIXEL} m in {grid.crs}, corner {grid.left} "
        f"{grid.top}, {plan.settings.level}.",
        *([table(_HEADER, rows, numbers=False)] if rows else []),
        f"{counted(len(rows), 'scene')}, {total / 2**20:.1f} MB to read.",
        *notes,
    ]
    return "\n".join(lines)


def _is_kept(
    folder: Path,
    record: AcquisitionRecord,
    plan: SitePlan,
    options: AcquisitionOptions,
    year: int,
    notes: list[str],
    *,
    radar: bool = False,
) -> bool:
    """Whether a year's image will be kept, which is noted."""
    known = (record.radar_years if radar else record.years).get(str(year))
    if known is None or not image_path(folder, year, radar).exists():
        return False
    items = (plan.radar_items if radar else plan.items).get(year, [])
    reasons = renewal_reasons(known, items) if items else []
    notes += [f"{year}: {reason}." for reason in reasons]
    if reasons and options.renew:
        return False
    if not radar or options.radar:
        what = "radar " if radar else ""
        advice = " --renew composes it again." if reasons else ""
        notes.append(f"{year}: {what}is complete and will be kept.{advice}")
    return True


def _year_rows(
    plan: SitePlan, grid: SiteGrid, year: int, notes: list[str]
) -> tuple[list[tuple[str, ...]], int]:
    def choose(items: list[SceneItem], _: Refusals) -> tuple[list[SeenPass], list[int]]:
        seen = see_passes(passes(items), grid, plan.area, plan.settings.level, lambda _: None)
        chosen = choose_passes(seen, plan.settings.scenes, plan.settings.fill == "least-cloudy")
        return chosen, _sizes([one.items for one in chosen], BANDS, grid)

    chosen, sizes = without_refused(
        plan.items[year], choose, lambda reason: notes.append(f"{year}: left out {reason}")
    )
    if not chosen:
        notes.append(f"{year}: no scene shows the site; the year is left out.")
    rows = [_row(year, one, size) for one, size in zip(chosen, sizes, strict=True)]
    return rows, sum(sizes)


def _radar_rows(plan: SitePlan, grid: SiteGrid, year: int) -> tuple[list[tuple[str, ...]], int]:
    groups = spread_passes(passes(plan.radar_items.get(year, ())), plan.settings.scenes)
    sizes = _sizes(groups, POLARISATIONS, grid)
    rows: list[tuple[str, ...]] = [
        (str(year), _day(items), _names(items), f"orbit {items[0].orbit}", "", "", f"{size / 2**20:.1f}")
        for items, size in zip(groups, sizes, strict=True)
    ]
    return rows, sum(sizes)


def _row(year: int, one: SeenPass, size: int) -> tuple[str, ...]:
    return (
        str(year),
        _day(one.items),
        _names(one.items),
        "+".join(dict.fromkeys(item.baseline for item in one.items)),
        "+".join(dict.fromkeys(str(item.offset) for item in one.items)),
        f"{one.share:.0%}",
        f"{size / 2**20:.1f}",
    )


def _sizes(groups: Sequence[Sequence[SceneItem]], bands: Sequence[str], grid: SiteGrid) -> list[int]:
    """The number of bytes to read of each pass."""
    tasks = [
        [partial(window_bytes, RemoteFile.of(item, band), grid) for item in items for band in bands]
        for items in groups
    ]
    return [sum(found) for found in read_ahead(tasks)]


def _day(items: Sequence[SceneItem]) -> str:
    return items[0].time[:10]


def _names(items: Sequence[SceneItem]) -> str:
    return " ".join(item.id for item in items)
