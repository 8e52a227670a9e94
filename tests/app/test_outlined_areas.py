"""An area's values by year, against pixels that are counted and cut by hand."""

import json

import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Transformer

from euromine.app import outlined_areas
from euromine.app.app_errors import TooLarge
from euromine.app.outlined_areas import LARGEST_BODY, area_values, read_area
from euromine.support.errors import ArgumentError

from .drawn_app import CRS, HEIGHT, LEFT, TOP, WIDTH, YEARS, mined, square

PIXEL_HA = 0.01 / 0.9996**2
TO_DEGREES = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)


def in_degrees(shape):
    return shapely.transform(shape, lambda points: np.stack(TO_DEGREES.transform(*points.T), axis=1))


def body_of(shape) -> bytes:
    return json.dumps(shapely.geometry.mapping(shape)).encode()


def values_of(place, shape):
    return area_values(place, read_area(body_of(in_degrees(shape))))


def pixels(row, column):
    """A pixel in metres."""
    return shapely.box(LEFT + 10 * column, TOP - 10 * row - 10, LEFT + 10 * column + 10, TOP - 10 * row)


def shares_of(shape):
    return np.array(
        [
            [pixels(row, column).intersection(shape).area / 100 for column in range(WIDTH)]
            for row in range(HEIGHT)
        ]
    )


def map_of(place, name):
    with rasterio.open(place.series.path / name) as file:
        return file.read()


@pytest.mark.parametrize(
    "shape",
    [
        square(6, 20, 60, 44),
        shapely.Point(LEFT + 331, TOP - 222).buffer(77),
        shapely.Polygon([(LEFT + 85, TOP - 81), (LEFT + 700, TOP - 12), (LEFT + 300, TOP - 455)]),
        shapely.LineString([(LEFT + 20, TOP - 20), (LEFT + 660, TOP - 410)]).buffer(2),
    ],
)
def test_hectares_and_means_are_those_of_the_pixels_by_their_shares(series_site, shape) -> None:
    found = values_of(series_site, shape)
    shares = shares_of(shape)
    assert found["area_ha"] == pytest.approx(shape.area / 100 * PIXEL_HA, rel=1e-3)
    assert found["covered_share"] == pytest.approx(1, abs=1e-3)
    for values in found["years"]:
        year = values["year"]
        footprint = map_of(series_site, f"footprint_{year}.tif")[0]
        known = footprint != 255
        assert values["mined_ha"] == pytest.approx(
            (shares * mined(year) * known).sum() * PIXEL_HA, rel=2e-3, abs=1e-4
        )
        assert values["known_share"] == pytest.approx((shares * known).sum() / shares.sum(), abs=2e-3)
        water = map_of(series_site, f"water_{year}.tif")[0] == 1
        assert values["water_ha"] == pytest.approx((shares * water).sum() * PIXEL_HA, rel=2e-3, abs=1e-4)
        ndvi = map_of(series_site, f"indices_{year}.tif")[0]
        weights = shares * (ndvi != -32768)
        mean = (weights * ndvi * 1e-4).sum() / weights.sum()
        spread = ((weights * (ndvi * 1e-4 - mean) ** 2).sum() / weights.sum()) ** 0.5
        assert values["indices"]["ndvi"] == pytest.approx({"mean": mean, "spread": spread}, abs=1e-3)


def test_an_area_around_the_site_has_the_areas_of_the_tables(series_site) -> None:
    found = values_of(series_site, square(-10, -10, WIDTH + 10, HEIGHT + 10))
    areas = series_site.series.areas.set_index("year")
    water = series_site.series.water.set_index("year")
    for values in found["years"]:
        assert values["mined_ha"] == pytest.approx(areas["area_ha"][values["year"]], abs=1e-4)
        assert values["water_ha"] == pytest.approx(water["water_ha"][values["year"]], abs=1e-4)
        assert values["known_share"] == pytest.approx(areas["known_share"][values["year"]], abs=1e-4)
    whole = (WIDTH + 20) * (HEIGHT + 20)
    assert found["covered_share"] == pytest.approx(WIDTH * HEIGHT / whole, abs=1e-3)


def test_a_window_that_is_read_in_parts_gives_the_same(series_site, monkeypatch) -> None:
    shape = shapely.Point(LEFT + 331, TOP - 222).buffer(177)
    whole = values_of(series_site, shape)
    monkeypatch.setattr(outlined_areas, "_ROWS", 7)
    assert values_of(series_site, shape) == whole


