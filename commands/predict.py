"""`euromine predict`: footprint maps of scenes of any size."""

import os
from pathlib import Path
from typing import Annotated

import typer

from euromine.support.errors import ArgumentError
from euromine.support.model_sources import check_checkpoint

from .series_options import (
    Engine,
    ForcePrecision,
    KeepClouds,
    Override,
    Precision,
    ProbabilityType,
    SceneBands,
    chosen_engine,
)


def predict(
    model: Annotated[
        str, typer.Argument(help="A checkpoint of train_seg.py: a folder, or a repository on the Hub.")
    ],
    scenes: Annotated[
        list[str],
        typer.Argument(
            help="Images of any size: GeoTIFF, JPEG 2000, VRT or netCDF files, Sentinel-2 products as "
            "folders or zips, or https:// addresses of GeoTIFFs."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the maps.")],
    probability: Annotated[
        bool, typer.Option("--probability", help="Also write <scene>_probability.tif.")
    ] = False,
    probability_type: ProbabilityType = "float32",
    bands: SceneBands = None,
    scale: Annotated[
        float | None,
        typer.Option(
            help="0.0001 if the scenes hold reflectance x 10000, 1 if they hold reflectance. "
            "By default, as in their metadata."
        ),
    ] = None,
    offset: Annotated[
        float | None,
        typer.Option(
            help="Number to add to the scenes' values: -1000 if processing baseline 04.00 or later added "
            "1000, else 0. By default, as in their metadata."
        ),
    ] = None,
    nodata: Annotated[
        float | None,
        typer.Option(help="Value that marks pixels without data. By default, as in the scenes' metadata."),
    ] = None,
    level: Annotated[
        str | None,
        typer.Option(
            metavar="l1c|l2a",
            help="Processing level of the scenes, to warn of a model trained on another. By default, as in "
            "their metadata or names.",
        ),
    ] = None,
    override: Override = False,
    keep_clouds: KeepClouds = False,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Pixels above this probability are mapped as mine.")
    ] = 0.5,
    window: Annotated[
        int, typer.Option(help="Largest side of the model's windows in pixels, a multiple of 32.")
    ] = 512,
    overlap: Annotated[int, typer.Option(help="Pixels shared by neighbouring windows.")] = 64,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Windows per call of the model. By default 1, or 8 on a GPU."),
    ] = None,
    engine: Engine = "auto",
    precision: Precision = "float32",
    force_precision: ForcePrecision = False,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Map the scenes on the Dask cluster with this scheduler."),
    ] = None,
) -> None:
    """Map the mining footprint in scenes: <scene>_footprint.tif with 1 mined, 0 not, 255 no data.

    Run the same command again to resume a stopped run. A scene that cannot be mapped does not stop the
    others. `accelerate launch -m euromine.commands predict ...` shares many scenes between processes.
    """
    if probability_type != "float32" and not probability:
        raise ArgumentError(
            f"--probability-type: found {probability_type} without a map of probability; expected one. "
            "Add --probability."
        )
    # Mistakes in the options come first, as torch and transformers take seconds to import.
    from euromine.monitoring.mapping.tiling import check_layout
    from euromine.monitoring.scenes.locations import locate
    from euromine.monitoring.scenes.scene_options import SceneOptions

    choice = chosen_engine(engine, precision, force_precision)
    options = SceneOptions.of(
        bands=bands,
        scale=scale,
        offset=offset,
        nodata=nodata,
        override=override,
        level=level,
        keep_clouds=keep_clouds,
    )
    check_layout(window, overlap)
    check_checkpoint(model)
    from euromine.monitoring.mapping.many_scenes import predict_scenes

    outcomes = predict_scenes(
        model,
        scenes,
        out,
        probability=probability,
        probability_type=probability_type,
        options=options,
        threshold=threshold,
        window=window,
        overlap=overlap,
        batch_size=batch_size,
        engine=choice,
        dask=dask,
        progress=True,
    )
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if int(os.environ.get("RANK", "0")) == 0:
        typer.echo(f"Mapped {len(outcomes) - len(failed)} of {len(outcomes)} scenes to {out}.")
        if failed:
            not_mapped = ", ".join(locate(outcome.path).name for outcome in failed)
            typer.echo(f"Not mapped, for the reasons above: {not_mapped}.", err=True)
    if failed:
        raise typer.Exit(1)
