"""Shapes to pixels, against the rule of the centre applied pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from euromine.annotation.annotated_shapes import Annotations, Shape, polygon_area
from euromine.annotation.label_classes import LabelClasses
from euromine.annotation.label_painting import Drawing, paint_year, shape_mask
from euromine.annotation.run_lengths import Runs, mask_runs

shapely = pytest.importorskip("shapely")
CLASSES = LabelClasses(
    "classes.json", {"pit": 3, "dump": 1, "pond": 7}, dict.fromkeys(("pit", "dump", "pond"), "#e6194b")
)


def drawing(*shapes: Shape, size: tuple[int, int] = (12, 16), scale: int = 1) -> Drawing:
    whole = (0, 0, *size)
    return Drawing("Testmine_2021.png", shapes, whole, whole, scale)


def rectangle(label: str, left: float, top: float, right: float, bottom: float, **facts: int) -> Shape:
    return Shape(label, facts.pop("number", 1), shapely.box(left, top, right, bottom), **facts)


def runs(mask: NDArray[np.bool_], left: int = 0, top: int = 0) -> Runs:
    return Runs(np.array(mask_runs(mask, "rows"), np.int64), left, top, mask.shape[1], mask.shape[0], "rows")


def painted(found: object, size: tuple[int, int] = (12, 16)) -> NDArray[np.bool_]:
    mask = np.zeros(size, bool)
    if not isinstance(found, str):
        rows, columns, part = found
        mask[rows, columns] = part
    return mask


POINT = st.tuples(st.floats(-20, 90, allow_nan=False), st.floats(-20, 70, allow_nan=False))


@settings(max_examples=60, deadline=None)
@given(st.lists(POINT, min_size=3, max_size=7), st.sampled_from([1, 4]))
def test_a_polygon_holds_the_pixels_whose_centres_lie_inside(points, scale):
    """Also where it crosses itself or leaves the picture. Centres on an edge may fall to either side."""
    area = polygon_area([points], "here", Annotations("here", ""))
    if area is None:
        return
    mask = painted(shape_mask(area, drawing(scale=scale)))
    for row in range(12):
        for column in range(16):
            centre = shapely.Point((column + 0.5) * scale, (row + 0.5) * scale)
            if area.boundary.distance(centre) > 1e-6:
                assert mask[row, column] == area.contains(centre), (row, column)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(-9, 60), st.integers(-9, 40), st.sampled_from([1, 2, 4]))
def test_a_mask_holds_the_pixels_of_which_it_covers_half(seed, left, top, scale):
    mask = np.random.default_rng(seed).random((11, 13)) < 0.6
    canvas = np.zeros((12 * scale + 200, 16 * scale + 200), bool)
    canvas[top + 100 : top + 111, left + 100 : left + 113] = mask
    inside = canvas[100 : 100 + 12 * scale, 100 : 100 + 16 * scale]
    shares = inside.reshape(12, scale, 16, scale).mean(axis=(1, 3))
    found = painted(shape_mask(runs(mask, left, top), drawing(scale=scale)))
    np.testing.assert_array_equal(found, shares >= 0.5)


def test_a_hole_stays_open():
    area = shapely.box(2, 2, 10, 10).difference(shapely.box(4, 4, 7, 7))
    mask = painted(shape_mask(area, drawing()))
    assert mask.sum() == 64 - 9
    assert not mask[4:7, 4:7].any()


def test_upper_shapes_count_whatever_their_place_in_the_file():
    shapes = (
        rectangle("ignore", 4, 4, 8, 8, number=1, z_order=2),
        rectangle("pit", 0, 0, 10, 10, number=2, z_order=0),
        rectangle("background", 6, 6, 9, 9, number=3, z_order=3),
        rectangle("Unknown", 0, 0, 2, 2, number=4, z_order=-1),
    )
    label = paint_year([drawing(*shapes)], 12, 16).label
    expected = np.zeros((12, 16), np.uint8)
    expected[:10, :10] = 1
    expected[4:8, 4:8] = 255
    expected[6:9, 6:9] = 0
    np.testing.assert_array_equal(label, expected)


def test_ground_without_a_picture_is_ignored():
    left = Drawing("a", (rectangle("pit", 0, 0, 20, 20),), (0, 0, 12, 9), (0, 0, 12, 7))
    right = Drawing("b", (), (0, 5, 10, 12), (0, 7, 10, 12))
    label = paint_year([left, right], 12, 16).label
    assert (label[:, :7] == 1).all()
    assert (label[:10, 7:12] == 0).all()
    assert (label[10:, 7:] == 255).all()
    assert (label[:, 12:] == 255).all()


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (rectangle("pit", 20, 2, 30, 8), "shapes outside of their picture"),
        (rectangle("pit", 3.6, 3.6, 4.4, 4.4), "shapes that hold no pixel's centre"),
        (Shape("pit", 1, runs(np.ones((2, 2), bool), 99, 3)), "shapes outside of their picture"),
    ],
)
def test_shapes_that_cover_no_pixel_are_counted(shape, reason):
    found = paint_year([drawing(shape)], 12, 16)
    assert list(found.left_out.values()) == [reason]
    assert found.shapes == 0
    assert not found.label.any()


def test_a_shape_in_the_margin_belongs_to_the_neighbour():
    tile = Drawing("a", (rectangle("pit", 13, 0, 16, 4),), (0, 0, 12, 16), (0, 0, 12, 12))
    found = paint_year([tile], 12, 16)
    assert list(found.left_out.values()) == [
        "shapes in the margin of their picture, which another picture shows"
    ]
    assert not (found.label == 1).any()


def overlapping() -> Drawing:
    return drawing(
        rectangle("pit", 0, 0, 6, 6, number=1),
        rectangle("dump", 4, 4, 10, 10, number=2),
        rectangle("pond", 5, 5, 7, 7, number=3),
    )


@pytest.mark.parametrize(
    ("rule", "values"),
    [("last", [3, 1, 7, 7, 1]), ("first", [3, 3, 3, 1, 1]), ("classes", [3, 1, 7, 7, 1])],
)
def test_a_rule_decides_which_class_a_pixel_has(rule, values):
    components = paint_year([overlapping()], 12, 16, CLASSES, rule).components
    assert components.dtype == np.uint8
    assert [int(components[place, place]) for place in (2, 4, 5, 6, 9)] == values


def test_the_order_of_classes_is_that_of_the_file_not_of_the_drawing():
    shapes = (rectangle("dump", 4, 4, 10, 10, number=1), rectangle("pit", 0, 0, 6, 6, number=2))
    components = paint_year([drawing(*shapes)], 12, 16, CLASSES, "classes").components
    assert components[5, 5] == 1
    assert paint_year([drawing(*shapes)], 12, 16, CLASSES, "last").components[5, 5] == 3


def test_all_classes_of_a_pixel_can_be_kept_as_bits():
    shapes = (*overlapping().shapes, rectangle("ignore", 12, 0, 16, 4, number=4))
    components = paint_year([drawing(*shapes)], 12, 16, CLASSES, "keep").components
    assert components.dtype == np.uint16
    assert [int(components[place, place]) for place in (2, 4, 5, 6, 9)] == [4, 5, 69, 65, 1]
    assert components[1, 13] == 1 << 15
    assert components[11, 11] == 0


def test_overlaps_without_a_rule_are_counted():
    overlaps = paint_year([overlapping()], 12, 16, CLASSES).overlaps
    assert dict(overlaps) == {("pit", "dump"): 4, ("dump", "pond"): 4}


def test_shapes_of_one_class_may_overlap():
    shapes = (rectangle("pit", 0, 0, 6, 6, number=1), rectangle("Pit", 4, 4, 10, 10, number=2))
    found = paint_year([drawing(*shapes)], 12, 16, CLASSES)
    assert not found.overlaps
    assert (found.components == 3).sum() == 68


def test_huge_coordinates_are_cut_at_the_picture():
    area = shapely.Polygon([(-1e12, -1e12), (1e12, -1e12), (1e12, 6), (-1e12, 6)])
    assert painted(shape_mask(area, drawing())).sum() == 6 * 16


@pytest.mark.parametrize("far", [1e7, 1e9, 1e15])
def test_far_corners_do_not_move_the_near_ones(far):
    area = shapely.Polygon([(-far, 2), (far, 2), (far, far), (5, 7), (-far, far)])
    centres = np.stack(np.meshgrid(np.arange(16) + 0.5, np.arange(12) + 0.5), axis=-1)
    expected = shapely.contains_xy(area, *np.moveaxis(centres, -1, 0))
    np.testing.assert_array_equal(painted(shape_mask(area, drawing())), expected)
