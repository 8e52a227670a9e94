"""`euromine export`: a model as ONNX or OpenVINO, or in int8 for `--precision int8`."""

from pathlib import Path
from typing import Annotated

import typer

from euromine.support.errors import ArgumentError
from euromine.support.model_sources import check_checkpoint


def export(
    model: Annotated[
        str, typer.Argument(help="A footprint mapper or a change detector: a folder or a Hub repository.")
    ],
    file_format: Annotated[
        str, typer.Option("--format", metavar="onnx|openvino", help="The format of the export.")
    ] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the export. By default onnx or openvino in the model's folder."),
    ] = None,
    int8: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="Quantise to int8, by ranges counted on this dataset's training patches, for "
            "`--precision int8` (openvino; needs euromine\\[int8]).",
        ),
    ] = None,
    window: Annotated[int, typer.Option(help="Side of the windows in pixels.")] = 512,
) -> None:
    """Export a model with its normalisation inside, for programs without PyTorch.

    The ONNX or OpenVINO file takes digital numbers and gives a probability; the README.md beside it says how.
    `euromine publish model` sends exports in the model's folder along.
    """
    # Mistakes in the options come first, as torch and transformers take seconds to import.
    from euromine.monitoring.mapping.engine_choice import OPENVINO

    if int8 is not None and file_format != OPENVINO:
        raise ArgumentError(
            f"--int8: found {int8} with --format {file_format}; expected --format openvino, which runs int8."
        )
    check_checkpoint(model)
    if not Path(model).is_dir() and (out is None or int8 is not None):
        raise ArgumentError(
            f"{model}: found no folder; expected the folder of a checkpoint, to which the export is added. "
            "Download the model, or name another folder with --out."
        )
    from euromine.monitoring.mapping.int8_export import export_int8
    from euromine.monitoring.mapping.loading import load_model
    from euromine.monitoring.mapping.model_export import export_model

    loaded = load_model(model, device="cpu")
    path = export_model(loaded, file_format, out or Path(model) / file_format, window=window)
    typer.echo(f"{path}: takes digital numbers, gives a probability.")
    if int8 is not None:
        folder = export_int8(loaded, int8, model, window=window)
        typer.echo(f"{folder}: for --precision int8.")
