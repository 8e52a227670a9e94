"""Grids of sites in UTM, on the lattice of Sentinel-2's tiles."""

import numpy as np
import pyproj
import pytest
import shapely

from euromine.acquisition.site_grids import SiteGrid, grid_crs, search_area, site_grid
from euromine.support.errors import GridError


def in_degrees(left, bottom, right, top, crs="EPSG:32633"):
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
    return shapely.Polygon([to_degrees.transform(*corner) for corner in corners])


def test_bounds_go_outwards_to_20_m_with_the_margin():
    outline = in_degrees(540_011, 5_259_995, 540_605, 5_260_313)
    assert site_grid(outline, "EPSG:32633", 0) == SiteGrid("EPSG:32633", 540_000, 5_260_320, 62, 34)
    assert site_grid(outline, "EPSG:32633", 500) == SiteGrid("EPSG:32633", 539_500, 5_260_820, 162, 134)


def test_an_outline_that_bends_in_utm_lies_inside():
    box = shapely.box(9, 60, 11.9, 60.5)  # the parallel of 60.5 degrees is highest in UTM at its ends
    grid = site_grid(box, "EPSG:32633", 0)
    to_zone = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    x, y = to_zone.transform(*shapely.get_coordinates(shapely.segmentize(box, 0.001)).T)
    assert grid.left <= x.min()
    assert x.max() <= grid.left + 10 * grid.width
    assert grid.top >= y.max()
    assert y.min() >= grid.top - 10 * grid.height - 1


def test_the_grid_has_the_coordinate_system_of_most_scenes_that_cover_the_site():
    area = shapely.box(17.94, 47.1, 18.04, 47.2)  # on the border of zones 33 and 34
    whole, half = shapely.box(17, 46, 19, 48), shapely.box(18, 46, 19, 48)
    assert grid_crs(area, [(32633, whole), (32634, whole), (32633, whole)]) == "EPSG:32633"
    assert grid_crs(area, [(32633, half), (32633, half), (32634, whole)]) == "EPSG:32634"
    assert grid_crs(area, [(32633, whole), (32634, whole)]) == "EPSG:32633"  # that of the centre, by a hair
    assert grid_crs(shapely.box(14.9, 47.1, 15.0, 47.2), [(32634, half)]) == "EPSG:32633"


@pytest.mark.parametrize(
    ("longitude", "latitude", "epsg"),
    [
        (14.9, 47, 32633),
        (-6.1, 37, 32629),
        (5, 60, 32632),
        (16, 78, 32633),
        (-70, -30, 32719),
        (179.9, 1, 32660),
    ],
)
def test_a_place_has_the_zone_of_its_centre(longitude, latitude, epsg):
    assert grid_crs(shapely.Point(longitude, latitude).buffer(0.01), []) == f"EPSG:{epsg}"


def test_a_site_of_a_country_is_refused():
    with pytest.raises(GridError, match=r"found a site of .* km; expected at most 200 km a side. Divide it"):
        site_grid(shapely.box(12, 47, 16, 49), "EPSG:32633", 0)


def test_the_search_area_holds_the_margin():
    outline = in_degrees(540_000, 5_259_000, 541_000, 5_260_000)
    assert search_area(outline, 500).covers(in_degrees(539_510, 5_258_510, 541_490, 5_260_490))


def test_parts_cover_a_grid_once():
    grid = SiteGrid("EPSG:32633", 540_000, 5_260_000, 250, 130)
    seen = np.zeros((130, 250), int)
    for top, left, part in grid.parts(100):
        seen[top : top + part.height, left : left + part.width] += 1
        assert (part.left, part.top) == (540_000 + 10 * left, 5_260_000 - 10 * top)
    assert (seen == 1).all()
