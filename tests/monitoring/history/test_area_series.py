"""Areas against geodesic polygons, pixel counts and the estimator."""

import itertools

import numpy as np
import pandas
import pyproj
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine
from shapely.geometry import Polygon

from euromine.monitoring.history.area_estimation import (
    CHANGE_CLASSES,
    FOOTPRINT_CLASSES,
    Confusion,
    adjusted_areas,
)
from euromine.monitoring.history.area_series import (
    PairChange,
    YearArea,
    area_caveats,
    areas_by_year,
    changes_by_pair,
    write_areas,
)
from euromine.monitoring.history.change_maps import change_map
from euromine.monitoring.scenes.grids import Grid
from euromine.support.errors import GridError

from .drawn_sites import drawn_sites, site_names

DEGREES = Grid(CRS.from_epsg(4326), Affine(1e-4, 0, 15, 0, -1.5e-4, 61), 40, 30)

# At the centre of the equal-area projection, a pixel has its 100 m2 and its 10 m on the ground, too.
METRES = Grid(CRS.from_epsg(3035), Affine(10, 0, 4_321_000, 0, -10, 3_210_000), 40, 30)


def footprints(seed, years=3, grid=DEGREES):
    maps = np.random.default_rng(seed).integers(0, 3, (years, grid.height, grid.width)).astype(np.uint8)
    maps[maps == 2] = 255
    return maps


def test_areas_in_degrees_are_those_of_geodesic_polygons():
    maps = footprints(0)
    geod = pyproj.Geod(ellps="WGS84")
    for row, year_map in zip(areas_by_year(maps, (2015, 2016, 2018), DEGREES), maps, strict=True):
        expected = 0.0
        for line, column in np.argwhere(year_map == 1):
            corners = [
                DEGREES.transform @ (column + x, line + y) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))
            ]
            expected += abs(geod.geometry_area_perimeter(Polygon(corners))[0])
        assert row.area_ha * 10_000 == pytest.approx(expected, rel=1e-7)
        assert row.pixels == (year_map == 1).sum()


def test_areas_in_metres_are_pixels_of_a_hundred_square_metres():
    maps = footprints(1)
    rows = areas_by_year(maps, (2015, 2016, 2018), METRES, site="Austria_1")
    assert [row.area_ha for row in rows] == pytest.approx([(each == 1).sum() / 100 for each in maps])
    assert [row.known_share for row in rows] == pytest.approx([(each != 255).mean() for each in maps])
    assert [(row.site, row.year) for row in rows] == [("Austria_1", year) for year in (2015, 2016, 2018)]
    assert {row.adjusted_ha for row in rows} == {None}


@pytest.mark.parametrize("rows", [1, 7, 30])
def test_blocks_of_rows_give_the_areas_of_the_whole(rows):
    maps = footprints(2)
    blocks = (maps[:, top : top + rows] for top in range(0, 30, rows))
    for found, expected in zip(
        areas_by_year(blocks, (1, 2, 3), DEGREES), areas_by_year(maps, (1, 2, 3), DEGREES), strict=True
    ):
        assert found.area_ha == pytest.approx(expected.area_ha)
        assert found.pixels == expected.pixels


def test_gain_and_loss_explain_the_difference_of_the_areas():
    maps = footprints(3)
    maps[maps == 255] = 0
    pairs = list(itertools.combinations(range(3), 2))
    changes = np.stack([change_map(maps[first], maps[second]) for first, second in pairs])
    areas = areas_by_year(maps, (2015, 2016, 2020), DEGREES)
    calendar = [((2015, 2016, 2020)[first], (2015, 2016, 2020)[second]) for first, second in pairs]
    for row, (first, second) in zip(changes_by_pair(changes, calendar, DEGREES), pairs, strict=True):
        assert row.gain_ha - row.loss_ha == pytest.approx(areas[second].area_ha - areas[first].area_ha)
        assert row.undirected_ha == 0
        assert row.known_share == 1


def test_change_of_unknown_direction_is_listed_apart_and_has_no_interval():
    changes = np.zeros((2, 30, 40), np.uint8)
    changes[:, :3], changes[:, 3:5], changes[1, 5:6] = 1, 2, 3
    counts = np.array([[[900, 9, 8], [5, 80, 0], [4, 0, 60]], [[800, 20, 9], [9, 50, 1], [4, 0, 70]]])
    confusion = {1: Confusion(CHANGE_CLASSES, site_names(counts), counts)}
    first, second = changes_by_pair(changes, ((2015, 2016), (2016, 2017)), METRES, confusion=confusion)
    assert (first.gain_ha, first.loss_ha, first.undirected_ha) == pytest.approx((1.2, 0.8, 0))
    assert (second.gain_ha, second.loss_ha, second.undirected_ha) == pytest.approx((1.2, 0.8, 0.4))
    assert first.gain_low_ha < first.gain_adjusted_ha < first.gain_high_ha
    assert second.gain_low_ha is None