def test_ground_without_data_is_unknown(series_site, second_site) -> None:
    cloudy = {values["year"]: values for values in values_of(series_site, square(61, 1, 70, 5))["years"]}
    assert cloudy[2021] == {
        "year": 2021,
        "mined_ha": None,
        "known_share": 0.0,
        "water_ha": 0.0,  # there has been no mine, so no water within it
        "indices": {name: {"mean": None, "spread": None} for name in ("ndvi", "mndwi", "nbr")},
    }
    assert cloudy[2022]["mined_ha"] == 0
    assert [values["year"] for values in cloudy.values()] == list(YEARS)
    outside = values_of(series_site, square(100, 100, 110, 110))
    assert (outside["covered_share"], outside["years"]) == (0.0, [])
    assert outside["area_ha"] == pytest.approx(100 * PIXEL_HA, rel=1e-3)
    second = area_values(second_site, read_area(body_of(shapely.box(10.0011, 49.9985, 10.0015, 49.9989))))
    assert second["years"][0]["water_ha"] is None
    assert second["years"][0]["mined_ha"] == pytest.approx(second["area_ha"], rel=0.1)


def test_features_and_collections_are_joined_and_overlaps_count_once() -> None:
    first, second = shapely.box(10, 50, 10.2, 50.1), shapely.box(10.1, 50, 10.3, 50.1)
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(first)}
    collection = {
        "type": "FeatureCollection",
        "features": [
            feature,
            {
                "type": "Feature",
                "geometry": {
                    "type": "GeometryCollection",
                    "geometries": [shapely.geometry.mapping(shapely.MultiPolygon([second]))],
                },
            },
        ],
    }
    assert read_area(json.dumps(feature).encode()).equals(first)
    assert read_area(json.dumps(collection).encode()).equals(shapely.box(10, 50, 10.3, 50.1))
    high = {"type": "Polygon", "coordinates": [[[10, 50, 7], [10.1, 50, 7], [10, 50.1, 7], [10, 50, 7]]]}
    assert read_area(json.dumps(high).encode()).area == pytest.approx(0.005)


def polygon(*corners) -> bytes:
    return json.dumps({"type": "Polygon", "coordinates": [list(corners)]}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "found no JSON"),
        (b"\xff\xfe", "found no JSON"),
        (b"[" * 100_000, "found no JSON"),
        (b"[]", "something else than GeoJSON"),
        (b'{"type": "Point", "coordinates": [10, 50]}', "found Point; expected polygons"),
        (b'{"type": "Feature", "geometry": null}', "something else than GeoJSON"),
        (b'{"type": "FeatureCollection", "features": []}', "found no polygon"),
        (b'{"type": "FeatureCollection", "features": 3}', "found no list"),
        (b'{"type": "Polygon"}', "without rings"),
        (b'{"type": "Polygon", "coordinates": []}', "without rings"),
        (b'{"type": "Polygon", "coordinates": [[[1, 2]]]}', "without rings"),
        (b'{"type": "Polygon", "coordinates": [[[1, 2], [3], [4, 5], [1, 2]]]}', "without rings"),
        (b'{"type": "Polygon", "coordinates": [[[1, {}], [3, 4], [4, 5], [1, 2]]]}', "without rings"),
        (polygon([10, 50], [10, 10**400], [11, 51], [10, 50]), "without rings"),
        (polygon([500000, 5100000], [500100, 5100000], [500100, 5100100]), "WGS 84"),
        (polygon([10, 50], [11, float("nan")], [11, 51]), "WGS 84"),
        (polygon([10, 50], [10.1, 50.1], [10.1, 50], [10, 50.1]), "self-intersection"),
        (polygon([10, 50], [10.1, 50], [10, 50]), "invalid outline|without area"),
        (polygon([179, 50], [-179, 50], [-179, 51], [179, 51]), "antimeridian"),
        (polygon([0, 0], [40, 0], [40, 40], [0, 40]), "40 degrees wide"),
    ],
)
def test_what_is_no_area_is_refused_in_a_sentence(body, words) -> None:
    with pytest.raises(ArgumentError, match=words):
        read_area(body)


def test_large_bodies_and_areas_are_refused(series_site, monkeypatch) -> None:
    with pytest.raises(TooLarge, match="expected at most 256 KiB"):
        read_area(b" " * (LARGEST_BODY + 1))
    monkeypatch.setattr(outlined_areas, "MOST_PIXELS", 100)
    with pytest.raises(ArgumentError, match="found 400 pixels around it"):
        values_of(series_site, square(10, 10, 30, 30).buffer(-0.01))
    monkeypatch.setattr(outlined_areas, "_LONGEST_OUTLINE", 10.0)
    with pytest.raises(ArgumentError, match="an outline of 32 pixels"):
        values_of(series_site, square(10, 10, 18, 18).buffer(-0.01))
