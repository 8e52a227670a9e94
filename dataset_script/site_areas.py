"""Mine areas of sites: by year, and gained and lost between any two years."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from euromine.support.errors import ArchiveError, ArgumentError
from euromine.support.ground_areas import PixelAreas, pixel_areas
from euromine.support.workers import in_processes, usable_cores

from .archive import Archive
from .label_changes import UNKNOWN, change_counts
from .labelled_sites import labelled_archive, sites_and_years, unlabelled_years
from .site_scene import Site
from .splits import EXCLUDED_SITES

logger = logging.getLogger(__name__)

CONVENTIONS = {
    "true": "true ground areas: a pixel's own, on the ellipsoid",
    "paper": "the paper's convention: 100 m2 per pixel, regardless of its size on the ground",
}

PAPER_PIXEL_AREA = 100.0
"""The ground area of a pixel in the paper, in m2."""

# A message names this many years of sites before it only counts the others.
_NAMED_YEARS = 12

# Pixels of a year that are read at a time.
_WINDOW_PIXELS = 2**22


@dataclass(frozen=True)
class SiteAreas:
    """The mine areas of a site, in m2.

    Attributes:
        site: Its name.
        country: Its country.
        years: Its labelled years, sorted.
        mine: Of each year, (years,); pixels labelled 255 are no part of it.
        gained: (years, years), above the diagonal: what is mine in the later year and not in the earlier.
        lost: (years, years), above the diagonal: what was mine in the earlier year and not in the later.
        unknown: Of each year, (years,): the share of the site's pixels that are labelled 255.
    """

    site: str
    country: str
    years: tuple[int, ...]
    mine: NDArray[np.float64]
    gained: NDArray[np.float64]
    lost: NDArray[np.float64]
    unknown: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


def measure_archive(
    archive: Archive,
    convention: str = "true",
    *,
    all_sites: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> list[SiteAreas]:
    """The mine areas of the sites of an archive, by name.

    Years and sites without labels are skipped with a notice (logged as INFO).

    Args:
        archive: The archive.
        convention: "true" or "paper", one of `CONVENTIONS`.
        all_sites: Include the sites that the release's own preprocessing leaves out.
        workers: Number of processes, by default one per core.
        progress: Show a progress bar over the sites.

    Raises:
        ArgumentError: `convention` or `workers` is out of range.
        GridError: As for `areas_of`.
        ArchiveError: A file cannot be used, or no site with labels is left.
        OSError: A process was killed.
    """
    if workers is not None and workers < 1:
        raise ArgumentError(f"workers: found {workers}; expected at least 1.")
    _check_convention(convention)
    if unlabelled := unlabelled_years(archive):
        logger.info("Skipped, without labels: %s.", sites_and_years(archive.sites, unlabelled))
    archive = labelled_archive(archive, skip_unlabelled=True)
    skipped = [] if all_sites else sorted(set(archive.sites) & set(EXCLUDED_SITES))
    if skipped:
        logger.info("Skipped, as the published release does: %s.", ", ".join(skipped))
    sites = [site for name, site in archive.sites.items() if name not in skipped]
    if not sites:
        raise ArchiveError(
            f"{archive.path}: found no other site than {', '.join(skipped)}; expected one to measure. "
            "Measure these, too, with --all-sites."
        )
    measured = in_processes(
        partial(areas_of, convention=convention), sites, workers or usable_cores(), "measured a site"
    )
    with (
        closing(measured),
        tqdm(total=len(sites), desc="Measuring", unit="site", disable=not progress) as bar,
    ):
        found = []
        for areas in measured:
            found.append(areas)
            bar.update()
    return sorted(found, key=lambda areas: areas.site)


def areas_of(site: Site, convention: str = "true") -> SiteAreas:
    """The mine areas of a site in all its labelled years and between any two of them; read in windows.

    Args:
        site: The site.
        convention: "true" or "paper", one of `CONVENTIONS`.

    Raises:
        ArgumentError: There is no such convention.
        GridError: The site's grid has no areas (`pixel_areas`).
        ArchiveError: A file of the site cannot be used, or it has no label.
    """
    _check_convention(convention)
    if not site.label_paths:
        raise ArchiveError(f"{site.name}: found no label; expected one to measure in {site.name}/label.")
    with site.labelled().open() as scene:
        years = len(scene.years)
        ground = pixel_areas(scene.crs, scene.transform, scene.height, scene.width)
        if convention == "paper":
            ground = PixelAreas.constant(PAPER_PIXEL_AREA, scene.height, scene.width)
        strips = list(pairwise([*ground.starts.tolist(), scene.width]))
        # By row, so that windows of any height give the same sums.
        mine = np.zeros((years, scene.height))
        unknown = np.zeros(years, np.int64)
        gained, lost = (np.zeros((years, years, scene.height)) for _ in range(2))
        lines = max(1, _WINDOW_PIXELS // (scene.width * years))
        for top in range(0, scene.height, lines):
            height = min(lines, scene.height - top)
            labels = np.stack([scene.read_label(year, top=top, height=height) for year in scene.years])
            pixel = ground.rows(top, height)
            unknown += np.count_nonzero(labels == UNKNOWN, axis=(1, 2))
            mine[:, top : top + height] = (ground.counts(labels == 1) * pixel).sum(axis=-1)
            # Most rows never change.
            changed = ground.counts((labels != labels[:1]).any(axis=0))
            for row, strip in zip(*np.nonzero(changed), strict=True):
                left, right = strips[strip]
                line = labels[:, row : row + 1, left:right]
                counts = change_counts(line, (0, 0, 1, right - left))
                gained[..., top + row] += counts[0] * pixel[row, strip]
                lost[..., top + row] += counts[1] * pixel[row, strip]
    later = np.triu(np.ones((years, years)), 1)
    return SiteAreas(
        scene.site,
        scene.country,
        scene.years,
        mine.sum(axis=-1),
        gained.sum(axis=-1) * later,
        lost.sum(axis=-1) * later,
        unknown / (scene.height * scene.width),
    )


def unknown_years(areas: Iterable[SiteAreas]) -> str:
    """The sites and years labelled 255 in parts, for a message: "Kiruna 2015 (25.0%)"; "" without any."""
    named = [
        f"{site.site} {year} ({share:.1%})"
        for site in areas
        for year, share in zip(site.years, site.unknown, strict=False)
        if share
    ]
    more = f" and {len(named) - _NAMED_YEARS} more" if len(named) > _NAMED_YEARS else ""
    return ", ".join(named[:_NAMED_YEARS]) + more


def _check_convention(convention: str) -> None:
    if convention not in CONVENTIONS:
        raise ArgumentError(
            f"convention: found {convention!r}; expected one of {', '.join(CONVENTIONS)}. "
            "Set it with --areas."
        )
