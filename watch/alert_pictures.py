"""Pictures of an alert's place before and after."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from euromine.monitoring.scenes.scene import open_scene
from euromine.support.contrast import contrast_limits, stretched
from euromine.support.files import write_bytes

from .alerts import Alert
from .series_facts import SeriesFacts

logger = logging.getLogger(__name__)

PICTURES = "pictures"
"""The folder of all pictures in that of a watch."""

BEFORE, AFTER = "before", "after"
# The least ground around an alert in pixels, and the longest side of a picture.
_LEAST_SIDE, _LONGEST_SIDE = 96, 480
_OUTLINE = "#ffd400"  # visible on soil, water and vegetation


def picture_path(folder: Path, alert: Alert, moment: str, year: int) -> Path:
    """The file of a picture."""
    return folder / alert.id / f"{moment}_{year}.png"


def picture_paths(folder: Path, alert: Alert) -> dict[str, Path]:
    """The pictures of an alert that exist, by "before" and "after"."""
    years = {BEFORE: alert.before_year, AFTER: alert.last_year}
    paths = {
        moment: picture_path(folder, alert, moment, year)
        for moment, year in years.items()
        if year is not None
    }
    return {moment: path for moment, path in paths.items() if path.is_file()}


def write_pictures(
    facts: SeriesFacts, alert: Alert, scenes: Mapping[int, str | os.PathLike[str]], folder: Path
) -> None:
    """Write the pictures before and after, PNG in natural colour with the alert's outline.

    Args:
        facts: The site's facts.
        alert: The alert. Without a place it gets no pictures.
        scenes: The image of each year.
        folder: The folder of all pictures.

    Raises:
        SceneError: An image cannot be read.
        OSError: A picture cannot be written.
    """
    if alert.geometry is None:
        return
    outline = facts.projected(alert.geometry)
    for moment, year in ((BEFORE, alert.before_year), (AFTER, alert.last_year)):
        if year is None or year not in scenes:
            continue
        path = picture_path(folder, alert, moment, year)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _picture(facts, scenes[year], year, outline))


def _picture(facts: SeriesFacts, scene: str | os.PathLike[str], year: int, outline: Any) -> bytes:
    """A PNG of the ground around an outline."""
    from rasterio.warp import transform_bounds
    from rasterio.windows import Window, from_bounds

    bands = _colour_bands(facts, year)
    with open_scene(scene) as opened:
        grid = opened.grid
        box = transform_bounds(facts.crs.to_wkt(), grid.crs, *outline.bounds)
        near = from_bounds(*_ordered(box), transform=grid.transform)
        side = max(_LEAST_SIDE, 1.5 * near.width, 1.5 * near.height)
        top, left = near.row_off + near.height / 2 - side / 2, near.col_off + near.width / 2 - side / 2
        height, width = grid.shape
        first_row, first_column = max(0, int(top)), max(0, int(left))
        window = Window(
            first_column,
            first_row,
            max(1, min(width, int(left + side)) - first_column),
            max(1, min(height, int(top + side)) - first_row),
        )
        values, valid = opened.read(window, bands)
        picture = _coloured(np.asarray(values, np.float32), np.asarray(valid, bool))
        factor = max(1, _LONGEST_SIDE // max(picture.size))
        size = (picture.width * factor, picture.height * factor)
        # Whole pixels show the image's resolution, and weigh a sixth of smoothed ones.
        picture = picture.resize(size, Image.Resampling.NEAREST)
        picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        scale = picture.width / window.width
        _draw(picture, facts, outline, grid, (first_column, first_row), scale)
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def _colour_bands(facts: SeriesFacts, year: int) -> tuple[str, ...]:
    for scene in facts.series.manifest.scenes:
        if scene.year == year and scene.quicklook_bands:
            return tuple(scene.quicklook_bands)
    return ("B04", "B03", "B02")


def _ordered(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, bottom, right, top = box
    return min(left, right), min(bottom, top), max(left, right), max(bottom, top)


def _coloured(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> Image.Image:
    """A picture, each band stretched by itself; grey without data."""
    pixels = np.moveaxis(values, 0, -1).copy()
    pixels[~valid] = np.nan
    shown = stretched(pixels, contrast_limits(pixels[valid]))
    return Image.fromarray(np.repeat(shown, 3, axis=-1) if shown.shape[-1] == 1 else shown)


def _draw(
    picture: Image.Image, facts: SeriesFacts, outline: Any, grid: Any, corner: tuple[int, int], scale: float
) -> None:
    """Draw an outline."""
    import geopandas
    import shapely

    moved = geopandas.GeoSeries([outline], crs=facts.crs).to_crs(grid.crs.to_wkt()).iloc[0]
    pen = ImageDraw.Draw(picture)
    for part in shapely.get_parts(moved):
        for ring in shapely.get_rings(part):
            columns, rows = ~grid.transform @ shapely.get_coordinates(ring).T
            points = np.column_stack([columns - corner[0], rows - corner[1]]) * scale
            pen.line([tuple(point) for point in points], fill=_OUTLINE, width=2)
