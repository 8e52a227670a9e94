"""`euromine map`: from a place to the report on its mine, in one command."""

from pathlib import Path
from typing import Annotated

import typer

from .place_options import (
    AcquiredLevel,
    BBox,
    Catalogue,
    DryRun,
    Fill,
    Geometry,
    Margin,
    Months,
    Radar,
    Renew,
    Scenes,
    acquisition_options,
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
    parse_smoothing,
    series_summary,
)
from .simulate import parse_years


def map_place(
    name: Annotated[str, typer.Argument(help="The site's name, such as Bogdanka.")],
    years: Annotated[str, typer.Option(help="Years: 2017-2025, or 2017,2021,2025.")],
    model: Annotated[str, typer.Option(help=MODEL_HELP)],
    out: Annotated[Path, typer.Option(help="The folder to create or to complete.")],
    bbox: BBox = None,
    geometry: Geometry = None,
    months: Months = None,
    catalogue: Catalogue = None,
    level: AcquiredLevel = None,
    scenes: Scenes = None,
    fill: Fill = None,
    margin: Margin = None,
    radar: Radar = False,
    renew: Renew = False,
    change_model: ChangeModel = None,
    smooth: Smooth = None,
    pairs: Pairs = "all",
    threshold: Threshold = 0.5,
    minimum_mapping_unit: MinimumMappingUnit = 0.0,
    permits: Permits = None,
    layer: Layers = None,
    window: Window = None,
    overlap: Overlap = 64,
    device: Device = None,
    engine: Engine = "auto",
    precision: Precision = "float32",
    force_precision: ForcePrecision = False,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Write the report as a PDF (needs euromine\\[pdf]).")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Map a place over the years: acquire composites, map the mine, and write the report.

    The composites go to OUT/EuroMineNet/NAME, maps, tables and the report to OUT/maps/NAME. Run the same
    command again to resume an interrupted run, or with more years to add them: complete years are kept.
    """
    chosen = parse_years(years)
    bounds = None if bbox is None else parse_bbox(bbox)
    smoothing = parse_smoothing(smooth)
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
    # Imported here, because torch and rasterio take seconds.
    from euromine.monitoring import place_history
    from euromine.monitoring.history.series_settings import SeriesSettings
    from euromine.monitoring.mapping.engines import EngineChoice
    from euromine.monitoring.monitor import MineMonitor

    settings = SeriesSettings(
        smoothing=smoothing,
        pairs=pairs,
        threshold=threshold,
        minimum_mapping_unit=minimum_mapping_unit,
        permits=permits,
        permit_layers=tuple(layer or ()),
        site=name,
        window=window,
        overlap=overlap,
    )
    if dry_run:
        from euromine.acquisition.dry_run import describe_acquisition
        from euromine.acquisition.site_acquisition import site_outline

        typer.echo(describe_acquisition(out, name, options, site_outline(bounds, geometry)))
        folder, maps = place_history.site_folders(out, name)
        typer.echo(f"Composites go to {folder}, the maps of {model} and the report to {maps}.")
        return
    # A model that cannot be loaded fails before hours of downloads.
    monitor = MineMonitor.from_pretrained(
        model, change_model, device, engine=EngineChoice(engine, precision, force_precision)
    )
    result = place_history.map_place(
        name,
        monitor,
        out,
        options,
        bbox=bounds,
        geometry=geometry,
        settings=settings,
        pdf=pdf,
        progress=True,
        announce=typer.echo,
    )
    for line in series_summary(result.series):
        typer.echo(line)
