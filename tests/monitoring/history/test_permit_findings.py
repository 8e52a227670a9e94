"""Permits compared with the polygons of a folder, against polygons in memory."""

from types import SimpleNamespace

import geopandas
import pytest

from euromine.monitoring.history import map_polygons, permit_findings, polygon_files
from euromine.monitoring.history.permit_findings import compare_with_permits
from euromine.monitoring.history.permits import outside_permits, write_findings
from euromine.monitoring.history.polygon_files import write_tables
from euromine.monitoring.history.polygon_tables import PolygonTables
from euromine.monitoring.history.polygons import change_polygons, footprint_polygons

from .drawn_footprints import METRES, YEARS, noise
from .drawn_permits import permits_of

PAIRS = [(2015, 2016), (2015, 2019), (2016, 2019)]


@pytest.mark.parametrize("few", [True, False])
def test_findings_are_those_of_all_polygons_in_memory(few, tmp_path, monkeypatch):
    maps, changes = noise(0), noise(1)
    footprints = footprint_polygons(maps, YEARS, METRES, site="Spain_1")
    permits = permits_of(footprints.geometry.iloc[0].envelope.buffer(33), crs=footprints.crs)
    expected = outside_permits(
        footprints, change_polygons(changes, PAIRS, METRES, site="Spain_1"), permits, pairs=PAIRS
    )
    assert set(expected.kind) == {"mined", "new"}
    assert 0 < (expected.outside_share < 1).sum() < len(expected)
    write_findings([expected], tmp_path / "whole.csv", tmp_path / "whole.gpkg")
    write_tables(PolygonTables(METRES, 0, "Spain_1").of_footprints(maps, YEARS), tmp_path, "footprints")
    write_tables(PolygonTables(METRES, 0, "Spain_1").of_changes(changes, PAIRS), tmp_path, "changes")
    tables = []
    if not few:
        monkeypatch.setattr(polygon_files, "_READ", 7)
        monkeypatch.setattr(map_polygons, "_KEPT_CORNERS", 60)
        monkeypatch.setattr(map_polygons, "_READ_BYTES", 16 * 60)
    monkeypatch.setattr(
        permit_findings,
        "write_findings",
        lambda findings, *paths: write_findings(
            (tables.append(len(each)) or each for each in findings), *paths
        ),
    )
    plan = SimpleNamespace(
        folder=tmp_path,
        years=YEARS,
        pairs=PAIRS,
        permits=permits,
        settings=SimpleNamespace(minimum_mapping_unit=0.0),
    )
    compare_with_permits(plan)
    assert len(tables) == len(YEARS) if few else len(tables) > 30
    assert (tmp_path / "permits.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    found, whole = (geopandas.read_file(tmp_path / name) for name in ("permits.gpkg", "whole.gpkg"))
    assert len(found) == len(expected) > 100
    assert found.equals(whole)
    assert not [each.name for each in tmp_path.iterdir() if each.name.startswith(".")]
