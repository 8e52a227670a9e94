"""Areas of polygons against geodesic figures of PROJ."""

import numpy as np
import pyproj
import shapely

from euromine.monitoring.history.polygon_measures import polygon_areas


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
