"""`euromine series`: all years of a site, from images to maps, areas, changes and polygons."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from euromine.support.errors import ArgumentError
from euromine.support.model_sources import check_checkpoint

from .impact_options import (
    Indices,
    LandCover,
    LandCoverLegend,
    LandCoverYear,
    Reclamation,
    Reference,
    Surroundings,
    impact_settings,
)
from .series_options import (
    MODEL_HELP,
    ChangeModel,
    Device,
    Engine,
    ForcePrecision,
    KeepClouds,
    Layers,
    MinimumMappingUnit,
    Nodata,
    Offset,
    Overlap,
    Override,
    Pairs,
    Permits,
    Precision,
    ProbabilityType,
    Smooth,
    Threshold,
    Window,
    chosen_engine,
    parse_smoothing,
    series_summary,
)
from .simulate import parse_years


def series(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR|IMAGES...",
            help="A folder with one image per year, the year in its name; or the images themselves: files, "
            "Sentinel-2 products or https:// addresses. With --each-site, the folder of an archive.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to create or to complete.")],
    years: Annotated[
        str | None, typer.Option(help="2015-2024, or 2015,2018; by default all years in DIR.")
    ] = None,
    year_of: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=YEAR", help="The year of an image whose name does not say it; may be repeated."
        ),
    ] = None,
    change_model: ChangeModel = None,
    smoothing: Smooth = None,
    rates: Annotated[
        Path | None, typer.Option(help="A file with switch rates to use instead of the calibration's.")
    ] = None,
    change_by: Annotated[
        str | None,
        typer.Option(
            metavar="footprints|posterior",
            help="Where two footprints differ, or where a change is more likely than not given all years. By "
            "default footprints, and posterior with a network for series.",
        ),
    ] = None,
    change_probability: Annotated[
        bool,
        typer.Option(
            "--change-probability", help="With a network for series, map the probability of each change, too."
        ),
    ] = False,
    pairs: Pairs = "all",
    extent: Annotated[
        str,
        typer.Option(
            metavar="intersection|union",
            help="Map the ground that every year covers, or that of all years together.",
        ),
    ] = "intersection",
    threshold: Threshold = 0.5,
    minimum_mapping_unit: MinimumMappingUnit = 0.0,
    probability_type: ProbabilityType = "float32",
    permits: Permits = None,
    layer: Layers = None,
    indices: Indices = None,
    surroundings: Surroundings = 1000.0,
    reclamation: Reclamation = None,
    reference: Reference = None,
    land_cover: LandCover = None,
    land_cover_legend: LandCoverLegend = None,
    land_cover_year: LandCoverYear = None,
    site: Annotated[str | None, typer.Option(help="The site's name; by default that of the folder.")] = None,
    bands: Annotated[
        str | None,
        typer.Option(help="Names of the files' bands in order, a dash for others: B02,B03,B04,-,B08."),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="0.0001 for reflectance x 10000, 1 for reflectance from 0 to 1.")
    ] = None,
    offset: Offset = None,
    nodata: Nodata = None,
    level: Annotated[
        str | None,
        typer.Option(
            metavar="l1c|l2a",
            help="Processing level of the images, to warn of a model trained on another; by default that in "
            "their metadata or names.",
        ),
    ] = None,
    override: Override = False,
    keep_clouds: KeepClouds = False,
    window: Window = None,
    overlap: Overlap = 64,
    device: Device = None,
    engine: Engine = "auto",
    precision: Precision = "float32",
    force_precision: ForcePrecision = False,
    each_site: Annotated[
        bool,
        typer.Option(
            "--each-site",
            help="Map each site of the archive DIR, such as `euromine acquire` writes, into OUT/SITE.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes for --each-site; by default 1.")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Map --each-site on the Dask cluster there."),
    ] = None,
) -> None:
    """Map a site over its years: footprints, gains and losses between any two years, areas, polygons.

    Run the same command again to resume an interrupted run. `euromine report OUT` writes the report.
    """
    _check_each_site(each_site, images, site, year_of, workers, dask)
    asked = None if years is None else parse_years(years)
    for image in images:
        if "://" not in image and not Path(image).exists():
            raise ArgumentError(
                f"{image}: found no such file or folder; expected a folder with one image per year, or the "
                "images themselves."
            )
    years_of = dict(_year_of(text) for text in year_of or ())
    method = parse_smoothing(smoothing)
    # Mistakes in the options come first, as torch and transformers take seconds to import.

    choice = chosen_engine(engine, precision, force_precision)
    for source in (model, change_model):
        if source is not None:
            check_checkpoint(source)
    from euromine.monitoring.archive_histories import ModelChoice, map_archive
    from euromine.monitoring.history.series_settings import SeriesSettings
    from euromine.monitoring.history.switch_rates import SwitchRates
    from euromine.monitoring.monitor import MineMonitor
    from euromine.monitoring.scenes.scene_options import SceneOptions

    impact = impact_settings(
        indices, surroundings, reclamation, reference, land_cover, land_cover_legend, land_cover_year
    )
    how: dict[str, Any] = {
        "smoothing": method,
        "rates": None if rates is None else SwitchRates.load(rates),
        "change_by": change_by,
        "change_probability": change_probability,
        "pairs": pairs,
        "extent": extent,
        "threshold": threshold,
        "minimum_mapping_unit": minimum_mapping_unit,
        "probability_type": probability_type,
        "permits": permits,
        "permit_layers": tuple(layer or ()),
        "impact": impact,
        "window": window,
        "overlap": overlap,
    }
    settings = SeriesSettings(**how)  # wrong ones fail before a model is loaded
    metadata: dict[str, Any] = {
        "bands": bands,
        "scale": scale,
        "offset": offset,
        "nodata": nodata,
        "level": level,
        "override": override,
        "keep_clouds": keep_clouds,
    }
    if each_site:
        models = ModelChoice(model=model, change_model=change_model, device=device, engine=choice)
        mapped = map_archive(
            models,
            images[0],
            out,
            settings,
            years=asked,
            options=SceneOptions.of(**metadata),
            workers=workers or 1,
            dask=dask,
            progress=True,
        )
        for done in mapped:
            typer.echo(f"{done.folder}")
        typer.echo(f"{len(mapped)} sites. `euromine report {out / mapped[0].name}` writes the report of one.")
        return
    result = MineMonitor.from_pretrained(model, change_model, device, engine=choice).series(
        images[0] if len(images) == 1 else images,
        out,
        years=asked,
        year_of=years_of,
        progress=True,
        site=site,
        **how,
        **metadata,
    )
    for line in series_summary(result):
        typer.echo(line)
    typer.echo(f"`euromine report {result.path}` writes the report.")


def _check_each_site(
    each_site: bool,
    images: list[str],
    site: str | None,
    year_of: list[str] | None,
    workers: int | None,
    dask: str | None,
) -> None:
    """Refuse options of one site with --each-site, and those of many without it.

    Raises:
        ArgumentError: They do not fit together.
    """
    if each_site:
        if len(images) > 1 or not Path(images[0]).is_dir():
            raise ArgumentError(
                f"{images[-1]}: found no folder of an archive; expected one with --each-site, such as "
                "`euromine acquire` writes."
            )
        if site is not None or year_of:
            name = "--site" if site is not None else "--year-of"
            raise ArgumentError(f"{name}: found it with --each-site; expected it for a single site. Omit it.")
    elif workers is not None or dask is not None:
        name = "--workers" if workers is not None else "--dask"
        raise ArgumentError(f"{name}: found it for one site; expected it for many. Add --each-site.")


def _year_of(text: str) -> tuple[str, int]:
    """`"2019-2020_mosaic.tif=2020"` -> the name and the year."""
    name, _, year = text.rpartition("=")
    if not name or not re.fullmatch(r"(?:19|20)\d\d", year):
        raise ArgumentError(
            f"--year-of: found {text!r}; expected NAME=YEAR, such as mosaic.tif=2020, with a year from 1900 "
            "to 2099."
        )
    return name, int(year)
