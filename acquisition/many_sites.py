"""Acquire many sites: one for each feature of a vector file, in processes or on a Dask cluster."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

from euromine.support.errors import EuroMineError, one_line
from euromine.support.site_failures import collect_outcomes, failed_sites
from euromine.support.workers import run_on_workers, usable_cores

from .acquisition_options import AcquisitionOptions
from .dry_run import describe_acquisition
from .site_acquisition import AcquiredSite, acquire_outline
from .site_outlines import read_site_outlines

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Task:
    out: str
    name: str
    outline: Any
    options: AcquisitionOptions


@dataclass(frozen=True)
class SiteOutcome:
    """An acquired site, or the reason of its failure.

    Attributes:
        name: The site's name.
        site: None if it failed.
        reason: "" if it did not.
    """

    name: str
    site: AcquiredSite | None
    reason: str = ""


def acquire_sites(
    out: str | os.PathLike[str],
    sites: str | os.PathLike[str],
    options: AcquisitionOptions,
    *,
    name_column: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    progress: bool = False,
) -> list[AcquiredSite]:
    """Acquire a site for each feature of a vector file.

    A site that fails does not stop the others. The same call resumes: complete years are kept.

    Args:
        out: The folder that holds, or will hold, the archive `EuroMineNet/`.
        sites: A file in any vector format that GDAL reads, in any coordinate system.
        options: The years, and how to compose them.
        name_column: The column with the sites' names; by default `site`, `name` or `id`.
        workers: The number of processes, by default one per core. Spawned, so a calling script needs
            `if __name__ == "__main__":`.
        dask: The address of a Dask scheduler whose workers reach `out`, instead of processes.
        progress: Show a progress bar.

    Returns:
        The sites in the order of their names.

    Raises:
        DataError: The file does not fit, or some sites failed; the others are complete.
        ArgumentError: An argument does not fit.
        MissingExtraError: An extra is not installed.
        OSError: A process was killed, or no Dask scheduler answers.
    """
    found = site_outcomes(
        out, sites, options, name_column=name_column, workers=workers, dask=dask, progress=progress
    )
    failed = [outcome for outcome in found if outcome.site is None]
    if failed:
        raise failed_sites(sites, failed, len(found), "acquired")
    return [outcome.site for outcome in found if outcome.site is not None]


def site_outcomes(
    out: str | os.PathLike[str],
    sites: str | os.PathLike[str],
    options: AcquisitionOptions,
    *,
    name_column: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    progress: bool = False,
) -> list[SiteOutcome]:
    """As `acquire_sites`, with the sites that failed among the others."""
    outlines = read_site_outlines(sites, name_column)
    tasks = [_Task(os.fspath(out), name, outline, options) for name, outline in sorted(outlines.items())]
    outcomes = run_on_workers(_acquire, tasks, workers or usable_cores(), "acquired a site", dask)
    return collect_outcomes(outcomes, len(tasks), "acquired", logger, progress=progress)


def _acquire(task: _Task) -> SiteOutcome:
    try:
        return SiteOutcome(task.name, acquire_outline(task.out, task.name, task.options, task.outline))
    except (EuroMineError, OSError) as error:
        return SiteOutcome(task.name, None, one_line(error))


def described_sites(
    out: str | os.PathLike[str],
    sites: str | os.PathLike[str],
    options: AcquisitionOptions,
    *,
    name_column: str | None = None,
) -> str:
    """Describe an acquisition of several sites as text; see `describe_acquisition`.

    A site that cannot be acquired has its reason in place of a description.
    """
    outlines = read_site_outlines(sites, name_column)
    texts = []
    for name, outline in sorted(outlines.items()):
        try:
            texts.append(describe_acquisition(out, name, options, outline))
        except (EuroMineError, OSError) as error:
            texts.append(f"{name}: cannot be acquired. {one_line(error)}")
    return "\n\n".join(texts)
