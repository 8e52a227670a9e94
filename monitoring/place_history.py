"""From a place to the report on its mine: acquire composites, map all years, and write the report."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from euromine.acquisition import AcquiredSite, AcquisitionOptions, acquire_site, read_acquisition
from euromine.acquisition.many_sites import SiteOutcome, site_outcomes
from euromine.acquisition.site_acquisition import ARCHIVE_FOLDER, site_folder
from euromine.acquisition.site_outlines import read_site_outlines
from euromine.dataset_script.archive_bands import RADAR_BANDS
from euromine.support.errors import ArgumentError, EuroMineError, one_line
from euromine.support.geopackages import require_geopandas
from euromine.support.site_failures import failed_sites
from euromine.support.wording import counted

from .history.series import make_series
from .history.series_methods import choose_methods
from .history.series_settings import SeriesSettings
from .history.year_words import years_in_words
from .history.yearly_images import find_scenes
from .monitor import MineMonitor
from .reporting.page import ReportKind, check_report, write_report
from .result import SeriesResult

logger = logging.getLogger(__name__)

MAPS = "maps"
"""The folder of the maps in the folder of `map_place`."""


@dataclass(frozen=True)
class PlaceHistory:
    """The results of `map_place`.

    Attributes:
        acquired: The composites.
        series: The maps, tables and polygons.
        report: The report's file.
    """

    acquired: AcquiredSite
    series: SeriesResult
    report: Path


def map_place(
    name: str,
    monitor: MineMonitor,
    out: str | os.PathLike[str],
    options: AcquisitionOptions,
    *,
    bbox: Sequence[float] | None = None,
    geometry: str | os.PathLike[str] | None = None,
    settings: SeriesSettings | None = None,
    kind: ReportKind = "html",
    pdf: bool = False,
    progress: bool = False,
    announce: Callable[[str], None] = logger.info,
) -> PlaceHistory:
    """Acquire yearly composites of a place, map its mine over all years and write the report.

    The composites go to `out/EuroMineNet/<name>`, a site of an archive; maps, tables and the report go to
    `out/maps/<name>`. Complete images and maps are kept, so the same call resumes an interrupted one, and a
    call with more years adds them. The maps and the report always cover all years of the site.

    Args:
        name: The site's name, also that of its folders.
        monitor: The models.
        out: The folder to create or to complete.
        options: The years, and how to compose them.
        bbox: West, south, east and north in degrees.
        geometry: A vector file with the site's outline instead. Without either, the place of an earlier call.
        settings: How to map the years.
        kind: The kind of the report: a page, or "pdf" or "docx", which need the extra of that name.
        pdf: The same as `kind="pdf"`.
        progress: Show progress bars.
        announce: Called with lines on each step, its output folder and the years made or kept.

    Raises:
        EuroMineError: The place, years, models and settings do not fit together, or a catalogue, a scene or a
            file of `out` is unusable.
        OSError: A file cannot be written, or a catalogue cannot be reached.
    """
    settings = settings or SeriesSettings()
    _check_files(settings)
    choose_methods(monitor.models, settings, options.years)
    folder, maps = site_folders(out, name)
    check_report(maps, kind=kind, pdf=pdf)
    _check_radar(monitor, options, [folder])
    announce(f"1 of 3: composites of {years_in_words(options.years)}, into {folder}")
    acquired = acquire_site(out, name, options, bbox=bbox, geometry=geometry, progress=progress)
    announce(f"        {_acquired_words(acquired)}")
    how: dict[str, Any] = {"kind": kind, "pdf": pdf, "progress": progress, "announce": announce}
    return _mapped(acquired, monitor, maps, settings, **how)


def map_places(
    sites: str | os.PathLike[str],
    monitor: MineMonitor,
    out: str | os.PathLike[str],
    options: AcquisitionOptions,
    *,
    name_column: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    settings: SeriesSettings | None = None,
    kind: ReportKind = "html",
    pdf: bool = False,
    progress: bool = False,
    announce: Callable[[str], None] = logger.info,
) -> list[PlaceHistory]:
    """Map each place of a vector file, as `map_place` maps one. One that fails does not stop the others.

    Composites are acquired in parallel, then maps and reports are made one place after the other.

    Args:
        sites: A vector file with one site per feature.
        monitor: As for `map_place`.
        out: The folder to create or to complete.
        options: The years, and how to compose them.
        name_column: The column with the names of the sites; by default site, name or id.
        workers: The number of processes that acquire; by default one per core.
        dask: The address of a Dask scheduler whose workers acquire instead; they must reach `out`.
        settings: How to map the years; the site's name is added.
        kind: As for `map_place`.
        pdf: As for `map_place`.
        progress: As for `map_place`.
        announce: As for `map_place`.

    Returns:
        The places in the order of their names.

    Raises:
        DataError: As for `map_place`, or some places failed; the others are complete.
        EuroMineError, OSError: As for `map_place`.
    """
    settings = settings or SeriesSettings()
    _check_files(settings)
    choose_methods(monitor.models, settings, options.years)
    if not options.radar:
        archive = Path(out) / ARCHIVE_FOLDER
        _check_radar(
            monitor, options, [archive / each for each in sorted(read_site_outlines(sites, name_column))]
        )
    announce(f"1 of 3: composites of {years_in_words(options.years)}, for each site of {sites}")
    outcomes = site_outcomes(
        out, sites, options, name_column=name_column, workers=workers, dask=dask, progress=progress
    )
    how: dict[str, Any] = {"kind": kind, "pdf": pdf, "progress": progress, "announce": announce}
    done: list[PlaceHistory] = []
    failed = [outcome for outcome in outcomes if outcome.site is None]
    for acquired in (outcome.site for outcome in outcomes if outcome.site is not None):
        announce(f"{acquired.name}: {_acquired_words(acquired)}")
        try:
            _, maps = site_folders(out, acquired.name)
            check_report(maps, kind=kind, pdf=pdf)
            own = replace(settings, site=acquired.name)
            place = _mapped(acquired, monitor, maps, own, **how)
        except (EuroMineError, OSError) as error:
            logger.warning("%s: not mapped. %s", acquired.name, one_line(error))
            failed.append(SiteOutcome(acquired.name, None, one_line(error)))
        else:
            done.append(place)
    if failed:
        raise failed_sites(sites, failed, len(outcomes), "mapped")
    return done


def _mapped(
    acquired: AcquiredSite,
    monitor: MineMonitor,
    maps: Path,
    settings: SeriesSettings,
    *,
    kind: ReportKind,
    pdf: bool,
    progress: bool,
    announce: Callable[[str], None],
) -> PlaceHistory:
    """The second and third step of `map_place`."""
    scenes = find_scenes(acquired.folder / "image")
    announce(f"2 of 3: maps of {years_in_words(scenes)}, into {maps}")
    made = make_series(
        monitor.models,
        scenes,
        maps,
        settings,
        missing_years=_missing_years(acquired, scenes),
        progress=progress,
    )
    series = SeriesResult(made.path)
    report = write_report(series, kind=kind, pdf=pdf)
    announce(f"3 of 3: report, {report}")
    return PlaceHistory(acquired, series, report)


def site_folders(out: str | os.PathLike[str], name: str) -> tuple[Path, Path]:
    """The folders to which `map_place` writes the composites and the maps of a site.

    Raises:
        ArgumentError: No folder can have the site's name.
    """
    return site_folder(out, name), Path(out) / MAPS / name


def _check_radar(monitor: MineMonitor, options: AcquisitionOptions, folders: Sequence[Path]) -> None:
    """Refuse a model that reads radar where a site lacks it, before hours of downloads."""
    readers = [each for each in monitor.models if set(each.image_processor.bands) & set(RADAR_BANDS)]
    missing = [folder for folder in folders if not (folder / "radar").is_dir()]
    if readers and missing and not options.radar:
        of_sites = f", and {_in_words(missing)} without" if len(folders) > 1 else ""
        raise ArgumentError(
            f"{readers[0].source}: found a model that reads radar{of_sites}; expected images with it. "
            "Acquire it, too, with --radar."
        )


def _in_words(folders: Sequence[Path]) -> str:
    """The first of the sites by name, and the number of the others."""
    others = len(folders) - 1
    more = f" and {counted(others, 'site')} more" if others else ""
    return f"the site {folders[0].name}{more}"


def _check_files(settings: SeriesSettings) -> None:
    """Refuse missing files, or geopandas missing to read them, before hours of downloads."""
    impact = settings.impact
    outlines = {
        "the outlines of permits": settings.permits,
        "outlines of reclaimed ground": impact.reclamation,
        "outlines of undisturbed ground": impact.reference,
    }
    if any(outlines.values()):
        require_geopandas()
    for expected, path in {**outlines, "a land-cover raster": impact.land_cover}.items():
        if path is not None and not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file; expected {expected}.")


def _missing_years(acquired: AcquiredSite, scenes: Collection[int]) -> list[int]:
    """Years without an image that this or an earlier run requested."""
    record = read_acquisition(acquired.folder)
    earlier = record.missing_years if record is not None else ()
    return sorted({*acquired.missing, *earlier} - set(scenes))


def _acquired_words(acquired: AcquiredSite) -> str:
    parts = (
        ("made", acquired.made),
        ("kept from an earlier run", acquired.kept),
        ("without scenes", acquired.missing),
    )
    return "; ".join(f"{years_in_words(years)} {words}" for words, years in parts if years)
