"""The labelled part of an archive, from which rows and area tables are made."""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from euromine.support.errors import ArchiveError, ArgumentError

from .archive import Archive
from .site_scene import Site

logger = logging.getLogger(__name__)

# A message names this many sites before it only counts the others.
_NAMED_SITES = 12


def archive_of_years(archive: Archive, years: Collection[int] | None) -> Archive:
    """The archive with only some years of its sites; without the sites that have none of them.

    Args:
        archive: The archive.
        years: The years; None for all.

    Raises:
        ArgumentError: No site has an image of any of them.
    """
    return _with_sites(archive, sites_of_years(archive.sites, years, archive.path))


def sites_of_years(sites: Mapping[str, Site], years: Collection[int] | None, source: Path) -> dict[str, Site]:
    """Sites with only some of their years; without those that have none of them.

    Args:
        sites: By name.
        years: The years; None for all.
        source: Their archive, for messages.

    Raises:
        ArgumentError: No site has an image of any of them.
    """
    if years is None:
        return dict(sites)
    there = {year for site in sites.values() for year in site.years}
    if not there.intersection(years):
        raise ArgumentError(
            f"--years: found {_listed(years) or 'none'}; expected some of {_listed(there)}, the years in "
            f"{source}."
        )
    if missing := set(years) - there:
        logger.warning("%s: no image of %s.", source, _listed(missing))
    chosen = {name: site.of_years(years) for name, site in sites.items()}
    return {name: site for name, site in chosen.items() if site.image_paths}


def with_labels_of_components(archive: Archive) -> Archive:
    """The archive whose years without a label take that of their components; see `annual_label`."""
    return _with_sites(
        archive, {name: site.with_labels_of_components() for name, site in archive.sites.items()}
    )


def without_components(archive: Archive) -> Archive:
    """The archive without the components of its sites."""
    return _with_sites(
        archive, {name: replace(site, component_paths={}) for name, site in archive.sites.items()}
    )


def _with_sites(archive: Archive, sites: dict[str, Site]) -> Archive:
    changed = copy.copy(archive)
    changed.sites = sites
    return changed


def labelled_archive(archive: Archive, *, skip_unlabelled: bool = False) -> Archive:
    """The archive with only the labelled years of its sites.

    Args:
        archive: The archive.
        skip_unlabelled: Whether to leave out years and sites without labels, instead of refusing them.

    Raises:
        ArchiveError: An image has no label, or no image of the archive has one.
    """
    unlabelled = unlabelled_years(archive)
    if not unlabelled:
        return archive
    sites = {name: site.labelled() for name, site in archive.sites.items() if site.label_paths}
    if not sites:
        raise ArchiveError(
            f"{archive.path}: found no label in {sites_and_years(archive.sites, unlabelled)}; expected "
            "label/Year2015.tif beside image/Year2015.tif. Draw labels, which `euromine annotate` imports."
        )
    if not skip_unlabelled:
        raise ArchiveError(
            f"{archive.path}: found images without labels in {sites_and_years(archive.sites, unlabelled)}; "
            "expected a label of each image. Leave these images out with --skip-unlabelled, or draw labels, "
            "which `euromine annotate` imports."
        )
    return _with_sites(archive, sites)


def _listed(years: Collection[int]) -> str:
    return ", ".join(map(str, sorted(set(years))))


def unlabelled_years(archive: Archive) -> dict[str, tuple[int, ...]]:
    """The years without a label of each site that has any."""
    return {name: years for name, site in archive.sites.items() if (years := site.unlabelled_years)}


def sites_and_years(sites: Mapping[str, Site], years: Mapping[str, tuple[int, ...]]) -> str:
    """Sites with some of their years, for a message: "Kiruna_1 (all years), Aitik (2015, 2016)"."""
    named = [
        f"{name} ({'all years' if found == sites[name].years else ', '.join(map(str, found))})"
        for name, found in list(years.items())[:_NAMED_SITES]
    ]
    others = len(years) - len(named)
    return f"{', '.join(named)} and {others} more" if others > 0 else ", ".join(named)
