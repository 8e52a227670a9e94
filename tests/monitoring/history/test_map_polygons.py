"""Polygons whose outlines wait on disk, against those that are kept in memory."""

import geopandas
import numpy as np
import pandas
import pytest
import shapely
from pandas.testing import assert_frame_equal
from pyarrow import parquet

from euromine.monitoring.history import map_polygons, outlined_maps
from euromine.monitoring.history.polygon_files import write_tables
from euromine.monitoring.history.polygon_tables import PolygonTables

from .drawn_footprints import GRIDS, METRES, YEARS, noise

PAIRS = [(2015, 2016), (2016, 2019), (2015, 2019)]
CORNERS = 60


@pytest.fixture
def _small_memory(monkeypatch):
    """Outlines are written after a few polygons, and read back some at a time."""
    monkeypatch.setattr(map_polygons, "_KEPT_CORNERS", CORNERS)
    monkeypatch.setattr(map_polygons, "_READ_BYTES", 16 * CORNERS)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    """Few polygons are measured at once."""
    monkeypatch.setattr(outlined_maps, "_CORNERS", 40)


def classes(seed):
    """Maps of three classes at random, and one without any."""
    maps = np.random.default_rng(seed).integers(0, 4, (3, 30, 40)).astype(np.uint8)
    maps[1] = 0
    return maps


def tables_of(tables, kind):
    if kind == "footprints":
        return list(tables.of_footprints(noise(0), YEARS))
    if kind == "changes":
        return list(tables.of_changes(classes(1), PAIRS))
    return list(tables.of_components(classes(2), YEARS, ["mine", "land", "mine"], [["pit", "dump", "a"]] * 3))


@GRIDS
@pytest.mark.parametrize("kind", ["footprints", "changes", "components"])
def test_tables_are_the_same_in_several_parts(grid, kind, tmp_path, request):
    unit = 0.02 if kind == "footprints" else 0.0
    whole = tables_of(PolygonTables(grid, unit, "site"), kind)
    assert len(whole) == 3
    request.getfixturevalue("_small_memory")
    parts = tables_of(PolygonTables(grid, unit, "site", tmp_path), kind)
    assert len(parts) > 20
    assert not list(tmp_path.iterdir())
    joined = [pandas.concat([each for each in frames if len(each)]) for frames in (parts, whole)]
    assert_frame_equal(*(each.drop(columns="geometry").reset_index(drop=True) for each in joined))
    assert joined[0].geometry.to_wkb().tolist() == joined[1].geometry.to_wkb().tolist()


@pytest.mark.usefixtures("_small_memory")
def test_no_table_has_more_corners_than_are_read_at_once(tmp_path):
    maps = noise(3)[:1]
    frames = list(PolygonTables(METRES, folder=tmp_path).of_changes(maps, PAIRS[:1]))
    for frame in frames:
        corners = shapely.get_num_coordinates(frame.geometry.array)
        assert corners[:-1].sum() <= CORNERS
    areas = [area for frame in frames for area in frame.area_ha]
    assert areas == sorted(areas, reverse=True)
    assert sum(areas) == pytest.approx(0.01 * (maps == 1).sum())


@pytest.mark.usefixtures("_small_memory")
def test_both_files_hold_all_parts(tmp_path):
    tables = PolygonTables(METRES, folder=tmp_path).of_changes(classes(5), PAIRS)
    write_tables(tables, tmp_path, "changes")
    assert parquet.ParquetFile(tmp_path / "changes.parquet").num_row_groups > 10
    found = geopandas.read_parquet(tmp_path / "changes.parquet")
    expected = pandas.concat(PolygonTables(METRES).of_changes(classes(5), PAIRS))
    assert found.geometry.to_wkb().tolist() == expected.geometry.to_wkb().tolist()
    assert len(geopandas.read_file(tmp_path / "changes.gpkg")) == len(expected)


@pytest.mark.usefixtures("_small_memory")
def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        list(PolygonTables(METRES, folder=tmp_path / "nowhere").of_changes(classes(5), PAIRS))
