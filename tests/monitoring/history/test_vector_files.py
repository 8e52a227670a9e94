"""Polygons written as GeoPackage and GeoParquet, and read again by geopandas."""

import sys

import geopandas
import numpy as np
import pytest
import shapely

from euromine.monitoring.history.polygons import change_polygons, footprint_polygons
from euromine.monitoring.history.vector_files import write_polygons
from euromine.support.errors import ArgumentError, MissingExtraError
from euromine.support.polygon_measures import polygon_parts

from .drawn_footprints import GRIDS, METRES, YEARS, drawing, noise


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
@GRIDS
def test_both_formats_keep_polygons_columns_and_coordinate_system(tmp_path, suffix, grid):
    frame = footprint_polygons(noise(9), YEARS, grid, site="Österreich 1")
    path = tmp_path / f"footprints{suffix}"
    write_polygons(frame, path)
    again = geopandas.read_parquet(path) if suffix == ".parquet" else geopandas.read_file(path)
    assert again.crs == frame.crs
    assert shapely.equals_exact(
        shapely.normalize(polygon_parts(again.geometry.array)[0]),
        shapely.normalize(np.asarray(frame.geometry.array)),
    ).all()
    for name in ("site", "year", "first_year", "last_year"):
        assert again[name].tolist() == frame[name].tolist()
    np.testing.assert_array_equal(again.area_ha, frame.area_ha)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_without_any_mine_there_is_an_empty_table_with_all_columns(tmp_path, suffix):
    for name, frame in (
        ("footprints", footprint_polygons(np.zeros((3, 30, 40), np.uint8), YEARS, METRES)),
        ("changes", change_polygons(np.full((1, 30, 40), 255, np.uint8), [(2015, 2016)], METRES)),
    ):
        path = tmp_path / f"{name}{suffix}"
        write_polygons(frame, path)
        again = geopandas.read_parquet(path) if suffix == ".parquet" else geopandas.read_file(path)
        assert len(again) == 0
        assert list(again.columns) == list(frame.columns)
        assert again.crs == METRES.crs


def test_a_second_file_replaces_the_first(tmp_path):
    path = tmp_path / "footprints.gpkg"
    write_polygons(footprint_polygons(noise(10), YEARS, METRES), path)
    write_polygons(footprint_polygons(drawing("##"), (2020,), METRES), path)
    assert len(geopandas.read_file(path)) == 1


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "footprints.gpkg"
    write_polygons(footprint_polygons(drawing("##"), (2020,), METRES), path)
    before = path.read_bytes()
    broken = footprint_polygons(drawing("##"), (2020,), METRES).rename(columns={"site": "fid"})
    with pytest.raises(OSError, match=r"footprints\.gpkg: cannot be written"):
        write_polygons(broken, path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_another_format_is_refused(tmp_path):
    frame = footprint_polygons(drawing("##"), (2020,), METRES)
    with pytest.raises(ArgumentError, match=r"found footprints\.shp; expected a name in \.gpkg or \.parquet"):
        write_polygons(frame, tmp_path / "footprints.shp")


def test_without_geopandas_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(MissingExtraError, match=r"found no geopandas .* pip install 'euromine\[polygons\]'"):
        footprint_polygons(drawing("##"), (2020,), METRES)
