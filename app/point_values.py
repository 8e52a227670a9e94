"""The values of a point over the years, of the pixel of each map that holds it."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np

from euromine.dataset_script.label_groups import LabelGroups
from euromine.monitoring.history.file_names import (
    FIRST_YEAR,
    LAST_YEAR,
    component_name,
    footprint_name,
    index_name,
    probability_name,
    water_name,
)
from euromine.monitoring.mapping.index_maps import decode_indices
from euromine.monitoring.mapping.map_values import NEVER, NODATA, UNKNOWN_YEAR
from euromine.monitoring.mapping.stored_probabilities import decode_probability
from euromine.monitoring.scenes.scene import Scene, open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import ArgumentError, SceneError, one_line
from euromine.support.image_headers import DIGITAL_NUMBERS

from .map_windows import MapWindows, Span
from .site_catalogue import SitePlace

logger = logging.getLogger(__name__)

NO_COMPONENT = "none"
"""A pixel without a component, as in `component_transitions.csv`."""

# A band without a name, in a manifest.
_UNNAMED = "?"
_DIGITS = 4


def point_values(place: SitePlace, longitude: float, latitude: float) -> dict[str, Any]:
    """The values of a point over the years; None where unknown.

    Args:
        place: The site.
        longitude: In degrees.
        latitude: In degrees.

    Returns:
        `inside`, whether the point lies in the series; `row` and `column` of its pixel; `first_year` and
        `last_year` in which it is mined, None where never; and for each of `years` whether it is `mined`, the
        `probability`, whether there is `water` in the mine, `indices`, `reflectance` of the image's bands,
        and `components` by group.

    Raises:
        ArgumentError: The coordinates are none.
        DataError: A map is damaged.
    """
    pixel = pixel_of(place, longitude, latitude)
    if pixel is None:
        empty = dict.fromkeys(("row", "column", "first_year", "last_year"))
        return {"inside": False, **empty, "years": []}
    row, column = pixel
    span = (row, row + 1), (column, column + 1)
    groups = place.series.component_groups
    with MapWindows(place.series) as maps:
        return {
            "inside": True,
            "row": row,
            "column": column,
            "first_year": _mined_year(maps, FIRST_YEAR, span),
            "last_year": _mined_year(maps, LAST_YEAR, span),
            "years": [
                {
                    "year": year,
                    "mined": _boolean(maps, footprint_name(year), span),
                    "probability": _probability(maps, year, span),
                    "water": _boolean(maps, water_name(year), span),
                    "indices": _indices(maps, year, span),
                    "reflectance": _reflectance(place, year, longitude, latitude),
                    "components": {} if groups is None else _components(maps, groups, year, span),
                }
                for year in place.series.years
            ],
        }


def pixel_of(place: SitePlace, longitude: float, latitude: float) -> tuple[int, int] | None:
    """Row and column of the pixel of a series that holds a point; None outside.

    Raises:
        ArgumentError: The coordinates are none.
    """
    for name, value, most in (("longitude", longitude, 180), ("latitude", latitude, 90)):
        if not abs(value) <= most:
            raise ArgumentError(f"{name}: found {value}; expected degrees from -{most} to {most}.")
    manifest = place.series.manifest
    found = _pixel(manifest.crs, manifest.transform, longitude, latitude)
    if found is None or not (0 <= found[0] < manifest.height and 0 <= found[1] < manifest.width):
        return None
    return found


def _pixel(crs: Any, transform: Any, longitude: float, latitude: float) -> tuple[int, int] | None:
    """Row and column of a point on a grid, which may lie outside; None where the system does not reach."""
    from rasterio.warp import transform as transformed

    (x,), (y,) = transformed("EPSG:4326", crs, [longitude], [latitude])
    if not (math.isfinite(x) and math.isfinite(y)):
        return None
    a, b, c, d, e, f = tuple(transform)[:6]
    determinant = a * e - b * d
    column = (e * (x - c) - b * (y - f)) / determinant
    row = (a * (y - f) - d * (x - c)) / determinant
    return math.floor(row), math.floor(column)


def _mined_year(maps: MapWindows, name: str, span: Span) -> int | None:
    if not maps.has(name):
        return None
    year = int(maps.read(name, span)[0, 0, 0])
    return None if year in (NEVER, UNKNOWN_YEAR) else year


def _boolean(maps: MapWindows, name: str, span: Span) -> bool | None:
    code = int(maps.codes(name, span)[0, 0])
    return None if code == NODATA else code == 1


def _probability(maps: MapWindows, year: int, span: Span) -> float | None:
    if not maps.has(probability_name(year)):
        return None
    return rounded(float(decode_probability(maps.read(probability_name(year), span))[0, 0, 0]))


def _indices(maps: MapWindows, year: int, span: Span) -> dict[str, float | None]:
    if not maps.has(index_name(year)):
        return {}
    values = decode_indices(maps.read(index_name(year), span))[:, 0, 0].tolist()
    return dict(zip(maps.bands(index_name(year)), map(rounded, values), strict=True))


def _components(maps: MapWindows, groups: LabelGroups, year: int, span: Span) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for group, classes in groups.groups.items():
        code = int(maps.codes(component_name(group, year), span)[0, 0])
        names = (NO_COMPONENT, *classes)
        found[group] = names[code] if code < len(names) else None
    return found


def _reflectance(place: SitePlace, year: int, longitude: float, latitude: float) -> dict[str, float | None]:
    """Reflectance of the image's own pixel, 0 to 1; empty without an image whose scale is known."""
    path = place.image(year)
    if path is None:
        return {}
    try:
        with open_scene(path, image_options(place, year)) as scene:
            return _scene_pixel(scene, longitude, latitude)
    except SceneError as error:
        # Such as an image that was mapped with options of its own, which a series does not record.
        logger.warning("%s It is shown without reflectance.", one_line(error))
        return {}


def _scene_pixel(scene: Scene, longitude: float, latitude: float) -> dict[str, float | None]:
    from rasterio.windows import Window

    found = _pixel(scene.grid.crs, scene.grid.transform, longitude, latitude)
    names = [band for band in scene.bands if band]
    if found is None or not (0 <= found[0] < scene.grid.height and 0 <= found[1] < scene.grid.width):
        return dict.fromkeys(names)
    numbers, valid = scene.read(Window(found[1], found[0], 1, 1), names)
    if not bool(np.asarray(valid).all()):
        return dict.fromkeys(names)
    return {
        name: rounded(float(value) / DIGITAL_NUMBERS)
        for name, value in zip(names, numbers[:, 0, 0], strict=True)
    }


def image_options(place: SitePlace, year: int) -> SceneOptions:
    """The names of an image's bands as the series had them."""
    names = next(scene.bands for scene in place.series.manifest.scenes if scene.year == year)
    is_whole = bool(names) and _UNNAMED not in names
    return SceneOptions(bands=tuple(names)) if is_whole else SceneOptions()


def rounded(value: float | None, digits: int = _DIGITS) -> float | None:
    """A number with few digits; None for NaN."""
    return None if value is None or not math.isfinite(value) else round(value, digits)
