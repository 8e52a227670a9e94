"""Ground areas against the ellipsoid's own known figures."""

import numpy as np
import pyproj
import pytest

from euromine.support.errors import GridError
from euromine.support.ground_areas import pixel_areas, zone_area


def test_the_zones_of_the_globe_sum_to_the_area_of_the_ellipsoid():
    # 510,065,621.724 km2: the surface of WGS 84 (NIMA TR8350.2, table 3.3 gives the equal-area radius
    # 6,371,007.1809 m).
    edges = np.linspace(-90, 90, 181)
    total = 360 * zone_area(edges[:-1], edges[1:]).sum()
    assert total == pytest.approx(4 * np.pi * 6_371_007.1809**2, rel=1e-9)


def test_a_pixel_of_the_archive_at_45_degrees_is_about_70_square_metres():
    # One second of arc is 30.8 m along the meridian at 45 N (111,132 m a degree) and 21.9 m along the
    # parallel (78,847 m a degree): 8.983e-5 degrees are 9.98 m and 7.08 m.
    side = 8.983e-5
    areas = pixel_areas("EPSG:4326", (side, 0, 15, 0, -side, 45 + side / 2), 1, 1).rows(0, 1)
    assert areas[0, 0] == pytest.approx(side**2 * 111_131.8 * 78_846.8, rel=1e-4)


def test_rows_further_north_are_smaller():
    areas = pixel_areas("EPSG:4326", (1e-4, 0, 15, 0, -1e-4, 65.0), 100, 7).rows(0, 100)
    assert areas.shape == (100, 1)
    assert (np.diff(areas[:, 0]) > 0).all()


@pytest.mark.parametrize(
    ("crs", "longitude", "latitude", "side"),
    [
        ("EPSG:3857", 20.9, 67.1, 10),  # Web Mercator: 6.6 times the ground
        ("EPSG:3034", 20.9, 67.1, 10),  # conical, conformal
        ("EPSG:32632", 15.0, 51.0, 10),  # six degrees beside the central meridian
        ("EPSG:3413", -40.0, 70.0, 10),  # polar stereographic, turned
        ("EPSG:2263", -74.0, 40.7, 30),  # in US survey feet
        ("EPSG:32601", -179.9, 60.0, 10),  # across the antimeridian
    ],
)
def test_pixels_of_projections_have_their_area_on_the_ellipsoid(crs, longitude, latitude, side):
    size = 10_980
    to_degrees = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    x, y = to_degrees.transform(longitude, latitude, direction="INVERSE")
    areas = pixel_areas(crs, (side, 0, x, 0, -side, y), size, size)
    places = np.array([0, 17, size // 3, size - 1])
    rows, columns = (each.ravel() for each in np.meshgrid(places, places))
    strips = np.searchsorted(areas.starts, columns, "right") - 1
    for row, column, strip in zip(rows, columns, strips, strict=True):
        across = column + np.array([0, 1, 1, 0])
        down = row + np.array([0, 0, 1, 1])
        longitudes, latitudes = to_degrees.transform(x + side * across, y - side * down)
        expected = abs(pyproj.Geod(ellps="WGS84").polygon_area_perimeter(longitudes, latitudes)[0])
        assert areas.rows(row, 1)[0, strip] == pytest.approx(expected, rel=1e-5)


def test_sums_do_not_depend_on_the_windows_that_are_counted():
    mask = np.random.default_rng(0).random((2, 90, 170)) < 0.3
    areas = pixel_areas("EPSG:3857", (10, 0, 2e6, 0, -10, 1e7), 90, 170)
    assert len(areas.starts) == 7
    each = np.repeat(areas.rows(0, 90), np.diff([*areas.starts, 170]), axis=1)
    whole = areas.sums(areas.counts(mask))
    np.testing.assert_allclose(whole, (mask * each).sum(axis=(1, 2)), rtol=1e-12)
    parts = areas.sums(areas.counts(mask[:, :33])) + areas.sums(areas.counts(mask[:, 33:]), 33)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


def test_grads_are_no_degrees():
    # NTF (Paris): 50 grads are 45 degrees.
    grads = pixel_areas("EPSG:4807", (1e-3, 0, 0, 0, -1e-3, 50), 1, 1).rows(0, 1)
    assert grads[0, 0] == pytest.approx((0.9e-3) ** 2 * 111_131.8 * 78_846.8, rel=1e-3)


@pytest.mark.parametrize("crs", ['LOCAL_CS["mine grid",UNIT["metre",1]]', "EPSG:4978"])
def test_a_system_without_a_place_on_the_earth_is_refused(crs):
    with pytest.raises(GridError, match="expected"):
        pixel_areas(crs, (10, 0, 0, 0, -10, 0), 3, 3)


def test_a_rotated_grid_in_degrees_is_refused():
    with pytest.raises(
        ValueError, match=r"transform: found the rotated grid .* in degrees; expected rows along parallels"
    ):
        pixel_areas("EPSG:4326", (1e-4, 1e-5, 15, 0, -1e-4, 45), 2, 2)
