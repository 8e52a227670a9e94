"""Mined ground outside permits against areas that are known by construction."""

import logging

import geopandas
import numpy as np
import pandas
import pyproj
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine
from shapely.geometry import Point, box

from euromine.monitoring.history import map_polygons, outside_parts
from euromine.monitoring.history.change_maps import change_map
from euromine.monitoring.history.permit_outlines import read_permits
from euromine.monitoring.history.permits import (
    MINED,
    NEW,
    YearPolygons,
    outside_permits,
    outside_tables,
    write_findings,
)
from euromine.monitoring.history.polygons import change_polygons, footprint_polygons
from euromine.monitoring.scenes.grids import Grid
from euromine.support.errors import ArgumentError, PermitError
from euromine.support.polygon_measures import polygon_areas, polygon_perimeters

from .drawn_permits import UTM, outline, permits_of, written

# A pixel is 10 m; the scene reaches from 500,000 to 500,400 and from 4,999,700 to 5,000,000.
GRID = Grid(CRS.from_epsg(32633), Affine(10, 0, 5e5, 0, -10, 5e6), 40, 30)

# Of areas in the projection to those on the ground at the central meridian of UTM.
STRETCH = 0.9996**2

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


def test_what_lies_outside_is_listed_by_year_and_size(series, tmp_path):
    # The permit covers the left 12 columns of 10, 15 and 15.
    path = written(permits_of(outline(0, 0, 17, 20)), tmp_path / "permits.gpkg")
    found = outside_permits(*series, read_permits(path, UTM), pairs=PAIRS)
    rows = [(row.year, row.kind, round(row.area_ha * STRETCH, 6), row.year_1) for row in found.itertuples()]
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


