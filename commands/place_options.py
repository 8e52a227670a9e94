"""The options that `euromine acquire` and `euromine map` share: the place, the months, the catalogue."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from euromine.support.errors import ArgumentError
from euromine.support.processing_levels import parse_level

if TYPE_CHECKING:
    from euromine.acquisition import AcquisitionOptions

_EARLIER = " Later years keep it."

BBox = Annotated[
    str | None,
    typer.Option(
        metavar="W,S,E,N",
        help="The site's bounds in degrees: west, south, east, north. Omit them for an earlier site.",
    ),
]
Geometry = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A vector file with the site's outline, instead of its bounds."),
]
# None stands for the setting of the site's earlier years, else for the default in the help.
Months = Annotated[
    str | None,
    typer.Option(metavar="6-8", help="Months to take scenes from, such as 4,6-9; by default 6-8." + _EARLIER),
]
Catalogue = Annotated[
    str | None,
    typer.Option(
        metavar="earth-search|planetary-computer|URL",
        help="The STAC catalogue to take the scenes from; by default earth-search." + _EARLIER,
    ),
]
AcquiredLevel = Annotated[
    str | None,
    typer.Option(
        "--level",
        metavar="l2a|l1c",
        help="Reflectance at the surface, or at the top of the atmosphere; by default l2a." + _EARLIER,
    ),
]
Scenes = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of satellite passes to compose each year from, the clearest; by default 8." + _EARLIER,
    ),
]
Fill = Annotated[
    str | None,
    typer.Option(
        metavar="least-cloudy|nodata",
        help="Fill ground without a clear day from the least cloudy pass (the default), or leave it without "
        "data." + _EARLIER,
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(min=0, metavar="METRES", help="Ground to add around the site; by default 500." + _EARLIER),
]
Renew = Annotated[
    bool,
    typer.Option(
        "--renew",
        help="Compose complete years again if scenes could not be read then, or were reprocessed since.",
    ),
]
SitesFile = Annotated[
    Path | None,
    typer.Option("--sites", metavar="FILE", help="A vector file with one site per feature, instead."),
]
NameColumn = Annotated[
    str | None,
    typer.Option(help="The column with the names in --sites; by default site, name or id."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of processes for --sites; by default one per core.")
]
Dask = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Acquire --sites on the Dask cluster there."),
]
Radar = Annotated[bool, typer.Option("--radar", help="Acquire Sentinel-1 backscatter, VV and VH, too.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="List scenes, clear shares and sizes; write nothing."),
]


def acquisition_options(
    years: list[int],
    *,
    months: str | None,
    catalogue: str | None,
    level: str | None,
    scenes: int | None,
    fill: str | None,
    margin: float | None,
    radar: bool,
    renew: bool,
) -> AcquisitionOptions:
    """The options of an acquisition from those of a command.

    Raises:
        ArgumentError: One is out of range, or unknown.
    """
    parsed_months = None if months is None else parse_months(months)
    parsed_level = None if level is None else parse_level(level, "--level").lower()
    from euromine.acquisition import AcquisitionOptions  # rasterio takes a moment to import

    return AcquisitionOptions(
        years=tuple(years),
        months=parsed_months,
        catalogue=catalogue,
        level=parsed_level,
        scenes=scenes,
        fill=fill,
        margin=margin,
        radar=radar,
        renew=renew,
    )


def check_place(name: str | None, argument: str, sites: Path | None, *, has_area: bool) -> None:
    """Refuse both a site and a file of sites, or neither, and an area beside a file of sites.

    Args:
        name: The site's name.
        argument: The argument or option that gives it.
        sites: The file.
        has_area: Whether --bbox or --geometry is given.

    Raises:
        ArgumentError: They do not fit together.
    """
    if (name is None) == (sites is None):
        found = "neither" if name is None else "both"
        raise ArgumentError(f"{argument}: found {found} of {argument} and --sites; expected one of them.")
    if sites is not None and has_area:
        raise ArgumentError("--sites: found --bbox or --geometry, too; expected the areas in the file alone.")


def parse_bbox(text: str) -> tuple[float, float, float, float]:
    """`"18.3,53.1,18.5,53.2"` -> west, south, east, north.

    Raises:
        ArgumentError: The text is not four numbers.
    """
    try:
        west, south, east, north = map(float, re.split(r"\s*[,;]\s*|\s+", text.strip()))
        if not all(map(math.isfinite, (west, south, east, north))):
            raise ValueError(text)
    except ValueError:
        raise ArgumentError(
            f"--bbox: found {text!r}; expected west,south,east,north in degrees, such as 19.2,51.2,19.4,51.3."
        ) from None
    return west, south, east, north


def parse_months(text: str) -> tuple[int, ...]:
    """`"6-8,10"` -> 6, 7, 8, 10.

    Raises:
        ArgumentError: The text is not a list of months, or a range runs backwards.
    """
    months: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,2})\s*(?:-\s*([0-9]{1,2})\s*)?", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not (1 <= first <= 12 and 1 <= last <= 12):
            raise ArgumentError(f"--months: found {text!r}; expected months such as 6-8 or 4,6-9.")
        if last < first:
            raise ArgumentError(
                f"--months: found {first}-{last}, which runs into the next year; expected months of one "
                f"year, such as 1-{last},{first}-12."
            )
        months.update(range(first, last + 1))
    return tuple(sorted(months))
