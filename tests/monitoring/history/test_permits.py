"""Permits in many formats and systems against areas that are known by construction."""

import json
import logging

import geopandas
import numpy as np
import pandas
import pyogrio
import pyproj
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from euromine.monitoring.history.change_maps import change_map
from euromine.monitoring.history.permits import outside_by_year, outside_permits, read_permits, write_findings
from euromine.monitoring.history.polygons import change_polygons, footprint_polygons
from euromine.monitoring.scenes.grids import Grid
from euromine.support.errors import PermitError

UTM = "EPSG:32633"
# A pixel is 10 m; the scene reaches from 500,000 to 500,400 and from 4,999,700 to 5,000,000.
GRID = Grid(CRS.from_epsg(32633), Affine(10, 0, 5e5, 0, -10, 5e6), 40, 30)
YEARS = (2015, 2016, 2018)
PAIRS = [(2015, 2016), (2015, 2018), (2016, 2018)]


@pytest.fixture
def footprints():
    """A mine of 10 x 10 pixels that grows to the right by 5 columns, and a small one that comes last."""
    maps = np.zeros((3, 30, 40), np.uint8)
    maps[0, 5:15, 5:15] = 1
    maps[1, 5:15, 5:20] = 1
    maps[2, 5:15, 5:20] = 1
    maps[2, 25:27, 30:32] = 1
    return maps


@pytest.fixture
def series(footprints):
    changes = np.stack(
        [
            change_map(footprints[YEARS.index(first)], footprints[YEARS.index(second)])
            for first, second in PAIRS
        ]
    )
    return (
        footprint_polygons(footprints, YEARS, GRID, site="Spain_1"),
        change_polygons(changes, PAIRS, GRID, site="Spain_1"),
    )


def outline(left, top, right, bottom):
    """A rectangle of pixels of the scene."""
    return box(5e5 + 10 * left, 5e6 - 10 * bottom, 5e5 + 10 * right, 5e6 - 10 * top)


def permits_of(*outlines, crs=UTM):
    return geopandas.GeoDataFrame({"name": ["granted"] * len(outlines)}, geometry=list(outlines), crs=crs)


def written(frame, path, **options):
    frame.to_file(path, **options)
    return path


def test_what_lies_outside_is_listed_by_year_and_size(series, tmp_path):
    # The permit covers the left 12 columns of 10, 15 and 15.
    path = written(permits_of(outline(0, 0, 17, 20)), tmp_path / "permits.gpkg")
    found = outside_permits(*series, read_permits(path, UTM), pairs=PAIRS)
    rows = [(row.year, row.kind, round(row.area_ha, 6), row.year_1) for row in found.itertuples()]
    assert rows == [
        (2016, "mined", 0.3, 0),
        (2016, "new", 0.3, 2015),
        (2018, "mined", 0.3, 0),
        (2018, "mined", 0.04, 0),
        (2018, "new", 0.04, 2016),
    ]
    assert found.outside_share.tolist() == pytest.approx([0.2, 0.6, 0.2, 1.0, 1.0])
    assert found.crs == GRID.crs
    assert set(found.site) == {"Spain_1"}
    sums = outside_by_year(found)
    assert sums.to_dict("records") == [
        {
            "year": 2016,
            "mined_ha": pytest.approx(0.3),
            "new_ha": pytest.approx(0.3),
            "parts": 1,
            "largest_ha": pytest.approx(0.3),
        },
        {
            "year": 2018,
            "mined_ha": pytest.approx(0.34),
            "new_ha": pytest.approx(0.04),
            "parts": 2,
            "largest_ha": pytest.approx(0.3),
        },
    ]


def test_new_is_what_was_gained_since_the_last_year_that_was_compared(series):
    permits = permits_of(outline(35, 0, 40, 3))
    news = outside_permits(*series, permits, pairs=[(2015, 2018)])
    news = news[news.kind == "new"]
    assert [(row.year, row.year_1, round(row.area_ha, 6)) for row in news.itertuples()] == [
        (2018, 2015, 0.5),
        (2018, 2015, 0.04),
    ]


def test_a_point_of_each_part_is_given_in_degrees(series):
    found = outside_permits(*series, permits_of(outline(0, 0, 17, 20)))
    to_metres = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    for row in found.itertuples():
        assert row.geometry.contains(Point(to_metres.transform(row.longitude, row.latitude)))


def test_several_permits_cover_together_and_a_hole_in_one_does_not(series):
    ring = outline(0, 0, 25, 20).difference(outline(8, 8, 10, 10))
    left, right = outline(0, 0, 11, 20), outline(11, 0, 25, 20)
    together = outside_permits(series[0], None, permits_of(left, right))
    assert [(row.year, round(row.area_ha, 6)) for row in together.itertuples()] == [(2018, 0.04)]
    holed = outside_permits(series[0], None, permits_of(ring))
    assert [round(area, 6) for area in holed.area_ha] == [0.04] * 4


