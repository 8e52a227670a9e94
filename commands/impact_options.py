"""Options of `euromine series` on the ground in and around a mine."""

from pathlib import Path
from typing import Annotated

import typer

from .indices import INDICES_HELP

Indices = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES|all",
        help=f"Map and measure these by year. {INDICES_HELP} mndwi also maps water within the mine, nbr "
        "recovery.",
    ),
]
Surroundings = Annotated[
    float,
    typer.Option(metavar="M", help="Width in metres of the ring around the mine whose indices are measured."),
]
Reclamation = Annotated[
    Path | None,
    typer.Option(
        help="A vector file with outlines of reclaimed ground, to measure its recovery; the attribute "
        "start_year is its first year."
    ),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        help="A vector file with undisturbed ground as the target of recovery. By default, the target is the "
        "value before mining."
    ),
]
LandCover = Annotated[
    Path | None,
    typer.Option(
        help="A land-cover raster from before the mining (GeoTIFF: ESA WorldCover, CORINE or other), to list "
        "the classes that were taken."
    ),
]
LandCoverLegend = Annotated[
    str | None,
    typer.Option(
        metavar="worldcover|corine|FILE",
        help="Names of its classes: CSV with the columns value and name, or JSON. By default, by the file's "
        "name.",
    ),
]
LandCoverYear = Annotated[
    int | None, typer.Option(help="The year that it shows. By default, that in the file's name.")
]
