"""`euromine acquire`: yearly composites of a place, in the published archive's layout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from euromine.support.errors import ArgumentError

from .simulate import parse_years

if TYPE_CHECKING:
    from euromine.acquisition import AcquiredSite


def acquire(
    out: Annotated[Path, typer.Argument(help="The folder of the archive, to create or to complete.")],
    years: Annotated[str, typer.Option(help="Years: 2015-2025, or 2015,2018,2020-2022.")],
    site: Annotated[str | None, typer.Option(help="The site's name, such as Austria_4.")] = None,
    bbox: Annotated[
        str | None, typer.Option(metavar="W,S,E,N", help="The area in degrees: west,south,east,north.")
    ] = None,
    geometry: Annotated[
        Path | None, typer.Option(help="The area: a vector file of any format and coordinate system.")
    ] = None,
    sites: Annotated[
        Path | None, typer.Option(help="A vector file with one site per feature, instead of --site.")
    ] = None,
    name_column: Annotated[
        str | None, typer.Option(help="The column with the names in --sites; by default site, name or id.")
    ] = None,
    months: Annotated[str, typer.Option(help="Months to take scenes from: 6-8, or 4,6-9.")] = "6-8",
    catalogue: Annotated[
        str, typer.Option(metavar="earth-search|planetary-computer|URL", help="Where to search for scenes.")
    ] = "earth-search",
    level: Annotated[
        str, typer.Option(metavar="l2a|l1c", help="Reflectance at the surface, or above the atmosphere.")
    ] = "l2a",
    scenes: Annotated[
        int, typer.Option(help="Number of satellite passes to compose each year from, the clearest.")
    ] = 8,
    fill: Annotated[
        str,
        typer.Option(metavar="least-cloudy|nodata", help="What becomes of pixels without any clear date."),
    ] = "least-cloudy",
    margin: Annotated[float, typer.Option(metavar="METRES", help="Ground to add around the area.")] = 500.0,
    radar: Annotated[bool, typer.Option("--radar", help="Acquire Sentinel-1 backscatter, too.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List scenes, clear shares and sizes; write nothing.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes for --sites; by default one per core.")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Acquire --sites on the Dask cluster there."),
    ] = None,
) -> None:
    """Acquire yearly cloud-free composites of a place from open catalogues.

    OUT/EuroMineNet/SITE gets image/Year2021.tif and so on, all on one grid, and acquisition.json with what
    made each of them. Run the same command again to resume, or with further years to add them.
    """
    from euromine.acquisition.acquisition_options import AcquisitionOptions

    options = AcquisitionOptions(
        years=tuple(dict.fromkeys(parse_years(years))),
        months=parse_months(months),
        catalogue=catalogue,
        level=level,
        scenes=scenes,
        fill=fill,
        margin=margin,
        radar=radar,
    )
    box = None if bbox is None else parse_bbox(bbox)
    if (site is None) == (sites is None):
        found = "neither" if site is None else "both"
        raise ArgumentError(f"--site: found {found} of --site and --sites; expected one of them.")
    if sites is not None and (box is not None or geometry is not None):
        raise ArgumentError("--sites: found --bbox or --geometry, too; expected the areas in the file alone.")
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


def parse_bbox(text: str) -> tuple[float, ...]:
    """`"14.9,47.1,15.0,47.2"` -> west, south, east, north.

    Raises:
        ArgumentError: The text is something else.
    """
    try:
        numbers = tuple(float(part) for part in re.split(r"\s*[,;]\s*|\s+", text.strip()))
    except ValueError:
        numbers = ()
    if len(numbers) != 4:
        raise ArgumentError(
            f"--bbox: found {text!r}; expected west,south,east,north in degrees, such as 14.9,47.1,15.0,47.2."
        )
    return numbers


def parse_months(text: str) -> tuple[int, ...]:
    """`"4,6-8"` -> 4, 6, 7, 8.

    Raises:
        ArgumentError: The text is something else, or a range runs backwards.
    """
    months: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,2})\s*(?:-\s*([0-9]{1,2})\s*)?", part)
        if not found:
            raise ArgumentError(f"--months: found {text!r}; expected months such as 6-8 or 4,6-9.")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise ArgumentError(
                f"--months: found {first}-{last}, which runs into the next year; expected months of one "
                f"year, such as 1-{last},{first}-12."
            )
        months += range(first, last + 1)
    return tuple(sorted(set(months)))


def _summary(site: AcquiredSite) -> str:
    """A site in a few lines."""
    made, kept = _listed(site.made) or "no year", _listed(site.kept) or "none"
    lines = [f"{site.folder}: {made} composed, {kept} kept."]
    if site.radar:
        lines.append(f"Radar of {_listed(site.radar)}.")
    if site.missing:
        lines.append(f"No scene in {_listed(site.missing)}.")
    lines.append(f"`euromine series MODEL {site.folder} --out DIR` maps it.")
    return "\n".join(lines)


def _listed(years: tuple[int, ...]) -> str:
    return ", ".join(map(str, years))
