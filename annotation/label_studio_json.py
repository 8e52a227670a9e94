"""Label Studio's JSON: places in per cent of the picture, masks as packed RGBA pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import AnnotationError

from .annotated_shapes import (
    Annotations,
    Picture,
    Shape,
    as_points,
    check_picture_size,
    ellipse_area,
    polygon_area,
)
from .json_reading import value_of
from .picture_names import uploaded_name
from .run_lengths import Runs

FORMAT = "Label Studio JSON"

_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
# RGBA values lie pixel by pixel; painted pixels are those that are not transparent.
_CHANNELS = 4
_SIZE_BITS, _LENGTH_BITS, _LENGTHS = 5, 4, 4


def read_label_studio(document: Any, source: str, annotations: Annotations) -> None:
    """Add the pictures of an export.

    Args:
        document: The parsed file: a list of tasks.
        source: The file, for messages.
        annotations: Takes the pictures.

    Raises:
        AnnotationError: A field is missing or damaged.
    """
    for place, task in enumerate(document, 1):
        where = f"{source}, task {place}"
        name = _picture_name(value_of(task, "data", dict, where), where)
        drawn = [
            each
            for each in value_of(task, "annotations", list, where)
            if not (isinstance(each, dict) and each.get("was_cancelled"))
        ]
        if not drawn:
            annotations.notes.append(f"{name} has no annotation that was submitted and is left out.")
            continue
        if len(drawn) > 1:
            annotations.notes.append(f"{name} was annotated {len(drawn)} times; the last one counts.")
        results = value_of(drawn[-1], "result", list, where)
        annotations.pictures.append(_picture(name, results, where, annotations))


def _picture_name(data: Any, where: str) -> str:
    candidates = [data.get("image"), *data.values()]
    for value in candidates:
        if isinstance(value, str) and uploaded_name(value).lower().endswith(_PICTURE_SUFFIXES):
            return uploaded_name(value)
    raise AnnotationError(f"{where}: found no picture in its data; expected one such as Kiruna_2021.png.")


def _picture(name: str, results: list[Any], where: str, annotations: Annotations) -> Picture:
    shapes = []
    size = None
    labelled = {str(each.get("id")) for each in results if isinstance(each, dict) and _labels(each)}
    for number, result in enumerate(results, 1):
        here = f"{where}, region {number}"
        labels = _labels(result)
        value = value_of(result, "value", dict, here)
        if "choices" in value or "text" in value:
            continue
        if not labels:
            if str(result.get("id")) not in labelled:
                annotations.lost["shapes without a class"] += 1
            continue
        found = value_of(result, "original_height", int, here), value_of(result, "original_width", int, here)
        check_picture_size(*found, here)
        if size not in (None, found):
            raise AnnotationError(
                f"{here}: found a picture of {found[0]} x {found[1]} pixels; expected {size} as before."
            )
        size = found
        if value_of(result, "image_rotation", float, here, 0) % 360:
            raise AnnotationError(f"{here}: found a turned picture; expected one as it was uploaded.")
        area = _area(value, found, here, annotations)
        shapes += [Shape(str(label), number, area) for label in labels if area is not None]
    return Picture(name, tuple(shapes), size)


def _labels(result: Any) -> list[Any]:
    """The classes of a region, whose key is the kind of its tool: `polygonlabels`, `labels` ..."""
    value = result.get("value") if isinstance(result, dict) else None
    if not isinstance(value, dict):
        return []
    return [
        label
        for key, labels in value.items()
        if key.endswith("labels") and isinstance(labels, list)
        for label in labels
    ]


def _area(value: Any, size: tuple[int, int], where: str, annotations: Annotations) -> Any | None:
    height, width = size
    share = np.array([width, height]) / 100
    if "points" in value:
        points = as_points(value_of(value, "points", list, where), where)
        return polygon_area([points * share], where, annotations)
    if "rle" in value:
        return _brush(value_of(value, "rle", list, where), size, where)
    if "radiusX" in value:
        keys = ("x", "y", "radiusX", "radiusY", "rotation")
        x, y, across, down, degrees = (value_of(value, key, float, where, 0) for key in keys)
        sizes = (x * share[0], y * share[1], across * share[0], down * share[1])
        return ellipse_area(sizes, where, annotations, degrees)
    if "width" in value and "x" in value:
        keys = ("x", "y", "width", "height", "rotation")
        x, y, across, down, degrees = (value_of(value, key, float, where, 0) for key in keys)
        return _turned_box((x, y), (across, down), degrees, share, where, annotations)
    annotations.lost["points and lines"] += 1
    return None


def _turned_box(
    corner: tuple[float, float],
    extent: tuple[float, float],
    degrees: float,
    share: NDArray[np.float64],
    where: str,
    annotations: Annotations,
) -> Any | None:
    """A box that is turned clockwise about its upper left corner."""
    origin, sides = np.array(corner) * share, np.array(extent) * share
    angle = np.radians(degrees)
    across = np.array([np.cos(angle), np.sin(angle)]) * sides[0]
    down = np.array([-np.sin(angle), np.cos(angle)]) * sides[1]
    ring = [origin, origin + across, origin + across + down, origin + down]
    return polygon_area([ring], where, annotations)


def _brush(packed: list[Any], size: tuple[int, int], where: str) -> Runs:
    """A painted mask, by the opacity of run-length packed RGBA pixels.

    A header gives the number of values, the bits of a value and four lengths of counts; then each part is a
    bit for "repeated", the choice of a length, a count less one, and one value or as many as counted.
    """
    height, width = size
    try:
        data = np.array(packed, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        data = np.array([-1])
    if data.ndim != 1 or not len(data) or (data < 0).any() or (data > 255).any():
        raise AnnotationError(f"{where}: found a painted mask that is no list of bytes; expected one.")
    bits = np.unpackbits(data.astype(np.uint8))
    place = 0

    def number(length: int) -> int:
        nonlocal place
        if place + length > len(bits):
            raise AnnotationError(f"{where}: found a painted mask that ends early; expected a whole one.")
        place += length
        return int("".join(map(str, bits[place - length : place])), 2)

    total, word = number(32), number(_SIZE_BITS) + 1
    if total != height * width * _CHANNELS or word != 8:
        raise AnnotationError(
            f"{where}: found a painted mask of {total} values; expected {height * width * _CHANNELS} bytes "
            f"for {height} x {width} pixels."
        )
    lengths = [number(_LENGTH_BITS) + 1 for _ in range(_LENGTHS)]
    values = np.zeros(total, np.uint8)
    done = 0
    while done < total:
        is_repeated = number(1)
        count = number(lengths[number(2)]) + 1
        if done + count > total:
            raise AnnotationError(f"{where}: found a painted mask with too many values; expected {total}.")
        if is_repeated:
            values[done : done + count] = number(word)
        else:
            taken = bits[place : place + count * word]
            place += count * word
            if len(taken) < count * word:
                raise AnnotationError(f"{where}: found a painted mask that ends early; expected a whole one.")
            values[done : done + count] = np.packbits(taken)
        done += count
    mask = values.reshape(height, width, _CHANNELS)[..., -1] > 0
    return Runs.of_mask(mask)
