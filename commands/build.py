"""`euromine build`: an archive to parquet shards with a dataset card."""

from pathlib import Path
from typing import Annotated

import typer

from .simulate import Years, parse_years


def build(
    archive: Annotated[
        Path, typer.Argument(help="The published archive: a folder of site folders, or the zip.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write the dataset to.")],
    splits: Annotated[
        str,
        typer.Option(
            help='"corrected", "official", or a JSON file {"train": [...], "validation": [...], "test": []}.'
        ),
    ] = "corrected",
    years: Years = None,
    skip_unlabelled: Annotated[
        bool,
        typer.Option(
            "--skip-unlabelled", help="Leave out sites and years without labels instead of refusing them."
        ),
    ] = False,
    skip_components: Annotated[
        bool,
        typer.Option(
            "--skip-components", help="Leave out the component classes of sites, and radar with them."
        ),
    ] = False,
    level: Annotated[
        str | None,
        typer.Option(
            metavar="l1c|l2a",
            help="Processing level of the images, to record it where the images themselves do not.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes; by default one per core.")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Build on the Dask cluster at this address."),
    ] = None,
) -> None:
    """Build a dataset for load_dataset from an archive in the published layout.

    Run the same command again to resume a stopped build.
    """
    from euromine.dataset_script.shards import build_dataset  # rasterio and datasets take seconds to import

    folder = build_dataset(
        archive,
        out,
        splits=splits,
        years=None if years is None else parse_years(years),
        skip_unlabelled=skip_unlabelled,
        skip_components=skip_components,
        level=level,
        workers=workers,
        dask=dask,
    )
    configs = ["series", "pairs", *(["components"] if (folder / "data" / "components").is_dir() else [])]
    others = " or ".join(f'"{config}"' for config in configs)
    typer.echo(f'Built {folder}: load_dataset("{folder}", "annual"), or {others}.')