def test_a_pair_takes_the_errors_of_its_own_interval():
    changes = np.zeros((3, 30, 40), np.uint8)
    changes[:, :3], changes[:, 3:4] = 1, 2
    counts = np.array([[[900, 9, 8], [5, 80, 0], [4, 0, 60]], [[800, 20, 9], [9, 50, 1], [4, 0, 70]]])
    confusion = {
        years: Confusion(CHANGE_CLASSES, site_names(counts), counts + years * np.eye(3, dtype=np.int64))
        for years in (1, 2)
    }
    rows = changes_by_pair(changes, ((2015, 2016), (2015, 2017), (2015, 2018)), METRES, confusion=confusion)
    for row, years in zip(rows, (1, 2), strict=False):
        expected = adjusted_areas((10.4, 1.2, 0.4), confusion[years])
        assert row.gain_adjusted_ha == pytest.approx(expected.area[1])
        # 1.96 would be the normal's quantile: of two sites there is one degree of freedom, 12.706.
        assert row.gain_high_ha == pytest.approx(
            min(12.0, expected.area[1] + 12.7062 * expected.standard_error[1]), rel=1e-5
        )
    assert rows[2].gain_adjusted_ha is None


def test_areas_come_with_the_interval_of_the_known_area():
    maps = footprints(4, years=1, grid=METRES)
    counts = drawn_sites(np.random.default_rng(8), 7)
    confusion = Confusion(FOOTPRINT_CLASSES, site_names(counts), counts)
    (row,) = areas_by_year(maps, (2020,), METRES, confusion=confusion)
    expected = adjusted_areas(((maps == 0).sum() / 100, (maps == 1).sum() / 100), confusion)
    assert row.adjusted_ha == pytest.approx(expected.area[1])
    assert row.low_ha == pytest.approx(expected.low[1])
    assert row.high_ha == pytest.approx(expected.high[1])
    assert row.standard_error_ha == pytest.approx(expected.standard_error[1])


def test_a_scene_of_another_share_of_mines_is_warned_of():
    counts = drawn_sites(np.random.default_rng(8), 7)
    confusion = Confusion(FOOTPRINT_CLASSES, site_names(counts), counts)
    usual, rare = np.zeros((2, 1, 30, 40), np.uint8)
    usual[:, :6], rare[:, 0, :3] = 1, 1
    assert area_caveats(areas_by_year(usual, (2020,), METRES, confusion=confusion), confusion) == []
    (caveat,) = area_caveats(areas_by_year(rare, (2020,), METRES, confusion=confusion), confusion)
    assert "Mines cover 0.25% of the map here" in caveat
    (caveat,) = area_caveats(areas_by_year(usual, (2020,), METRES), None)
    assert "without an interval" in caveat


def test_a_year_without_any_data_has_no_area_and_no_estimate():
    counts = drawn_sites(np.random.default_rng(8), 7)
    confusion = Confusion(FOOTPRINT_CLASSES, site_names(counts), counts)
    maps = np.full((1, 30, 40), 255, np.uint8)
    (row,) = areas_by_year(maps, (2020,), METRES, confusion=confusion)
    assert (row.area_ha, row.known_share, row.adjusted_ha) == (0, 0, None)


def test_tables_are_read_again_by_pandas(tmp_path):
    rows = areas_by_year(footprints(5), (2015, 2016, 2017), METRES, site="Spain, north")
    write_areas(rows, tmp_path / "areas.csv", YearArea)
    table = pandas.read_csv(tmp_path / "areas.csv")
    assert list(table.columns[:8]) == [
        "site",
        "year",
        "pixels",
        "area_ha",
        "adjusted_ha",
        "low_ha",
        "high_ha",
        "known_share",
    ]
    assert table.site.tolist() == ["Spain, north"] * 3
    assert table.area_ha.tolist() == pytest.approx([row.area_ha for row in rows], abs=1e-4)
    assert table.adjusted_ha.isna().all()
    assert [path.name for path in tmp_path.iterdir()] == ["areas.csv"]


def test_a_table_without_rows_keeps_its_columns(tmp_path):
    write_areas([], tmp_path / "changes.csv", PairChange)
    table = pandas.read_csv(tmp_path / "changes.csv")
    assert len(table) == 0
    assert list(table.columns[:6]) == ["site", "year_1", "year_2", "gain_ha", "loss_ha", "undirected_ha"]


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.zeros((1, 30, 40), np.uint8), r"found uint8 \(1, 30, 40\); expected uint8 \(2, "),
        (np.zeros((2, 30, 40), np.int16), "int16"),
        (np.zeros((2, 30, 41), np.uint8), "found 30 x 41 pixels or more; expected 30 x 40"),
        (np.zeros((2, 31, 40), np.uint8), "found 31 x 40 pixels or more; expected 30 x 40"),
        (np.zeros((2, 29, 40), np.uint8), "found 29 rows; expected 30 like the grid"),
        (np.full((2, 30, 40), 9, np.uint8), "found the values 9; expected only 0, 1, 255"),
        (np.zeros((30, 40), np.uint8), r"\(30, 40\)"),
    ],
)
def test_maps_that_do_not_fit_are_refused(maps, message):
    with pytest.raises(ValueError, match=message):
        areas_by_year(maps, (2015, 2016), METRES)


def test_a_grid_without_a_coordinate_system_is_refused():
    grid = Grid(CRS(), METRES.transform, 40, 30)
    with pytest.raises(GridError, match="no coordinate system"):
        areas_by_year(footprints(0), (1, 2, 3), grid)


def test_errors_on_other_classes_are_refused():
    counts = np.ones((1, 3, 3), np.int64)
    with pytest.raises(ValueError, match="found the classes stable, gain, loss; expected other, mine"):
        areas_by_year(
            footprints(0), (1, 2, 3), METRES, confusion=Confusion(CHANGE_CLASSES, site_names(counts), counts)
        )
