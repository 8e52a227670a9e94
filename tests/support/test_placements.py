"""Coordinate systems and geotransforms that place a raster nowhere on the Earth."""

import math

import pytest
from affine import Affine
from rasterio.crs import CRS

from euromine.support.errors import DataError, SceneError
from euromine.support.placements import check_placement, check_system

UTM, DEGREES = CRS.from_epsg(32632), CRS.from_epsg(4326)
PLACE = Affine(10, 0, 500_000, 0, -10, 5_600_000)
IN_DEGREES = Affine(1e-4, 0, 10, 0, -1e-4, 50)
MOON = (
    'GEOGCS["Moon",DATUM["D_Moon",SPHEROID["Moon",1737400,0]],PRIMEM["Reference",0],'
    'UNIT["degree",0.0174532925199433]]'
)
MARS = (
    'PROJCS["Mars",GEOGCS["Mars",DATUM["D_Mars",SPHEROID["Mars",3396190,169.8]],PRIMEM["Reference",0],'
    'UNIT["degree",0.0174532925199433]],PROJECTION["Equirectangular"],PARAMETER["central_meridian",0],'
    'UNIT["metre",1]]'
)
SITE = 'ENGCRS["site",EDATUM["x"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (UTM, PLACE),
        (UTM, PLACE @ Affine.rotation(45)),
        (UTM, Affine(10, 0, 500_000, 0, 10, 5_600_000)),
        (UTM, Affine(-0.02, 0, 500_000, 0, -0.02, 5_600_000)),
        (DEGREES, IN_DEGREES),
        (CRS.from_epsg(4807), IN_DEGREES),  # in grads
        (CRS.from_epsg(4267), Affine(1e-4, 0, -100, 0, -1e-4, 50)),  # Clarke's ellipsoid of 1866
        (CRS.from_epsg(3857), Affine(10, 0, 1e6, 0, -10, 6e6)),
        (CRS.from_epsg(3035), Affine(10, 0, 4_321_000, 0, -10, 3_210_000)),
        (CRS.from_epsg(7415), Affine(10, 0, 155_000, 0, -10, 463_000)),  # with heights
        (CRS.from_string("+proj=sinu +R=6371007.181 +units=m"), Affine(463, 0, 1e5, 0, -463, 5e6)),
    ],
)
def test_rasters_on_the_earth_are_accepted(crs: CRS, transform: Affine) -> None:
    check_placement(crs, tuple(transform), (64, 48), "a.tif")


@pytest.mark.parametrize(
    ("transform", "found"),
    [
        (Affine.identity(), "no usable geotransform"),
        (Affine(0, 0, 0, 0, 0, 0), "no usable geotransform"),
        (Affine(10, 0, 500_000, 0, 0, 5_600_000), "no usable geotransform"),
        (Affine(10, 0, math.nan, 0, -10, math.nan), "no usable geotransform"),
        (Affine(10, 0, math.inf, 0, -10, 5_600_000), "no usable geotransform"),
        (Affine(1e160, 0, 0, 0, -1e160, 0), "no usable geotransform"),
        (Affine(1e150, 0, 0, 0, -1e150, 0), "outside of its coordinate system EPSG:32632"),
        (Affine(10, 0, 5e7, 0, -10, 5e7), "outside of its coordinate system EPSG:32632"),
        (IN_DEGREES, r"pixels of 9\.97e-05 m on the ground"),
    ],
)
def test_geotransforms_that_lead_nowhere_are_refused(transform: Affine, found: str) -> None:
    with pytest.raises(
        SceneError, match=rf"^a\.tif: found .*{found}.*; expected .*gdal_edit\.py -a_srs and -a_ullr\.$"
    ):
        check_placement(UTM, tuple(transform), (64, 48), "a.tif", SceneError)


@pytest.mark.parametrize(
    ("transform", "found"),
    [
        (PLACE, "outside of its coordinate system EPSG:4326"),
        (Affine(1e-4, 0, 10, 0, -1e-4, 200), "outside of its coordinate system EPSG:4326"),
        (Affine(1e-4, 0, 1000, 0, -1e-4, 50), "outside of its coordinate system EPSG:4326"),
        (IN_DEGREES @ Affine.rotation(45), "a grid in degrees that is rotated"),
    ],
)
def test_geotransforms_in_degrees_are_checked_as_degrees(transform: Affine, found: str) -> None:
    with pytest.raises(DataError, match=rf"^a\.tif: found .*{found}"):
        check_placement(DEGREES, tuple(transform), (64, 48), "a.tif")


@pytest.mark.parametrize(
    ("crs", "name"),
    [
        (CRS.from_wkt(MOON), "Moon"),
        (CRS.from_wkt(MARS), "Mars"),
        (CRS.from_epsg(4978), "WGS 84"),  # geocentric
        (CRS.from_epsg(5773), "EGM96 height"),
        (CRS.from_wkt('LOCAL_CS["plan",UNIT["metre",1]]'), "plan"),
        (CRS.from_wkt(SITE), "site"),
    ],
)
def test_coordinate_systems_without_a_place_on_the_earth_are_refused(crs: CRS, name: str) -> None:
    message = rf"^a\.gpkg: found the coordinate system '{name}', which has no place on the Earth; expected"
    with pytest.raises(DataError, match=message):
        check_system(crs, "a.gpkg")
    with pytest.raises(DataError, match=message):
        check_placement(crs, tuple(PLACE), (64, 48), "a.gpkg")
    with pytest.raises(DataError, match="found no coordinate reference system; expected one"):
        check_placement(None, tuple(PLACE), (64, 48), "a.tif")