def test_new_is_what_was_gained_since_the_last_year_that_was_compared(series):
    permits = permits_of(outline(35, 0, 40, 3))
    news = outside_permits(*series, permits, pairs=[(2015, 2018)])
    news = news[news.kind == "new"]
    assert [(row.year, row.year_1, round(row.area_ha * STRETCH, 6)) for row in news.itertuples()] == [
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
    assert [(row.year, round(row.area_ha * STRETCH, 6)) for row in together.itertuples()] == [(2018, 0.04)]
    holed = outside_permits(series[0], None, permits_of(ring))
    assert [round(area * STRETCH, 6) for area in holed.area_ha] == [0.04] * 4


def test_an_outline_that_cuts_pixels_counts_their_part_outside(series):
    cut = shapely.affinity.translate(outline(0, 0, 17, 20), 2.5, 0)
    found = outside_permits(series[0], None, permits_of(cut))
    assert found[found.year == 2016].area_ha.tolist() == pytest.approx([(0.3 - 0.025) / STRETCH])


def test_parts_below_the_smallest_size_are_left_out(series):
    found = outside_permits(*series, permits_of(outline(0, 0, 17, 20)), minimum_mapping_unit=0.05)
    assert found.area_ha.min() > 0.05
    assert len(found) == 3


def test_where_permits_cover_everything_nothing_is_found(series, tmp_path):
    found = outside_permits(*series, permits_of(outline(-5, -5, 50, 50)))
    assert len(found) == 0
    write_findings([found], tmp_path / "permits.csv", tmp_path / "permits.gpkg")
    assert list(pandas.read_csv(tmp_path / "permits.csv").columns)[:5] == [
        "year",
        "kind",
        "area_ha",
        "longitude",
        "latitude",
    ]
    assert len(geopandas.read_file(tmp_path / "permits.gpkg")) == 0


def test_a_series_without_any_mine_has_nothing_outside():
    empty = footprint_polygons(np.zeros((3, 30, 40), np.uint8), YEARS, GRID)
    changes = change_polygons(np.zeros((1, 30, 40), np.uint8), [(2015, 2016)], GRID)
    assert len(outside_permits(empty, changes, permits_of(outline(0, 0, 3, 3)))) == 0


def test_findings_are_written_as_a_table_and_as_polygons(series, tmp_path):
    found = outside_permits(*series, permits_of(outline(0, 0, 17, 20)))
    write_findings([found], tmp_path / "permits.csv", tmp_path / "permits.gpkg")
    table = pandas.read_csv(tmp_path / "permits.csv")
    assert table.area_ha.tolist() == pytest.approx(found.area_ha.tolist(), abs=1e-4)
    assert "geometry" not in table
    again = geopandas.read_file(tmp_path / "permits.gpkg")
    assert again.geometry.area.tolist() == pytest.approx(found.geometry.area.tolist())
    assert again.kind.tolist() == found.kind.tolist()


def test_permits_of_another_place_are_warned_of(series, caplog):
    with caplog.at_level(logging.WARNING):
        outside_permits(*series, permits_of(outline(900, 900, 950, 950)))
    assert "None of the 1 permit outlines touches a mine" in caplog.text


def test_permits_in_another_system_than_the_footprints_are_refused(series):
    with pytest.raises(PermitError, match="found WGS 84; expected the footprints' WGS 84 / UTM zone 33N"):
        outside_permits(*series, permits_of(box(15, 45, 16, 46), crs="EPSG:4326"))
    with pytest.raises(ArgumentError, match="minimum_mapping_unit: found -1; expected hectares"):
        outside_permits(*series, permits_of(outline(0, 0, 3, 3)), minimum_mapping_unit=-1)


@pytest.mark.parametrize("corners", [1, 50, 2**19])
def test_some_polygons_of_a_year_at_a_time_are_measured_as_those_of_all_years_together(corners, monkeypatch):
    monkeypatch.setattr(outside_parts, "_CORNERS", corners)
    random = np.random.default_rng(3)
    maps = (random.random((3, 30, 40)) < 0.6).astype(np.uint8)
    maps[0, :, 20:] = 0  # so that the years have different extents
    maps[0, :6] = 0
    maps[1:, :, :4] = 0
    footprints = footprint_polygons(maps, YEARS, GRID, site="Spain_1")
    permits = permits_of(outline(0, 0, 9, 11), outline(7, 5, 18.5, 30), outline(30, 2.3, 40, 9))
    found = outside_permits(footprints, None, permits)
    covering = shapely.union_all(permits.geometry)
    rest = shapely.difference(np.asarray(footprints.geometry.array), covering)
    parts, owners = shapely.get_parts(rest, return_index=True)
    areas = polygon_areas(parts, footprints.crs)
    shares = np.bincount(owners, areas, len(footprints)) / polygon_areas(
        np.asarray(footprints.geometry.array), footprints.crs
    )
    kept = areas >= 1
    years = footprints.year.to_numpy()[owners][kept]
    # Overlaid with fewer outlines, a part may begin at another corner, which changes the last digit.
    for values, expected in (
        (found.area_ha, areas[kept] / 1e4),
        (found.outside_share, shares[owners][kept]),
        (found.perimeter_m, polygon_perimeters(parts[kept], footprints.crs)),
    ):
        for year in YEARS:
            np.testing.assert_allclose(
                np.sort(values[found.year == year]), np.sort(expected[years == year]), rtol=1e-13
            )
    assert len(found) > 80
    order = found.sort_values(["year", "area_ha"], ascending=[True, False], kind="stable").index
    assert order.tolist() == list(range(len(found)))


# A year with many parts


@pytest.fixture
def noisy():
    """Footprints and gains of two years at random, and permits that cut some of them."""
    random = np.random.default_rng(5)
    maps = (random.random((2, 30, 40)) < 0.4).astype(np.uint8)
    changes = change_map(maps[0], maps[1])[None]
    return (
        footprint_polygons(maps, YEARS[:2], GRID, site="Spain_1"),
        change_polygons(changes, PAIRS[:1], GRID, site="Spain_1"),
        permits_of(outline(0, 0, 9.5, 11), outline(7, 5, 18.5, 30)),
    )


def tables_of(noisy, folder):
    """The tables of polygons that are read some rows at a time."""
    footprints, changes, permits = noisy
    gains = changes[changes.kind == "gain"]

    def parts(frame, rows):
        for first in range(0, len(frame), rows):
            yield frame.iloc[first : first + rows]

    sources = [
        YearPolygons(MINED, YEARS[:2], lambda year: parts(footprints[footprints.year == year], 17)),
        YearPolygons(NEW, [2016], lambda year: parts(gains, 13)),
    ]
    return list(outside_tables(sources, permits, footprints.crs, folder=folder))


def test_many_parts_of_a_year_wait_on_disk_and_come_in_the_same_order(noisy, tmp_path, monkeypatch):
    corners = 60
    whole = outside_permits(*noisy)
    monkeypatch.setattr(map_polygons, "_KEPT_CORNERS", corners)
    monkeypatch.setattr(map_polygons, "_READ_BYTES", 16 * corners)
    added = []
    kept = map_polygons.MapPolygons.add

    def noted(self, polygons):
        kept(self, polygons)
        added.append(sum(shapely.get_num_coordinates(each).sum() for each in self._kept))

    monkeypatch.setattr(map_polygons.MapPolygons, "add", noted)
    tables = tables_of(noisy, tmp_path)
    assert max(added) <= corners
    assert len(tables) > 20
    for table in tables:
        assert shapely.get_num_coordinates(table.geometry.array)[:-1].sum() <= corners
    assert not list(tmp_path.iterdir())
    joined = pandas.concat(tables, ignore_index=True)
    pandas.testing.assert_frame_equal(joined.drop(columns="geometry"), whole.drop(columns="geometry"))
    assert joined.geometry.to_wkb().tolist() == whole.geometry.to_wkb().tolist()


def test_files_of_many_parts_are_those_of_a_whole_table(noisy, tmp_path, monkeypatch):
    write_findings([outside_permits(*noisy)], tmp_path / "whole.csv", tmp_path / "whole.gpkg")
    monkeypatch.setattr(map_polygons, "_KEPT_CORNERS", 60)
    monkeypatch.setattr(map_polygons, "_READ_BYTES", 4000)
    tables = tables_of(noisy, tmp_path)
    assert len(tables) > 5
    write_findings(tables, tmp_path / "parts.csv", tmp_path / "parts.gpkg")
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    parts, whole = (geopandas.read_file(tmp_path / f"{name}.gpkg") for name in ("parts", "whole"))
    assert len(parts) > 100
    assert parts.equals(whole)


def test_few_parts_of_a_year_are_one_table_in_memory(noisy, tmp_path):
    assert [sorted(set(table.year)) for table in tables_of(noisy, tmp_path)] == [[2015], [2016]]
    assert [set(table.kind) for table in tables_of(noisy, tmp_path)] == [{"mined"}, {"mined", "new"}]
