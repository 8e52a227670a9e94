"""The plan of a site: its grid, and the scenes of each year in the catalogues."""

from __future__ import annotations

import calendar
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from euromine.support.errors import SceneError, one_line

from .acquisition_options import AcquisitionOptions, CompleteOptions
from .acquisition_record import AcquisitionRecord, SiteSettings, UsedItem, YearRecord
from .catalogue_search import search_items
from .catalogues import Catalogue, optical_catalogues, radar_catalogue
from .scene_items import SceneItem, optical_item, radar_item, without_duplicates
from .site_grids import SiteGrid, grid_crs, search_area, site_grid

_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class SitePlan:
    """The scenes and the grid of a site.

    Attributes:
        name: The site's name.
        settings: Shared by all its years.
        catalogue: The catalogue that was searched first, as in `AcquisitionOptions`.
        area: The site with its margin, a shapely geometry in degrees.
        grid: The grid of its images; None where no catalogue has a scene.
        items: The scenes of each year, without duplicates.
        radar_items: The frames of radar of each year, of one relative orbit.
        radar_orbit: That orbit; None without radar.
        refused: Sentences on unusable items by year, without those of radar.
        notes: All sentences for the user by year.
    """

    name: str
    settings: SiteSettings
    catalogue: str
    area: Any
    grid: SiteGrid | None
    items: Mapping[int, list[SceneItem]]
    radar_items: Mapping[int, list[SceneItem]]
    radar_orbit: int | None
    refused: Mapping[int, tuple[str, ...]]
    notes: Mapping[int, tuple[str, ...]]

    @property
    def all_notes(self) -> list[str]:
        """The notes of all years, in their order."""
        return [note for year in sorted(self.notes) for note in self.notes[year]]


def site_settings(outline: Any, options: CompleteOptions) -> SiteSettings:
    """The settings shared by all years of a site.

    Args:
        outline: A shapely geometry in degrees.
        options: The user's, and those of earlier years.
    """
    import shapely

    # Rounded to a hundredth of a metre, so that the same file gives the same outline everywhere.
    plain = shapely.normalize(shapely.set_precision(outline, 1e-7))
    return SiteSettings(
        level=options.level,
        months=options.months,
        scenes=options.scenes,
        fill=options.fill,
        margin=options.margin,
        outline=json.loads(json.dumps(shapely.geometry.mapping(plain))),  # lists for tuples, as in the record
    )


def plan_scenes(
    name: str,
    settings: SiteSettings,
    catalogue: str,
    options: AcquisitionOptions,
    record: AcquisitionRecord | None,
) -> SitePlan:
    """Search the catalogues for the scenes of each year.

    Args:
        name: The site's name.
        settings: The site's settings.
        catalogue: As in `AcquisitionOptions`.
        options: The years, and whether to acquire radar.
        record: The record of an earlier run, whose grid and radar orbit stay.

    Raises:
        OSError: A catalogue does not answer.
        DataError: Its answers cannot be used.
        GridError: No grid can hold the site.
    """
    import shapely

    outline = shapely.geometry.shape(settings.outline)
    area = search_area(outline, settings.margin)
    catalogues = optical_catalogues(catalogue, settings.level)
    notes: dict[int, tuple[str, ...]] = {}
    items, refused = {}, {}
    for year in sorted(options.years):
        items[year], refused[year], fallback = _year_items(catalogues, settings, area, year)
        if not items[year]:
            is_kept = record is not None and str(year) in record.years
            fallback = [f"{fallback[0]} {'its image is kept' if is_kept else 'the year is left out'}."]
        notes[year] = (*_left_out(year, refused[year]), *fallback)
    grid = None if record is None else record.grid
    if grid is None and any(items.values()):
        found = [(item.epsg, item.footprint) for each in items.values() for item in each]
        grid = site_grid(outline, grid_crs(area, found), settings.margin)
    orbit: int | None = None
    frames: dict[int, list[SceneItem]] = {}
    if options.radar and grid is not None:
        earlier = None if record is None else record.radar_orbit
        orbit, frames = _radar_items(
            radar_catalogue(catalogue), settings, area, options.years, earlier, notes
        )
    return SitePlan(
        name=name,
        settings=settings,
        catalogue=catalogue,
        area=area,
        grid=grid,
        items=items,
        radar_items=frames,
        radar_orbit=orbit,
        refused=refused,
        notes=notes,
    )


def renewal_reasons(known: YearRecord, items: Sequence[SceneItem]) -> list[str]:
    """Sentences on the scenes with which an image would be another today.

    Args:
        known: The image's record.
        items: The year's scenes in the catalogue.
    """
    there = {item.id for item in items}
    unread = [
        f"{name} could not be read when the image was composed" for name in known.unread if name in there
    ]
    return unread + _later(known, items) + reprocessed(known.items, items)