def test_an_outline_that_cuts_pixels_counts_their_part_outside(series):
    cut = shapely.affinity.translate(outline(0, 0, 17, 20), 2.5, 0)
    found = outside_permits(series[0], None, permits_of(cut))
    assert found[found.year == 2016].area_ha.tolist() == pytest.approx([0.3 - 0.025])


def test_parts_below_the_smallest_size_are_left_out(series):
    found = outside_permits(*series, permits_of(outline(0, 0, 17, 20)), smallest_ha=0.05)
    assert found.area_ha.min() > 0.05
    assert len(found) == 3


def test_where_permits_cover_everything_nothing_is_found(series, tmp_path):
    found = outside_permits(*series, permits_of(outline(-5, -5, 50, 50)))
    assert len(found) == 0
    write_findings(found, tmp_path / "permits.csv", tmp_path / "permits.gpkg")
    assert list(pandas.read_csv(tmp_path / "permits.csv").columns)[:5] == [
        "year",
        "kind",
        "area_ha",
        "longitude",
        "latitude",
    ]
    assert len(geopandas.read_file(tmp_path / "permits.gpkg")) == 0
    assert len(outside_by_year(found)) == 0


def test_a_series_without_any_mine_has_nothing_outside():
    empty = footprint_polygons(np.zeros((3, 30, 40), np.uint8), YEARS, GRID)
    changes = change_polygons(np.zeros((1, 30, 40), np.uint8), [(2015, 2016)], GRID)
    assert len(outside_permits(empty, changes, permits_of(outline(0, 0, 3, 3)))) == 0


def test_findings_are_written_as_a_table_and_as_polygons(series, tmp_path):
    found = outside_permits(*series, permits_of(outline(0, 0, 17, 20)))
    write_findings(found, tmp_path / "permits.csv", tmp_path / "permits.gpkg")
    table = pandas.read_csv(tmp_path / "permits.csv")
    assert table.area_ha.tolist() == pytest.approx(found.area_ha.tolist(), abs=1e-4)
    assert "geometry" not in table
    again = geopandas.read_file(tmp_path / "permits.gpkg")
    assert again.geometry.area.tolist() == pytest.approx(found.geometry.area.tolist())
    assert again.kind.tolist() == found.kind.tolist()


@pytest.mark.parametrize(
    ("name", "driver", "crs"),
    [
        ("permits.gpkg", "GPKG", "EPSG:3035"),
        ("permits.shp", "ESRI Shapefile", "EPSG:31468"),
        ("permits.geojson", "GeoJSON", "EPSG:4326"),
        ("permits.fgb", "FlatGeobuf", "EPSG:25833"),
        ("permits.kml", "KML", "EPSG:4326"),
        ("permits.gml", "GML", "EPSG:4258"),
    ],
)
def test_permits_of_any_format_and_system_come_to_lie_where_they_were(tmp_path, name, driver, crs):
    large = outline(-2000, -2000, 3000, 3000)
    path = written(permits_of(large, outline(0, 0, 17, 20)).to_crs(crs), tmp_path / name, driver=driver)
    permits = read_permits(path, UTM)
    assert permits.crs == UTM
    assert permits.permit.tolist() == [0, 1]
    # Corners keep their place; KML writes degrees to a centimetre or better, DHDN is known to some metres.
    tolerance = 5 if crs == "EPSG:31468" else 0.02
    # FlatGeobuf sorts by place: the smaller one is looked at.
    smaller = permits.geometry[permits.area.idxmin()]
    assert smaller.hausdorff_distance(outline(0, 0, 17, 20)) < tolerance


def test_a_geoparquet_file_is_read(tmp_path):
    permits_of(outline(0, 0, 17, 20)).to_parquet(tmp_path / "permits.parquet")
    assert read_permits(tmp_path / "permits.parquet", UTM).geometry[0].equals(outline(0, 0, 17, 20))


def test_long_straight_edges_keep_their_place_on_the_ground(tmp_path):
    # Fifty kilometres along a parallel, whose middle lies some 40 m beside the chord in UTM.
    path = written(permits_of(box(14.7, 45.0, 15.4, 45.2), crs="EPSG:4326"), tmp_path / "permits.geojson")
    (permit,) = read_permits(path, UTM).geometry
    to_metres = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    middle = Point(to_metres.transform(15.05, 45.0))
    assert permit.exterior.distance(middle) < 0.05


def test_an_outline_that_crosses_itself_is_repaired(tmp_path):
    bow_tie = Polygon([(5e5, 5e6), (5e5 + 100, 5e6 - 100), (5e5 + 100, 5e6), (5e5, 5e6 - 100)])
    permits = read_permits(written(permits_of(bow_tie), tmp_path / "permits.gpkg"), UTM)
    assert permits.geometry.is_valid.all()
    assert permits.geometry.area.sum() == pytest.approx(5000)
    assert permits.permit.tolist() == [0, 0]


