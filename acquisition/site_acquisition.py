"""From a place to a site of an archive: yearly composites on one grid, resumed bit-identically."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from euromine.support.errors import ArchiveError, ArgumentError, SceneError
from euromine.support.files import explain_full_disk, part_of
from euromine.support.interrupts import resumable
from euromine.support.locks import lock_folder
from euromine.support.records import write_record

from .acquisition_options import AcquisitionOptions
from .acquisition_record import (
    RECORD_FILE,
    AcquisitionRecord,
    YearRecord,
    check_settings,
    file_digest,
    read_acquisition,
)
from .adopted_images import adopted_image, check_recorded_grid
from .backscatter import make_radar_year
from .cog_writing import DRAFT_SUFFIX
from .scene_items import SceneItem
from .site_grids import SiteGrid
from .site_outlines import box_outline, check_site_name, read_outline, require_shapely, site_key
from .site_plans import SitePlan, plan_scenes, renewal_reasons, site_settings
from .year_images import Progress, make_year

logger = logging.getLogger(__name__)

ARCHIVE_FOLDER = "EuroMineNet"
"""The folder of the sites, as in the published archive."""

_FOLDERS = {False: "image", True: "radar"}
_WORDS = {False: "scene", True: "backscatter"}
_REPORTED_SHARE = 0.01

Outcome = Literal["made", "kept", "missing"]


@dataclass(frozen=True, kw_only=True)
class AcquiredSite:
    """A site that was acquired.

    Attributes:
        name: Its name.
        folder: OUT/EuroMineNet/NAME, with `image/Year2021.tif` and so on, and `acquisition.json`.
        made: The years that this run composed.
        kept: The years that were complete before.
        renewable: Those of the kept years that would be others today, and that `renew` composes again.
        missing: Requested years without a scene.
        radar: The years with backscatter.
        notes: Sentences on unusable items, gaps and reprocessed items, also logged as warnings.
    """

    name: str
    folder: Path
    made: tuple[int, ...]
    kept: tuple[int, ...]
    renewable: tuple[int, ...] = ()
    missing: tuple[int, ...]
    radar: tuple[int, ...]
    notes: tuple[str, ...]


def acquire_site(
    out: str | os.PathLike[str],
    name: str,
    options: AcquisitionOptions,
    *,
    bbox: Sequence[float] | None = None,
    geometry: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> AcquiredSite:
    """Acquire yearly composites of a site into an archive.

    Complete years are kept unchanged, so the same call resumes a killed run, and later years join the same
    grid. `AcquisitionOptions.renew` composes those again whose scenes could not be read or were reprocessed.

    Args:
        out: The folder that holds, or will hold, the archive `EuroMineNet/`.
        name: The site's name, that of its folder.
        options: The years, and how to compose them.
        bbox: West, south, east and north in degrees.
        geometry: A vector file, whose outlines together are the site. Without it and `bbox`, the area is that
            of an earlier run.
        progress: Show a progress bar.

    Raises:
        ArgumentError: An argument does not fit.
        DataError: A file or a catalogue's answer is unusable, or no catalogue has a scene.
        BusyError: Another run is acquiring the site.
        MissingExtraError: The extra `acquire` is not installed.
        OSError: A server does not answer, or a file cannot be written.
    """
    outline = site_outline(bbox, geometry)
    return acquire_outline(out, name, options, outline, progress=progress)


def site_outline(bbox: Sequence[float] | None, geometry: str | os.PathLike[str] | None) -> Any:
    """The outline of a site from a box or a vector file, in degrees; None without either.

    Raises:
        ArgumentError: Both are given, or the box does not fit.
        DataError: The file does not fit.
    """
    if bbox is not None and geometry is not None:
        raise ArgumentError("bbox: found a geometry, too; expected one of the two.")
    if bbox is not None:
        return box_outline(bbox)
    return None if geometry is None else read_outline(geometry)


def acquire_outline(
    out: str | os.PathLike[str],
    name: str,
    options: AcquisitionOptions,
    outline: Any,
    *,
    progress: bool = False,
) -> AcquiredSite:
    """Acquire a site by its outline, a shapely geometry in degrees; None for that of an earlier run.

    Other arguments, result and errors as for `acquire_site`.
    """
    folder = site_folder(out, name)
    with resumable():
        plan, record = planned_site(folder, name, options, outline)
        notes = plan.all_notes
        if plan.settings.level == "L1C":
            notes.append(
                "L1C has no scene classification: clouds are found by brightness, shadows not at all."
            )
        for note in notes:
            logger.warning("%s%s %s", name, "" if note[:1].isdigit() else ":", note)
        if plan.grid is None:
            raise SceneError(
                f"{name}: found no scene of {_listed(options.years)} in months "
                f"{_listed(plan.settings.months)}; expected at least one. Give other --years or --months, "
                "and check that the place is right: longitude comes first."
            )
        with (
            lock_folder(folder),
            explain_full_disk(folder, f"the images of {name}"),
            _shown_progress(name, progress) as shown,
        ):
            # Another run may have acquired years while this one searched the catalogues.
            record = replace(read_acquisition(folder) or record, catalogue=plan.catalogue)
            check_recorded_grid(_recorded_images(folder, record), plan.grid)
            _remove_leftovers(folder)
            acquisition = _Acquisition(folder, plan, record, notes, shown, renew=options.renew)
            return acquisition.run(sorted(options.years), options.radar)


def site_folder(out: str | os.PathLike[str], name: str) -> Path:
    """The folder of a site in the archive of an output folder.

    Raises:
        ArgumentError: No folder can have the name, or only upper and lower case tell it from another's.
    """
    folder = Path(out) / ARCHIVE_FOLDER / check_site_name(name)
    there = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
    alike = [other for other in there if other != name and site_key(other) == site_key(name)]
    if alike and name not in there:
        raise ArgumentError(
            f"site: found {name!r} beside {alike[0]!r} in {folder.parent}; expected names that differ in "
            "more than upper and lower case, as many disks take these for one. Give the name that is there, "
            "or another."
        )
    return folder


def image_path(folder: Path, year: int, radar: bool) -> Path:
    """The image of a year in a site's folder, or its radar."""
    return folder / _FOLDERS[radar] / f"Year{year}.tif"


