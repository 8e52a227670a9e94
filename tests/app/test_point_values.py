"""The values of a point are those of its pixel, read by rasterio alone."""

import math
from dataclasses import replace

import pytest
import rasterio
from pyproj import Transformer

from euromine.app.point_values import point_values
from euromine.app.site_catalogue import SiteCatalogue
from euromine.modeling import BANDS
from euromine.support.errors import ArgumentError

from .drawn_app import CRS, DEGREES, LEFT, SITE, SITE_ID, TOP, YEARS, image_of, mined

TO_DEGREES = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)


def at(row: float, column: float):
    return TO_DEGREES.transform(LEFT + 10 * column, TOP - 10 * row)


@pytest.mark.parametrize(("row", "column"), [(15, 50), (35, 10), (36, 44), (2, 65), (0, 0), (47, 71)])
def test_values_are_those_of_the_pixel_in_every_map_and_image(series_site, row, column) -> None:
    found = point_values(series_site, *at(row + 0.3, column + 0.8))
    assert (found["inside"], found["row"], found["column"]) == (True, row, column)
    years_mined = [year for year in YEARS if mined(year)[row, column]]
    assert found["first_year"] == (min(years_mined) if years_mined else None)
    assert found["last_year"] == (max(years_mined) if years_mined else None)
    for values in found["years"]:
        year = values["year"]
        image = image_of(year)[:, row, column]
        if (image == -999).all():
            assert values["mined"] is None
            assert values["probability"] is None
            assert set(values["reflectance"].values()) == {None}
            assert set(values["indices"].values()) == {None}
            assert set(values["components"].values()) == {None}
            continue
        assert values["mined"] is bool(mined(year)[row, column])
        assert values["reflectance"] == pytest.approx(
            {band: number / 10_000 for band, number in zip(BANDS, image.tolist(), strict=True)}, abs=1e-4
        )
        with rasterio.open(series_site.series.path / f"indices_{year}.tif") as file:
            numbers = file.read()[:, row, column] / 10_000
        assert values["indices"] == pytest.approx(
            dict(zip(("ndvi", "mndwi", "nbr"), numbers.tolist(), strict=True)), abs=1e-4
        )
        with rasterio.open(series_site.series.path / f"probability_{year}.tif") as file:
            assert values["probability"] == pytest.approx(float(file.read(1)[row, column]), abs=1e-4)
        with rasterio.open(series_site.series.path / f"water_{year}.tif") as file:
            assert values["water"] is bool(file.read(1)[row, column])


def test_components_have_names_and_none_where_there_is_none(series_site) -> None:
    by_year = {
        values["year"]: values["components"] for values in point_values(series_site, *at(36.5, 44.5))["years"]
    }
    assert by_year[2018] == {"ground": "none", "deposits": "stockpile"}
    assert by_year[2022] == {"ground": "none", "deposits": "none"}


def test_a_point_outside_has_no_values(series_site, second_site) -> None:
    for row, column in ((-0.1, 5), (5, -0.1), (48.1, 5), (5, 72.1)):
        assert point_values(series_site, *at(row, column)) == {
            "inside": False,
            "row": None,
            "column": None,
            "first_year": None,
            "last_year": None,
            "years": [],
        }
    assert point_values(series_site, -170.0, -89.0)["inside"] is False
    longitude, latitude = DEGREES @ (12.5, 11.5)
    found = point_values(second_site, longitude, latitude)
    assert (found["row"], found["column"]) == (11, 12)
    first = found["years"][0]
    assert first["mined"] is True
    assert first["water"] is None
    assert (first["indices"], first["reflectance"]) == ({}, {})


@pytest.mark.parametrize(("longitude", "latitude"), [(181, 0), (0, 91), (math.nan, 0), (math.inf, 0)])
def test_coordinates_beyond_degrees_are_refused(series_site, longitude, latitude) -> None:
    with pytest.raises(ArgumentError, match="expected degrees from"):
        point_values(series_site, longitude, latitude)


def test_an_image_without_scale_is_said_to_have_none(own_app_folder, caplog) -> None:
    path = own_app_folder / "images" / SITE / "image" / "Year2018.tif"
    place = SiteCatalogue(own_app_folder).place(SITE_ID)
    image = image_of(2018).astype("float32") / 10_000
    with rasterio.open(path) as file:
        profile = {**file.profile, "dtype": "float32", "nodata": -9.0}
    with rasterio.open(path, "w", **profile) as file:
        file.write(image * 700)
    scenes = [
        replace(scene, size=path.stat().st_size) if scene.year == 2018 else scene
        for scene in place.series.manifest.scenes
    ]
    place.series.manifest = replace(place.series.manifest, scenes=scenes)
    assert place.image(2018) == path
    found = point_values(place, *at(15.5, 50.5))["years"]
    assert found[0]["reflectance"] == {}
    assert found[0]["mined"] is False
    assert len(found[1]["reflectance"]) == 10
    assert "It is shown without reflectance." in caplog.text
