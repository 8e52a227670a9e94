"""Areas against the worked example of Olofsson et al. 2014, geodesic polygons and simulated errors."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas
import pyproj
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine
from shapely.geometry import Polygon

from euromine.monitoring.history.areas import (
    CHANGE_CLASSES,
    FOOTPRINT_CLASSES,
    Confusion,
    PairChange,
    adjusted_areas,
    area_caveats,
    areas_by_year,
    change_map,
    changes_by_pair,
    write_table,
)


@dataclass
class Grid:
    """As monitoring.grids.Grid."""

    crs: CRS
    transform: Affine
    width: int
    height: int


DEGREES = Grid(CRS.from_epsg(4326), Affine(1e-4, 0, 15, 0, -1.5e-4, 61), 40, 30)
METRES = Grid(CRS.from_epsg(32633), Affine(10, 0, 5e5, 0, -10, 5e6), 40, 30)

# The example in section 5 of Olofsson et al. 2014.
EXAMPLE = Confusion(
    classes=("deforestation", "forest gain", "stable forest", "stable non-forest"),
    sites=("all",),
    counts=np.array([[[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]]),
)
EXAMPLE_HECTARES = (18_000, 13_500, 288_000, 580_500)


def test_the_worked_example_of_olofsson_and_others_is_reproduced():
    found = adjusted_areas(EXAMPLE_HECTARES, EXAMPLE, uncertainty="pixels")
    # As published, in hectares: 21,158 +- 6158, 11,686 +- 3756, 285,770 +- 15,510, 581,386 +- 16,282.
    np.testing.assert_allclose(found.area, (21_158, 11_686, 285_770, 581_386), atol=0.5)
    # They take 1.96 for the normal's quantile.
    np.testing.assert_allclose(1.96 * found.standard_error, (6158, 3756, 15_510, 16_282), atol=0.5)
    np.testing.assert_allclose(found.high - found.area, 1.96 * found.standard_error, rtol=1e-4)
    np.testing.assert_allclose(found.area - found.low, found.high - found.area)
    assert found.overall_accuracy == pytest.approx(0.95, abs=0.005)
    np.testing.assert_allclose(found.users_accuracy, (0.88, 0.73, 0.93, 0.96), atol=0.005)
    np.testing.assert_allclose(found.producers_accuracy, (0.75, 0.85, 0.93, 0.96), atol=0.005)


def drawn_sites(generator, sites, pixels=2000):
    """Sites whose precision and share of missed mines differ, as a confusion matrix each."""
    counts = np.zeros((sites, 2, 2), np.int64)
    right = generator.beta(16, 4, sites)
    missed = generator.beta(2, 58, sites)
    mapped = generator.integers(pixels // 8, pixels // 4, sites)
    counts[:, 1, 1] = generator.binomial(mapped, right)
    counts[:, 1, 0] = mapped - counts[:, 1, 1]
    counts[:, 0, 1] = generator.binomial(pixels - mapped, missed)
    counts[:, 0, 0] = pixels - mapped - counts[:, 0, 1]
    return counts


def names(counts):
    return tuple(f"site {number}" for number in range(len(counts)))


@pytest.fixture(scope="module")
def covered():
    """How often the intervals of each kind hold a new site's area, and the mean area of all sites."""
    generator = np.random.default_rng(11)
    mapped = np.array([1600.0, 400.0])
    mean = mapped[1] * 0.8 + mapped[0] * 2 / 60
    hits = {(kind, of): 0 for kind in ("site", "region", "pixels") for of in ("site", "region")}
    for _ in range(1500):
        counts = drawn_sites(generator, 12)
        confusion = Confusion(FOOTPRINT_CLASSES, names(counts), counts)
        new = generator.binomial(400, generator.beta(16, 4)) + generator.binomial(1600, generator.beta(2, 58))
        for kind in ("site", "region", "pixels"):
            found = adjusted_areas(mapped, confusion, uncertainty=kind)
            hits[kind, "site"] += found.low[1] <= new <= found.high[1]
            hits[kind, "region"] += found.low[1] <= mean <= found.high[1]
    return {key: number / 1500 for key, number in hits.items()}


def test_the_interval_of_a_site_holds_a_new_site_s_area_as_often_as_it_says(covered):
    assert covered["site", "site"] == pytest.approx(0.95, abs=0.03)


def test_the_interval_of_a_region_holds_the_mean_of_all_sites_as_often_as_it_says(covered):
    assert covered["region", "region"] == pytest.approx(0.95, abs=0.03)


