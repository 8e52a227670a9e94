"""Polygons against the pixels that they were made of, burned again by GDAL."""

import numpy as np
import pyproj
import pytest
import shapely
from rasterio.features import rasterize
from scipy import ndimage

from euromine.monitoring.history.area_series import areas_by_year, changes_by_pair
from euromine.monitoring.history.change_maps import change_map
from euromine.monitoring.history.polygons import (
    change_polygons,
    component_polygons,
    footprint_polygons,
)
from euromine.monitoring.scenes.grids import Grid

from .drawn_footprints import DEGREES, GRIDS, METRES, YEARS, drawing, noise


@GRIDS
def test_the_polygons_of_a_year_have_the_area_of_its_pixels(grid):
    footprints = noise(0)
    frame = footprint_polygons(footprints, YEARS, grid)
    expected = [row.area_ha for row in areas_by_year(footprints, YEARS, grid)]
    assert frame.groupby("year").area_ha.sum().tolist() == pytest.approx(expected, rel=1e-8)


@GRIDS
def test_burned_again_the_polygons_are_the_map(grid):
    footprints = noise(1)
    frame = footprint_polygons(footprints, YEARS, grid)
    for year, footprint in zip(YEARS, footprints, strict=True):
        polygons = frame.geometry[frame.year == year]
        burned = rasterize(polygons, out_shape=grid.shape, transform=grid.transform)
        np.testing.assert_array_equal(burned, footprint == 1)


def test_there_is_a_polygon_for_each_part_that_edges_connect_and_all_are_valid():
    footprints = noise(2)
    frame = footprint_polygons(footprints, YEARS, METRES)
    assert frame.geometry.is_valid.all()
    assert (frame.geometry.geom_type == "Polygon").all()
    for year, footprint in zip(YEARS, footprints, strict=True):
        assert (frame.year == year).sum() == ndimage.label(footprint == 1)[1]


def test_a_hole_is_a_hole_and_an_island_in_it_a_polygon_of_its_own():
    footprint = drawing("#####", "#   #", "# # #", "#   #", "#####")
    ring, island = footprint_polygons(footprint, (2020,), METRES).itertuples()
    assert len(ring.geometry.interiors) == 1
    assert (ring.area_ha, island.area_ha) == (pytest.approx(0.16), pytest.approx(0.01))
    assert (ring.perimeter_m, island.perimeter_m) == (pytest.approx(200 + 120), pytest.approx(40))


def test_pixels_that_touch_in_a_corner_are_two_polygons():
    frame = footprint_polygons(drawing("# ", " #"), (2020,), METRES)
    assert len(frame) == 2
    assert frame.geometry.is_valid.all()


def test_a_hole_that_meets_the_outside_in_a_corner_leaves_one_valid_polygon():
    frame = footprint_polygons(drawing("###", "# #", "## "), (2020,), METRES)
    assert len(frame) == 1
    assert frame.geometry.is_valid.all()
    assert frame.area_ha[0] == pytest.approx(0.07)


def test_polygons_tell_the_first_and_the_last_year_of_their_ground():
    footprints = np.zeros((3, 30, 40), np.uint8)
    footprints[0, 3:5, 3:5] = 1
    footprints[1, 3:5, 3:9] = 1
    footprints[2, 3:5, 8:9] = 1
    footprints[2, 20:22, 20:22] = 1
    frame = footprint_polygons(footprints, YEARS, METRES, site="Spain_1").set_index(["year", "area_ha"])
    told = {(year, round(area, 2)): (row.first_year, row.last_year) for (year, area), row in frame.iterrows()}
    assert told == {
        (2015, 0.04): (2015, 2016),
        (2016, 0.12): (2015, 2019),
        (2019, 0.04): (2019, 2019),
        (2019, 0.02): (2016, 2019),
    }
    assert set(frame.site) == {"Spain_1"}


def test_first_and_last_years_are_those_of_the_pixels_burned_by_each_polygon():
    footprints = noise(3)
    for row in footprint_polygons(footprints, YEARS, METRES).itertuples():
        inside = rasterize([row.geometry], out_shape=METRES.shape, transform=METRES.transform) == 1
        mined = [year for year, each in zip(YEARS, footprints, strict=True) if (each[inside] == 1).any()]
        assert (row.first_year, row.last_year) == (mined[0], mined[-1])


def test_perimeters_in_degrees_are_geodesic():
    frame = footprint_polygons(noise(4), YEARS, DEGREES)
    geod = pyproj.Geod(ellps="WGS84")
    expected = [geod.geometry_length(geometry.boundary) for geometry in frame.geometry]
    np.testing.assert_allclose(frame.perimeter_m, expected, rtol=1e-9)


def test_the_minimum_mapping_unit_drops_islands_and_fills_holes_below_it():
    footprint = drawing(
        "########  ##",
        "##    ##    ",
        "## ## ##  ##",
        "##    ##  ##",
        "####  ##  ##",
        "####  ##  ##",
        "########    ",
    )
    # Pixels of 0.01 ha: a ring around a hole of 14 and an island of 2, and islands of 2 and 8.
    everything = footprint_polygons(footprint, (2020,), METRES)
    assert sorted(round(100 * area) for area in everything.area_ha) == [2, 2, 8, 40]
    drops = footprint_polygons(footprint, (2020,), METRES, minimum_mapping_unit=0.08)
    assert sorted(round(100 * area) for area in drops.area_ha) == [8, 40]
    fills = footprint_polygons(footprint, (2020,), METRES, minimum_mapping_unit=0.17)
    assert [round(100 * area) for area in fills.area_ha] == [56]
    assert len(fills.geometry[0].interiors) == 0
    assert fills.perimeter_m[0] == pytest.approx(2 * (80 + 70))


