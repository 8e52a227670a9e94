"""`euromine acquire`: yearly composites of a place, in the published archive's layout."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .place_options import (
    AcquiredLevel,
    BBox,
    Catalogue,
    Dask,
    DryRun,
    Fill,
    Geometry,
    Margin,
    Months,
    NameColumn,
    Radar,
    Renew,
    Scenes,
    SitesFile,
    Workers,
    acquisition_options,
    check_place,
    parse_bbox,
)
from .simulate import parse_years

if TYPE_CHECKING:
    from euromine.acquisition import AcquiredSite


def acquire(
    out: Annotated[Path, typer.Argument(help="The folder of the archive, to create or to complete.")],
    years: Annotated[str, typer.Option(help="Years: 2015-2025, or 2015,2018,2020-2022.")],
    site: Annotated[str | None, typer.Option(help="The site's name, such as Austria_4.")] = None,
    bbox: BBox = None,
    geometry: Geometry = None,
    sites: SitesFile = None,
    name_column: NameColumn = None,
    months: Months = None,
    catalogue: Catalogue = None,
    level: AcquiredLevel = None,
    scenes: Scenes = None,
    fill: Fill = None,
    margin: Margin = None,
    radar: Radar = False,
    renew: Renew = False,
    dry_run: DryRun = False,
    workers: Workers = None,
    dask: Dask = None,
) -> None:
    """Acquire yearly cloud-free composites of a place from open catalogues.

    OUT/EuroMineNet/SITE gets image/Year2021.tif and so on, all on one grid, and acquisition.json with their
    provenance. Run the same command again to resume, or with further years to add them.
    """
    options = acquisition_options(
        list(dict.fromkeys(parse_years(years))),
        months=months,
        catalogue=catalogue,
        level=level,
        scenes=scenes,
        fill=fill,
        margin=margin,
        radar=radar,
        renew=renew,
    )
    box = None if bbox is None else parse_bbox(bbox)
    check_place(site, "--site", sites, has_area=box is not None or geometry is not None)
    from euromine.acquisition.many_sites import acquire_sites, described_sites
    from euromine.acquisition.site_acquisition import acquire_outline, site_outline

    if sites is not None:
        if dry_run:
            typer.echo(described_sites(out, sites, options, name_column=name_column))
            return
        done = acquire_sites(
            out, sites, options, name_column=name_column, workers=workers, dask=dask, progress=True
        )
    else:
        outline = site_outline(box, geometry)
        if dry_run:
            from euromine.acquisition.dry_run import describe_acquisition

            typer.echo(describe_acquisition(out, str(site), options, outline))
            return
        done = [acquire_outline(out, str(site), options, outline, progress=True)]
    for each in done:
        typer.echo(_summary(each))


def _summary(site: AcquiredSite) -> str:
    """A site in a few lines."""
    made, kept = _listed(site.made) or "no year", _listed(site.kept) or "none"
    lines = [f"{site.folder}: {made} composed, {kept} kept."]
    if site.radar:
        lines.append(f"Radar of {_listed(site.radar)}.")
    if site.missing:
        lines.append(f"No scene in {_listed(site.missing)}.")
    lines.append(f"`euromine series MODEL {shlex.quote(str(site.folder))} --out DIR` maps it.")
    return "\n".join(lines)


def _listed(years: tuple[int, ...]) -> str:
    return ", ".join(map(str, years))
