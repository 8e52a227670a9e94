"""Files for the options of a series on its ground: outlines of permits and reclaimed ground, land cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from euromine.modeling.tasks import CHANGE_DETECTION
from euromine.monitoring.history.impact_settings import ImpactSettings
from euromine.monitoring.history.series_settings import SeriesSettings

_PERMITS, _OUTLINES = "permits.gpkg", "outlines.gpkg"
_LAND_COVER = "ESA_WorldCover_10m_2014_v100.tif"
_CLASSES = (10, 30, 40, 50, 60, 80)
# Sides of the fields of the land cover, in pixels.
_FIELD = 37


def write_impact_inputs(folder: Path, image: Path) -> None:
    """Outlines and land cover on the ground of an image.

    The permits cover every other eighth of its columns. Of the outlines of reclaimed ground, one reaches from
    border to border, and one around the middle has the year of its start.

    Args:
        folder: The folder to create.
        image: The image.
    """
    import geopandas
    import shapely

    folder.mkdir()
    with rasterio.open(image) as dataset:
        crs, grid, bounds = dataset.crs, dataset.transform, dataset.bounds
        width, height = dataset.width, dataset.height
        year = int(image.stem[-4:])
    edges = np.linspace(bounds.left, bounds.right, 9)
    permits = shapely.box(edges[:-1:2], bounds.bottom, edges[1::2], bounds.top)
    geopandas.GeoDataFrame(geometry=permits, crs=crs).to_file(folder / _PERMITS)
    whole = shapely.box(*bounds)
    inner = shapely.affinity.scale(whole, 0.5, 0.5)
    outlines = {"name": ["whole", "middle"], "start_year": [None, year + 1]}
    geopandas.GeoDataFrame(outlines, geometry=[whole, inner], crs=crs).to_file(folder / _OUTLINES)
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": "uint8"}
    storage = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    with rasterio.open(folder / _LAND_COVER, "w", **profile, **storage, crs=crs, transform=grid) as dataset:
        for top in range(0, height, 512):
            rows = np.arange(top, min(top + 512, height))
            fields = rows[:, None] // _FIELD + np.arange(width) // _FIELD
            classes = np.array(_CLASSES, np.uint8)[fields % len(_CLASSES)]
            dataset.write(classes, 1, window=Window(0, top, width, len(rows)))


def impact_settings(folder: Path, task: str) -> SeriesSettings:
    """Settings with all options that a network's task allows.

    Args:
        folder: The result of `write_impact_inputs`.
        task: The task.
    """
    if task == CHANGE_DETECTION:
        return SeriesSettings(impact=ImpactSettings(indices=("all",)))
    impact = ImpactSettings(indices=("all",), reclamation=folder / _OUTLINES, land_cover=folder / _LAND_COVER)
    return SeriesSettings(impact=impact, permits=folder / _PERMITS)