def _later(known: YearRecord, items: Sequence[SceneItem]) -> list[str]:
    """A sentence on scenes later than those that the catalogue had, as in a season that is not over."""
    if not known.latest:
        return []
    latest = datetime.fromisoformat(known.latest)
    moments = sorted(item.moment for item in items if item.moment > latest)
    if not moments:
        return []
    first = moments[0].date().isoformat()
    if len(moments) == 1:
        return [f"a scene of {first} is new in the catalogue"]
    return [f"{len(moments)} scenes from {first} on are new in the catalogue"]


def reprocessed(used: Sequence[UsedItem], items: Sequence[SceneItem]) -> list[str]:
    """Sentences on items of an image that its catalogue has reprocessed or dropped."""
    sentences = []
    for before in used:
        there = {item.data: item for item in items if item.catalogue == before.catalogue}
        if items and not there:
            continue  # this run searched another catalogue
        item = there.get(before.data)
        if item is None:
            sentences.append(f"{before.id} is no longer in {before.catalogue}")
        elif (item.id, item.baseline, item.version) != (before.id, before.baseline, before.version):
            sentences.append(
                f"{before.id} (baseline {before.baseline or 'unknown'}, {before.version}) is now {item.id} "
                f"(baseline {item.baseline or 'unknown'}, {item.version})"
            )
    return sentences


def _year_items(
    catalogues: Sequence[Catalogue], settings: SiteSettings, area: Any, year: int
) -> tuple[list[SceneItem], tuple[str, ...], list[str]]:
    """The scenes of a year from the first catalogue with any, sentences on refused ones, and other notes."""
    refused: list[str] = []
    for place, catalogue in enumerate(catalogues):
        items = _searched(
            catalogue, area, settings, year, refused, lambda item, of: optical_item(item, of, settings.level)
        )
        if items:
            note = f"{year}: no scene in {catalogues[0].name}; those of {catalogue.name} are taken."
            return items, tuple(refused), [note] if place else []
    names = " or ".join(catalogue.name for catalogue in catalogues)
    months = ",".join(map(str, settings.months))
    return [], tuple(refused), [f"{year}: no scene of months {months} in {names};"]


def _left_out(year: int, refused: Sequence[str]) -> list[str]:
    """Notes on unusable items."""
    notes = [f"{year}: left out {sentence}" for sentence in refused[:_MOST_NAMED]]
    if len(refused) > _MOST_NAMED:
        notes.append(f"{year}: left out {len(refused) - _MOST_NAMED} further items for such reasons.")
    return notes


def _searched(
    catalogue: Catalogue,
    area: Any,
    settings: SiteSettings,
    year: int,
    refused: list[str],
    parse: Callable[[Mapping[str, Any], Catalogue], SceneItem],
) -> list[SceneItem]:
    """The items of a season in a catalogue. Sentences on unusable ones are added to `refused`."""
    import shapely

    items = []
    for found in search_items(catalogue, area, _days(settings.months, year)):
        try:
            item = parse(found, catalogue)
        except SceneError as error:
            refused.append(one_line(error))
            continue
        # Some servers ignore conditions that they do not support.
        is_in_season = item.moment.year == year and item.moment.month in settings.months
        if is_in_season and shapely.intersects(item.footprint, area):
            items.append(item)
    return without_duplicates(items)


def _radar_items(
    catalogue: Catalogue,
    settings: SiteSettings,
    area: Any,
    years: Sequence[int],
    orbit: int | None,
    notes: dict[int, tuple[str, ...]],
) -> tuple[int | None, dict[int, list[SceneItem]]]:
    """The relative orbit with frames in most years, or that of an earlier run, and its frames by year."""
    import shapely

    found: dict[int, list[SceneItem]] = {}
    for year in sorted(years):
        refused: list[str] = []
        found[year] = _searched(catalogue, area, settings, year, refused, radar_item)
        notes[year] = (*notes.get(year, ()), *_left_out(year, refused))
    if orbit is None:
        years_of: dict[int, set[int]] = {}
        covering: dict[int, int] = {}
        for year, items in found.items():
            for item in items:
                years_of.setdefault(item.orbit, set()).add(year)
                covering[item.orbit] = covering.get(item.orbit, 0) + bool(
                    shapely.covers(item.footprint, area)
                )
        ranked = sorted(years_of, key=lambda each: (-len(years_of[each]), -covering[each], each))
        orbit = ranked[0] if ranked else None
    chosen = {year: [item for item in items if item.orbit == orbit] for year, items in found.items()}
    for year, items in chosen.items():
        if not items:
            words = "no backscatter" if orbit is None else f"no backscatter of relative orbit {orbit}"
            notes[year] = (
                *notes.get(year, ()),
                f"{year}: {words} in {catalogue.name}; radar has no such year.",
            )
    return orbit, chosen


def _days(months: Sequence[int], year: int) -> tuple[str, str]:
    first, last = min(months), max(months)
    return f"{year}-{first:02}-01", f"{year}-{last:02}-{calendar.monthrange(year, last)[1]:02}"
