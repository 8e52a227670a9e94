"""`euromine build`: the published archive to parquet shards with a dataset card."""

from pathlib import Path
from typing import Annotated

import typer


def build(
    archive: Annotated[
        Path, typer.Argument(help="The published archive: a folder with the site folders in it, or the zip.")
    ],
    out: Annotated[Path, typer.Argument(help="The folder to make.")],
    splits: Annotated[
        str,
        typer.Option(
            help='"corrected", "official", or a JSON file {"train": [...], "validation": [...], "test": []}.'
        ),
    ] = "corrected",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes; as many as there are cores if not given.")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Hand the sites to the Dask cluster at this address."),
    ] = None,
) -> None:
    """Build the dataset that load_dataset reads from an archive in the published layout.

    A build that was stopped goes on where it was when the same command is run again.
    """
    from euromine.dataset_script.shards import build_dataset  # rasterio and datasets take seconds to import

    folder = build_dataset(archive, out, splits=splits, workers=workers, dask=dask)
    typer.echo(f'Built {folder}: load_dataset("{folder}", "annual"), or "series", or "pairs".')
