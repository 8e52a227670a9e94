"""Checks of a site's images and permits before any map is made."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from euromine.modeling import CHANGE_DETECTION
from euromine.monitoring.history.impact_settings import RECOVERY_INDEX, WATER_INDEX
from euromine.monitoring.history.permit_outlines import read_permits
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.scenes.grids import Grid
from euromine.monitoring.scenes.scene import Scene, open_scene
from euromine.monitoring.scenes.spectral_indices import INDICES
from euromine.support.errors import ModelError, PermitError, SceneError

from .watch_config import Site

_ENGINE_OPTIONS = re.compile(r"--(engine|precision|force-precision)\b")
_INDICES = {"water_growth": WATER_INDEX, "reclamation_stalled": RECOVERY_INDEX}


def in_fields(sentence: str) -> str:
    """A sentence with the configuration's fields in place of the commands' options on engines."""
    return _ENGINE_OPTIONS.sub(lambda option: option[1].replace("-", "_"), sentence)


def check_mapper(model: LoadedModel) -> None:
    """Refuse a change detector in a mapper's place: without footprints no rule on mined ground applies.

    Raises:
        ModelError: The model maps no footprints.
    """
    if model.task == CHANGE_DETECTION:
        raise ModelError(
            f"model: found {model.source}, a change detector; expected a model that maps footprints, which "
            "the rules judge. Name the detector as change_model beside one."
        )


def check_inputs(site: Site, scenes: Mapping[int, str | os.PathLike[str]]) -> None:
    """Refuse images without the bands that the site's rules need, and permits of another place.

    Args:
        site: The site.
        scenes: The image of each year.

    Raises:
        PermitError: The outlines lie elsewhere, or cannot be read.
        FileNotFoundError: There is no such file.
        SceneError: The latest image cannot be read, or lacks a band.
    """
    with open_scene(scenes[max(scenes)]) as scene:
        _check_bands(site, scene)
        grid = scene.grid
    if site.permits is not None:
        check_permits_on(site, _outline(grid), grid.crs)


def _check_bands(site: Site, scene: Scene) -> None:
    """Refuse an image that lacks a band of a rule."""
    if not any(scene.bands):
        return  # without names of bands, the model asks for them
    for rule, index in _INDICES.items():
        needed = INDICES[index].bands
        if getattr(site.rules, rule) is not None and (missing := sorted(set(needed) - set(scene.bands))):
            raise SceneError(
                f"{scene.location.shown}: found no band {', '.join(missing)}; expected {', '.join(needed)} "
                f"for the rule {rule}. Turn the rule off with `{rule}: false`."
            )


def check_permits_on(site: Site, outline: Any, crs: Any) -> None:
    """Refuse outlines of permits of another place.

    A file whose outlines lie around the images passes, even if none touches them: it may be a country's.

    Args:
        site: The site.
        outline: The ground of its images, a shapely polygon.
        crs: Its coordinate system, in any form that pyproj takes.

    Raises:
        PermitError: The outlines lie elsewhere, or cannot be read.
        FileNotFoundError: There is no such file.
    """
    import geopandas
    import shapely

    permits = read_permits(str(site.permits), crs, layers=site.permit_layers)
    given = shapely.box(*permits.total_bounds)
    if given.intersects(outline):
        return
    middles = geopandas.GeoSeries([given.centroid, outline.centroid], crs=permits.crs).to_crs("EPSG:4326")
    found, expected = (f"longitude {middle.x:.2f}, latitude {middle.y:.2f}" for middle in middles)
    raise PermitError(
        f"{site.permits}: found outlines around {found}; expected some around {expected}, where the images "
        f"of {site.name} lie. Give that site its own permits, or none."
    )


def _outline(grid: Grid) -> Any:
    """The edge of a grid in its coordinate system."""
    import shapely

    corners = ((0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height))
    return shapely.Polygon([grid.transform @ corner for corner in corners])
