"""CVAT for images 1.1: shapes with a z-order, masks, and tags and attributes of whole pictures."""

from __future__ import annotations

from collections.abc import Iterator
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
from .picture_names import file_name
from .run_lengths import checked_runs

FORMAT = "CVAT for images 1.1"

# Drawings without an area, and drawings in space.
_WITHOUT_AREA = {"polyline": "lines", "points": "points", "skeleton": "skeletons", "cuboid": "cuboids"}


def read_cvat(root: Any, source: str, annotations: Annotations) -> None:
    """Add the pictures of an export.

    Args:
        root: The element `annotations`.
        source: The file, for messages.
        annotations: Takes the pictures.

    Raises:
        AnnotationError: It is an export for videos, or an element is damaged or incomplete.
    """
    if root.find("track") is not None:
        raise AnnotationError(
            f"{source}: found the tracks of a video; expected annotations of pictures. Export the task as "
            "'CVAT for images 1.1'."
        )
    for image in root.iterfind("image"):
        annotations.pictures.append(_picture(image, source, annotations))


def _picture(image: Any, source: str, annotations: Annotations) -> Picture:
    name = image.get("name")
    if not name:
        raise AnnotationError(f"{source}: found a picture without a name; expected that of its file.")
    where = f"{source}, {name}"
    width, height = (_number(image, key, where, int) for key in ("width", "height"))
    check_picture_size(height, width, where)
    attributes: dict[str, str] = {}
    tags = []
    for tag in image.iterfind("tag"):
        tags.append(_label(tag, where))
        attributes.update(_attributes(tag))
    shapes = tuple(_shapes(image, where, annotations))
    return Picture(file_name(name), shapes, (height, width), attributes, tuple(tags))


def _shapes(image: Any, where: str, annotations: Annotations) -> Iterator[Shape]:
    elements = [element for element in image if element.tag != "tag"]
    for number, element in enumerate(elements, 1):
        here = f"{where}, shape {number}"
        area = _area(element, here, annotations)
        if area is not None:
            z_order = _number(element, "z_order", here, int, 0)
            yield Shape(_label(element, here), number, area, z_order, _attributes(element))


def _area(element: Any, where: str, annotations: Annotations) -> Any | None:
    if element.tag in _WITHOUT_AREA:
        annotations.lost[_WITHOUT_AREA[element.tag]] += 1
        return None
    degrees = _number(element, "rotation", where, float, 0.0)
    if element.tag == "polygon":
        return polygon_area([_points(element, where)], where, annotations)
    if element.tag == "box":
        edges = [_number(element, key, where, float) for key in ("xtl", "ytl", "xbr", "ybr")]
        return box_area(edges, where, annotations, degrees)
    if element.tag == "ellipse":
        sizes = [_number(element, key, where, float) for key in ("cx", "cy", "rx", "ry")]
        return ellipse_area(sizes, where, annotations, degrees)
    if element.tag == "mask":
        left, top, width, height = (
            _number(element, key, where, int) for key in ("left", "top", "width", "height")
        )
        check_picture_size(height, width, where)
        counts = [text.strip() for text in (element.get("rle") or "").split(",")]
        return checked_runs(counts, (left, top, width, height), "rows", where)
    raise AnnotationError(
        f"{where}: found <{element.tag}>; expected polygon, box, ellipse, mask or tag, as in CVAT for images "
        "1.1."
    )


def _points(element: Any, where: str) -> list[tuple[float, float]]:
    text = element.get("points") or ""
    try:
        pairs = [pair.split(",") for pair in text.split(";")]
        return [(float(x), float(y)) for x, y in pairs]
    except ValueError:
        raise AnnotationError(
            f"{where}: found the points {text[:40]!r}; expected x,y;x,y and so on."
        ) from None


def _label(element: Any, where: str) -> str:
    label = element.get("label")
    if not label:
        raise AnnotationError(f"{where}: found <{element.tag}> without a label; expected its class.")
    return str(label)


def _attributes(element: Any) -> dict[str, str]:
    return {
        str(each.get("name")): (each.text or "").strip()
        for each in element.iterfind("attribute")
        if each.get("name")
    }


def _number(element: Any, key: str, where: str, kind: Any, default: Any = None) -> Any:
    text = element.get(key)
    if text is None and default is not None:
        return default
    try:
        return kind(text)
    except (TypeError, ValueError):
        found = "nothing" if text is None else repr(text[:40])
        expected = "a whole number" if kind is int else "a number"
        raise AnnotationError(
            f"{where}: found {found} as {key} of <{element.tag}>; expected {expected}."
        ) from None
