"""Outlines in degrees, against the files and the drawing."""

import json
import math
from datetime import datetime

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import Transformer

from euromine.app.app_errors import NotFound
from euromine.app.site_catalogue import SiteCatalogue
from euromine.app.vector_layers import (
    change_outlines,
    component_outlines,
    footprint_outlines,
    outside_outlines,
    permit_outlines,
    reclamation_outlines,
)

from .drawn_app import CRS, PERMIT, SITE, SITE_ID, YEARS, square

# The ground area of a pixel of 10 m in UTM, this close to its central meridian.
PIXEL_HA = 0.01 / 0.9996**2


def features(data: bytes):
    document = json.loads(data)
    assert document["type"] == "FeatureCollection"
    return document["features"]


def in_metres(feature):
    """A feature's outline, back in the series' coordinate system by pyproj."""
    back = Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
    shape = shapely.geometry.shape(feature["geometry"])
    return shapely.transform(shape, lambda points: np.stack(back.transform(*points.T), axis=1))


def test_footprints_are_where_they_were_mapped_with_the_areas_of_the_table(series_site) -> None:
    areas = {row.year: row.area_ha for row in series_site.series.areas.itertuples()}
    for year in YEARS:
        found = features(footprint_outlines(series_site, year))
        assert sum(each["properties"]["area_ha"] for each in found) == pytest.approx(areas[year], abs=2e-4)
        written = geopandas.read_file(series_site.series.path / "footprints.gpkg")
        written = shapely.union_all(written[written["year"] == year].geometry.array)
        shown = shapely.union_all([in_metres(each) for each in found])
        assert shown.symmetric_difference(written).area < 0.001 * written.area
        assert {each["properties"]["year"] for each in found} == {year}


def test_outer_rings_are_counterclockwise_and_holes_clockwise(series_site) -> None:
    for feature in features(footprint_outlines(series_site, 2022)):
        polygon = shapely.geometry.shape(feature["geometry"])
        for part in shapely.get_parts(polygon):
            assert part.exterior.is_ccw
            assert not any(ring.is_ccw for ring in part.interiors)


def test_changes_have_directions_and_components_names(series_site) -> None:
    found = features(change_outlines(series_site, 2019, 2021))
    sums = {"gain": 0.0, "loss": 0.0}
    for feature in found:
        sums[feature["properties"]["kind"]] += feature["properties"]["area_ha"]
    row = series_site.series.changes.set_index(["year_1", "year_2"]).loc[(2019, 2021)]
    assert sums == pytest.approx({"gain": row["gain_ha"], "loss": row["loss_ha"]}, abs=2e-4)
    (pit,) = features(component_outlines(series_site, "ground", 2018))
    assert pit["properties"]["component"] == "excavation"
    assert pit["properties"]["area_ha"] == pytest.approx(400 * PIXEL_HA, rel=1e-3)


def test_permits_ground_outside_them_and_recovering_ground_are_shown(series_site) -> None:
    (permit,) = features(permit_outlines(series_site))
    assert permit["properties"]["name"] == "Licence 1"
    left, top, right, bottom = PERMIT
    assert permit["properties"]["area_ha"] == pytest.approx(
        (right - left) * (bottom - top) * PIXEL_HA, rel=1e-3
    )
    assert in_metres(permit).symmetric_difference(square(*PERMIT)).area < 200
    outside = features(outside_outlines(series_site, 2022))
    table = series_site.series.permits
    table = table[table["year"] == 2022]
    assert sorted((each["properties"]["kind"], each["properties"]["area_ha"]) for each in outside) == [
        (row.kind, pytest.approx(row.area_ha, abs=2e-4)) for row in table.sort_values("kind").itertuples()
    ]
    recovering = features(reclamation_outlines(series_site))
    total = series_site.series.reclamation.query("zone == 'all' and year == 2022")["ground_ha"].item()
    assert sum(each["properties"]["ground_ha"] for each in recovering) == pytest.approx(total, abs=1e-3)
    assert recovering[0]["properties"]["y2r"] is None


def test_outlines_are_simplified_by_at_most_half_a_pixel(series_site) -> None:
    exact = geopandas.read_file(series_site.series.path / "footprints.gpkg").query("year == 2022")
    for feature, polygon in zip(features(footprint_outlines(series_site, 2022)), exact.geometry, strict=True):
        assert in_metres(feature).boundary.hausdorff_distance(polygon.boundary) <= 5.1


def test_outlines_that_a_site_lacks_are_not_found(series_site, second_site) -> None:
    for make in (
        lambda: footprint_outlines(series_site, 2020),
        lambda: change_outlines(series_site, 2021, 2019),
        lambda: component_outlines(series_site, "ground' OR '1' = '1", 2018),
        lambda: component_outlines(series_site, "transformed_area", 2018),
        lambda: permit_outlines(second_site),
        lambda: outside_outlines(second_site, 2021),
        lambda: reclamation_outlines(second_site),
    ):
        with pytest.raises(NotFound, match="found no "):
            make()


@pytest.mark.parametrize("names", [[None], [3.5], [math.inf], [datetime(2020, 5, 1)], [True], ["'=1+1"]])
def test_names_of_permits_may_be_of_any_type(own_app_folder, names) -> None:
    path = own_app_folder / "sites" / SITE / "permit_outlines.gpkg"
    path.unlink()
    outlines = geopandas.GeoDataFrame({"name": names}, geometry=[square(*PERMIT)], crs=CRS)
    outlines.to_file(path, engine="pyogrio")
    (permit,) = features(permit_outlines(SiteCatalogue(own_app_folder).place(SITE_ID)))
    shown = {"'=1+1": "=1+1", True: 1, datetime(2020, 5, 1): "2020-05-01 00:00:00", math.inf: None}
    assert permit["properties"]["name"] == shown.get(names[0], names[0])
