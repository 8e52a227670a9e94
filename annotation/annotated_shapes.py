"""Annotations in memory: pictures with their shapes, and outlines on the ground."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from euromine.support.errors import AnnotationError
from euromine.support.polygon_measures import polygon_parts

LARGEST_PICTURE = 2**27
"""The most pixels of a picture: those of 2,800 x 2,800 pixels of a site at scale 4."""

# Areas of larger shapes would overflow.
_FURTHEST = 1e15

WITHOUT_AREA = "shapes without area"


@dataclass(frozen=True)
class Shape:
    """A labelled area.

    Attributes:
        label: Its class, as in the file.
        number: Its place among the shapes of the file, from 1.
        area: A shapely geometry of valid polygons, or the runs of a mask. Coordinates are those of the
            picture, (0, 0) the upper left corner of the upper left pixel; of outlines, those of their
            coordinate system.
        z_order: Shapes of a higher order lie on top; at equal order, later ones do.
        attributes: Further facts from the file.
    """

    label: str
    number: int
    area: Any
    z_order: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """An annotated picture.

    Attributes:
        name: The name of its file, without folders.
        shapes: In the order of the file.
        size: (height, width) in pixels; None where the file does not give it.
        attributes: Those of the whole picture.
        tags: Classes of the whole picture.
    """

    name: str
    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layer:
    """Outlines on the ground.

    Attributes:
        name: Of the layer or file.
        crs: Their `pyproj.CRS`.
        shapes: In the order of the file.
    """

    name: str
    crs: Any
    shapes: tuple[Shape, ...]


@dataclass
class Annotations:
    """The contents of an annotation file.

    Attributes:
        source: The file, for messages.
        format: Its format in words.
        pictures: Annotated pictures.
        layers: Outlines on the ground.
        lost: The number of shapes left out, by kind, such as "lines".
        repaired: The number of shapes whose outlines crossed themselves.
        notes: Sentences for the reader.
    """

    source: str
    format: str
    pictures: list[Picture] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    repaired: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def shapes(self) -> int:
        """The number of shapes read."""
        return sum(len(each.shapes) for each in self.pictures) + sum(len(each.shapes) for each in self.layers)


def polygon_area(rings: Any, where: str, annotations: Annotations) -> Any | None:
    """A valid geometry of the polygons that outer rings enclose.

    Self-crossing rings are repaired: ground that they enclose twice lies outside.

    Args:
        rings: Each a sequence of x, y pairs.
        where: The shape, for messages.
        annotations: Counts repaired and lost shapes.

    Returns:
        None for a shape without area, which counts as lost.

    Raises:
        AnnotationError: A coordinate is no finite number.
    """
    import shapely

    polygons = []
    for ring in rings:
        points = as_points(ring, where)
        if len(points) < 3:
            continue
        polygons.append(shapely.Polygon(points))
    return valid_area(polygons, annotations)


def valid_area(polygons: Any, annotations: Annotations) -> Any | None:
    """The union of repaired polygons; None, counted as lost, if it has no area."""
    import shapely

    given = np.asarray(polygons, dtype=object)
    if not shapely.is_valid(given).all():
        annotations.repaired += 1
    parts, _ = polygon_parts(given)
    parts = parts[shapely.area(parts) > 0]
    if not len(parts):
        annotations.lost[WITHOUT_AREA] += 1
        return None
    return parts[0] if len(parts) == 1 else shapely.union_all(parts)


def as_points(ring: Any, where: str) -> Any:
    """x, y pairs as float64 (points, 2).

    Raises:
        AnnotationError: A point is no pair of finite numbers, or absurdly far away.
    """
    try:
        points = np.asarray(ring, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise AnnotationError(f"{where}: found points that are no numbers; expected pairs of x and y.")
    if len(points) and np.abs(points).max() > _FURTHEST:
        raise AnnotationError(
            f"{where}: found a point at {np.abs(points).max():g}; expected a place in the "
            "picture or on the Earth."
        )
    return points


def box_area(edges: Sequence[float], where: str, annotations: Annotations, degrees: float = 0) -> Any | None:
    """A box by its left, top, right and bottom edge, turned clockwise about its middle."""
    import shapely
    from shapely import affinity

    left, top, right, bottom = edges
    as_points([(left, top), (right, bottom), (degrees, 0)], where)
    if right <= left or bottom <= top:
        annotations.lost[WITHOUT_AREA] += 1
        return None
    box = shapely.box(left, top, right, bottom)
    # y grows downwards in a picture, so that a positive angle turns clockwise.
    return affinity.rotate(box, degrees, origin="center") if degrees else box


def ellipse_area(
    sizes: Sequence[float], where: str, annotations: Annotations, degrees: float = 0
) -> Any | None:
    """An ellipse by its middle and radii (x, y, across, down), turned clockwise: a polygon of 128 corners."""
    import shapely
    from shapely import affinity

    x, y, across, down = sizes
    as_points([(x, y), (across, down), (degrees, 0)], where)
    if across <= 0 or down <= 0:
        annotations.lost[WITHOUT_AREA] += 1
        return None
    angles = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    points = np.stack([x + across * np.cos(angles), y + down * np.sin(angles)], axis=1)
    polygon = shapely.Polygon(points)
    return affinity.rotate(polygon, degrees, origin=(x, y)) if degrees else polygon


def check_picture_size(height: int, width: int, where: str) -> None:
    """Refuse a picture without pixels, or with too many for memory.

    Raises:
        AnnotationError: It has none, or more than `LARGEST_PICTURE`.
    """
    if height < 1 or width < 1 or height * width > LARGEST_PICTURE:
        raise AnnotationError(
            f"{where}: found {height} x {width} pixels; expected a picture of 1 to {LARGEST_PICTURE} pixels."
        )