def _recorded_images(folder: Path, record: AcquisitionRecord) -> list[Path]:
    images = [image_path(folder, int(year), radar=False) for year in record.years]
    return images + [image_path(folder, int(year), radar=True) for year in record.radar_years]


def planned_site(
    folder: Path, name: str, options: AcquisitionOptions, outline: Any
) -> tuple[SitePlan, AcquisitionRecord]:
    """The plan of a site, and its record: that of an earlier run, or one without images.

    Raises:
        ArgumentError: There is no outline.
        RecordError: The record is damaged, or its settings differ.
        OSError: A catalogue does not answer.
    """
    record = read_acquisition(folder)
    complete = options.completed(record)
    if outline is None:
        if record is None:
            raise ArgumentError(
                f"{name}: found no area; expected --bbox or --geometry, as there is no "
                f"{folder / RECORD_FILE} of an earlier run."
            )
        outline = require_shapely().geometry.shape(record.settings.outline)
        settings = replace(site_settings(outline, complete), outline=record.settings.outline)
    else:
        settings = site_settings(outline, complete)
    if record is not None:
        check_settings(record.settings, settings, folder / RECORD_FILE)
    plan = plan_scenes(name, settings, complete.catalogue, options, record)
    if record is None:
        # Nothing is recorded of a plan without a grid.
        grid = plan.grid or SiteGrid("", 0, 0, 0, 0)
        record = AcquisitionRecord(site=name, settings=settings, grid=grid)
    return plan, replace(record, catalogue=complete.catalogue)


