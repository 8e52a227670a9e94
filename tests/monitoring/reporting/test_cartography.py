"""The frame of a map, against pyproj's geodesics."""

import pyproj
import pytest
import rasterio

from euromine.monitoring.reporting.cartography import MapFrame

from .written_series import CRS, TRANSFORM

FRAMES = {
    "utm": (CRS, TRANSFORM, 227, 246),
    "degrees": ("EPSG:4326", (9e-5, 0.0, 14.0, 0.0, -9e-5, 51.0), 300, 200),
    "rotated": ("EPSG:32633", (8.0, 6.0, 5e5, 6.0, -8.0, 5e6), 120, 80),
    "south": ("EPSG:32733", (20.0, 0.0, 4e5, 0.0, -20.0, 7e6), 50, 60),
}


@pytest.mark.parametrize("name", FRAMES)
def test_ground_lengths_and_north_are_those_of_the_ellipsoid(name):
    crs, transform, width, height = FRAMES[name]
    frame = MapFrame(crs, transform, width, height)
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    affine = rasterio.Affine(*transform)
    geod = pyproj.Geod(ellps="WGS84")

    def place(column, row):
        return to_degrees.transform(*(affine @ (column, row)))

    x, y = width / 2, height / 2
    _, _, across = geod.inv(*place(x - 5, y), *place(x + 5, y))
    _, _, down = geod.inv(*place(x, y - 5), *place(x, y + 5))
    assert frame.pixel_width == pytest.approx(across / 10, rel=1e-4)
    assert frame.pixel_height == pytest.approx(down / 10, rel=1e-4)
    bearing, _, _ = geod.inv(*place(x, y), *place(x, y - 1))
    assert frame.north == pytest.approx(-bearing, abs=0.05)
    assert frame.center == pytest.approx(place(x, y))


def test_the_scale_bar_is_round_and_fits():
    bar = MapFrame(*FRAMES["utm"]).scale_bar()
    assert bar.label == "500 m"
    assert bar.share == pytest.approx(500 / 2270, rel=1e-3)


def test_ticks_lie_at_round_coordinates():
    frame = MapFrame(*FRAMES["degrees"])
    assert [(tick.label, round(tick.position, 3)) for tick in frame.longitude_ticks(2)] == [
        ("14.00° E", 0.0),
        ("14.01° E", round(0.01 / 0.027, 3)),
        ("14.02° E", round(0.02 / 0.027, 3)),
    ]