def test_intervals_as_if_pixels_were_independent_are_too_narrow_for_sites(covered):
    assert covered["pixels", "region"] < 0.75
    assert covered["pixels", "site"] < 0.3


def test_the_standard_error_of_a_region_is_that_of_resampled_sites():
    generator = np.random.default_rng(3)
    counts = drawn_sites(generator, 40)
    mapped = np.array([1500.0, 500.0])
    found = adjusted_areas(mapped, Confusion(FOOTPRINT_CLASSES, names(counts), counts), uncertainty="region")
    draws = generator.integers(0, 40, (4000, 40))
    resampled = counts[draws].sum(axis=1)
    estimates = (mapped[:, None] * resampled / resampled.sum(axis=2, keepdims=True)).sum(axis=1)[:, 1]
    assert found.standard_error[1] == pytest.approx(estimates.std(), rel=0.05)


def test_a_stratum_that_is_not_mapped_here_adds_nothing():
    counts = drawn_sites(np.random.default_rng(0), 6)
    confusion = Confusion(FOOTPRINT_CLASSES, names(counts), counts)
    found = adjusted_areas((0.0, 100.0), confusion)
    precision = counts[:, 1, 1].sum() / counts[:, 1].sum()
    assert found.area[1] == pytest.approx(100 * precision)


def test_a_class_that_was_never_mapped_at_the_validation_sites_has_no_estimate():
    counts = np.array([[[90, 10], [0, 0]], [[80, 20], [0, 0]]])
    found = adjusted_areas((50.0, 50.0), Confusion(FOOTPRINT_CLASSES, names(counts), counts))
    assert np.isnan(found.area).all()
    assert np.isnan(found.high).all()


@pytest.mark.parametrize("kind", ["site", "region"])
def test_one_site_tells_nothing_of_another(kind):
    counts = np.array([[[90, 10], [5, 50]]])
    found = adjusted_areas(
        (50.0, 50.0), Confusion(FOOTPRINT_CLASSES, names(counts), counts), uncertainty=kind
    )
    assert np.isfinite(found.area).all()
    assert np.isnan(found.standard_error).all()


def test_a_stratum_of_one_site_alone_has_no_interval_of_a_site():
    counts = np.array([[[90, 10], [5, 50]], [[70, 30], [0, 0]], [[70, 30], [0, 0]]])
    found = adjusted_areas((50.0, 50.0), Confusion(FOOTPRINT_CLASSES, names(counts), counts))
    assert np.isnan(found.standard_error).all()


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


def test_a_change_map_tells_gain_from_loss_and_keeps_what_is_unknown():
    first = np.array([0, 0, 1, 1, 255, 0, 255], np.uint8)
    second = np.array([0, 1, 0, 1, 1, 255, 255], np.uint8)
    change = change_map(first, second)
    assert change.dtype == np.uint8
    assert change.tolist() == [0, 1, 2, 0, 255, 255, 255]


def test_change_of_unknown_direction_is_listed_apart_and_has_no_interval():
    changes = np.zeros((2, 30, 40), np.uint8)
    changes[:, :3], changes[:, 3:5], changes[1, 5:6] = 1, 2, 3
    counts = np.array([[[900, 9, 8], [5, 80, 0], [4, 0, 60]], [[800, 20, 9], [9, 50, 1], [4, 0, 70]]])
    confusion = {1: Confusion(CHANGE_CLASSES, names(counts), counts)}
    first, second = changes_by_pair(changes, ((2015, 2016), (2016, 2017)), METRES, confusion=confusion)
    assert (first.gain_ha, first.loss_ha, first.undirected_ha) == (1.2, 0.8, 0)
    assert (second.gain_ha, second.loss_ha, second.undirected_ha) == (1.2, 0.8, 0.4)
    assert first.gain_low_ha < first.gain_adjusted_ha < first.gain_high_ha
    assert second.gain_low_ha is None


