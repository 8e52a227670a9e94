"""Find the sites and years of outlines on the ground, and bring them to pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import AnnotationError
from euromine.support.polygon_measures import polygon_parts
from euromine.support.wording import counted

from .annotated_shapes import Annotations, Layer, Shape
from .label_classes import is_ignored
from .label_painting import Drawing
from .picture_placing import Placed
from .task_record import SiteGrid
from .year_rules import YearRule

YEAR_ATTRIBUTE = "year"

# Straight edges bend in another projection: over steps of a kilometre by less than a centimetre.
_STEP_METRES, _METRES_PER_DEGREE = 1000.0, 111_320.0


def place_layers(
    annotations: Annotations,
    grids: Mapping[str, SiteGrid],
    rule: YearRule | None,
    *,
    chosen_alone: bool = False,
) -> Placed:
    """Find the sites and years of outlines.

    Args:
        annotations: Counts outlines outside of all sites, and those without a year.
        grids: The grid of each site.
        rule: Source of the years; None for the attribute "year", else the name of the layer or file.
        chosen_alone: Whether `grids` are those of some sites of the archive.

    Returns:
        Drawings in pixels of the sites. Outlines to ignore lie on top of the others.

    Raises:
        AnnotationError: No outline has a year, the coordinate system leads nowhere, or longitude and latitude
            are swapped.
    """
    placed = Placed()
    for layer in annotations.layers:
        dated = _with_years(layer, annotations, rule)
        used: set[int] = set()
        for site, grid in grids.items():
            on_site = _on_site(layer, [shape for shape, _ in dated], grid)
            years: dict[int, list[Shape]] = {}
            for place, area in on_site.items():
                shape, year = dated[place]
                z_order = 1 if is_ignored(shape.label) else 0
                years.setdefault(year, []).append(replace(shape, area=area, z_order=z_order))
            used |= set(on_site)
            whole = (0, 0, grid.height, grid.width)
            for year, shapes in years.items():
                placed.drawings[site, year].append(Drawing(layer.name, tuple(shapes), whole, whole))
        if dated and not used:
            _check_not_swapped(layer, [shape for shape, _ in dated], grids, annotations)
        if outside := len(dated) - len(used):
            kind = "shapes outside of the chosen sites" if chosen_alone else "shapes outside of all sites"
            annotations.lost[kind] += outside
    return placed


def _with_years(layer: Layer, annotations: Annotations, rule: YearRule | None) -> list[tuple[Shape, int]]:
    known = {key for shape in layer.shapes for key in shape.attributes}
    usual = next((key for key in known if key.casefold() == YEAR_ATTRIBUTE), None)
    if rule is not None and rule.year is not None:
        own = [YearRule(attribute=usual).of_attributes(shape.attributes) for shape in layer.shapes]
        if others := sum(year not in (None, rule.year) for year in own):
            annotations.notes.append(
                f"{counted(others, 'shape')} with another year in the attribute {usual} counted as "
                f"{rule.year}. Leave --year out to use the attribute."
            )
        return [(shape, rule.year) for shape in layer.shapes]
    attribute = rule.attribute if rule else usual
    by_name = (rule or YearRule()).of_name(layer.name, PurePath(annotations.source).stem)
    if attribute is None:
        if by_name is None and layer.shapes:
            raise AnnotationError(
                f"{annotations.source}: found no year, neither in an attribute nor in the name of the layer "
                f"{layer.name!r}; expected one. Give it with --year 2021 or --year attribute:NAME; the "
                f"attributes are {', '.join(sorted(known)) or 'none'}."
            )
        return [(shape, by_name) for shape in layer.shapes if by_name is not None]
    if attribute not in known and layer.shapes:
        raise AnnotationError(
            f"{annotations.source}: found no attribute {attribute!r}; expected one of "
            f"{', '.join(sorted(known)) or 'none'}. Choose it with --year attribute:NAME."
        )
    reader = YearRule(attribute=attribute)
    dated = [(shape, reader.of_attributes(shape.attributes)) for shape in layer.shapes]
    if without := sum(year is None for _, year in dated):
        annotations.lost[f"shapes without a year in their attribute {attribute}"] += without
    return [(shape, year) for shape, year in dated if year is not None]


def _on_site(layer: Layer, shapes: Sequence[Shape], grid: SiteGrid) -> dict[int, Any]:
    """The shapes that touch a site, by their place in the sequence, in pixels."""
    import shapely

    areas = np.array([shape.area for shape in shapes], dtype=object)
    to_layer = _to_layer(layer, grid)
    around = _around(to_layer, grid)
    near = np.arange(len(areas))
    if around is not None:
        # A file may hold a whole country, and an outline reach far beyond a site.
        near = np.flatnonzero(shapely.intersects(shapely.envelope(areas), around))
        areas = _densified(shapely.intersection(areas[near], around), layer)
    parts, owners = polygon_parts(_in_pixels(areas, to_layer, grid))
    touching = shapely.intersects(parts, shapely.box(0, 0, grid.width, grid.height))
    found: dict[int, list[Any]] = {}
    for part, owner in zip(parts[touching], near[owners[touching]].tolist(), strict=True):
        found.setdefault(owner, []).append(part)
    return {owner: each[0] if len(each) == 1 else shapely.MultiPolygon(each) for owner, each in found.items()}


def _around(to_layer: Any, grid: SiteGrid) -> Any | None:
    """A box of three times a site's sides around it, in the layer's system; None where there is none."""
    import shapely

    left, bottom, right, top = to_layer.transform_bounds(*_bounds(grid))
    if not np.isfinite([left, bottom, right, top]).all() or left > right:  # across the antimeridian
        return None
    across, down = right - left, top - bottom
    return shapely.box(left - across, bottom - down, right + across, top + down)


def _densified(areas: NDArray[Any], layer: Layer) -> NDArray[Any]:
    """Areas with more vertices, so that their edges keep their place in another projection."""
    import shapely

    if layer.crs.is_geographic:
        step = _STEP_METRES / _METRES_PER_DEGREE
    else:
        step = _STEP_METRES / layer.crs.axis_info[0].unit_conversion_factor
    return np.asarray(shapely.segmentize(areas, step))


def _bounds(grid: SiteGrid) -> tuple[float, float, float, float]:
    a, b, c, d, e, f = grid.transform
    corners = np.array([(0, 0), (grid.width, 0), (0, grid.height), (grid.width, grid.height)])
    x, y = a * corners[:, 0] + b * corners[:, 1] + c, d * corners[:, 0] + e * corners[:, 1] + f
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _to_layer(layer: Layer, grid: SiteGrid) -> Any:
    """The transformer from a site's coordinate system to a layer's."""
    import pyproj

    try:
        return pyproj.Transformer.from_crs(grid.crs, layer.crs, always_xy=True)
    except pyproj.exceptions.ProjError:
        raise AnnotationError(
            f"{layer.name}: found the coordinate system {layer.crs.name!r}, which cannot be brought to that "
            "of the images; expected one on the Earth. Write it with `ogr2ogr -a_srs EPSG:...`."
        ) from None


def _in_pixels(areas: NDArray[Any], to_layer: Any, grid: SiteGrid) -> NDArray[Any]:
    """Areas in pixels of a site; None for those without a place in its coordinate system."""
    import shapely
    from affine import Affine
    from pyproj.enums import TransformDirection

    a, b, c, d, e, f = (~Affine(*grid.transform))[:6]

    def moved(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = to_layer.transform(*points.T, direction=TransformDirection.INVERSE)
        return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)

    found = shapely.transform(areas, moved)
    placeless = [not np.isfinite(shapely.get_coordinates(each)).all() for each in found]
    found[placeless] = None
    return np.asarray(found)


def _check_not_swapped(
    layer: Layer, shapes: Sequence[Shape], grids: Mapping[str, SiteGrid], annotations: Annotations
) -> None:
    """Refuse outlines in degrees that lie on a site once longitude and latitude are swapped."""
    import shapely

    if not layer.crs.is_geographic:
        return
    swapped = [
        replace(shape, area=shapely.transform(shape.area, lambda points: points[:, ::-1])) for shape in shapes
    ]
    if site := next((site for site, grid in grids.items() if _on_site(layer, swapped, grid)), None):
        raise AnnotationError(
            f"{annotations.source}: found outlines with latitude before longitude, which lie on {site} once "
            "they are swapped; expected longitude first. Swap them in a GIS."
        )
