"""`euromine calibrate`: count a model's errors and the switch rates of its training labels."""

from pathlib import Path
from typing import Annotated

import typer

from euromine.support.errors import ArgumentError


def calibrate(
    model: Annotated[str, typer.Argument(help="A footprint mapper: its folder, or a Hub repository.")],
    dataset: Annotated[
        str, typer.Argument(help="The dataset that the model was trained on: a folder or a Hub repository.")
    ],
    split: Annotated[str, typer.Option(help="The split at whose sites errors are counted.")] = "validation",
    training_split: Annotated[
        str, typer.Option(help="The split from whose labels switch rates are counted.")
    ] = "train",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Pixels above this probability are mine.")
    ] = 0.5,
    device: Annotated[
        str | None, typer.Option(help='Device of the model, such as "cpu"; by default a GPU if there is one.')
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write; calibration.json in the model's folder by default."),
    ] = None,
) -> None:
    """Count a model's errors (for intervals of areas) and how often mines change (for smoothing).

    `euromine series` finds the result beside the model.
    """
    if out is None and not Path(model).is_dir():
        raise ArgumentError(
            f"--out: found none for {model}, which is not a local folder; expected the file to write."
        )
    if threshold == 1:  # as `euromine series` does
        raise ArgumentError("--threshold: found 1.0; expected a probability of at least 0 and below 1.")
    if out is not None and not out.absolute().parent.is_dir():
        raise ArgumentError(
            f"--out: found a file in {out.absolute().parent}, which does not exist; expected a file in an "
            "existing folder."
        )
    from euromine.monitoring.history.calibration_counts import calibrate as count
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
        f"{path}: each year, {rates.expansion:.3%} of other ground turns into mine and "
        f"{rates.reclamation:.3%} of mined ground turns back; errors counted at "
        f"{_number_of_sites(len(calibration.footprints['none'].sites))} of the split {split}."
    )


def _number_of_sites(number: int) -> str:
    return "1 site" if number == 1 else f"{number} sites"
