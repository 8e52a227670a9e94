"""`euromine map`: from a place to the report on its mine, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from euromine.support.errors import ArgumentError

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
from .series_options import (
    MODEL_HELP,
    ChangeModel,
    Device,
    Engine,
    ForcePrecision,
    Layers,
    MinimumMappingUnit,
    Overlap,
    Pairs,
    Permits,
    Precision,
    Smooth,
    Threshold,
    Window,
    chosen_engine,
    parse_smoothing,
    series_summary,
)
from .simulate import parse_years

if TYPE_CHECKING:
    from euromine.acquisition import AcquisitionOptions


def map_place(
    years: Annotated[str, typer.Option(help="Years: 2017-2025, or 2017,2021,2025.")],
    model: Annotated[str, typer.Option(help=MODEL_HELP)],
    out: Annotated[Path, typer.Option(help="The folder to create or to complete.")],
    name: Annotated[
        str | None, typer.Argument(help="The site's name, such as Bogdanka; not with --sites.")
    ] = None,
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
    workers: Workers = None,
    dask: Dask = None,
    change_model: ChangeModel = None,
    smoothing: Smooth = None,
    pairs: Pairs = "all",
    threshold: Threshold = 0.5,
    minimum_mapping_unit: MinimumMappingUnit = 0.0,
    permits: Permits = None,
    layer: Layers = None,
    indices: Indices = None,
    surroundings: Surroundings = 1000.0,
    reclamation: Reclamation = None,
    reference: Reference = None,
    land_cover: LandCover = None,
    land_cover_legend: LandCoverLegend = None,
    land_cover_year: LandCoverYear = None,
    window: Window = None,
    overlap: Overlap = 64,
    device: Device = None,
    engine: Engine = "auto",
    precision: Precision = "float32",
    force_precision: ForcePrecision = False,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Write the report as a PDF (needs euromine\\[pdf]).")
    ] = False,
    docx: Annotated[
        bool, typer.Option("--docx", help="Write the report as a Word document (needs euromine\\[docx]).")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Map a place over the years: acquire composites, map the mine, and write the report.

    The composites go to OUT/EuroMineNet/NAME, maps, tables and the report to OUT/maps/NAME; with --sites, for
    each feature of a file. Run the same command again to resume an interrupted run, or with more years to add
    them: complete years are kept.
    """
    chosen = parse_years(years)
    bounds = None if bbox is None else parse_bbox(bbox)
    check_place(name, "NAME", sites, has_area=bounds is not None or geometry is not None)
    if pdf and docx:
        raise ArgumentError("--docx: found --pdf, too; expected one of them.")
    kind = "pdf" if pdf else "docx" if docx else "html"
    method = parse_smoothing(smoothing)
    options = acquisition_options(
        chosen,
        months=months,
        catalogue=catalogue,
        level=level,
        scenes=scenes,
        fill=fill,
        margin=margin,
        radar=radar,
        renew=renew,
    )
    # Mistakes in the options come first, as torch and transformers take seconds to import.

    choice = chosen_engine(engine, precision, force_precision)
    from euromine.acquisition.site_outlines import check_box, check_site_name
    from euromine.monitoring import place_history
    from euromine.monitoring.history.series_settings import SeriesSettings
    from euromine.monitoring.monitor import MineMonitor

    settings = SeriesSettings(
        smoothing=method,
        pairs=pairs,
        threshold=threshold,
        minimum_mapping_unit=minimum_mapping_unit,
        permits=permits,
        permit_layers=tuple(layer or ()),
        impact=impact_settings(
            indices, surroundings, reclamation, reference, land_cover, land_cover_legend, land_cover_year
        ),
        site=name,
        window=window,
        overlap=overlap,
    )
    if dry_run:
        typer.echo(_described(out, name, sites, options, bounds, geometry, name_column))
        typer.echo(f"Maps of {model} and the reports go to {out / place_history.MAPS}.")
        return
    # A place that does not fit fails before the model is loaded, and a model before hours of downloads.
    if name is not None:
        check_site_name(name, "NAME")
    if bounds is not None:
        check_box(bounds)
    monitor = MineMonitor.from_pretrained(model, change_model, device, engine=choice)
    common: dict[str, Any] = {"settings": settings, "kind": kind, "progress": True, "announce": typer.echo}
    if sites is not None:
        shared: dict[str, Any] = {"name_column": name_column, "workers": workers, "dask": dask}
        places = place_history.map_places(sites, monitor, out, options, **shared, **common)
    else:
        place: dict[str, Any] = {"bbox": bounds, "geometry": geometry}
        places = [place_history.map_place(str(name), monitor, out, options, **place, **common)]
    for result in places:
        for line in series_summary(result.series):
            typer.echo(line)


def _described(
    out: Path,
    name: str | None,
    sites: Path | None,
    options: AcquisitionOptions,
    bounds: tuple[float, float, float, float] | None,
    geometry: Path | None,
    name_column: str | None,
) -> str:
    """The acquisition of a site, or of each site of a file, as text."""
    from euromine.acquisition.dry_run import describe_acquisition
    from euromine.acquisition.many_sites import described_sites
    from euromine.acquisition.site_acquisition import site_outline

    if sites is not None:
        return described_sites(out, sites, options, name_column=name_column)
    return describe_acquisition(out, str(name), options, site_outline(bounds, geometry))
