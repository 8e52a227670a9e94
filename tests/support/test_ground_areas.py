"""Ground areas against the ellipsoid's own known figures."""

import numpy as np
import pytest

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
    areas = pixel_areas("EPSG:4326", (side, 0, 15, 0, -side, 45 + side / 2), 1)
    assert areas[0] == pytest.approx(side**2 * 111_131.8 * 78_846.8, rel=1e-4)


def test_rows_further_north_are_smaller():
    areas = pixel_areas("EPSG:4326", (1e-4, 0, 15, 0, -1e-4, 65.0), 100)
    assert areas.shape == (100,)
    assert (np.diff(areas) > 0).all()


def test_a_pixel_in_metres_is_its_side_squared():
    assert pixel_areas("EPSG:32633", (10, 0, 5e5, 0, -10, 5e6), 3).tolist() == [100.0] * 3


def test_a_rotated_grid_in_degrees_is_refused():
    with pytest.raises(
        ValueError, match=r"transform: found the rotated grid .* in degrees; expected rows along parallels"
    ):
        pixel_areas("EPSG:4326", (1e-4, 1e-5, 15, 0, -1e-4, 45), 2)
