"""Outlines of sites from boxes and vector files, and their errors in a sentence."""

import json

import geopandas
import pytest
import shapely

from euromine.acquisition.site_outlines import box_outline, check_site_name, read_outline, read_site_outlines
from euromine.support.errors import ArgumentError, DataError

SQUARE = shapely.box(14.9, 47.1, 15.0, 47.2)
OTHER = shapely.box(15.2, 47.1, 15.3, 47.2)


def written(path, geometry, crs="EPSG:4326", **columns):
    columns = columns or {"id": range(len(geometry))}
    frame = geopandas.GeoDataFrame(columns, geometry=geometry, crs="EPSG:4326").to_crs(crs)
    frame.to_file(path)
    return path


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        ((14.9, 47.1, 14.9, 47.2), "found a box without area"),
        ((15.0, 47.1, 14.9, 47.2), "found a box without area from 15 to 14.9 degrees east"),
        ((14.9, 47.2, 15.0, 47.1), "found a box without area"),
        (
            (14.9, 97.1, 15.0, 97.2),
            "as if longitude and latitude were swapped; expected longitude first: 97.1,14.9",
        ),
        ((540000, 5260000, 541000, 5261000), "which lies beyond the Earth; expected degrees"),
        ((14.9, 47.1, 15.0), "expected west,south,east,north"),
        ((14.9, 47.1, float("nan"), 47.2), "expected west,south,east,north"),
        ((179.9, 51, -179.8, 52), "crosses longitude 180.* 179.9,51,180,52 and -180,51,-179.8,52"),
    ],
)
def test_boxes_that_are_none_are_refused(bbox, message):
    with pytest.raises(ArgumentError, match=rf"bbox: .*{message}"):
        box_outline(bbox)


def test_a_box_that_would_lie_in_europe_once_swapped_gives_a_warning(caplog):
    assert box_outline((14.9, 47.1, 15.0, 47.2)).bounds == (14.9, 47.1, 15.0, 47.2)
    assert not caplog.messages
    box_outline((47.1, 14.9, 47.2, 15.0))
    assert (
        "With the two swapped it lies in Europe: if that is meant, give longitude first, 14.9,47.1"
        in caplog.text
    )


@pytest.mark.parametrize(("name", "crs"), [("a.geojson", 4326), ("a.gpkg", 32633), ("a.shp", 3035)])
def test_outlines_come_from_any_format_and_coordinate_system(tmp_path, name, crs):
    found = read_outline(written(tmp_path / name, [SQUARE, OTHER], f"EPSG:{crs}"))
    assert found.symmetric_difference(SQUARE | OTHER).area < 1e-6 * SQUARE.area


def test_invalid_outlines_are_repaired(tmp_path):
    bow = shapely.Polygon([(14.9, 47.1), (15.0, 47.2), (15.0, 47.1), (14.9, 47.2)])
    found = read_outline(written(tmp_path / "a.gpkg", [bow]))
    assert found.is_valid
    assert found.area == pytest.approx(0.1 * 0.1 / 2)


def test_files_without_usable_outlines_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.gpkg: there is no such file"):
        read_outline(tmp_path / "none.gpkg")
    with pytest.raises(DataError, match="found no outlines with an area; expected polygons"):
        read_outline(written(tmp_path / "points.gpkg", [SQUARE.centroid]))
    (tmp_path / "text.geojson").write_text("no outlines")
    with pytest.raises(DataError, match="found no readable outlines"):
        read_outline(tmp_path / "text.geojson")
    geopandas.GeoDataFrame({"id": [1]}, geometry=[SQUARE]).to_file(tmp_path / "nowhere.gpkg")
    with pytest.raises(DataError, match="found no coordinate system; expected one in the file"):
        read_outline(tmp_path / "nowhere.gpkg")
    vrt = '<OGRVRTDataSource><OGRVRTLayer name="p"><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer>'
    (tmp_path / "vrt.gpkg").write_text(vrt)
    with pytest.raises(DataError, match="found references to other files"):
        read_outline(tmp_path / "vrt.gpkg")


def test_metres_and_swapped_degrees_in_a_file_are_refused(tmp_path):
    def drawn(*corners):
        feature = {
            "type": "Feature",
            "properties": {},
            "geometry": {"type": "Polygon", "coordinates": [[*corners]]},
        }
        (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        return tmp_path / "a.geojson"

    with pytest.raises(
        ArgumentError, match=r"a\.geojson: found .*, which lies beyond the Earth; expected degrees"
    ):
        read_outline(drawn((5e5, 5e6), (5.1e5, 5e6), (5.1e5, 5.1e6), (5e5, 5e6)))
    with pytest.raises(ArgumentError, match=r"a\.geojson: found latitudes from 100 to 101, as if"):
        read_outline(drawn((14, 100), (15, 100), (15, 101), (14, 100)))


def test_each_feature_is_a_site_named_by_a_column(tmp_path):
    columns = {"Name": ["B_2", "A_1"], "code": [7, 8], "number": [7.0, 8.5]}
    path = written(tmp_path / "a.gpkg", [OTHER, SQUARE], **columns)
    assert {name: each.bounds for name, each in read_site_outlines(path).items()} == {
        "A_1": pytest.approx(SQUARE.bounds),
        "B_2": pytest.approx(OTHER.bounds),
    }
    assert set(read_site_outlines(path, "code")) == {"7", "8"}
    assert set(read_site_outlines(path, "number")) == {"7", "8.5"}
    with pytest.raises(ArgumentError, match="name_column: found 'names'; expected one of Name, code, number"):
        read_site_outlines(path, "names")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"name": ["A", "A"]}, "found the site 'A' more than once"),
        ({"name": ["A", None]}, "found a feature without a name"),
        ({"name": ["A", "../B"]}, r"found '\.\./B'; expected the name of a folder"),
        (
            {"kind": [1, 2]},
            "found the columns kind; expected one with the sites' names. Give it with --name-column",
        ),
    ],
)
def test_names_that_name_no_site_are_refused(tmp_path, columns, message):
    path = written(tmp_path / "a.gpkg", [SQUARE, OTHER], **columns)
    with pytest.raises((ArgumentError, DataError), match=message):
        read_site_outlines(path)


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\nb", "a:b", "__MACOSX"])
def test_names_that_no_folder_can_have_are_refused(name):
    with pytest.raises(
        ArgumentError, match=r"site: found .*; expected the name of a folder, such as Germany_12"
    ):
        check_site_name(name)