def test_parts_of_a_multipolygon_are_outlines_each(tmp_path):
    both = MultiPolygon([outline(0, 0, 5, 5), outline(7, 7, 9, 9)])
    permits = read_permits(written(permits_of(both), tmp_path / "permits.gpkg"), UTM)
    assert len(permits) == 2
    assert permits.name.tolist() == ["granted"] * 2


def test_points_beside_outlines_are_left_out_with_a_warning(tmp_path, caplog):
    frame = permits_of(outline(0, 0, 17, 20), Point(5e5, 5e6), None)
    with caplog.at_level(logging.WARNING):
        permits = read_permits(written(frame.to_crs("EPSG:4326"), tmp_path / "permits.geojson"), UTM)
    assert len(permits) == 1
    assert "1 features are no outlines" in caplog.text


def test_permits_of_another_place_are_warned_of(series, caplog):
    with caplog.at_level(logging.WARNING):
        outside_permits(*series, permits_of(outline(900, 900, 950, 950)))
    assert "none of the 1 outlines touches a mine" in caplog.text


def test_a_layer_is_chosen_where_one_alone_has_outlines(tmp_path):
    path = tmp_path / "permits.gpkg"
    written(permits_of(Point(5e5, 5e6)), path, layer="shafts")
    written(permits_of(outline(0, 0, 17, 20)), path, layer="granted")
    assert len(read_permits(path, UTM)) == 1
    written(permits_of(outline(0, 0, 3, 3), outline(4, 4, 5, 5)), path, layer="applied for")
    with pytest.raises(PermitError, match="layers granted, applied for; expected a file with one layer"):
        read_permits(path, UTM)
    assert len(read_permits(path, UTM, layer="applied for")) == 2
    with pytest.raises(PermitError, match="has no layer 'refused'; expected one of shafts, granted, applied"):
        read_permits(path, UTM, layer="refused")


def no_system(folder):
    return written(permits_of(outline(0, 0, 3, 3), crs=None), folder / "permits.shp")


def lines(folder):
    return written(permits_of(LineString([(5e5, 5e6), (6e5, 5e6)])), folder / "permits.gpkg")


def nothing(folder):
    frame = permits_of()
    pyogrio.write_dataframe(frame, folder / "permits.gpkg", geometry_type="Polygon")
    return folder / "permits.gpkg"


def text(folder):
    (folder / "permits.gpkg").write_text("these are the permits")
    return folder / "permits.gpkg"


def empty(folder):
    (folder / "permits.geojson").touch()
    return folder / "permits.geojson"


def cut_short(folder):
    path = written(permits_of(*[outline(0, 0, 3, 3)] * 500), folder / "permits.geojson")
    path.write_bytes(path.read_bytes()[:5000])
    return path


def table(folder):
    (folder / "permits.csv").write_text("name,area\ngranted,3\n")
    return folder / "permits.csv"


def pointing(folder):
    secret = written(permits_of(outline(0, 0, 3, 3)), folder / "secret.gpkg")
    path = folder / "permits.geojson"
    path.write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="secret"><SrcDataSource>{secret}</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    return path


def algorithm(folder):
    secret = written(permits_of(outline(0, 0, 3, 3)), folder / "secret.gpkg")
    path = folder / "permits.json"
    path.write_text(
        json.dumps({"type": "gdal_streamed_alg", "command_line": f"gdal vector pipeline ! read {secret}"})
    )
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_system, "says no coordinate system"),
        (lines, "holds LineString alone; expected outlines"),
        (nothing, "holds no geometries; expected outlines"),
        (text, "cannot be read .* expected outlines in a vector format"),
        (empty, "is empty"),
        (cut_short, "cannot be read"),
        (table, "holds a table without geometries"),
        (pointing, "only points at other files"),
        (algorithm, "only points at other files"),
    ],
)
def test_a_file_without_usable_outlines_is_answered_in_a_sentence(tmp_path, make, message):
    path = make(tmp_path)
    with pytest.raises(PermitError, match=message) as caught:
        read_permits(path, UTM)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.gpkg: there is no such file"):
        read_permits(tmp_path / "nowhere.gpkg", UTM)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_permits("/vsicurl/http://localhost/permits.gpkg", UTM)


def test_permits_where_the_system_is_not_defined_are_answered_in_a_sentence(tmp_path):
    path = written(permits_of(box(-170, -80, -100, -60), crs="EPSG:4326"), tmp_path / "permits.geojson")
    with pytest.raises(PermitError, match="is not defined; expected permits near the scene"):
        read_permits(path, "+proj=gnom +lat_0=50 +lon_0=15")


def test_permits_in_another_system_than_the_footprints_are_refused(series):
    with pytest.raises(ValueError, match="as the footprints was expected"):
        outside_permits(*series, permits_of(box(15, 45, 16, 46), crs="EPSG:4326"))
    with pytest.raises(ValueError, match="smallest size is -1 hectares"):
        outside_permits(*series, permits_of(outline(0, 0, 3, 3)), smallest_ha=-1)
