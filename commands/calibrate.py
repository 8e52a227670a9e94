"""`euromine calibrate`: a model's errors and its labels' switch rates, counted once."""

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    model: Annotated[str, typer.Argument(help="A footprint mapper: its folder, or a Hub repository.")],
    dataset: Annotated[
        str, typer.Argument(help="The dataset it was trained on: a folder or a Hub repository.")
    ],
    split: Annotated[str, typer.Option(help="The split whose sites tell the model's errors.")] = "validation",
    training_split: Annotated[str, typer.Option(help="The split it was trained on.")] = "train",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Above this probability a pixel is a mine.")
    ] = 0.5,
    device: Annotated[
        str | None, typer.Option(help='Where the model runs, such as "cpu"; a GPU if there is one.')
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write; calibration.json in the model's folder if not given."),
    ] = None,
) -> None:
    """Count what smoothing and intervals of areas need: switch rates, and errors at the validation sites.

    `euromine series` finds the result beside the model.
    """
    if out is None and not Path(model).is_dir():
        raise ValueError(f"{model} is no folder here: name the file to write with --out")
    if out is not None and not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.absolute().parent}")
    from euromine.monitoring.history.calibration import calibrate as count
    from euromine.monitoring.mapping.loading import load_model

    loaded = load_model(model, task="segmentation", device=device)
    calibration = count(
        loaded.model,
        loaded.image_processor,
        dataset,
        training_split=training_split,
        split=split,
        threshold=threshold,
        progress=True,
    )
    path = calibration.save(model if out is None else out)
    rates = calibration.rates
    typer.echo(
        f"{path}: of the ground that is no mine {rates.expansion:.3%} becomes one in a year, of mines "
        f"{rates.reclamation:.3%} become none; errors counted at "
        f"{len(calibration.footprints['none'].sites)} sites of the split {split}."
    )
