"""Grids: windows, and the shift between two rasters whose pixels coincide."""

import pytest
from pyproj import Geod, Transformer
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.windows import Window, bounds

from euromine.monitoring.scenes.grids import Grid

METRES = CRS.from_epsg(32633)


def grid(
    left: float = 0, top: float = 0, width: int = 40, height: int = 30, size: float = 10, epsg: int = 32633
) -> Grid:
    return Grid(CRS.from_epsg(epsg), Affine(size, 0, left, 0, -size, top), width, height)


def test_a_window_of_a_grid_has_the_bounds_that_rasterio_gives() -> None:
    window = Window(3, 5, 7, 9)
    part = grid(1000, 2000).window(window)
    assert (part.width, part.height) == (7, 9)
    left, bottom, right, top = bounds(window, grid(1000, 2000).transform)
    assert part.transform @ (0, 0) == (left, top)
    assert part.transform @ (7, 9) == (right, bottom)


@pytest.mark.parametrize(
    ("other", "shift"),
    [
        (grid(), (0, 0)),
        (grid(20, -30), (3, 2)),
        (grid(-20, 30), (-3, -2)),
        (grid(0.9, 0), (0, 0)),  # the rounding of an exporter
        (grid(5, 0), None),
        (grid(size=10.1), None),
        (grid(size=20), None),
        (grid(epsg=32632), None),
        (Grid(METRES, Affine(10, 0, 0, 0, 10, 0), 40, 30), None),
    ],
)
def test_shifts_are_whole_pixels_or_none(other: Grid, shift: tuple[int, int] | None) -> None:
    assert grid().shift(other) == shift


@pytest.mark.parametrize("epsg", [4326, 32633, 3857])
def test_the_sides_of_a_pixel_are_those_of_geodesics(epsg: int) -> None:
    left, top, size = {4326: (15.0, 50.0, 0.001), 32633: (5e5, 5.5e6, 10), 3857: (1.67e6, 6.4e6, 20)}[epsg]
    where = grid(left, top, size=size, epsg=epsg)
    to_degrees = Transformer.from_crs(epsg, 4326, always_xy=True)
    corners = [where.transform @ corner for corner in ((20, 15), (21, 15), (20, 16))]
    (x, y), (right, right_y), (down_x, down) = (to_degrees.transform(*corner) for corner in corners)
    geod = Geod(ellps="WGS84")
    expected = (geod.inv(x, y, down_x, down)[2], geod.inv(x, y, right, right_y)[2])
    assert where.pixel_sides() == pytest.approx(expected, rel=4e-3)
