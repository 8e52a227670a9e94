"""Areas of polygons against geodesic figures of PROJ."""

import numpy as np
import pyproj
import pytest
import shapely

from euromine.support.errors import GridError
from euromine.support.polygon_measures import areas_and_perimeters, polygon_areas, polygon_perimeters


def test_areas_of_slanting_outlines_in_degrees_are_geodesic():
    triangles = np.array(
        [
            shapely.Polygon([(x, y), (x + 0.1, y + 0.04), (x + 0.02, y + 0.09)])
            for x, y in ((15, 61), (-3, -38))
        ]
    )
    geod = pyproj.Geod(ellps="WGS84")
    # In steps of ten metres straight in degrees and straight on the ground are the same.
    expected = [abs(geod.geometry_area_perimeter(shapely.segmentize(each, 1e-4))[0]) for each in triangles]
    np.testing.assert_allclose(polygon_areas(triangles, pyproj.CRS("EPSG:4326")), expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("crs", "longitude", "latitude"),
    [
        ("EPSG:3857", 20.9, 67.1),
        ("EPSG:3034", 20.9, 67.1),
        ("EPSG:32632", 15.0, 51.0),
        ("EPSG:2263", -74.0, 40.7),
        ("EPSG:32601", -179.99, 60.0),
    ],
)
def test_outlines_in_projections_have_their_area_and_perimeter_on_the_ellipsoid(crs, longitude, latitude):
    system = pyproj.CRS(crs)
    to_degrees = pyproj.Transformer.from_crs(system, 4326, always_xy=True)
    x, y = to_degrees.transform(longitude, latitude, direction="INVERSE")
    # A triangle of some kilometres with a hole, and one beside it.
    outer = [(x, y), (x + 9000, y + 2000), (x + 3000, y + 8000)]
    hole = [(x + 3000, y + 2000), (x + 5000, y + 2500), (x + 4000, y + 4000)]
    polygons = np.array([shapely.Polygon(outer, [hole]), shapely.Polygon(hole)])
    geod = pyproj.Geod(ellps="WGS84")
    rings = []
    for ring in (outer, hole):
        # Steps of ten metres are straight on the ground, too.
        points = shapely.get_coordinates(shapely.segmentize(shapely.LinearRing(ring), 10))
        area, perimeter = geod.polygon_area_perimeter(*to_degrees.transform(*points.T))
        rings.append((abs(area), perimeter))
    expected = [rings[0][0] - rings[1][0], rings[1][0]]
    np.testing.assert_allclose(polygon_areas(polygons, system), expected, rtol=1e-5)
    lengths = [rings[0][1] + rings[1][1], rings[1][1]]
    np.testing.assert_allclose(polygon_perimeters(polygons, system), lengths, rtol=1e-5)


def test_edges_of_all_lengths_are_geodesics():
    geod = pyproj.Geod(ellps="WGS84")
    for length in (1, 10, 800, 4_900, 5_100, 90_000):
        for azimuth in (0, 35, 90):
            ends = [(12.3, 57.8), geod.fwd(12.3, 57.8, azimuth, length)[:2], (12.3001, 57.8001)]
            triangle = np.array([shapely.Polygon(ends)])
            expected = geod.geometry_length(triangle[0].exterior)
            found = polygon_perimeters(triangle, pyproj.CRS("EPSG:4326"))
            np.testing.assert_allclose(found, expected, rtol=3e-9)


def test_long_edges_are_straight_in_their_projection():
    system = pyproj.CRS("EPSG:32633")
    box = shapely.box(300_000, 5_000_000, 304_070, 5_041_000)
    ring = np.array([box - shapely.box(301_000, 5_001_000, 301_010, 5_020_000), box])
    # GEOS adds the corners instead.
    expected = polygon_areas(shapely.segmentize(ring, 100), system)
    np.testing.assert_allclose(polygon_areas(ring, system), expected, rtol=1e-9)


def test_both_measures_at_once_are_those_one_after_the_other():
    system = pyproj.CRS("EPSG:3035")
    shapes = np.array(
        [shapely.box(4e6, 3e6, 4.01e6, 3.02e6), shapely.MultiPolygon([shapely.box(4e6, 3e6, 4.1e6, 3.1e6)])]
    )
    areas, perimeters = areas_and_perimeters(shapes, system)
    np.testing.assert_array_equal(areas, polygon_areas(shapes, system))
    np.testing.assert_array_equal(perimeters, polygon_perimeters(shapes, system))


def test_outlines_off_the_earth_are_refused():
    far = np.array([shapely.box(1e12, 1e12, 2e12, 2e12)])
    with pytest.raises(GridError, match="expected places on the Earth"):
        polygon_areas(far, pyproj.CRS("EPSG:32632"))
