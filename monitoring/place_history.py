"""From a place to the report on its mine: composites acquired, all years mapped, the report written."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from euromine.acquisition import AcquiredSite, AcquisitionOptions, acquire_site, read_acquisition
from euromine.support.geopackages import require_geopandas

from .history.series import make_series
from .history.series_settings import SeriesSettings
from .history.year_words import years_in_words
from .history.yearly_images import find_scenes
from .monitor import MineMonitor
from .reporting.page import check_report, write_report
from .result import SeriesResult

logger = logging.getLogger(__name__)

ARCHIVE, MAPS = "EuroMineNet", "maps"
"""The folders of the archive and of the maps in the folder of `map_place`."""


@dataclass(frozen=True)
class PlaceHistory:
    """A place from its composites to its report.

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
    pdf: bool = False,
    progress: bool = False,
    announce: Callable[[str], None] = logger.info,
) -> PlaceHistory:
    """Acquire yearly composites of a place, map its mine over all years and write the report.

    The composites lie in `out/EuroMineNet/<name>`, a site of an archive; maps, tables and the report in
    `out/maps/<name>`. What is complete is kept, so the same call resumes an interrupted one, and a call with
    more years adds them: the maps and the report always cover all years that the site has.

    Args:
        name: The site's name, also that of its folders.
        monitor: The models.
        out: The folder to create or to complete.
        options: What to acquire.
        bbox: West, south, east and north in degrees.
        geometry: A vector file with the site's outline instead. Without either, the place of an earlier call.
        settings: How the years are mapped.
        pdf: Whether the report is a PDF, which needs the extra "pdf".
        progress: Whether to show progress bars.
        announce: Called with a line on each step: what it does, what is kept, where the results lie.

    Raises:
        EuroMineError: The place, years, models and settings do not go together, or a catalogue, a scene or a
            file of `out` does not hold what was expected.
        OSError: A file cannot be written, or a catalogue cannot be reached.
    """
    settings = settings or SeriesSettings()
    _check_permits(settings)
    folder, maps = site_folders(out, name)
    check_report(maps, pdf=pdf)
    announce(f"1 of 3: composites of {years_in_words(options.years)}, into {folder}")
    acquired = acquire_site(out, name, options, bbox=bbox, geometry=geometry, progress=progress)
    announce(f"        {_acquired_words(acquired)}")
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
    report = write_report(series, pdf=pdf)
    announce(f"3 of 3: report, {report}")
    return PlaceHistory(acquired, series, report)


def site_folders(out: str | os.PathLike[str], name: str) -> tuple[Path, Path]:
    """Where `map_place` puts the composites and the maps of a site."""
    return Path(out) / ARCHIVE / name, Path(out) / MAPS / name


def _check_permits(settings: SeriesSettings) -> None:
    """Refuse permits that cannot be read for a plain reason before hours of downloads."""
    if settings.permits is None:
        return
    require_geopandas()
    if not settings.permits.exists():
        raise FileNotFoundError(
            f"{settings.permits}: there is no such file; expected the outlines of permits."
        )


def _missing_years(acquired: AcquiredSite, scenes: Collection[int]) -> list[int]:
    """The years that this or an earlier run asked for and that have no image."""
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