def test_a_pair_takes_the_errors_of_its_own_interval():
    changes = np.zeros((3, 30, 40), np.uint8)
    changes[:, :3], changes[:, 3:4] = 1, 2
    counts = np.array([[[900, 9, 8], [5, 80, 0], [4, 0, 60]], [[800, 20, 9], [9, 50, 1], [4, 0, 70]]])
    confusion = {
        years: Confusion(CHANGE_CLASSES, names(counts), counts + years * np.eye(3, dtype=np.int64))
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
    confusion = Confusion(FOOTPRINT_CLASSES, names(counts), counts)
    (row,) = areas_by_year(maps, (2020,), METRES, confusion=confusion)
    expected = adjusted_areas(((maps == 0).sum() / 100, (maps == 1).sum() / 100), confusion)
    assert row.adjusted_ha == pytest.approx(expected.area[1])
    assert row.low_ha == pytest.approx(expected.low[1])
    assert row.high_ha == pytest.approx(expected.high[1])
    assert row.standard_error_ha == pytest.approx(expected.standard_error[1])


def test_a_scene_of_another_share_of_mines_is_warned_of():
    counts = drawn_sites(np.random.default_rng(8), 7)
    confusion = Confusion(FOOTPRINT_CLASSES, names(counts), counts)
    usual, rare = np.zeros((2, 1, 30, 40), np.uint8)
    usual[:, :6], rare[:, 0, :3] = 1, 1
    assert area_caveats(areas_by_year(usual, (2020,), METRES, confusion=confusion), confusion) == []
    (caveat,) = area_caveats(areas_by_year(rare, (2020,), METRES, confusion=confusion), confusion)
    assert "Mines cover 0.25 % of the map here" in caveat
    (caveat,) = area_caveats(areas_by_year(usual, (2020,), METRES), None)
    assert "without an interval" in caveat


def test_a_year_without_any_data_has_no_area_and_no_estimate():
    counts = drawn_sites(np.random.default_rng(8), 7)
    confusion = Confusion(FOOTPRINT_CLASSES, names(counts), counts)
    maps = np.full((1, 30, 40), 255, np.uint8)
    (row,) = areas_by_year(maps, (2020,), METRES, confusion=confusion)
    assert (row.area_ha, row.known_share, row.adjusted_ha) == (0, 0, None)


def test_tables_are_read_again_by_pandas(tmp_path):
    rows = areas_by_year(footprints(5), (2015, 2016, 2017), METRES, site="Spain, north")
    write_table(rows, tmp_path / "areas.csv")
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
    write_table([], tmp_path / "changes.csv", PairChange)
    table = pandas.read_csv(tmp_path / "changes.csv")
    assert len(table) == 0
    assert list(table.columns[:6]) == ["site", "year_1", "year_2", "gain_ha", "loss_ha", "undirected_ha"]
    with pytest.raises(ValueError, match="no rows"):
        write_table([], tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.zeros((1, 30, 40), np.uint8), r"uint8 \(1, 30, 40\), uint8 \(2, "),
        (np.zeros((2, 30, 40), np.int16), "int16"),
        (np.zeros((2, 30, 41), np.uint8), "30 x 41 pixels or more, 30 x 40"),
        (np.zeros((2, 31, 40), np.uint8), "31 x 40 pixels or more, 30 x 40"),
        (np.zeros((2, 29, 40), np.uint8), "have 29 rows, 30 as the grid"),
        (np.full((2, 30, 40), 9, np.uint8), "hold the values 9, 0, 1, 255"),
        (np.zeros((30, 40), np.uint8), r"\(30, 40\)"),
    ],
)
def test_maps_that_do_not_fit_are_refused(maps, message):
    with pytest.raises(ValueError, match=message):
        areas_by_year(maps, (2015, 2016), METRES)


def test_a_grid_without_a_coordinate_system_is_refused():
    grid = Grid(CRS(), METRES.transform, 40, 30)
    with pytest.raises(ValueError, match="no coordinate system"):
        areas_by_year(footprints(0), (1, 2, 3), grid)


@pytest.mark.parametrize(
    ("mapped", "options", "message"),
    [
        ((1.0, 2.0), {}, "deforestation, forest gain"),
        ((1.0, 2.0, 3.0, -1.0), {}, "one of 0 or more"),
        ((1.0, 2.0, 3.0, math.nan), {}, "one of 0 or more"),
        (EXAMPLE_HECTARES, {"uncertainty": "bayes"}, "'bayes', one of site, region, pixels"),
        (EXAMPLE_HECTARES, {"confidence": 95}, "confidence is 95"),
    ],
)
def test_estimates_of_what_is_no_area_are_refused(mapped, options, message):
    with pytest.raises(ValueError, match=message):
        adjusted_areas(mapped, EXAMPLE, **options)


def test_confusions_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2, 2\) were expected"):
        Confusion(FOOTPRINT_CLASSES, ("a",), np.ones((1, 3, 3), np.int64))
    with pytest.raises(ValueError, match="all 0"):
        Confusion(FOOTPRINT_CLASSES, ("a",), np.zeros((1, 2, 2), np.int64))
    with pytest.raises(ValueError, match="one of other, mine was expected"):
        areas_by_year(footprints(0), (1, 2, 3), METRES, confusion=EXAMPLE)
