"""Land cover crossed with the year first mined: areas by a pixel-by-pixel oracle, years and legends."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.warp import transform

from euromine.monitoring.history.area_series import write_areas
from euromine.monitoring.history.land_cover import LandTaken, land_taken, open_land_cover
from euromine.monitoring.history.land_cover_legends import CORINE, WORLDCOVER, read_legend
from euromine.monitoring.scenes.grids import Grid
from euromine.support.errors import ArgumentError, DataError

LEFT, TOP = 500_000.0, 5_100_000.0
GRID = Grid(CRS.from_epsg(32633), Affine(10, 0, LEFT, 0, -10, TOP), 60, 40)
YEARS = [2016, 2018, 2020]
WORLDCOVER_CODES = [10, 30, 40, 50, 60, 80]


def write_raster(path: Path, values: np.ndarray, affine: Affine, crs: str = "EPSG:32633", **options) -> Path:
    profile = {"count": 1, "height": values.shape[0], "width": values.shape[1], "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=affine, **profile, **options) as file:
        file.write(values, 1)
    return path


@pytest.fixture
def first_years() -> np.ndarray:
    random = np.random.default_rng(6)
    return random.choice(np.array([0, 0, 2016, 2018, 2020, 65535], np.uint16), (40, 60))


def same_grid(tmp_path: Path, name: str, values: np.ndarray) -> Path:
    return write_raster(tmp_path / name, values, GRID.transform)


def test_hectares_by_class_and_year_are_those_counted_by_hand(tmp_path, first_years):
    cover = np.random.default_rng(7).choice(np.array(WORLDCOVER_CODES, np.uint8), (40, 60))
    cover[:, 50:] = 0  # no data
    path = same_grid(tmp_path, "cover_2015.tif", cover)
    opened = open_land_cover(path, GRID, YEARS, legend="worldcover")
    rows = land_taken(first_years, GRID, opened, site="Mine_1")
    found = {(row.first_year, row.code): row.area_ha for row in rows}
    counted = {
        (year, str(code) if code else ""): np.sum((first_years == year) & (cover == code))
        for year in YEARS
        for code in (*WORLDCOVER_CODES, 0)
    }
    # A pixel of 10 m near the central meridian of UTM has 100 m2 / 0.9996^2 on the ground.
    expected = {key: count * 0.01 / 0.9996**2 for key, count in counted.items() if count}
    assert found == pytest.approx(expected, rel=1e-5)
    assert {row.land_cover for row in rows if not row.code} == {"no class"}
    for year in YEARS:
        assert sum(row.share for row in rows if row.first_year == year) == pytest.approx(1)
    names = {row.code: row.land_cover for row in rows}
    assert (names["10"], names["60"]) == ("Tree cover", "Bare / sparse vegetation")
    assert opened.attribution.startswith("© ESA WorldCover project 2015")


def test_a_coarse_raster_in_another_system_gives_each_pixel_the_class_around_its_middle(
    tmp_path, first_years
):
    longitudes, latitudes = transform(GRID.crs, "EPSG:4326", [LEFT, LEFT + 600], [TOP, TOP - 400])
    step = 0.0007  # about 50 m x 80 m
    affine = Affine(step, 0, longitudes[0] - 2 * step, 0, -step, latitudes[0] + 2 * step)
    cover = np.random.default_rng(8).integers(1, 45, (14, 18)).astype(np.uint8)
    path = write_raster(tmp_path / "U2018_CLC2012_V2020_20u1.tif", cover, affine, "EPSG:4326", nodata=48)
    opened = open_land_cover(path, GRID, YEARS)
    assert (opened.year, opened.legend) == (2012, CORINE)
    rows = land_taken(first_years, GRID, opened)
    counted: dict[tuple[int, str], int] = {}
    for row, column in np.argwhere((first_years > 0) & (first_years < 65535)):
        (x,), (y,) = transform(GRID.crs, "EPSG:4326", [LEFT + 10 * (column + 0.5)], [TOP - 10 * (row + 0.5)])
        across, down = (x - affine.c) / affine.a, (y - affine.f) / affine.e
        key = (int(first_years[row, column]), CORINE.classes[int(cover[int(down), int(across)])].code)
        counted[key] = counted.get(key, 0) + 1
    expected = {key: count * 0.01 / 0.9996**2 for key, count in counted.items()}
    assert {(row.first_year, row.code): row.area_ha for row in rows} == pytest.approx(expected, rel=1e-5)


def test_ground_mined_before_a_younger_land_cover_has_no_class_and_a_warning(tmp_path, first_years, caplog):
    path = same_grid(tmp_path, "cover.tif", np.full((40, 60), 10, np.uint8))
    opened = open_land_cover(path, GRID, YEARS, legend="worldcover", year=2018)
    assert "shows 2018, so it does not explain ground first mined in 2018 or before" in caplog.text
    rows = land_taken(first_years, GRID, opened)
    assert [(row.first_year, row.code, row.land_cover) for row in rows] == [
        (2016, "", "mined before the land cover"),
        (2018, "", "mined before the land cover"),
        (2020, "10", "Tree cover"),
    ]


def test_ground_beyond_the_raster_is_told_apart(tmp_path):
    path = write_raster(tmp_path / "2015.tif", np.full((40, 30), 10, np.uint8), GRID.transform)
    opened = open_land_cover(path, GRID, YEARS, legend="worldcover")
    rows = land_taken(np.full((40, 60), 2016, np.uint16), GRID, opened)
    assert {row.land_cover: round(row.share, 6) for row in rows} == {
        "Tree cover": 0.5,
        "outside the land cover": 0.5,
    }


def test_official_rasters_bring_their_legend_and_year(tmp_path):
    path = same_grid(
        tmp_path, "ESA_WorldCover_10m_2020_v100_N45E015_Map.tif", np.full((40, 60), 95, np.uint8)
    )
    opened = open_land_cover(path, GRID, [2018, 2021])
    assert (opened.year, opened.legend) == (2020, WORLDCOVER)
    assert len(WORLDCOVER.classes) == 11
    assert len({each.code for each in CORINE.classes.values()}) == 44
    assert CORINE.classes[7] is CORINE.classes[131]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("legend.csv", "Value,name,colour\n3,Öde,#aabbcc\n4,Wald,\n"),
        (
            "legend.json",
            json.dumps({"classes": {"3": "Öde", "4": "Wald"}, "attribution": "A {office}", "nodata": [9]}),
        ),
        ("plain.json", json.dumps({"3": "Öde", "4": "Wald"})),
        ("semicolons.csv", "value;name;colour\n3;Öde;#aabbcc\n4;Wald;\n"),
    ],
)
def test_legends_of_ones_own_are_read(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    legend = read_legend(path)
    assert {value: each.name for value, each in legend.classes.items()} == {3: "Öde", 4: "Wald"}
    if name == "legend.json":
        assert (legend.nodata, legend.attribution) == (frozenset({9}), "A (office)")
    if name == "legend.csv":
        assert [each.colour for each in legend.classes.values()] == ["#aabbcc", ""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("code;name\n1;Forest\n", r"found the columns code, name; expected value, name"),
        ("value,name\n1,Forest\n1,Meadow\n", r"found the value 1 twice; expected it once"),
        ("value,name\n1,Forest\n01,Meadow\n", r"found the value 1 twice; expected it once"),
        ('{"1": "Forest", "1": "Meadow"}', r"found the key '1' twice; expected it once"),
        ("value,name\n", r"found no classes"),
        ("value,name\n1,\n", r"found no name for the value 1; expected one"),
        ("value,name\nforest,1\n", r"found the value 'forest'; expected a whole number"),
        ("value,name,colour\n1,Forest,green\n", r"found the colour 'green' for 1"),
        ("{broken", r"found broken JSON"),
    ],
)
def test_legends_that_are_none_are_refused(tmp_path, content, message):
    path = tmp_path / "legend"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_legend(path)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        (
            "2015.tif",
            {},
            DataError,
            r"found a land cover without a legend; expected the names .*worldcover, corine",
        ),
        ("2015.tif", {"legend": "globcover"}, DataError, r"--land-cover-legend: found globcover, neither"),
        ("cover.tif", {"legend": "worldcover"}, DataError, r"found no year in its name; .*--land-cover-year"),
        ("2016_2020.tif", {"legend": "worldcover"}, DataError, r"found the years 2016 and 2020 in its name"),
        (
            "2020.tif",
            {"legend": "worldcover"},
            ArgumentError,
            r"found the land cover of 2020, which cannot show",
        ),
        (
            "2015.tif",
            {"legend": "corine"},
            DataError,
            r"found the classes 77; expected those of CORINE Land Cover's",
        ),
        ("2015.tif", {"legend": "worldcover", "year": 15}, ArgumentError, r"land_cover_year: found 15"),
    ],
)
def test_land_cover_that_explains_nothing_is_refused(tmp_path, name, options, error, message):
    path = same_grid(tmp_path, name, np.full((40, 60), 77, np.uint8))
    with pytest.raises(error, match=message):
        open_land_cover(path, GRID, YEARS, **options)


def test_land_cover_of_another_place_or_kind_is_refused(tmp_path):
    far = write_raster(tmp_path / "2015.tif", np.full((4, 6), 10, np.uint8), Affine(10, 0, 0, 0, -10, TOP))
    with pytest.raises(DataError, match=r"found a land cover of another place"):
        open_land_cover(far, GRID, YEARS, legend="worldcover")
    with pytest.raises(FileNotFoundError, match=r"gone\.tif: there is no such file; expected a land-cover"):
        open_land_cover(tmp_path / "gone.tif", GRID, YEARS, legend="worldcover")
    floats = same_grid(tmp_path, "2014.tif", np.zeros((40, 60), np.float32))
    with pytest.raises(DataError, match=r"found 1 bands of float32; expected one band of whole numbers"):
        open_land_cover(floats, GRID, YEARS, legend="worldcover")


def test_rows_are_written_as_a_table(tmp_path):
    path = tmp_path / "land_cover.csv"
    write_areas([LandTaken("Mine", 2018, "10", "=Tree", 1.25, 0.5, 2015)], path, LandTaken)
    assert path.read_text().splitlines() == [
        "site,first_year,code,land_cover,area_ha,share,land_cover_year",
        "Mine,2018,10,'=Tree,1.2500,0.5000,2015",
    ]
