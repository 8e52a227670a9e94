"""OpenStreetMap: tags, multipolygons, .osm XML and Overpass answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from euromine.annotation import import_labels
from euromine.support.errors import AnnotationError

from .conftest import read_label

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")

OUTER = [(2, 2), (10, 2), (10, 9), (2, 9)]
INNER = [(4, 4), (7, 4), (7, 7), (4, 7)]
EXPECTED = np.zeros((12, 16), np.uint8)
EXPECTED[2:9, 2:10] = 1
EXPECTED[4:7, 4:7] = 0


def in_degrees(points: list[tuple[int, int]]) -> list[tuple[float, float]]:
    ground = [shapely.Point(540_000 + 10 * x, 5_260_000 - 10 * y) for x, y in points]
    moved = geopandas.GeoSeries(ground, crs="EPSG:32633").to_crs(4326)
    return [(point.x, point.y) for point in moved]


def osm(folder: Path, *, complete: bool = True) -> Path:
    """A multipolygon whose outer ring is two ways, a road, a house, and a lonely node."""
    places = in_degrees(OUTER + INNER)
    nodes = [f'<node id="{n}" lon="{x:.9f}" lat="{y:.9f}"/>' for n, (x, y) in enumerate(places, 1)]
    ways = {21: [1, 2, 3], 22: [3, 4, 1], 23: [5, 6, 7, 8, 5], 24: [1, 5], 25: [1, 2, 5, 1]}
    tags = {24: ("highway", "track"), 25: ("building", "yes")}
    written = [
        f'<way id="{way}">'
        + "".join(f'<nd ref="{node}"/>' for node in refs)
        + (f'<tag k="{tags[way][0]}" v="{tags[way][1]}"/>' if way in tags else "")
        + "</way>"
        for way, refs in ways.items()
        if complete or way != 22
    ]
    relation = (
        '<relation id="31"><member type="way" ref="22" role="outer"/>'
        '<member type="way" ref="21" role="outer"/>'
        '<member type="way" ref="23" role="inner"/><tag k="type" v="multipolygon"/>'
        '<tag k="landuse" v="quarry"/></relation>'
    )
    path = folder / "extract.osm"
    path.write_text(f'<osm version="0.6">{"".join(nodes + written)}{relation}</osm>')
    return path


def overpass(folder: Path) -> Path:
    """The same ground as Overpass gives it with `out geom`, beside a spoil heap as a closed way."""

    def geometry(points: list[tuple[int, int]]) -> list[dict[str, float]]:
        return [{"lon": x, "lat": y} for x, y in in_degrees(points)]

    members = [
        {"type": "way", "ref": 21, "role": "outer", "geometry": geometry(OUTER[:3])},
        {"type": "way", "ref": 22, "role": "outer", "geometry": geometry([*OUTER[2:], OUTER[0]])},
        {"type": "way", "ref": 23, "role": "inner", "geometry": geometry([*INNER, INNER[0]])},
    ]
    heap = [(12, 0), (15, 0), (15, 3), (12, 3), (12, 0)]
    elements = [
        {"type": "relation", "id": 31, "tags": {"landuse": "quarry"}, "members": members},
        {"type": "way", "id": 41, "tags": {"man_made": "spoil_heap"}, "geometry": geometry(heap)},
    ]
    path = folder / "answer.json"
    path.write_text(json.dumps({"version": 0.6, "elements": elements}))
    return path


def test_a_multipolygon_of_several_ways_has_its_hole(archive, tmp_path):
    report = import_labels(osm(tmp_path), archive, year="2021")
    np.testing.assert_array_equal(read_label(archive, 2021), EXPECTED)
    assert report.format == "OpenStreetMap"
    assert report.mine_labels == ("quarry",)


def test_an_answer_of_overpass_gives_the_same(archive, tmp_path):
    report = import_labels(overpass(tmp_path), archive, year="2021")
    expected = EXPECTED.copy()
    expected[0:3, 12:15] = 1
    np.testing.assert_array_equal(read_label(archive, 2021), expected)
    assert report.mine_labels == ("dumping_ground", "quarry")


def test_outlines_that_the_extract_cuts_are_counted(archive, tmp_path):
    with pytest.raises(AnnotationError, match="shapes whose outline is not whole in the file: 1"):
        import_labels(osm(tmp_path, complete=False), archive, year="2021")


def test_geojson_with_openstreetmaps_tags_needs_a_year(files, archive):
    with pytest.raises(
        AnnotationError, match=r"found no year, .*the attributes are landuse, osm_id, resource"
    ):
        import_labels(files / "osm_quarry.geojson", archive)
    report = import_labels(files / "osm_quarry.geojson", archive, year="2021")
    assert report.mine_labels == ("quarry",)
    label = np.zeros((12, 16), np.uint8)
    label[2:8, 2:10] = 1
    np.testing.assert_array_equal(read_label(archive, 2021), label)


@pytest.mark.parametrize(
    ("element", "words"),
    [
        ({"type": "way"}, "element 1: found no id; expected a whole number"),
        ({"type": "node", "id": 1, "lat": 4}, "found no lon"),
        ({"type": "way", "id": 1, "geometry": 4}, "found 4 as geometry; expected a list"),
        ("way", 'element 1: found "way"; expected an object with type'),
    ],
)
def test_damaged_elements_are_named(element: Any, words, archive, tmp_path):
    path = tmp_path / "answer.json"
    path.write_text(json.dumps({"elements": [element]}))
    with pytest.raises(AnnotationError, match=words):
        import_labels(path, archive, year="2021")
