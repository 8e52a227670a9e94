"""`euromine calibrate`: count a model's errors and the switch rates of its training labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from euromine.support.errors import ArgumentError
from euromine.support.model_sources import check_model_source

from .series_options import Threshold

if TYPE_CHECKING:
    from euromine.monitoring.history.calibration import Calibration


def calibrate(
    model: Annotated[str, typer.Argument(help="A footprint mapper: its folder, or a Hub repository.")],
    dataset: Annotated[
        str, typer.Argument(help="The dataset that the model was trained on: a folder or a Hub repository.")
    ],
    split: Annotated[str, typer.Option(help="The split at whose sites errors are counted.")] = "validation",
    training_split: Annotated[
        str, typer.Option(help="The split from whose labels switch rates are counted.")
    ] = "train",
    threshold: Threshold = 0.5,
    device: Annotated[
        str | None, typer.Option(help='Device of the model, such as "cpu"; by default a GPU if there is one.')
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write; calibration.json in the model's folder by default."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is no earlier calibration, too.")
    ] = False,
) -> None:
    """Count a model's errors (for intervals of areas) and how often mines change (for smoothing).

    `euromine series` finds the result beside the model.
    """
    check_model_source(model)
    if out is None and not Path(model).is_dir():
        raise ArgumentError(
            f"--out: found none for {model}, which is not a local folder; expected the file to write."
        )
    if threshold == 1:  # as `euromine series` does
        raise ArgumentError("--threshold: found 1.0; expected a probability of at least 0 and below 1.")
    from euromine.monitoring.history.calibration import CALIBRATION_NAME, is_calibration
    from euromine.support.files import check_output_file
    from euromine.support.locks import lock_file, lock_folder

    target = Path(model) / CALIBRATION_NAME if out is None else out
    check_output_file(target, is_calibration, overwrite=overwrite)
    # Beside the model, a training that may replace it is excluded, too.
    with lock_folder(Path(model)) if out is None else lock_file(target):
        calibration = _count(model, dataset, split, training_split, threshold, device)
        path = calibration.save(target)
    rates = calibration.rates
    typer.echo(
        f"{path}: each year, {rates.expansion:.3%} of other ground turns into mine and "
        f"{rates.reclamation:.3%} of mined ground turns back; errors counted at "
        f"{_number_of_sites(len(calibration.footprints['none'].sites))} of the split {split}."
    )
    if calibration.components:
        typer.echo(_components_counted(calibration))


def _count(
    model: str, dataset: str, split: str, training_split: str, threshold: float, device: str | None
) -> Calibration:
    from euromine.monitoring.history.calibration_counts import calibrate as count
    from euromine.monitoring.mapping.loading import load_model

    loaded = load_model(model, task="segmentation", device=device)
    return count(
        loaded.model,
        loaded.image_processor,
        dataset,
        training_split=training_split,
        split=split,
        threshold=threshold,
        progress=True,
    )


def _components_counted(calibration: Calibration) -> str:
    groups = ", ".join(calibration.components)
    moved = "and on transitions between them"
    if not calibration.component_transitions:
        moved = "and none on transitions, which need sites with components of two years"
    return f"Errors on components were counted, too, in the groups {groups}, {moved}."


def _number_of_sites(number: int) -> str:
    return "1 site" if number == 1 else f"{number} sites"
