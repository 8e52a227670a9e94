"""Polygons written a table at a time, against files that geopandas writes of all of them at once."""

import json
import sqlite3

import geopandas
import numpy as np
import pandas
import pytest
import shapely
from pyarrow import parquet

from euromine.monitoring.history import polygon_files
from euromine.monitoring.history.polygon_files import read_tables, stored_crs, write_tables
from euromine.monitoring.history.polygon_tables import PolygonTables
from euromine.monitoring.history.polygons import change_polygons
from euromine.monitoring.history.vector_files import write_polygons

from .drawn_footprints import GRIDS, METRES, YEARS, noise

PAIRS = [(2015, 2016), (2015, 2019), (2016, 2019)]


def tables(grid, seed=0):
    changes = noise(seed)
    changes[1] = 0  # a pair without changes
    return list(PolygonTables(grid, site="Österreich 1").of_changes(changes, PAIRS)), changes


@GRIDS
def test_both_files_hold_the_tables_one_after_the_other_as_geopandas_writes_them(grid, tmp_path, monkeypatch):
    monkeypatch.setattr(polygon_files, "_COPIED", 7)
    some, changes = tables(grid)
    names = write_tables(iter(some), tmp_path, "changes")
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(names)
    whole = change_polygons(changes, PAIRS, grid, site="Österreich 1")
    (tmp_path / "whole").mkdir()
    whole.to_parquet(tmp_path / "whole" / "changes.parquet", index=False)
    write_polygons(whole, tmp_path / "whole" / "changes.gpkg")
    found = geopandas.read_parquet(tmp_path / "changes.parquet")
    assert found.equals(geopandas.read_parquet(tmp_path / "whole" / "changes.parquet"))
    assert found.crs == whole.crs
    layers = [geopandas.read_file(folder / "changes.gpkg") for folder in (tmp_path, tmp_path / "whole")]
    assert layers[0].equals(layers[1])
    assert layers[0].crs == layers[1].crs


@GRIDS
def test_the_metadata_are_those_that_geopandas_writes(grid, tmp_path):
    some, changes = tables(grid, 1)
    write_tables(iter(some), tmp_path, "changes")
    change_polygons(changes, PAIRS, grid).to_parquet(tmp_path / "whole.parquet", index=False)
    found, expected = (
        json.loads(parquet.read_schema(tmp_path / name).metadata[b"geo"])
        for name in ("changes.parquet", "whole.parquet")
    )
    assert found == expected
    with sqlite3.connect(tmp_path / "changes.gpkg") as database:
        (indexed,) = database.execute("SELECT count(*) FROM rtree_changes_geom").fetchone()
        (features,) = database.execute("SELECT feature_count FROM gpkg_ogr_contents").fetchone()
        (kind,) = database.execute("SELECT geometry_type_name FROM gpkg_geometry_columns").fetchone()
    database.close()
    assert indexed == features == sum(map(len, some))
    assert kind == "MULTIPOLYGON"


def test_tables_without_polygons_give_files_with_all_columns(tmp_path):
    nothing = np.zeros((3, 30, 40), np.uint8)
    write_tables(PolygonTables(METRES).of_footprints(nothing, YEARS), tmp_path, "footprints")
    columns = ["site", "year", "area_ha", "perimeter_m", "first_year", "last_year", "geometry"]
    for found in (
        geopandas.read_parquet(tmp_path / "footprints.parquet"),
        geopandas.read_file(tmp_path / "footprints.gpkg"),
    ):
        assert list(found.columns) == columns
        assert len(found) == 0
        assert found.crs == METRES.crs


def test_a_failure_leaves_the_old_files_and_nothing_else(tmp_path):
    some, _ = tables(METRES)
    write_tables(iter(some[:1]), tmp_path, "changes")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def torn():
        yield some[1]
        yield some[2]
        raise OSError("a map is damaged")

    with pytest.raises(OSError, match="a map is damaged"):
        write_tables(torn(), tmp_path, "changes")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
    (tmp_path / "changes.gpkg-wal").touch()
    with pytest.raises(OSError, match="is open in another program"):
        write_tables(iter(some), tmp_path, "changes")
    assert (tmp_path / "changes.parquet").read_bytes() == before["changes.parquet"]


def test_a_table_is_asked_for_once_those_before_it_are_written(tmp_path, monkeypatch):
    some, _ = tables(METRES)
    written = []
    append = polygon_files._append
    monkeypatch.setattr(
        polygon_files, "_append", lambda rows, table: (append(rows, table), written.append(len(table)))
    )

    def given():
        for number, table in enumerate(some):
            assert len(written) == number
            yield table

    write_tables(given(), tmp_path, "changes")
    found = geopandas.read_parquet(tmp_path / "changes.parquet")
    assert shapely.is_valid(found.geometry.array).all()
    assert written == [len(table) for table in some]


@pytest.mark.parametrize("rows_in_a_group", [None, 11])
def test_the_polygons_of_a_pair_are_read_some_at_a_time(rows_in_a_group, tmp_path, monkeypatch):
    monkeypatch.setattr(polygon_files, "_READ", 7)
    some, changes = tables(METRES)
    path = tmp_path / "changes.parquet"
    if rows_in_a_group is None:
        write_tables(iter(some), tmp_path, "changes")
    else:  # of several pairs, with groups that begin anywhere
        whole = change_polygons(changes, PAIRS, METRES, site="Österreich 1")
        whole.to_parquet(path, index=False, row_group_size=rows_in_a_group)
    wanted = {"year_1": 2016, "year_2": 2019, "kind": "gain"}
    parts = list(read_tables(path, ["site", "year_2"], wanted))
    assert len(parts) > 2
    assert max(map(len, parts)) <= 7
    expected = geopandas.read_parquet(path, filters=[(name, "==", value) for name, value in wanted.items()])
    found = pandas.concat(parts, ignore_index=True)
    assert found.geometry.to_wkb().tolist() == expected.geometry.to_wkb().tolist()
    assert found["year_2"].equals(expected["year_2"])
    assert found["site"].astype(object).tolist() == expected["site"].tolist()
    assert found.crs == expected.crs == stored_crs(path)
    assert list(read_tables(path, ["site"], {"year_1": 2015, "year_2": 2019})) == []