class _Acquisition:
    """A run in a site's folder."""

    def __init__(
        self,
        folder: Path,
        plan: SitePlan,
        record: AcquisitionRecord,
        notes: list[str],
        progress: Progress,
        *,
        renew: bool,
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._record = record
        self._notes = notes
        self._progress = progress
        self._renew = renew
        self._renewable: set[int] = set()

    def run(self, years: Sequence[int], radar: bool) -> AcquiredSite:
        found: dict[Outcome, list[int]] = {"made": [], "kept": [], "missing": []}
        for year in years:
            found[self._outcome(year, radar=False)].append(year)
        made, kept, missing = found.values()
        with_radar = [year for year in years if radar and self._outcome(year, radar=True) != "missing"]
        if self._renewable:
            self._warn(
                f"{_listed(sorted(self._renewable))}: kept, although composites of today would differ. "
                "Compose again with --renew."
            )
        if not made and not kept:
            or_fill = ", or --fill least-cloudy" if self._plan.settings.fill == "nodata" else ""
            raise SceneError(
                f"{self._plan.name}: found no scene that shows the site in {_listed(years)}; expected at "
                f"least one. Give other --years or --months{or_fill}."
            )
        return AcquiredSite(
            name=self._plan.name,
            folder=self._folder,
            made=tuple(made),
            kept=tuple(kept),
            renewable=tuple(sorted(self._renewable)),
            missing=tuple(missing),
            radar=tuple(with_radar),
            notes=tuple(self._notes),
        )

    def _outcome(self, year: int, radar: bool) -> Outcome:
        return "kept" if self._is_kept(year, radar) else self._make(year, radar)

    def _path(self, year: int, radar: bool) -> Path:
        return image_path(self._folder, year, radar)

    def _items(self, year: int, radar: bool) -> list[SceneItem]:
        return (self._plan.radar_items if radar else self._plan.items).get(year, [])

    def _is_kept(self, year: int, radar: bool) -> bool:
        """Whether a year's image is complete and not to be renewed. Refuse one that has changed since."""
        path = self._path(year, radar)
        known = (self._record.radar_years if radar else self._record.years).get(str(year))
        if not path.exists():
            return False
        if known is None:
            known = adopted_image(path, self._record, year, _FOLDERS[radar])
            self._keep(known, radar)
        elif file_digest(path) != known.sha256:
            raise ArchiveError(
                f"{path}: found a file that has changed since it was acquired; expected the one that "
                f"{RECORD_FILE} records. Move it away to acquire the year again."
            )
        reasons = renewal_reasons(known, self._items(year, radar))
        for reason in reasons:
            self._warn(f"{year}: {reason}.")
        if not reasons or not self._items(year, radar):
            return True
        if not self._renew:
            self._renewable.add(year)
        return not self._renew

    def _make(self, year: int, radar: bool) -> Outcome:
        """Make a year's image, where there is a scene."""
        if not self._items(year, radar):
            return self._lacks(year, radar)
        path = self._path(year, radar)
        path.parent.mkdir(parents=True, exist_ok=True)
        make = make_radar_year if radar else make_year
        part = part_of(path)
        try:
            found = make(self._plan, year, part, self._progress)
            if found is not None:
                # The record of the grid comes before the first image on it, and none of an image that is
                # about to be replaced: a killed run would leave a record of another file.
                self._record = self._record.without_image(year, radar)
                self._write()
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                path.parent.rmdir()
        if found is None and path.exists():
            self._warn(f"{year}: no {_WORDS[radar]} shows the site any more; the image is kept.")
            return "kept"
        if found is None:
            self._warn(f"{year}: no {_WORDS[radar]} shows the site; the year is left out.")
            return self._lacks(year, radar)
        refused = [f"{year}: left out {sentence}" for sentence in found.refused]
        self._notes += [note for note in refused if note not in self._notes]
        self._warn_of_gaps(found, radar)
        self._keep(found, radar)
        return "made"

    def _warn_of_gaps(self, found: YearRecord, radar: bool) -> None:
        """Warn of the parts of an image without data or without a clear day."""
        if found.empty_share >= _REPORTED_SHARE:
            self._warn(f"{found.year}: {found.empty_share:.0%} of the {_FOLDERS[radar]} has no data.")
        if found.filled_share >= _REPORTED_SHARE:
            self._warn(
                f"{found.year}: {found.filled_share:.0%} of the image has no clear day and shows the least "
                "cloudy one, clouds included."
            )

    def _lacks(self, year: int, radar: bool) -> Outcome:
        if not radar:
            self._record = self._record.without_year(year)
            if self._record.years:
                self._write()
        return "missing"

    def _keep(self, found: YearRecord, radar: bool) -> None:
        if radar:
            self._record = replace(self._record, radar_orbit=found.items[0].orbit)
        self._record = self._record.with_year(found, radar)
        self._write()

    def _write(self) -> None:
        write_record(self._folder / RECORD_FILE, self._record)

    def _warn(self, note: str) -> None:
        logger.warning("%s %s", self._plan.name, note)
        self._notes.append(note)


def _remove_leftovers(folder: Path) -> None:
    """Delete the unfinished files of a killed run."""
    for kind in _FOLDERS.values():
        part = part_of(folder / kind / "Year????.tif")
        for pattern in (part, part.with_suffix(DRAFT_SUFFIX)):
            for path in pattern.parent.glob(pattern.name):
                path.unlink()


@contextmanager
def _shown_progress(name: str, is_shown: bool) -> Iterator[Progress]:
    """A bar that names the last file read."""
    if not is_shown:  # even a disabled bar would leave its locks behind in worker processes
        yield lambda text, total: None
        return
    from tqdm import tqdm

    with tqdm(desc=name, unit="file", leave=False) as bar:

        def show(text: str, total: int) -> None:
            if bar.total != total and (bar.total is None or bar.n >= bar.total or total < bar.total):
                bar.reset(total)
            bar.total = total
            bar.set_postfix_str(text, refresh=False)
            bar.update()

        yield show


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
