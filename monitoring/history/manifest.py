"""series.json: what a series' folder holds, and what model, data and settings made it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from euromine.support.files import write_json

NAME = "series.json"
FORMAT = "euromine-series"
VERSION = 1

# What a task is called in a manifest.
FOOTPRINTS, CHANGES = "footprints", "changes"


@dataclass(frozen=True)
class ModelRecord:
    """A model that took part.

    Attributes:
        task: "footprints" or "changes".
        source: The Hub repository, or the name of the folder it came from.
        architecture: Its model type.
        parameters: How many parameters it has.
        bands: The bands it takes.
        simulated: Whether it was trained on simulated data; None where its checkpoint does not say.
        dataset: What it was trained on, where its checkpoint says.
        scores: Scores by name on `scored_split`, as its checkpoint says them.
        scored_split: The split of these scores.
        scored_sites: How many sites that split has.
        digest: Hash of its weights and settings.
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


@dataclass(frozen=True)
class SceneRecord:
    """A year's image.

    Attributes:
        year: Its year.
        path: The file's name: where it lay concerns nobody else.
        size: Bytes of the file; with `modified` it tells whether a stopped run may continue.
        modified: Time of its last modification, in nanoseconds.
        bands: Names of the file's bands.
        decisions: How scale and offset were decided, and what is doubtful, a sentence each.
        crs: The file's own coordinate system.
        resampled: How it came to the series' grid: "" if it lies on it.
        known_share: Share of the series' grid with data, 0 to 1.
        quicklook_bands: The bands of the picture, red, green and blue; one for grey.
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


@dataclass(frozen=True)
class Manifest:
    """What a series' folder holds.

    Attributes:
        site: Name of the place.
        years: The years, sorted.
        pairs: The pairs of years with a change map, the earlier first.
        crs: The coordinate system of all maps, a code or WKT.
        transform: Affine coefficients a, b, c, d, e, f of all maps.
        width: Columns of all maps.
        height: Rows.
        models: The models.
        scenes: The years' images.
        settings: Smoothing, switch rates, threshold, smallest mapping unit, permits, window and overlap.
        confusion: Pixels of the sites where the model's errors were counted, by mapped and by labelled class,
            other before mine; None where the model has no calibration.
        missing_years: Years that were asked for and have no image.
        simulated: Whether the images are simulated.
        caveats: What the areas rest on less than it seems (`areas.area_caveats`), a sentence each.
        complete: Whether the run reached its end.
        created: When it did, ISO 8601 in UTC.
        versions: Versions of the libraries.
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
    missing_years: list[int] = field(default_factory=list)
    simulated: bool = False
    caveats: list[str] = field(default_factory=list)
    complete: bool = False
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def maps_footprints(self) -> bool:
        """Whether a footprint mapper took part."""
        return any(model.task == FOOTPRINTS for model in self.models)

    def write(self, folder: Path) -> None:
        """Write `series.json`, at once."""
        write_json(folder / NAME, {"format": FORMAT, "version": VERSION, **asdict(self)})


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Read the manifest of a series' folder.

    Raises:
        ValueError: The folder holds no series, or the file is none that this version writes.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        raise ValueError(f"{folder} holds no {NAME}, a folder that `euromine series` made was expected")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is no JSON ({error}), a manifest of `euromine series` was expected"
        ) from None
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise ValueError(f"{path} has no format {FORMAT!r}, a manifest of `euromine series` was expected")
    if values.get("version") != VERSION:
        raise ValueError(
            f"{path} is of the version {values.get('version')}, {VERSION} was expected; make the series again"
        )
    try:
        fields = {name: value for name, value in values.items() if name not in ("format", "version")}
        a, b, c, d, e, f = map(float, fields["transform"])
        fields["transform"] = (a, b, c, d, e, f)
        fields["pairs"] = [(int(first), int(second)) for first, second in fields["pairs"]]
        fields["models"] = [ModelRecord(**model) for model in fields["models"]]
        fields["scenes"] = [SceneRecord(**scene) for scene in fields["scenes"]]
        return Manifest(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} lacks or has other fields than a manifest ({error}); make it again"
        ) from None
