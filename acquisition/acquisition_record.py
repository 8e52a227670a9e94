"""`acquisition.json`, the record of a site, and its copy in each image: the provenance of all pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from euromine.support.errors import RecordError
from euromine.support.processing_levels import Level
from euromine.support.records import read_record, record_from_bytes, record_to_json

from .scene_items import CatalogueItem
from .site_grids import SiteGrid

RECORD_FILE = "acquisition.json"
TAG = "EUROMINE_ACQUISITION"
"""The key of an image's own record in its metadata, JSON of a `YearRecord`."""

Fill: TypeAlias = Literal["least-cloudy", "nodata"]

# Changes when the same scenes give other pixels.
_METHOD = 1


@dataclass(frozen=True, kw_only=True)
class UsedItem(CatalogueItem):
    """An item whose pixels are in an image."""

    @classmethod
    def of(cls, item: CatalogueItem) -> UsedItem:
        """The record of an item."""
        return cls(**{name: getattr(item, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class UsedPass:
    """A satellite pass whose pixels are in an image.

    Attributes:
        items: Its items on the tiles of the site.
        clear_share: Of the site that it shows clearly; None for radar.
    """

    items: tuple[UsedItem, ...]
    clear_share: float | None


@dataclass(frozen=True, kw_only=True)
class YearRecord:
    """Provenance of an image's pixels.

    Attributes:
        year: The year.
        digest: Of the grid, the settings and the items, which alone determine the pixels.
        level: The processing level, None for radar.
        passes: The clearest first.
        clear_counts: The number of pixels by the number of passes that show them clearly.
        filled_share: The share of pixels that no pass shows clearly, filled from the clearest with data.
        empty_share: The share of pixels without data.
        refused: Sentences on items that were found but could not be used.
        unread: Names of those whose files could not be read, as they may be later.
        latest: The time of the latest scene that the catalogue had, ISO 8601; "" in older records.
        pixels: A hash of the pixels; "" in older records.
        sha256: Of the image's file; "" in its own tag.
    """

    year: int
    digest: str
    level: Level | None
    passes: tuple[UsedPass, ...]
    clear_counts: dict[str, int] = field(default_factory=dict)
    filled_share: float = 0.0
    empty_share: float = 0.0
    refused: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    latest: str = ""
    pixels: str = ""
    sha256: str = ""

    @property
    def items(self) -> list[UsedItem]:
        """The items of all passes."""
        return [item for one in self.passes for item in one.items]


@dataclass(frozen=True, kw_only=True)
class SiteSettings:
    """Settings shared by all years of a site, so that they can be compared.

    Attributes:
        level: The processing level.
        months: The months.
        scenes: The number of passes.
        fill: The treatment of pixels that no pass shows clearly.
        margin: Metres around the outline.
        outline: The outline as GeoJSON, in degrees.
    """

    level: Level
    months: tuple[int, ...]
    scenes: int
    fill: Fill
    margin: float
    outline: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class AcquisitionRecord:
    """`acquisition.json`.

    Attributes:
        site: The site's name.
        settings: Shared by all years.
        grid: The grid of all images.
        catalogue: The catalogue that the latest run searched first.
        years: The images, by year.
        missing_years: Requested years without a scene.
        radar_orbit: The relative orbit of all images of radar; None without any.
        radar_years: The images of radar, by year.
    """

    site: str
    settings: SiteSettings
    grid: SiteGrid
    catalogue: str | None = None
    years: dict[str, YearRecord] = field(default_factory=dict)
    missing_years: tuple[int, ...] = ()
    radar_orbit: int | None = None
    radar_years: dict[str, YearRecord] = field(default_factory=dict)

    def with_year(self, year: YearRecord, radar: bool = False) -> AcquisitionRecord:
        """The record with a further image."""
        known = {**(self.radar_years if radar else self.years), str(year.year): year}
        known = dict(sorted(known.items()))
        if radar:
            return replace(self, radar_years=known)
        missing = tuple(each for each in self.missing_years if each != year.year)
        return replace(self, years=known, missing_years=missing)

    def without_image(self, year: int, radar: bool) -> AcquisitionRecord:
        """The record without an image, which is about to be replaced."""
        known = {
            key: each for key, each in (self.radar_years if radar else self.years).items() if key != str(year)
        }
        return replace(self, radar_years=known) if radar else replace(self, years=known)

    def without_year(self, year: int) -> AcquisitionRecord:
        """The record with a year among the missing ones."""
        return replace(self, missing_years=tuple(sorted({*self.missing_years, year})))


def read_acquisition(folder: Path) -> AcquisitionRecord | None:
    """The record of a site's folder; None if there is none.

    Raises:
        RecordError: It is damaged.
        OSError: It cannot be read.
    """
    path = folder / RECORD_FILE
    if not path.exists():
        return None
    return read_record(AcquisitionRecord, path, advice="Move the site's folder away to acquire it again.")


def year_digest(
    grid: SiteGrid, settings: SiteSettings, kind: str, passes: Sequence[Sequence[UsedItem]]
) -> str:
    """A digest of all that determines the pixels of an image.

    Args:
        grid: Of the site.
        settings: Of the site.
        kind: "image" or "radar".
        passes: The items of each pass, in the order in which they count.
    """
    used = [[record_to_json(item) for item in items] for items in passes]
    decisive = {"level": settings.level, "fill": settings.fill}
    state = [_METHOD, kind, record_to_json(grid), decisive, used]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]


def year_tags(year: YearRecord) -> dict[str, str]:
    """The record of an image for its metadata."""
    return {TAG: json.dumps(record_to_json(year), separators=(",", ":"))}


def year_of_tags(tags: dict[str, str], path: Path) -> YearRecord | None:
    """The record in an image's metadata; None in an image that was not acquired.

    Raises:
        RecordError: It is damaged.
    """
    text = tags.get(TAG)
    return None if text is None else record_from_bytes(YearRecord, text.encode(), str(path))


def file_digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_settings(found: SiteSettings, asked: SiteSettings, path: Path) -> None:
    """Refuse settings other than those of a site's earlier years.

    Raises:
        RecordError: One differs.
    """
    for name, option in (
        ("outline", "area"),
        ("margin", "--margin"),
        ("level", "--level"),
        ("months", "--months"),
        ("scenes", "--scenes"),
        ("fill", "--fill"),
    ):
        before, now = getattr(found, name), getattr(asked, name)
        if before != now:
            words = (
                "another area in earlier years"
                if name == "outline"
                else f"{option} {_words(before)} in earlier years and {_words(now)} now"
            )
            raise RecordError(
                f"{path}: found {words}; expected the same for all years of a site. Leave the option "
                "out, or give another --site."
            )


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else f"{value}"
