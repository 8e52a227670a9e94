"""Permits in many formats and coordinate systems against outlines that are known by construction."""

import json
import logging

import geopandas
import pyogrio
import pyproj
import pytest
import shapely
from packaging.version import Version
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from euromine.monitoring.history.permit_outlines import read_permits
from euromine.monitoring.history.vector_files import write_polygons
from euromine.support.errors import PermitError

from .drawn_permits import UTM, outline, permits_of, written


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
    assert "left out 1 of 3 features, which are not polygons" in caplog.text


def test_the_folders_of_a_kml_are_layers(tmp_path):
    def folder(name, west):
        ring = f"{west},50 {west + 1},50 {west + 1},51 {west},51 {west},50"
        return (
            f"<Folder><name>{name}</name><Placemark><name>{name} "
            "1</name><Polygon><outerBoundaryIs><LinearRing>"
            f"<coordinates>{ring}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></Folder>"
        )

    path = tmp_path / "permits.kml"
    path.write_text(
        '<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
        f"{folder('North', 14)}{folder('South', 15)}</Document></kml>"
    )
    with pytest.raises(PermitError, match=r"found the layers North, South; .* with --layer North\."):
        read_permits(path, UTM)
    both = read_permits(path, UTM, layers=["South", "North"])
    assert list(both["Name"]) == ["South 1", "North 1"]
    assert list(both["permit"]) == [0, 1]
    (south,) = read_permits(path, UTM, layers=["South"]).to_crs("EPSG:4326").geometry
    assert south.bounds == pytest.approx((15, 50, 16, 51), abs=1e-4)


def test_nothing_is_left_beside_the_users_file(tmp_path):
    frame = permits_of(outline(0, 0, 17, 20))
    for name, driver in {
        "a.gml": "GML",
        "b.shp": "ESRI Shapefile",
        "c.geojson": "GeoJSON",
        "d.gpkg": "GPKG",
    }.items():
        frame.to_file(tmp_path / name, driver=driver)
    # Without its schema, GDAL would write one of its own, x.gfs.
    (tmp_path / "a.xsd").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    for name in ("a.gml", "b.shp", "c.geojson", "d.gpkg"):
        (permit,) = read_permits(tmp_path / name, UTM).geometry
        assert permit.normalize().equals_exact(outline(0, 0, 17, 20).normalize(), 1e-3)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_layer_is_chosen_where_one_alone_has_outlines(tmp_path):
    path = tmp_path / "permits.gpkg"
    written(permits_of(Point(5e5, 5e6)), path, layer="shafts")
    written(permits_of(outline(0, 0, 17, 20)), path, layer="granted")
    assert len(read_permits(path, UTM)) == 1
    written(permits_of(outline(0, 0, 3, 3), outline(4, 4, 5, 5)), path, layer="applied for")
    with pytest.raises(PermitError, match=r"layers granted, applied for; .* --layer granted\."):
        read_permits(path, UTM)
    assert len(read_permits(path, UTM, layers=["applied for"])) == 2
    assert len(read_permits(path, UTM, layers=["granted", "applied for"])) == 3
    with pytest.raises(
        PermitError, match="found no layer 'refused'; expected one of shafts, granted, applied"
    ):
        read_permits(path, UTM, layers=["refused"])


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
        (no_system, "found no coordinate system; expected one in the file"),
        (lines, "found only LineString; expected outlines"),
        (nothing, "found no geometries; expected outlines"),
        (text, "found no readable outlines .* expected a vector format"),
        (empty, "found an empty file; expected outlines"),
        (cut_short, "found no readable outlines"),
        (table, "found a table without geometries; expected"),
        (pointing, "found references to other files"),
        (algorithm, "found references to other files"),
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


def geojson(path, *rings):
    features = [
        {
            "type": "Feature",
            "properties": {"holder": str(place)},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        for place, ring in enumerate(rings)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


SQUARE = [[15, 45], [15.01, 45], [15.01, 45.01], [15, 45.01], [15, 45]]


def test_an_open_ring_is_closed_or_refused_and_never_lost(tmp_path, caplog):
    path = geojson(tmp_path / "permits.geojson", SQUARE, SQUARE[:-1])
    if Version(shapely.__version__) < Version("2.1"):
        with pytest.raises(PermitError, match="found an outline that cannot be read in feature 2"):
            read_permits(path, UTM)
        return
    with caplog.at_level(logging.WARNING):
        permits = read_permits(path, UTM)
    assert permits.permit.tolist() == [0, 1]
    assert permits.geometry[0].equals(permits.geometry[1])
    assert "closed or repaired the outlines of feature 2" in caplog.text


def test_an_outline_that_cannot_be_repaired_is_refused(tmp_path):
    path = geojson(tmp_path / "permits.geojson", SQUARE, SQUARE[:1])
    with pytest.raises(PermitError, match="found an outline that cannot be read in feature 2"):
        read_permits(path, UTM)


def test_features_without_geometry_are_counted(tmp_path, caplog):
    frame = permits_of(outline(0, 0, 17, 20), None, None).to_crs("EPSG:4326")
    with caplog.at_level(logging.WARNING):
        read_permits(written(frame, tmp_path / "permits.geojson"), UTM)
    assert "left out 2 of 3 features without geometry" in caplog.text


def test_corners_that_are_no_numbers_are_refused(tmp_path):
    frame = permits_of(Polygon([(5e5, 5e6), (float("nan"), 1), (5e5 + 9, 5e6 - 9)]))
    frame.to_parquet(tmp_path / "permits.parquet")
    with pytest.raises(PermitError, match="found corners that are no numbers in feature 1; expected finite"):
        read_permits(tmp_path / "permits.parquet", UTM)


@pytest.mark.parametrize(
    "crs",
    [
        'LOCAL_CS["x",UNIT["metre",1]]',
        'GEOGCS["Moon",DATUM["D_Moon",SPHEROID["Moon",1737400,0]],PRIMEM["Reference",0],'
        'UNIT["degree",0.0174532925199433]]',
    ],
)
def test_a_system_that_is_not_on_the_earth_is_named(tmp_path, crs):
    permits_of(box(9, 50, 10, 51), crs=crs).to_parquet(tmp_path / "permits.parquet")
    with pytest.raises(
        PermitError, match=r"found the coordinate system .*, which has no place on the Earth; expected"
    ):
        read_permits(tmp_path / "permits.parquet", UTM)


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"fid": ["A-7"], "FID": [1.5]}, ["fid_2", "FID_3", "permit"]),
        ({"geom": ["x"], "Geometry": ["y"]}, ["geom_2", "Geometry_2", "permit"]),
        ({"Name": ["a"], "NAME": ["b"], "name_2": ["c"]}, ["Name", "NAME_3", "name_2", "permit"]),
        ({"Permit": ["DE-1"]}, ["Permit_2", "permit"]),
        ({"holders": [["a", "b"]]}, ["holders", "permit"]),
    ],
)
def test_attributes_of_any_name_and_type_are_kept_and_can_be_written(tmp_path, columns, names):
    frame = geopandas.GeoDataFrame(columns, geometry=[outline(0, 0, 9, 9)], crs=UTM)
    frame.to_parquet(tmp_path / "permits.parquet")
    permits = read_permits(tmp_path / "permits.parquet", UTM)
    assert [name for name in permits.columns if name != "geometry"] == names
    write_polygons(permits, tmp_path / "outlines.gpkg")
    again = geopandas.read_file(tmp_path / "outlines.gpkg")
    for name, values in zip(names, columns.values(), strict=False):
        assert again[name].astype(str).tolist() == [str(value) for value in values]
