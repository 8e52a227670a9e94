"""`euromine predict`: scenes of any size to maps of the footprint, with a trained network."""

import os
from pathlib import Path
from typing import Annotated

import typer


def predict(
    model: Annotated[
        str, typer.Argument(help="A checkpoint of train_seg.py: a folder, or a repository of the Hub.")
    ],
    scenes: Annotated[list[Path], typer.Argument(help="GeoTIFFs of any size.")],
    out: Annotated[Path, typer.Option(help="Folder of the maps.")],
    probability: Annotated[
        bool, typer.Option("--probability", help="Write <scene>_probability.tif as well.")
    ] = False,
    bands: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Names of the scenes' bands in their order: B02,B03,-,B08; a dash for others.",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="0.0001 for reflectance x 10000, 1 for reflectance; if the scenes do not say."),
    ] = None,
    offset: Annotated[
        float | None,
        typer.Option(
            help="Added to the scenes' numbers: -1000 where processing baseline 04.00 or later added 1000, "
            "else 0; if the scenes do not say."
        ),
    ] = None,
    nodata: Annotated[
        float | None, typer.Option(help="The number of pixels without data; if the scenes do not say.")
    ] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Above this probability is mine.")] = 0.5,
    window: Annotated[
        int, typer.Option(help="Largest side of the windows that the network sees, a multiple of 32.")
    ] = 512,
    overlap: Annotated[int, typer.Option(help="Pixels that neighbouring windows share.")] = 64,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Windows at once; 1, or 8 on a GPU, if not given.")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Hand the scenes to the Dask cluster at this address."),
    ] = None,
) -> None:
    """Map the mining footprint in scenes: <scene>_footprint.tif, 1 mine, 0 none, 255 without data.

    A run that was stopped goes on where it was. A scene that cannot be mapped does not stop the others. Many
    scenes are shared out between processes by `accelerate launch -m euromine.commands predict ...`.
    """
    from euromine.monitoring.mapping.prediction import (
        predict_scenes,  # torch and transformers take seconds to import
    )
    from euromine.monitoring.scenes.band_names import parse_bands
    from euromine.monitoring.scenes.scene_options import SceneOptions

    options = SceneOptions(parse_bands(bands) if bands is not None else None, scale, offset, nodata)
    outcomes = predict_scenes(
        model,
        scenes,
        out,
        dask=dask,
        progress=True,
        probability=probability,
        options=options,
        threshold=threshold,
        window=window,
        overlap=overlap,
        batch_size=batch_size,
    )
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if int(os.environ.get("RANK", "0")) == 0:
        typer.echo(f"Mapped {len(outcomes) - len(failed)} of {len(outcomes)} scenes to {out}.")
        if failed:
            names = ", ".join(Path(outcome.path).name for outcome in failed)
            typer.echo(f"Not mapped, for the reasons above: {names}.", err=True)
    if failed:
        raise typer.Exit(1)
