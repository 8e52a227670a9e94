"""`euromine series`: all years of a site, from images to maps, areas, changes and polygons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from euromine.support.errors import ArgumentError

from .simulate import parse_years

if TYPE_CHECKING:
    from euromine.monitoring.history.smoothing import Method
    from euromine.monitoring.result import SeriesResult

_SMOOTHING = ("viterbi", "median", "none")


def series(
    model: Annotated[
        str, typer.Argument(help="A footprint mapper or a change detector: a folder or a Hub repository.")
    ],
    images: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A folder with one GeoTIFF per year, the year in its name."),
    ],
    out: Annotated[Path, typer.Option(help="The folder to create or to complete.")],
    years: Annotated[
        str | None, typer.Option(help="2015-2024, or 2015,2018; by default all years in DIR.")
    ] = None,
    change_model: Annotated[
        str | None,
        typer.Option(help="A change detector to locate changes; the footprint mapper gives their direction."),
    ] = None,
    smooth: Annotated[
        str,
        typer.Option(
            metavar="viterbi|median|none",
            help="Smoothing over the years; viterbi, the steadiest, needs a calibration and misses changes.",
        ),
    ] = "median",
    rates: Annotated[
        Path | None, typer.Option(help="A file with switch rates to use instead of the calibration's.")
    ] = None,
    change_by: Annotated[
        str,
        typer.Option(
            metavar="footprints|posterior",
            help="Where two footprints differ, or where a change is more likely than not given all years.",
        ),
    ] = "footprints",
    pairs: Annotated[
        str, typer.Option(metavar="all|consecutive|first-last", help="The pairs of years to compare.")
    ] = "all",
    extent: Annotated[
        str,
        typer.Option(
            metavar="intersection|union",
            help="Map the ground that every year covers, or that of all years together.",
        ),
    ] = "intersection",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Pixels above this probability are mine.")
    ] = 0.5,
    minimum_mapping_unit: Annotated[
        float,
        typer.Option(
            "--smallest-mapping-unit",
            metavar="HA",
            min=0,
            help="Leave out polygons and holes smaller than this, in hectares.",
        ),
    ] = 0.0,
    permits: Annotated[
        Path | None,
        typer.Option(help="A vector file with permits' outlines, to list mining outside them."),
    ] = None,
    site: Annotated[str | None, typer.Option(help="The site's name; by default that of the folder.")] = None,
    bands: Annotated[
        str | None,
        typer.Option(help="Names of the files' bands in order, a dash for others: B02,B03,B04,-,B08."),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="0.0001 for reflectance x 10000, 1 for reflectance from 0 to 1.")
    ] = None,
    offset: Annotated[
        float | None,
        typer.Option(help="-1000 if processing baseline 04.00 or later added 1000, else 0."),
    ] = None,
    nodata: Annotated[float | None, typer.Option(help="Value that marks pixels without data.")] = None,
    level: Annotated[
        str | None,
        typer.Option(
            metavar="l1c|l2a",
            help="Processing level of the images, to warn of a model trained on another; by default that in "
            "their metadata or names.",
        ),
    ] = None,
    override: Annotated[
        bool,
        typer.Option(
            help="Insist on bands, scale, offset, nodata and level where scenes say otherwise themselves."
        ),
    ] = False,
    window: Annotated[int, typer.Option(help="Largest side of a window in pixels, a multiple of 32.")] = 512,
    overlap: Annotated[int, typer.Option(help="Pixels that neighbouring windows share.")] = 64,
    device: Annotated[
        str | None,
        typer.Option(help='Device of the models, such as "cpu"; by default a GPU if there is one.'),
    ] = None,
) -> None:
    """Map a site over its years: footprints, gains and losses between any two years, areas, polygons.

    Run the same command again to resume an interrupted run. `euromine report OUT` writes the report.
    """
    asked = None if years is None else parse_years(years)
    if not images.is_dir():
        found = "a file" if images.exists() else "no such folder"
        raise ArgumentError(f"{images}: found {found}; expected a folder with one GeoTIFF per year.")
    if smooth not in _SMOOTHING:
        raise ArgumentError(f"--smooth: found {smooth!r}; expected viterbi, median or none.")
    from euromine.monitoring.history.switch_rates import SwitchRates
    from euromine.monitoring.monitor import MineMonitor  # torch and rasterio take seconds to import

    monitor = MineMonitor.from_pretrained(model, change_model, device)
    result = monitor.series(
        images,
        out,
        years=asked,
        progress=True,
        smoothing=cast("Method", smooth),
        rates=None if rates is None else SwitchRates.load(rates),
        change_by=change_by,
        pairs=pairs,
        extent=extent,
        threshold=threshold,
        minimum_mapping_unit=minimum_mapping_unit,
        permits=permits,
        site=site,
        bands=bands,
        scale=scale,
        offset=offset,
        nodata=nodata,
        level=level,
        override=override,
        window=window,
        overlap=overlap,
    )
    typer.echo(_summary(result))


def _summary(result: SeriesResult) -> str:
    """The series in a few lines."""
    first, last = result.years[0], result.years[-1]
    years, changes = (
        f"1 {thing}" if count == 1 else f"{count} {thing}s"
        for count, thing in ((len(result.years), "year"), (len(result.pairs), "change"))
    )
    lines = [f"{result.path}: {result.manifest.site}, {years}, {changes}."]
    if result.manifest.maps_footprints:
        areas = result.areas.set_index("year")["area_ha"]
        mined = [f"{areas[year]:.1f} ha in {year}" for year in dict.fromkeys((first, last))]
        lines.append(f"Mined: {', '.join(mined)}.")
    if missing := result.manifest.missing_years:
        lines.append(f"No image of {', '.join(map(str, missing))}.")
    lines.append(f"`euromine report {result.path}` writes the report.")
    return "\n".join(lines)
