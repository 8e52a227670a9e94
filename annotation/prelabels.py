"""Labels as shapes for annotation tools: CVAT for images 1.1 and COCO 1.0, as masks or polygons.

Imported unchanged, both give the same labels again. Their polygons have no holes, so a polygon around a hole
is cut in two through it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from euromine.support.errors import ArgumentError
from euromine.support.files import write_bytes, write_json

from .label_painting import IGNORED, MINE
from .run_lengths import mask_runs

Form = Literal["mask", "polygon"]

LABELS = {MINE: "mine", IGNORED: "ignore"}
"""The class of each value of a label that is drawn."""


def parse_form(text: str) -> Form:
    """The form of labels that a user gives.

    Raises:
        ArgumentError: There is no such form.
    """
    forms: tuple[Form, ...] = get_args(Form)
    for form in forms:
        if form == text:
            return form
    raise ArgumentError(f"--as: found {text!r}; expected mask or polygon.")


@dataclass(frozen=True)
class LabelledPicture:
    """A picture with a label.

    Attributes:
        name: Of its file.
        label: uint8 (height, width) in pixels of the site.
    """

    name: str
    label: NDArray[np.uint8]


@dataclass(frozen=True)
class _Part:
    """A connected part of a label.

    Attributes:
        name: Its class.
        top: The first row of its box, in pixels of the site.
        left: The first column of it.
        mask: bool (rows, columns) inside the box.
    """

    name: str
    top: int
    left: int
    mask: NDArray[np.bool_]


def _parts(label: NDArray[np.uint8]) -> list[_Part]:
    """The parts of a label whose pixels share edges."""
    parts = []
    for value, name in LABELS.items():
        numbered, _ = ndimage.label(label == value)
        for number, box in enumerate(ndimage.find_objects(numbered), 1):
            parts.append(_Part(name, box[0].start, box[1].start, numbered[box] == number))
    return parts


def write_cvat(path: Path, pictures: Sequence[LabelledPicture], scale: int, form: Form) -> None:
    """Write labels as CVAT for images 1.1, to be uploaded to a task with these pictures.

    Args:
        path: The XML file.
        pictures: The pictures of the task, in the order of their names.
        scale: Pixels of a picture to a pixel of its label.
        form: As masks, or as polygons.

    Raises:
        OSError: The file cannot be written.
    """
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    for number, picture in enumerate(pictures):
        height, width = (side * scale for side in picture.label.shape)
        facts = {"id": number, "name": picture.name, "width": width, "height": height}
        image = _element(root, "image", facts)
        for part in _parts(picture.label):
            common = {"label": part.name, "source": "auto", "occluded": 0, "z_order": 0}
            if form == "mask":
                _element(image, "mask", {**common, **_cvat_mask(part, scale)})
            else:
                for ring in _part_rings(part, scale):
                    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in ring)
                    _element(image, "polygon", {**common, "points": points})
    ElementTree.indent(root)
    data = io.BytesIO()
    ElementTree.ElementTree(root).write(data, encoding="utf-8", xml_declaration=True)
    write_bytes(path, data.getvalue() + b"\n")


def _element(parent: Any, name: str, values: dict[str, Any]) -> Any:
    return ElementTree.SubElement(parent, name, {key: str(value) for key, value in values.items()})


def _cvat_mask(part: _Part, scale: int) -> dict[str, Any]:
    mask = _enlarged(part.mask, scale)
    return {
        "rle": ", ".join(map(str, mask_runs(mask, "rows"))),
        "left": part.left * scale,
        "top": part.top * scale,
        "width": mask.shape[1],
        "height": mask.shape[0],
    }


def write_coco(path: Path, pictures: Sequence[LabelledPicture], scale: int, form: Form) -> None:
    """Write labels as COCO 1.0. Args and errors as for `write_cvat`."""
    numbers = {name: number for number, name in enumerate(LABELS.values(), 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for picture in pictures:
        height, width = (side * scale for side in picture.label.shape)
        images.append({"id": len(images) + 1, "width": width, "height": height, "file_name": picture.name})
        for part in _parts(picture.label):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": numbers[part.name],
                    "segmentation": _coco_segmentation(part, (height, width), scale, form),
                    "area": int(part.mask.sum()) * scale**2,
                    "bbox": [
                        part.left * scale,
                        part.top * scale,
                        part.mask.shape[1] * scale,
                        part.mask.shape[0] * scale,
                    ],
                    "iscrowd": int(form == "mask"),
                }
            )
    categories = [{"id": number, "name": name, "supercategory": ""} for name, number in numbers.items()]
    write_json(path, {"categories": categories, "images": images, "annotations": annotations})


def _coco_segmentation(part: _Part, size: tuple[int, int], scale: int, form: Form) -> Any:
    if form == "polygon":
        return [[float(value) for point in ring for value in point] for ring in _part_rings(part, scale)]
    mask = _enlarged(part.mask, scale)
    top, left = part.top * scale, part.left * scale
    # The columns of the part alone; those beside it only lengthen the first and the last run.
    columns = np.zeros((size[0], mask.shape[1]), bool)
    columns[top : top + mask.shape[0]] = mask
    counts = mask_runs(columns, "columns")
    counts[0] += left * size[0]
    if len(counts) % 2 == 0:
        counts.append(0)
    counts[-1] += (size[1] - left - mask.shape[1]) * size[0]
    return {"counts": counts if counts[-1] else counts[:-1], "size": list(size)}


def _enlarged(mask: NDArray[np.bool_], scale: int) -> NDArray[np.bool_]:
    return mask.repeat(scale, axis=0).repeat(scale, axis=1)


def _part_rings(part: _Part, scale: int) -> list[list[tuple[float, float]]]:
    """The outlines of polygons without holes that cover a part along the edges of its pixels, open."""
    import shapely
    from rasterio.features import shapes

    found = shapes(part.mask.astype(np.uint8), mask=part.mask, connectivity=4)
    waiting = [shapely.Polygon(shape["coordinates"][0], shape["coordinates"][1:]) for shape, _ in found]
    rings = []
    while waiting:
        polygon = waiting.pop()
        if polygon.interiors:
            waiting += _halves(polygon)
            continue
        corners = np.asarray(polygon.exterior.coords)[:-1] + np.array([part.left, part.top])
        rings.append([(x * scale, y * scale) for x, y in corners.tolist()])
    return rings


def _halves(polygon: Any) -> list[Any]:
    """A polygon, cut along the edge of pixels through its first hole."""
    import shapely

    left, top, right, bottom = polygon.bounds
    hole = polygon.interiors[0].bounds
    cut = (hole[0] + hole[2]) // 2
    sides = [shapely.box(left, top, cut, bottom), shapely.box(cut, top, right, bottom)]
    parts = shapely.get_parts([shapely.intersection(polygon, side) for side in sides])
    return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
