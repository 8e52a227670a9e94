"""Options of `euromine series` and `euromine map` on the ground in and around a mine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .indices import INDICES_HELP

if TYPE_CHECKING:
    from euromine.monitoring.history.impact_settings import ImpactSettings

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


def impact_settings(
    indices: str | None,
    surroundings: float,
    reclamation: Path | None,
    reference: Path | None,
    land_cover: Path | None,
    land_cover_legend: str | None,
    land_cover_year: int | None,
) -> ImpactSettings:
    """The settings of these options.

    Raises:
        ArgumentError: An index is unknown, or options do not go together.
    """
    from euromine.monitoring.history.impact_settings import ImpactSettings
    from euromine.monitoring.scenes.spectral_indices import parse_indices

    return ImpactSettings(
        indices=parse_indices(indices, "--indices") if indices is not None else (),
        surroundings=surroundings,
        reclamation=reclamation,
        reference=reference,
        land_cover=land_cover,
        land_cover_legend=land_cover_legend,
        land_cover_year=land_cover_year,
    )
