"""Datumaro JSON, as CVAT and Datumaro write it: masks as packed runs, boxes by their upper left corner."""

from __future__ import annotations

from typing import Any

from euromine.support.errors import AnnotationError

from .annotated_shapes import (
    Annotations,
    Picture,
    Shape,
    box_area,
    check_picture_size,
    ellipse_area,
    polygon_area,
)
from .coco_json import coco_runs
from .json_reading import numbers_of, size_of, texts_of, value_of
from .picture_names import file_name

FORMAT = "Datumaro 1.0"

_WITHOUT_AREA = {
    "polyline": "lines",
    "points": "points",
    "skeleton": "skeletons",
    "cuboid_2d": "cuboids",
    "cuboid_3d": "cuboids",
    "caption": "captions",
}


def read_datumaro(document: Any, source: str, annotations: Annotations) -> None:
    """Add the pictures of a Datumaro file.

    Args:
        document: The parsed file.
        source: The file, for messages.
        annotations: Takes the pictures.

    Raises:
        AnnotationError: A field is missing or damaged, or refers to a class that is not there.
    """
    categories = value_of(value_of(document, "categories", dict, source), "label", dict, source)
    labels = [
        value_of(label, "name", str, f"{source}, label {place}")
        for place, label in enumerate(value_of(categories, "labels", list, source), 1)
    ]
    for place, item in enumerate(value_of(document, "items", list, source), 1):
        annotations.pictures.append(_picture(item, labels, f"{source}, item {place}", annotations))


def _picture(item: Any, labels: list[str], where: str, annotations: Annotations) -> Picture:
    name = value_of(item, "id", str, where)
    image = item.get("image")
    size = None
    if isinstance(image, dict):
        name = value_of(image, "path", str, where, name) or name
        if image.get("size"):
            size = size_of(image, "size", where)
            check_picture_size(*size, where)
    shapes, tags = [], []
    attributes = texts_of(item.get("attr"))
    for number, entry in enumerate(value_of(item, "annotations", list, where), 1):
        here = f"{where}, shape {number}"
        kind = value_of(entry, "type", str, here)
        if kind in _WITHOUT_AREA:
            annotations.lost[_WITHOUT_AREA[kind]] += 1
            continue
        label = _label(entry, labels, here)
        if kind == "label":
            tags.append(label)
            attributes |= texts_of(entry.get("attributes"))
            continue
        area = _area(kind, entry, size, here, annotations)
        if area is not None:
            z_order = value_of(entry, "z_order", int, here, 0)
            shapes.append(Shape(label, number, area, z_order, texts_of(entry.get("attributes"))))
    return Picture(file_name(name), tuple(shapes), size, attributes, tuple(tags))


def _label(entry: Any, labels: list[str], where: str) -> str:
    place = value_of(entry, "label_id", int, where)
    if not 0 <= place < len(labels):
        raise AnnotationError(f"{where}: found the label {place}; expected one of 0 to {len(labels) - 1}.")
    return labels[place]


def _area(
    kind: str, entry: Any, size: tuple[int, int] | None, where: str, annotations: Annotations
) -> Any | None:
    if kind == "polygon":
        return polygon_area([_points(entry, where)], where, annotations)
    if kind == "multipolygon":
        rings = value_of(entry, "points", list, where)
        return polygon_area([_points({"points": ring}, where) for ring in rings], where, annotations)
    if kind == "bbox":
        degrees = value_of(entry.get("attributes") or {}, "rotation", float, where, 0.0)
        left, top, width, height = numbers_of(entry, 4, "bbox", where)
        return box_area((left, top, left + width, top + height), where, annotations, degrees)
    if kind == "ellipse":
        left, top, right, bottom = numbers_of(entry, 4, "points", where)
        sizes = ((left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2)
        return ellipse_area(sizes, where, annotations)
    if kind == "mask":
        runs = value_of(entry, "rle", dict, where)
        if size is None:
            size = size_of(runs, "size", where)
            check_picture_size(*size, where)
        return coco_runs(runs, size, where)
    raise AnnotationError(
        f"{where}: found the type {kind!r}; expected polygon, mask, bbox, ellipse or label."
    )


def _points(entry: Any, where: str) -> list[list[Any]]:
    values = value_of(entry, "points", list, where)
    if len(values) % 2:
        raise AnnotationError(f"{where}: found {len(values)} coordinates; expected pairs of x and y.")
    return [values[place : place + 2] for place in range(0, len(values), 2)]