@pytest.mark.parametrize("unit", [0.02, 0.05, 0.3])
def test_generalised_polygons_neither_overlap_nor_are_too_small(unit):
    frame = footprint_polygons(noise(5), YEARS, METRES, minimum_mapping_unit=unit)
    assert frame.area_ha.min() >= unit
    for _, year in frame.groupby("year"):
        assert year.geometry.area.sum() == pytest.approx(shapely.union_all(year.geometry.array).area)
        holes = [shapely.Polygon(ring) for geometry in year.geometry for ring in geometry.interiors]
        assert min((hole.area for hole in holes), default=np.inf) >= unit * 10_000


@GRIDS
def test_changes_have_the_area_of_their_pixels_gain_and_loss_apart(grid):
    footprints = noise(6)
    pairs = [(2015, 2016), (2015, 2019)]
    changes = np.stack([change_map(footprints[0], footprints[1]), change_map(footprints[0], footprints[2])])
    changes[1, 10:12] = 3
    frame = change_polygons(changes, pairs, grid)
    sums = frame.groupby(["year_1", "year_2", "kind"]).area_ha.sum()
    for row in changes_by_pair(changes, pairs, grid):
        assert sums[row.year_1, row.year_2, "gain"] == pytest.approx(row.gain_ha)
        assert sums[row.year_1, row.year_2, "loss"] == pytest.approx(row.loss_ha)
        assert sums.get((row.year_1, row.year_2, "undirected"), 0) == pytest.approx(row.undirected_ha)
    assert frame.geometry.is_valid.all()


def test_polygons_come_by_year_and_the_largest_first():
    frame = footprint_polygons(noise(7), YEARS, METRES)
    assert frame.year.is_monotonic_increasing
    for _, year in frame.groupby("year"):
        assert year.area_ha.is_monotonic_decreasing


def test_maps_may_be_read_one_after_the_other():
    footprints = noise(8)

    class Maps:
        def __len__(self):
            return len(footprints)

        def __getitem__(self, index):
            return footprints[index].copy()

    expected = footprint_polygons(footprints, YEARS, METRES)
    assert footprint_polygons(Maps(), YEARS, METRES).equals(expected)


@pytest.mark.parametrize(
    ("footprints", "years", "grid", "unit", "message"),
    [
        (np.zeros((2, 30, 40), np.uint8), YEARS, METRES, 0, "found 2; expected 3, one per year"),
        (
            np.zeros((3, 30, 41), np.uint8),
            YEARS,
            METRES,
            0,
            r"found uint8 \(30, 41\); expected uint8 \(30, 40\)",
        ),
        (np.zeros((3, 30, 40), np.int64), YEARS, METRES, 0, "found int64"),
        (np.zeros((3, 30, 40), np.uint8), (2015, 2014, 2016), METRES, 0, "expected at most 255, ascending"),
        (
            np.zeros((3, 30, 40), np.uint8),
            YEARS,
            METRES,
            -1,
            "minimum_mapping_unit: found -1; expected hectares",
        ),
        (
            np.zeros((3, 30, 40), np.uint8),
            YEARS,
            METRES,
            np.nan,
            "minimum_mapping_unit: found nan; expected hectares",
        ),
        (
            np.zeros((3, 30, 40), np.uint8),
            YEARS,
            Grid(None, METRES.transform, 40, 30),
            0,
            "found no coordinate system",
        ),
    ],
)
def test_what_does_not_fit_is_refused(footprints, years, grid, unit, message):
    with pytest.raises(ValueError, match=message):
        footprint_polygons(footprints, years, grid, minimum_mapping_unit=unit)


def test_components_become_polygons_with_their_class_and_area(grid):
    pits = np.zeros((6, 8), np.uint8)
    pits[1:3, 1:4] = 1
    pits[4, 6] = 255
    heaps = np.zeros((6, 8), np.uint8)
    heaps[1:5, 2] = 2  # inside the pit and beyond it
    heaps[0, 0] = heaps[5, 7] = 1
    frame = component_polygons(
        [pits, heaps, np.zeros_like(pits)],
        [2020, 2020, 2021],
        ["ground", "deposits", "ground"],
        [["excavation"], ["dumping_ground", "stockpile"], ["excavation"]],
        grid(6, 8),
        site="Pit",
    )
    columns = ["site", "year", "group", "component"]
    assert list(frame.columns) == [*columns, "area_ha", "perimeter_m", "geometry"]
    assert frame[columns].to_numpy().tolist() == [
        ["Pit", 2020, "deposits", "dumping_ground"],
        ["Pit", 2020, "deposits", "dumping_ground"],
        ["Pit", 2020, "deposits", "stockpile"],
        ["Pit", 2020, "ground", "excavation"],
    ]
    assert frame.geometry.area.tolist() == [100, 100, 400, 600]
    assert component_polygons(np.zeros((0, 6, 8), np.uint8), [], [], [], grid(6, 8)).empty
