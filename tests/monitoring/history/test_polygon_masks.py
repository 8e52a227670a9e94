"""The pixels of polygons in windows, against the middles of all pixels."""

import numpy as np
import pytest
import shapely
from rasterio.windows import Window

from euromine.monitoring.history.polygon_masks import PolygonMasks

from .drawn_footprints import DEGREES, FEET, METRES, ROTATED


def drawn_polygons(grid) -> list[shapely.Polygon]:
    """Polygons across the grid, beyond its border and beside it, and one with a hole."""
    random = np.random.default_rng(4)
    shapes = []
    for column, row, size in ((10, 8, 9), (25, 20, 14), (39, 29, 6), (-30, -30, 3)):
        angles = np.sort(random.uniform(0, 2 * np.pi, 11))
        lengths = size * random.uniform(0.4, 1, 11)
        corners = np.stack([column + lengths * np.cos(angles), row + lengths * np.sin(angles)], axis=1)
        shapes.append(shapely.Polygon([grid.transform @ tuple(corner) for corner in corners]).buffer(0))
    ring, hole = (
        [grid.transform @ corner for corner in corners]
        for corners in ([(3, 3), (36, 3), (36, 27), (3, 27)], [(9.3, 8.2), (30, 9), (28, 20)])
    )
    shapes.append(shapely.Polygon(ring, [hole]))
    return shapes


@pytest.mark.parametrize("grid", [DEGREES, METRES, FEET, ROTATED], ids=["degrees", "m", "ft", "turned"])
@pytest.mark.parametrize("rows", [1, 7, 30])
def test_windows_have_the_pixels_whose_middles_lie_in_each_polygon(grid, rows):
    polygons = drawn_polygons(grid)
    masks = PolygonMasks(polygons, grid)
    found = np.zeros((len(polygons), *grid.shape), bool)
    for top in range(0, grid.height, rows):
        window = Window(0, top, grid.width, min(rows, grid.height - top))
        for each in masks.of(window):
            assert each.mask.any()
            found[each.place, top : top + rows] = each.whole((int(window.height), grid.width))
    columns, lines = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    a, b, c, d, e, f = tuple(grid.transform)[:6]
    for polygon, mask in zip(polygons, found, strict=True):
        expected = shapely.contains_xy(polygon, a * columns + b * lines + c, d * columns + e * lines + f)
        np.testing.assert_array_equal(mask, expected)
    assert found.any(axis=(1, 2)).tolist() == [True, True, True, False, True]
