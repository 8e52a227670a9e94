"""`series.json`: the contents of a series' folder, and the models, images and settings behind them."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from euromine.support.errors import RecordError
from euromine.support.files import write_json
from euromine.support.processing_levels import DataLevel, Level
from euromine.support.records import read_record, record_from

NAME = "series.json"
FORMAT = "euromine-series"
VERSION = 1

# Tasks in a manifest.
FOOTPRINTS, CHANGES, FOOTPRINTS_AND_CHANGES = "footprints", "changes", "footprints and changes"

_ADVICE = "Run `euromine series` again."


@dataclass(frozen=True)
class _Header:
    """The fields by which a manifest is recognised."""

    format: str | None = None
    version: int | None = None


@dataclass(frozen=True)
class _Rates:
    """The switch rates among the settings."""

    expansion: float
    reclamation: float


@dataclass(frozen=True)
class _LandCover:
    """The land cover among the settings."""

    file: str
    year: int
    product: str = ""
    attribution: str = ""
    colours: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Impact:
    """The settings on indices, reclamation and land cover."""

    indices: list[str] = field(default_factory=list)
    surroundings: float | None = None
    reclamation: str | None = None
    reference: str | None = None
    land_cover: _LandCover | None = None


@dataclass(frozen=True)
class _Settings:
    """The settings that a report shows."""

    smoothing: str = "none"
    rates: _Rates | None = None
    change_by: str = "footprints"
    joins_years: bool = False
    threshold: float = 0.5
    smallest_mapping_unit: float = 0.0
    permits: str | None = None
    window: int = 0
    overlap: int = 0
    impact: _Impact | None = None


@dataclass(frozen=True)
class ModelRecord:
    """A model that a series was made with.

    Attributes:
        task: "footprints", "changes", or "footprints and changes" for a network that sees all years at once.
        source: The Hub repository, or the name of the folder that it was loaded from.
        architecture: Its architecture.
        parameters: Number of its parameters.
        bands: The bands that it reads.
        digest: Hash of its weights and settings.
        simulated: Whether it was trained on simulated data; None if unknown.
        dataset: The dataset that it was trained on, if known.
        scores: Its scores on `scored_split`, by name.
        scored_split: The split of these scores.
        scored_sites: Number of sites in that split.
        level: The processing level of the images that it was trained on, if known.
    """

    task: str
    source: str
    architecture: str
    parameters: int
    bands: list[str]
    digest: str
    simulated: bool | None = None
    dataset: str | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    scored_split: str | None = None
    scored_sites: int | None = None
    level: DataLevel | None = None


@dataclass(frozen=True)
class CompositeRecord:
    """The composition of an image that `euromine acquire` made.

    Attributes:
        days: The days of the satellite's passes, ISO 8601.
        catalogues: The catalogues of their scenes.
        filled_share: The share of pixels without a clear day, filled from the least cloudy pass, 0 to 1.
    """

    days: list[str]
    catalogues: list[str]
    filled_share: float


@dataclass(frozen=True)
class SceneRecord:
    """The image of a year.

    Attributes:
        year: Its year.
        path: The file's name, without its folder, which concerns nobody else.
        size: Size of the file in bytes. With `modified` it decides whether a series is still up to date.
        modified: Time of the last modification, in nanoseconds.
        bands: Names of the file's bands.
        decisions: How scale and offset were decided, and what is doubtful about them, a sentence each.
        crs: The file's own coordinate system.
        resampled: How it was brought to the series' grid; "" if it lies on that grid.
        known_share: Share of the series' grid with data, 0 to 1; None if unknown.
        quicklook_bands: The bands of the picture, red, green and blue; one for grey.
        level: The image's processing level, if known.
        composite: The composition of an acquired image; None for others.
        radar: Whether it has a radar image; None where the models read none.
    """

    year: int
    path: str
    size: int
    modified: int
    bands: list[str]
    decisions: list[str]
    crs: str
    resampled: str
    known_share: float | None = None
    quicklook_bands: list[str] = field(default_factory=list)
    level: Level | None = None
    composite: CompositeRecord | None = None
    radar: bool | None = None


@dataclass(frozen=True)
class Manifest:
    """The contents of a series' folder.

    Attributes:
        site: Name of the site.
        years: The years, sorted.
        pairs: The pairs of years with a change map, the earlier first.
        crs: The coordinate system of all maps, a code or WKT.
        transform: Affine coefficients a, b, c, d, e, f of all maps.
        width: Columns of all maps.
        height: Rows.
        models: The models.
        scenes: The years' images.
        settings: Smoothing, switch rates, threshold, minimum mapping unit, permits, window and overlap, and
            whether one network sees all years at once, so that a year more remakes all maps (`joins_years`).
        confusion: Pixels of the calibration's sites by mapped and by labelled class, other before mine; None
            where the model has no calibration that applies.
        component_groups: The components of a component model by group, apart from the total.
        component_total: The name of its total; None without one.
        missing_years: Years that were asked for and have no image.
        cut: A sentence on the ground that the smallest years cut from all maps; "" if hardly any.
        simulated: Whether the images are simulated.
        caveats: Reasons to distrust the areas (`area_caveats`), a sentence each.
        complete: Whether the run reached its end.
        created: When it did, ISO 8601 in UTC.
        versions: Versions of the libraries.
        fingerprint: Hash of everything that makes the results: images, models, permits and settings.
        files: The SHA-256 of each file that the series wrote, by name; "" until the series is complete. Only
            these may a later run replace or delete.
    """

    site: str
    years: list[int]
    pairs: list[tuple[int, int]]
    crs: str
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int
    models: list[ModelRecord]
    scenes: list[SceneRecord]
    settings: dict[str, Any]
    confusion: list[list[float]] | None = None
    component_groups: dict[str, list[str]] = field(default_factory=dict)
    component_total: str | None = None
    missing_years: list[int] = field(default_factory=list)
    cut: str = ""
    simulated: bool = False
    caveats: list[str] = field(default_factory=list)
    complete: bool = False
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    files: dict[str, str] = field(default_factory=dict)

    @property
    def maps_footprints(self) -> bool:
        """Whether a footprint mapper or a network for series is among the models."""
        return any(model.task != CHANGES for model in self.models)

    @property
    def joins_years(self) -> bool:
        """Whether one network saw all years at once."""
        return any(model.task == FOOTPRINTS_AND_CHANGES for model in self.models)

    def write(self, folder: Path) -> None:
        """Write `series.json`, at once."""
        write_json(folder / NAME, {"format": FORMAT, "version": VERSION, **asdict(self)})


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Read the manifest in a series' folder.

    Raises:
        RecordError: The folder holds no series, or its manifest is damaged or of another version.
    """
    path = Path(folder) / NAME
    if not path.exists():
        raise RecordError(f"{folder}: found no {NAME}; expected a folder that `euromine series` made.")
    header = read_record(_Header, path, advice=_ADVICE)
    if header.format != FORMAT:
        raise RecordError(
            f"{path}: found the format {header.format!r}; expected {FORMAT!r}. Run `euromine series` again."
        )
    if header.version != VERSION:
        raise RecordError(
            f"{path}: found version {header.version}; expected {VERSION}. Run `euromine series` again."
        )
    manifest = read_record(Manifest, path, advice=_ADVICE)
    record_from(_Settings, manifest.settings, f"{path}, settings", advice=_ADVICE)
    return manifest
