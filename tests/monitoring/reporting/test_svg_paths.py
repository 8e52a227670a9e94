"""Outlines as SVG paths."""

import re

import numpy as np
import pytest

from euromine.monitoring.reporting.svg_paths import geometry_path, outline_path


def test_an_outline_encloses_just_the_pixels_of_its_mask():
    mask = np.random.default_rng(0).random((23, 31)) < 0.5
    path = outline_path(mask)
    # By hand: a pixel is inside if a ray to its right crosses the outline an odd number of times.
    inside = np.zeros_like(mask)
    for ring in path.rstrip("z").split("z"):
        start, *steps = re.findall(r"M-?\d+ -?\d+|[hv]-?\d+", ring)
        x, y = map(int, start[1:].split())
        begin = x
        for step in [*steps, None]:
            if step is None:
                assert x == begin or y == int(start[1:].split()[1])
                target = int(start[1:].split()[1])
                low, high = sorted((y, target))
                inside[low:high, :x] ^= True
            elif step[0] == "h":
                x += int(step[1:])
            else:
                low, high = sorted((y, y + int(step[1:])))
                inside[low:high, :x] ^= True
                y += int(step[1:])
    np.testing.assert_array_equal(inside, mask)


def test_polygons_are_drawn_where_they_lie_on_the_grid():
    shapely = pytest.importorskip("shapely")
    # Pixels of 10 m from (500, 900); the drawing has half as many columns and rows.
    transform = (10.0, 0.0, 500.0, 0.0, -10.0, 900.0)
    square = shapely.box(520, 860, 560, 880)
    path = geometry_path([shapely.MultiPolygon([square])], transform, (0.5, 0.5))
    corners = {tuple(map(float, point.split())) for point in path.removeprefix("M").rstrip("z").split("L")}
    assert corners == {(1, 1), (3, 1), (1, 2), (3, 2)}
