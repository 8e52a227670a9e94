"""`euromine indices`: spectral indices of single scenes."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from euromine.support.errors import EuroMineError, one_line

from .series_options import KeepClouds, Nodata, Offset, Override, SceneBands

logger = logging.getLogger(__name__)

INDICES_HELP = (
    "Spectral indices, separated by commas: ndvi, ndwi, mndwi, ndmi, bsi, nbr, ndti, iron_oxide, ferrous; "
    "or all."
)


def indices(
    scenes: Annotated[
        list[str],
        typer.Argument(
            help="Images of any size: GeoTIFF, JPEG 2000, VRT or netCDF files, Sentinel-2 products as "
            "folders or zips, or https:// addresses of GeoTIFFs."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the maps.")],
    indices: Annotated[str, typer.Option(metavar="NAMES|all", help=INDICES_HELP)] = "all",
    bands: SceneBands = None,
    scale: Annotated[
        float | None,
        typer.Option(help="0.0001 for reflectance x 10000, 1 for reflectance from 0 to 1."),
    ] = None,
    offset: Offset = None,
    nodata: Nodata = None,
    override: Override = False,
    keep_clouds: KeepClouds = False,
) -> None:
    """Map spectral indices of scenes: <scene>_indices.tif, int16 x 10000 with a named band for each index.

    Run the same command again to resume a stopped run. A scene that cannot be read does not stop the others.
    """
    from euromine.monitoring.mapping.index_maps import map_indices
    from euromine.monitoring.scenes.locations import distinct_scenes
    from euromine.monitoring.scenes.scene_options import SceneOptions
    from euromine.monitoring.scenes.spectral_indices import parse_indices

    names = parse_indices(indices, "--indices")
    options = SceneOptions.of(
        bands=bands,
        scale=scale,
        offset=offset,
        nodata=nodata,
        override=override,
        keep_clouds=keep_clouds,
    )
    distinct = distinct_scenes(scenes)
    failed = 0
    for scene in distinct:
        try:
            typer.echo(map_indices(scene, out, names, options=options, progress=True))
        except (EuroMineError, OSError) as error:
            logger.error("%s", one_line(error))
            failed += 1
    if failed:
        typer.echo(f"{failed} of {len(distinct)} scenes failed, for the reasons above.", err=True)
        raise typer.Exit(1)
