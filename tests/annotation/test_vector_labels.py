"""Outlines on the ground: formats, coordinate systems, years, classes, and geometries that are not sound."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from euromine.annotation import import_labels
from euromine.support.errors import AnnotationError

from .conftest import read_label, write_images

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")

# The upper left corner of Testmine, whose pixels are 10 m wide.
WEST, NORTH = 540_000, 5_260_000


def ground(left: float, top: float, right: float, bottom: float) -> Any:
    """A box in pixels of Testmine, on the ground."""
    return shapely.box(WEST + 10 * left, NORTH - 10 * bottom, WEST + 10 * right, NORTH - 10 * top)


def frame(crs: Any = "EPSG:32633", **columns: Any) -> Any:
    columns = {"class": ["pit", "ignore"], "year": [2021, 2021], **columns}
    geometry = columns.pop("geometry", [ground(2, 2, 8, 6), ground(5, 4, 12, 8)])
    return geopandas.GeoDataFrame(columns, geometry=geometry, crs="EPSG:32633").to_crs(crs)


EXPECTED = np.zeros((12, 16), np.uint8)
EXPECTED[2:6, 2:8] = 1
EXPECTED[4:8, 5:12] = 255


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "EPSG:3857", "EPSG:3035", "EPSG:32632"])
@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson"])
def test_outlines_in_any_coordinate_system_give_the_same_label(suffix, crs, archive, tmp_path):
    path = tmp_path / f"drawn{suffix}"
    frame(crs).to_file(path)
    import_labels(path, archive)
    np.testing.assert_array_equal(read_label(archive, 2021), EXPECTED)


def test_a_shapefile_can_be_zipped(archive, tmp_path):
    (tmp_path / "shapes").mkdir()
    frame("EPSG:4326").to_file(tmp_path / "shapes" / "drawn.shp")
    with zipfile.ZipFile(tmp_path / "drawn.zip", "w") as zipped:
        for path in sorted((tmp_path / "shapes").iterdir()):
            zipped.write(path, f"folder/{path.name}")
    assert import_labels(tmp_path / "drawn.zip", archive).format == "shapefile"
    np.testing.assert_array_equal(read_label(archive, 2021), EXPECTED)


def test_layers_of_a_geopackage_can_name_their_years(archive, tmp_path):
    path = tmp_path / "drawn.gpkg"
    pit = frame().iloc[:1].drop(columns="year")
    pit.to_file(path, layer="mines 2020")
    pit.to_file(path, layer="mines 2021")
    report = import_labels(path, archive)
    assert [(each.year, each.mine_pixels) for each in report.years] == [(2020, 24), (2021, 24)]


@pytest.mark.parametrize(
    ("rule", "column", "year"),
    [
        (None, "YEAR", 2021),
        ("attribute:drawn", "drawn", 2021),
        ("2020", "year", 2020),
        ("name", "year", 2020),
    ],
)
def test_years_come_from_where_the_rule_says(rule, column, year, archive, tmp_path):
    path = tmp_path / "mines_2020.geojson"
    frame().rename(columns={"year": column}).to_file(path, engine="pyogrio")
    document = json.loads(path.read_text())
    document["name"] = "mines_2020"
    path.write_text(json.dumps(document))
    assert [each.year for each in import_labels(path, archive, year=rule).years] == [year]


def test_outlines_of_another_year_than_the_given_one_are_told(archive, tmp_path):
    path = tmp_path / "drawn.gpkg"
    frame(year=[2020, 2021]).to_file(path)
    report = import_labels(path, archive, year="2021")
    assert any(
        "1 shape with another year in the attribute year counted as 2021" in note for note in report.notes
    )
    np.testing.assert_array_equal(read_label(archive, 2021), EXPECTED)


def test_years_as_dates_and_decimals_are_years(archive, tmp_path):
    path = tmp_path / "drawn.geojson"
    frame(year=["2021-06-30", 2021.0]).astype({"year": str}).to_file(path)
    import_labels(path, archive)
    np.testing.assert_array_equal(read_label(archive, 2021), EXPECTED)


def test_every_shape_that_is_lost_is_counted(archive, tmp_path):
    shapes = {
        ground(2, 2, 8, 6): 2021,
        ground(200, 2, 208, 6): 2021,
        ground(4, 4, 4.2, 4.2): 2021,
        ground(2, 2, 8, 7): 2019,
        ground(2, 2, 8, 8): None,
        shapely.Point(WEST + 20, NORTH - 20): 2021,
        shapely.LineString([(WEST, NORTH), (WEST + 50, NORTH - 50)]): 2021,
        shapely.Polygon(): 2021,
    }
    path = tmp_path / "drawn.gpkg"
    classes = ["pit"] * len(shapes)
    drawn = geopandas.GeoDataFrame(
        {"class": classes, "year": list(shapes.values())}, geometry=list(shapes), crs="EPSG:32633"
    )
    drawn.to_file(path)
    report = import_labels(path, archive)
    assert report.lost == {
        "points": 1,
        "lines": 1,
        "shapes without geometry": 1,
        "shapes without a year in their attribute year": 1,
        "shapes outside of all sites": 1,
        "shapes that hold no pixel's centre": 1,
        "shapes of years without an image": 1,
    }
    assert sum(each.shapes for each in report.years) + sum(report.lost.values()) == len(shapes)


def test_shapes_on_several_sites_are_left_out_only_if_none_paints_them(tmp_path):
    archive = write_images(tmp_path, "Large")
    write_images(tmp_path, "Small", (2021,), (6, 16))  # the upper half of the same ground
    shapes = {
        ground(2, 8, 5, 10): 2021,
        ground(2, 2, 5, 4): 2020,  # of a year that Small lacks
        ground(2, 1, 5, 3): 2021,  # on both
        ground(8, 6, 11, 8): 2021,  # touches Small
    }
    drawn = geopandas.GeoDataFrame({"year": list(shapes.values())}, geometry=list(shapes), crs="EPSG:32633")
    drawn.to_file(tmp_path / "drawn.gpkg")
    report = import_labels(tmp_path / "drawn.gpkg", archive)
    assert [(each.site, each.year, each.shapes) for each in report.years] == [
        ("Large", 2020, 1),
        ("Large", 2021, 3),
        ("Small", 2021, 1),
    ]
    assert not report.lost
    assert "1 shape on several sites: each site counts its part of them." in report.notes
    alone = import_labels(tmp_path / "drawn.gpkg", archive, sites=["Small"], replace=True)
    assert alone.lost == {
        "shapes outside of the chosen sites": 1,
        "shapes of years without an image": 1,
        "shapes outside of their picture": 1,
    }


def test_holes_stay_open_and_crossing_outlines_are_repaired(archive, tmp_path):
    ring = ground(1, 1, 9, 9).difference(ground(3, 3, 6, 6))
    bow = shapely.Polygon([(WEST + 10 * x, NORTH - 10 * y) for x, y in ((10, 1), (15, 9), (15, 1), (10, 9))])
    path = tmp_path / "drawn.gpkg"
    frame(geometry=[ring, bow], **{"class": ["pit", "pit"]}).to_file(path)
    report = import_labels(path, archive)
    label = read_label(archive, 2021)
    assert label[:, :9].sum() == 64 - 9
    assert not label[3:6, 3:6].any()
    assert report.repaired == 1
    assert label[4, 10] == label[4, 14] == 1
    assert not label[1, 12]


def test_outlines_go_to_the_sites_that_they_lie_on(archive, tmp_path):
    write_images(archive.parent, "Samemine")
    frame("EPSG:4326").to_file(tmp_path / "drawn.geojson")
    report = import_labels(tmp_path / "drawn.geojson", archive)
    assert [each.site for each in report.years] == ["Samemine", "Testmine"]
    assert not report.lost


def test_attributes_name_the_class(archive, tmp_path):
    frame(kind=["ignore", "pit"]).to_file(tmp_path / "drawn.gpkg")
    import_labels(tmp_path / "drawn.gpkg", archive, class_attribute="kind")
    assert (read_label(archive, 2021) == 255).sum() == 24
    with pytest.raises(AnnotationError, match="found no attribute 'sort'; expected one of class, kind, year"):
        import_labels(tmp_path / "drawn.gpkg", archive, class_attribute="sort")


def geojson(folder: Path, *features: Any, **members: Any) -> Path:
    path = folder / "drawn.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features), **members}))
    return path


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": {"year": 2021, **properties}, "geometry": geometry}


def in_degrees(area: Any) -> Any:
    return json.loads(shapely.to_geojson(geopandas.GeoSeries([area], crs="EPSG:32633").to_crs(4326)[0]))


def test_swapped_coordinates_are_noticed(archive, tmp_path):
    area = in_degrees(ground(2, 2, 8, 6))
    area["coordinates"] = [[[y, x] for x, y in ring] for ring in area["coordinates"]]
    with pytest.raises(
        AnnotationError, match="found outlines with latitude before longitude, which lie on Testmine"
    ):
        import_labels(geojson(tmp_path, feature(area)), archive)


SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}


@pytest.mark.parametrize(
    ("features", "members", "words"),
    [
        (
            [feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]})],
            {},
            "feature 1: found an outline",
        ),
        (
            [feature(SQUARE), feature({"type": "Polygon", "coordinates": "here"})],
            {},
            "feature 2: found an outline",
        ),
        ([feature({"type": "Circle"})], {}, "feature 1: found the geometry 'Circle'; expected a Polygon"),
        ([feature([1, 2])], {}, r"feature 1: found the geometry '\[1, 2\]'"),
        ([feature({"type": ["Polygon"]})], {}, r"feature 1: found the geometry \"\['Polygon'\]\""),
        ([{"type": "Feature", "properties": 3, "geometry": None}], {}, "found 3 as properties"),
        (
            [feature(SQUARE)],
            {"crs": {"properties": {"name": "+proj=longlat +nadgrids=/etc/passwd"}}},
            "found the coord",
        ),
        (
            [feature(SQUARE)],
            {"crs": {"properties": {"name": "EPSG:999999"}}},
            "coordinate system 'EPSG:999999'",
        ),
        ([feature(SQUARE)], {}, "found 1 shape and no label to write; .* shapes outside of all sites: 1"),
        ([], {}, "found 0 shapes and no label to write; expected shapes of Testmine in 2020, 2021"),
    ],
)
def test_geojson_that_fits_nothing_is_answered_in_a_sentence(features, members, words, archive, tmp_path):
    with pytest.raises(AnnotationError, match=words):
        import_labels(geojson(tmp_path, *features, **members), archive)


def test_a_feature_without_a_number_in_a_corner_is_named(archive, tmp_path):
    path = geojson(tmp_path, feature(SQUARE))
    path.write_text(path.read_text().replace("[1, 0]", "[NaN, 0]"))
    with pytest.raises(
        AnnotationError, match=r"feature 1: found an outline|feature 1: found points that are no numbers"
    ):
        import_labels(path, archive)


def test_a_file_without_a_coordinate_system_is_refused(archive, tmp_path):
    drawn = frame()
    drawn.crs = None
    drawn.to_file(tmp_path / "drawn.shp")
    with pytest.raises(AnnotationError, match="found no coordinate system; expected one in the file"):
        import_labels(tmp_path / "drawn.shp", archive)


def test_a_table_without_geometries_is_refused(archive, tmp_path):
    import pyogrio

    table = frame().drop(columns="geometry")
    pyogrio.write_dataframe(table, tmp_path / "drawn.gpkg", driver="GPKG")
    with pytest.raises(AnnotationError, match="found a table without geometries"):
        import_labels(tmp_path / "drawn.gpkg", archive)


def test_an_open_ring_in_a_geopackage_is_named(archive, tmp_path):
    """Written byte by byte: no library writes such a ring."""
    import sqlite3

    path = tmp_path / "drawn.gpkg"
    frame().to_file(path, SPATIAL_INDEX="NO")
    ring = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], "<f8")
    wkb = b"\x01" + np.array([3, 1, 4], "<u4").tobytes() + ring.tobytes()
    with sqlite3.connect(path) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        head = database.execute("SELECT geom FROM drawn WHERE fid = 2").fetchone()[0][:8]
        blob = head[:3] + bytes([head[3] & 0b11110001]) + head[4:8] + wkb
        database.execute("UPDATE drawn SET geom = ? WHERE fid = 2", (blob,))
    with pytest.raises(AnnotationError, match="an outline that cannot be read in feature 2"):
        import_labels(path, archive)


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3857"])
def test_outlines_that_reach_far_beyond_a_site_are_cut_to_it(crs, archive, tmp_path):
    """At steps of a kilometre, edges of such a length would fill the memory."""
    far = shapely.box(-1e13, -1e13, 1e13, 1e13)
    geopandas.GeoDataFrame({"class": ["pit"], "year": [2021]}, geometry=[far], crs=crs).to_file(
        tmp_path / "drawn.gpkg"
    )
    import_labels(tmp_path / "drawn.gpkg", archive)
    assert (read_label(archive, 2021) == 1).all()


def test_a_geopackage_with_damaged_names_is_refused(archive, tmp_path):
    path = tmp_path / "drawn.gpkg"
    frame().to_file(path)
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CRE\xc3TE TAB\xff"))
    with pytest.raises(AnnotationError, match="found another format than GeoPackage"):
        import_labels(path, archive)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32634"])
def test_polygons_along_the_pixels_of_a_grid_in_degrees_give_those_pixels(crs, tmp_path):
    from rasterio.features import shapes
    from rasterio.transform import Affine

    from euromine.annotation.label_painting import paint_year
    from euromine.annotation.layer_placing import place_layers
    from euromine.annotation.recognition import read_annotations
    from euromine.annotation.task_record import SiteGrid

    mask = np.add.outer(np.sin(np.arange(40) / 3), np.cos(np.arange(60) / 4)) > 0.2
    transform = Affine(9e-5, 0, 21.0, 0, -9e-5, 67.85)
    found = shapes(mask.astype(np.uint8), mask=mask, connectivity=4, transform=transform)
    areas = [shapely.geometry.shape(area) for area, _ in found]
    drawn = geopandas.GeoDataFrame({"year": [2021] * len(areas)}, geometry=areas, crs="EPSG:4326")
    drawn.to_crs(crs).to_file(tmp_path / "drawn.gpkg")
    grid = SiteGrid(crs="EPSG:4326", transform=transform[:6], height=40, width=60)
    placed = place_layers(read_annotations(tmp_path / "drawn.gpkg"), {"Kiruna": grid}, None)
    label = paint_year(placed.drawings["Kiruna", 2021], 40, 60).label
    np.testing.assert_array_equal(label, mask)
