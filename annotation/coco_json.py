"""COCO 1.0: polygons, runs down the columns of the whole picture, and boxes where there is neither."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from euromine.support.errors import AnnotationError

from .annotated_shapes import Annotations, Picture, Shape, box_area, check_picture_size, polygon_area
from .json_reading import numbers_of, size_of, texts_of, value_of
from .picture_names import file_name
from .run_lengths import Runs, checked_runs, unpacked_counts

FORMAT = "COCO 1.0"


def read_coco(document: Any, source: str, annotations: Annotations) -> None:
    """Add the pictures of a COCO file.

    Args:
        document: The parsed file.
        source: The file, for messages.
        annotations: Takes the pictures.

    Raises:
        AnnotationError: A field is missing or damaged, or refers to a picture or class that is not there.
    """
    names = _names(document, source)
    shapes: dict[Any, list[Shape]] = defaultdict(list)
    images = {}
    for place, image in enumerate(value_of(document, "images", list, source), 1):
        where = f"{source}, image {place}"
        name, identity = value_of(image, "file_name", str, where), value_of(image, "id", int, where)
        size = value_of(image, "height", int, where), value_of(image, "width", int, where)
        check_picture_size(*size, where)
        if identity in images:
            raise AnnotationError(f"{where}: found the id {identity} again; expected one of its own.")
        images[identity] = (file_name(name), size)
    for number, entry in enumerate(value_of(document, "annotations", list, source), 1):
        where = f"{source}, annotation {number}"
        image, category = (value_of(entry, key, int, where) for key in ("image_id", "category_id"))
        if image not in images:
            raise AnnotationError(
                f"{where}: found the image {image}; expected one of the {len(images)} listed."
            )
        if category not in names:
            raise AnnotationError(
                f"{where}: found the category {category}; expected one of {', '.join(map(str, names))}."
            )
        area = _area(entry, images[image][1], where, annotations)
        if area is not None:
            attributes = texts_of(entry.get("attributes"))
            shapes[image].append(Shape(names[category], number, area, attributes=attributes))
    for identity, (name, size) in images.items():
        annotations.pictures.append(Picture(name, tuple(shapes[identity]), size))


def _names(document: Any, source: str) -> dict[int, str]:
    names = {}
    for place, category in enumerate(value_of(document, "categories", list, source), 1):
        where = f"{source}, category {place}"
        names[value_of(category, "id", int, where)] = value_of(category, "name", str, where)
    return names


def _area(entry: Any, size: tuple[int, int], where: str, annotations: Annotations) -> Any | None:
    segmentation = entry.get("segmentation")
    if isinstance(segmentation, dict):
        return coco_runs(segmentation, size, where)
    if segmentation:
        polygons = value_of(entry, "segmentation", list, where)
        return polygon_area([_pairs(each, where) for each in polygons], where, annotations)
    if entry.get("keypoints"):
        annotations.lost["skeletons"] += 1
        return None
    left, top, width, height = numbers_of(entry, 4, "bbox", where)
    attributes = entry.get("attributes")
    degrees = value_of(attributes if isinstance(attributes, dict) else {}, "rotation", float, where, 0.0)
    return box_area((left, top, left + width, top + height), where, annotations, degrees)


def _pairs(polygon: Any, where: str) -> list[list[Any]]:
    """x, y, x, y -> pairs."""
    if not isinstance(polygon, list) or len(polygon) % 2:
        raise AnnotationError(f"{where}: found a polygon that is no list of pairs; expected x, y, x, y.")
    return [polygon[place : place + 2] for place in range(0, len(polygon), 2)]


def coco_runs(segmentation: Any, size: tuple[int, int], where: str) -> Runs:
    """A mask by its runs, packed into a string or not, down the columns of the whole picture.

    Raises:
        AnnotationError: It is damaged, or of another size than the picture.
    """
    found = size_of(segmentation, "size", where)
    if found != size:
        raise AnnotationError(
            f"{where}: found a mask of {found[0]} x {found[1]} pixels; expected {size[0]} x {size[1]} as the "
            "picture."
        )
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        counts = unpacked_counts(counts, where)
    elif not isinstance(counts, list):
        raise AnnotationError(f"{where}: found a mask without counts; expected the lengths of its runs.")
    return checked_runs(counts, (0, 0, size[1], size[0]), "columns", where)
