"""Paint shapes: a polygon on the pixels whose centre it holds, a mask on those of which it covers half."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from euromine.dataset_script.label_headers import IGNORED_BIT
from euromine.support.errors import ArgumentError

from .annotated_shapes import Shape
from .label_classes import LabelClasses, is_background, is_ignored
from .run_lengths import Runs

OTHER, MINE, IGNORED = 0, 1, 255
"""The values of a label."""

Overlap = Literal["last", "first", "classes", "keep"]
"""Rule for overlapping classes: the upper shape, the lower one, the later class of the file, or all."""

LARGEST_BIT_VALUE = 15
"""Largest value of a class where a pixel may have several: value n is bit n - 1."""

_FAR = 1e8

Box = tuple[int, int, int, int]
ShapeKey = tuple[str, int, str]
"""A shape by its picture or layer, its place in the file, and its class: the same on all sites."""


@dataclass(frozen=True)
class Drawing:
    """The shapes of a picture, on the grid of its site.

    Attributes:
        name: Of the picture or layer.
        shapes: In coordinates of the picture.
        window: top, left, bottom, right: the picture's place in pixels of the site.
        own: top, left, bottom, right: the part of it that counts, in pixels of the site.
        scale: Pixels of the picture to a pixel of the site.
    """

    name: str
    shapes: tuple[Shape, ...]
    window: Box
    own: Box
    scale: int = 1


@dataclass
class YearLabels:
    """The labels of a site in a year.

    Attributes:
        label: uint8 (height, width): 0 other, 1 mine, 255 ignored.
        components: (height, width) uint8 values of classes, 0 none and 255 ignored; or uint16 with a bit a
            class; None without classes.
        shapes: The number of shapes that cover a pixel.
        painted: These shapes.
        left_out: The reason of each shape that covers none.
        overlaps: Pixels on which two classes lie, by their names.
    """

    label: NDArray[np.uint8]
    components: NDArray[Any] | None
    shapes: int = 0
    painted: set[ShapeKey] = field(default_factory=set)
    left_out: dict[ShapeKey, str] = field(default_factory=dict)
    overlaps: Counter[tuple[str, str]] = field(default_factory=Counter)

    def ignore(self, gaps: NDArray[np.bool_]) -> int:
        """Ignore ground, bool (height, width), where the image has no data; return the pixels drawn on it."""
        drawn = int(np.count_nonzero(self.label[gaps] == MINE))
        self.label[gaps] = IGNORED
        if self.components is not None:
            self.components[gaps] = IGNORED_BIT if self.components.dtype == np.uint16 else IGNORED
        return drawn


def parse_overlap(text: str | None) -> Overlap | None:
    """The rule that a user gives for overlapping classes; None -> None.

    Raises:
        ArgumentError: There is no such rule.
    """
    if text is None:
        return None
    rules: tuple[Overlap, ...] = get_args(Overlap)
    for rule in rules:
        if rule == text:
            return rule
    raise ArgumentError(f"--overlap: found {text!r}; expected {', '.join(rules[:-1])} or keep.")


def class_mask(components: NDArray[Any], value: int) -> NDArray[np.bool_]:
    """The pixels of a class, in components as values (uint8) or bits (uint16)."""
    if components.dtype == np.uint16:
        return (components & _bit(value)) > 0
    return components == value


def _bit(value: int) -> np.uint16:
    return np.uint16(1 << (value - 1))


def paint_year(
    drawings: Sequence[Drawing],
    height: int,
    width: int,
    classes: LabelClasses | None = None,
    overlap: Overlap | None = None,
) -> YearLabels:
    """Paint the drawings of a year, lower shapes first. Ground that no drawing shows is ignored.

    Args:
        drawings: Their own parts do not overlap, or later ones lie on top.
        height: Rows of the site.
        width: Columns of the site.
        classes: Paint components, too.
        overlap: Rule for overlapping classes; without one, their pixels are counted in `overlaps`.
    """
    painted = YearLabels(np.full((height, width), IGNORED, np.uint8), None)
    if classes is not None:
        kind, ignored = (np.uint16, IGNORED_BIT) if overlap == "keep" else (np.uint8, IGNORED)
        painted.components = np.full((height, width), ignored, kind)
    for drawing in drawings:
        top, left, bottom, right = drawing.own
        painted.label[top:bottom, left:right] = OTHER
        if painted.components is not None:
            painted.components[top:bottom, left:right] = OTHER
    for drawing in drawings:
        for shape in sorted(drawing.shapes, key=lambda shape: (shape.z_order, shape.number)):
            found = shape_mask(shape.area, drawing)
            if isinstance(found, str):
                painted.left_out[key_of(drawing, shape)] = found
                continue
            rows, columns, mask = found
            painted.shapes += 1
            painted.painted.add(key_of(drawing, shape))
            painted.label[rows, columns][mask] = _value(shape.label)
            if classes is not None:
                _paint_component(painted, (rows, columns), mask, shape.label, classes, overlap)
    return painted


def key_of(drawing: Drawing, shape: Shape) -> ShapeKey:
    """The key of a shape of a drawing."""
    return drawing.name, shape.number, shape.label


def _value(label: str) -> int:
    return IGNORED if is_ignored(label) else OTHER if is_background(label) else MINE


def _paint_component(
    painted: YearLabels,
    place: tuple[slice, slice],
    mask: NDArray[np.bool_],
    label: str,
    classes: LabelClasses,
    overlap: Overlap | None,
) -> None:
    assert painted.components is not None
    part = painted.components[place]
    if is_background(label):
        part[mask] = OTHER
        return
    if is_ignored(label):
        part[mask] = IGNORED_BIT if overlap == "keep" else IGNORED
        return
    name = classes.name(label)
    value = classes.values[name]
    if overlap == "keep":
        part[mask] = (part[mask] & ~np.uint16(IGNORED_BIT)) | _bit(value)
        return
    taken = mask & ~np.isin(part, (OTHER, value, IGNORED))
    below = np.unique(part[taken]).tolist() if taken.any() else []
    order = {each: place for place, each in reversed(list(enumerate(classes.values.values())))}
    for other in below:
        there = taken & (part == other)
        if overlap is None:
            lower = next(each for each, number in classes.values.items() if number == other)
            painted.overlaps[lower, name] += int(there.sum())
        elif overlap == "first" or (overlap == "classes" and order[other] > order[value]):
            mask = mask & ~there
    part[mask] = value


def shape_mask(area: Any, drawing: Drawing) -> tuple[slice, slice, NDArray[np.bool_]] | str:
    """The pixels of a shape in the part of its drawing that counts.

    Args:
        area: A shapely geometry, or runs.
        drawing: Its drawing.

    Returns:
        Rows and columns of the site and the pixels inside, bool (rows, columns); or the reason for none.
    """
    if isinstance(area, Runs):
        area = area.cropped()
    bounds = _bounds(area, drawing.scale)
    top, left, bottom, right = drawing.window
    inside = _common(bounds, (0, 0, bottom - top, right - left))
    if inside is None:
        return "shapes outside of their picture"
    box = _common((inside[0] + top, inside[1] + left, inside[2] + top, inside[3] + left), drawing.own)
    if box is None:
        return "shapes in the margin of their picture, which another picture shows"
    local = (box[0] - top, box[1] - left, box[2] - top, box[3] - left)
    if isinstance(area, Runs):
        mask = _mask_of_runs(area, drawing.scale, bounds, local)
    else:
        mask = _mask_of_geometry(area, drawing.scale, local)
    if not mask.any():
        return "shapes that hold no pixel's centre"
    return slice(box[0], box[2]), slice(box[1], box[3]), mask


def _bounds(area: Any, scale: int) -> Box:
    """top, left, bottom, right of the pixels of the site that an area touches, in its picture."""
    if isinstance(area, Runs):
        left, top, right, bottom = area.left, area.top, area.left + area.width, area.top + area.height
    else:
        left, top, right, bottom = area.bounds
    return (
        math.floor(top / scale),
        math.floor(left / scale),
        math.ceil(bottom / scale),
        math.ceil(right / scale),
    )


def _common(first: Box, second: Box) -> Box | None:
    top, left = max(first[0], second[0]), max(first[1], second[1])
    bottom, right = min(first[2], second[2]), min(first[3], second[3])
    return (top, left, bottom, right) if top < bottom and left < right else None


def _mask_of_geometry(area: Any, scale: int, local: Box) -> NDArray[np.bool_]:
    import shapely
    from affine import Affine
    from rasterio.features import rasterize
    from shapely import affinity

    top, left, bottom, right = local
    if np.abs(area.bounds).max() > _FAR:  # further away, GDAL's integers overflow
        around = shapely.box(left - 1, top - 1, right + 1, bottom + 1)
        area = shapely.intersection(area, affinity.scale(around, scale, scale, origin=(0, 0)))
        if area.is_empty:
            return np.zeros((bottom - top, right - left), bool)
    transform = Affine(scale, 0, left * scale, 0, scale, top * scale)
    shape = (bottom - top, right - left)
    return np.asarray(rasterize([(area, 1)], shape, transform=transform, dtype=np.uint8)) > 0


def _mask_of_runs(runs: Runs, scale: int, bounds: Box, local: Box) -> NDArray[np.bool_]:
    top, left, bottom, right = bounds
    fine = np.zeros(((bottom - top) * scale, (right - left) * scale), bool)
    row, column = runs.top - top * scale, runs.left - left * scale
    fine[row : row + runs.height, column : column + runs.width] = runs.mask()
    if scale > 1:
        covered = fine.reshape(bottom - top, scale, right - left, scale).sum(axis=(1, 3), dtype=np.int32)
        fine = covered * 2 >= scale * scale
    return fine[local[0] - top : local[2] - top, local[1] - left : local[3] - left]
