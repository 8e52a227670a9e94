"""`euromine series`: all years of a place, from images to maps, areas, changes and polygons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .simulate import parse_years

if TYPE_CHECKING:
    from euromine.monitoring.result import SeriesResult


def series(
    model: Annotated[
        str, typer.Argument(help="A footprint mapper or a change detector: its folder, or a Hub repository.")
    ],
    images: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A folder with a GeoTIFF for each year, the year in its name."),
    ],
    out: Annotated[Path, typer.Option(help="The folder to make, or to complete.")],
    years: Annotated[
        str | None, typer.Option(help="2015-2024, or 2015,2018; all that are there if not given.")
    ] = None,
    change_model: Annotated[
        str | None,
        typer.Option(help="A change detector beside a footprint mapper, whose maps then tell the direction."),
    ] = None,
    smooth: Annotated[
        str,
        typer.Option(
            metavar="viterbi|median|none",
            help="Smoothing over the years; viterbi, the steadiest, needs a calibration and loses changes.",
        ),
    ] = "median",
    rates: Annotated[
        Path | None, typer.Option(help="Switch rates for viterbi, instead of the calibration's.")
    ] = None,
    change_by: Annotated[
        str,
        typer.Option(
            metavar="footprints|posterior",
            help="Change is where two footprints differ, or where it is likelier than not given all years.",
        ),
    ] = "footprints",
    pairs: Annotated[
        str, typer.Option(metavar="all|consecutive|first-last", help="Which years are compared.")
    ] = "all",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Above this probability a pixel is a mine.")
    ] = 0.5,
    smallest_mapping_unit: Annotated[
        float,
        typer.Option(metavar="HA", min=0, help="Polygons and holes below it are left out, in hectares."),
    ] = 0.0,
    permits: Annotated[
        Path | None, typer.Option(help="Permitted outlines, any vector file: what lies outside is listed.")
    ] = None,
    site: Annotated[str | None, typer.Option(help="Name of the place; the folder's if not given.")] = None,
    bands: Annotated[
        str | None,
        typer.Option(help="Names of the files' bands in their order, - for others: B02,B03,B04,-,B08."),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="0.0001 for reflectance x 10000, 1 for reflectance from 0 to 1.")
    ] = None,
    offset: Annotated[
        float | None,
        typer.Option(help="-1000 where processing baseline 04.00 or later added 1000, else 0."),
    ] = None,
    nodata: Annotated[float | None, typer.Option(help="The number of pixels without data.")] = None,
    window: Annotated[int, typer.Option(help="Side of the windows that the model sees, in pixels.")] = 512,
    overlap: Annotated[int, typer.Option(help="Pixels that neighbouring windows share.")] = 64,
    device: Annotated[
        str | None, typer.Option(help='Where the model runs, such as "cpu"; a GPU if there is one.')
    ] = None,
) -> None:
    """Map a place over its years: footprints, gains and losses between any two years, areas, polygons.

    A run that was stopped goes on where it was when the same command is run again. `euromine report OUT`
    tells what was found.
    """
    asked = None if years is None else parse_years(years)
    if not images.is_dir():
        raise ValueError(f"{images} is no folder, one with a GeoTIFF for each year was expected")
    from euromine.monitoring.history.switch_rates import SwitchRates
    from euromine.monitoring.monitor import MineMonitor  # torch and rasterio take seconds to import

    monitor = MineMonitor.from_pretrained(model, change_model, device)
    try:
        result = monitor.series(
            images,
            out,
            years=asked,
            progress=True,
            smoothing=smooth,
            rates=None if rates is None else SwitchRates.load(rates),
            change_by=change_by,
            pairs=pairs,
            threshold=threshold,
            smallest_mapping_unit=smallest_mapping_unit,
            permits=permits,
            site=site,
            bands=bands,
            scale=scale,
            offset=offset,
            nodata=nodata,
            window=window,
            overlap=overlap,
        )
    except KeyboardInterrupt:
        typer.echo(f"\nStopped; the same command continues with what {out} lacks.", err=True)
        raise typer.Exit(130) from None
    typer.echo(_told(result))


def _told(result: SeriesResult) -> str:
    """What was made, in a few lines."""
    first, last = result.years[0], result.years[-1]
    years, changes = (
        f"1 {thing}" if count == 1 else f"{count} {thing}s"
        for count, thing in ((len(result.years), "year"), (len(result.pairs), "change"))
    )
    lines = [f"{result.path}: {result.manifest.site}, {years}, {changes}."]
    if result.manifest.maps_footprints:
        areas = result.areas.set_index("year")["area_ha"]
        told = [f"{areas[year]:.1f} ha in {year}" for year in dict.fromkeys((first, last))]
        lines.append(f"Mined: {', '.join(told)}.")
    if missing := result.manifest.missing_years:
        lines.append(f"No image of {', '.join(map(str, missing))}.")
    lines.append(f"`euromine report {result.path}` tells it all on one page.")
    return "\n".join(lines)
