"""Grids: when two rasters have the same pixels, and what they have in common."""

import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.windows import Window, bounds

from euromine.monitoring.scenes.grids import Grid, common_grid
from euromine.support.errors import GridError

METRES = CRS.from_epsg(32633)


def grid(
    left: float = 0, top: float = 0, width: int = 40, height: int = 30, size: float = 10, epsg: int = 32633
) -> Grid:
    return Grid(CRS.from_epsg(epsg), Affine(size, 0, left, 0, -size, top), width, height)


def test_the_part_of_a_grid_lies_where_rasterio_says() -> None:
    window = Window(3, 5, 7, 9)
    part = grid(1000, 2000).window(window)
    assert (part.width, part.height) == (7, 9)
    left, bottom, right, top = bounds(window, grid(1000, 2000).transform)
    assert part.transform * (0, 0) == (left, top)
    assert part.transform * (7, 9) == (right, bottom)


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
def test_a_shift_is_told_in_whole_pixels_or_not_at_all(other: Grid, shift: tuple[int, int] | None) -> None:
    assert grid().shift(other) == shift
    assert grid().is_same(other) == (shift == (0, 0))


def test_a_raster_of_another_size_is_not_the_same() -> None:
    assert not grid().is_same(grid(width=41))


def test_the_common_grid_is_what_all_cover() -> None:
    common = common_grid([grid(0, 0), grid(50, -20, width=60), grid(-100, 100, width=60, height=100)])
    assert common == grid(50, -20, width=35, height=28)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (grid(epsg=4326), "one lies in EPSG:4326 and one in EPSG:32633; expected one coordinate system"),
        (grid(4, 4), "lie between those of another"),
        (grid(400, 0), "have no pixel in common; expected one place"),
    ],
)
def test_grids_that_do_not_go_together_are_refused(other: Grid, message: str) -> None:
    with pytest.raises(GridError, match=message):
        common_grid([grid(), other])
