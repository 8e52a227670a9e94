"""Areas beside a count of every pixel of the files, and the tables that they make."""

import csv
import io
from itertools import combinations
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio

from euromine.dataset_script.archive import Archive
from euromine.dataset_script.archive_writing import write_site
from euromine.dataset_script.area_tables import (
    country_table,
    interval_table,
    is_published,
    make_tables,
    production_table,
    published_countries,
    read_production,
    year_table,
)
from euromine.dataset_script.site_areas import SiteAreas, areas_of, measure_archive
from euromine.support.ground_areas import zone_area

ORIGIN, STEP = (14.0, 47.0), 9.0e-5


def ground_areas(height: int) -> np.ndarray:
    """The area of a pixel in each row of the small archive, m2."""
    edges = ORIGIN[1] - STEP * np.arange(height + 1)
    return zone_area(edges[:-1], edges[1:]) * STEP


def labels_of(root: Path, site: str) -> dict[int, np.ndarray]:
    """Every label of a site, 0 and 255, read by rasterio alone."""
    found = {}
    for path in sorted((root / site / "label").glob("Year*.tif")):
        with rasterio.open(path) as dataset:
            found[int(path.stem[-4:])] = dataset.read(1)
    return found


def random_site(root: Path, name: str, years: tuple[int, ...], seed: int = 0) -> None:
    """A site with ignored pixels (255) beside mines (1)."""
    noise = np.random.default_rng(seed)
    labels = noise.choice(np.array([0, 1], np.uint8), (len(years), 37, 29), p=(0.7, 0.3))
    write_site(
        root,
        name,
        images=noise.integers(1, 4000, (len(years), 10, 37, 29), dtype=np.int16),
        labels=labels,
        years=years,
        crs="EPSG:4326",
        transform=(STEP, 0.0, ORIGIN[0], 0.0, -STEP, ORIGIN[1]),
    )


@pytest.mark.parametrize("convention", ["true", "paper"])
def test_areas_are_those_of_every_pixel_counted_by_itself(convention, small_archive):
    for name, site in Archive(small_archive).sites.items():
        found = areas_of(site, convention)
        labels = labels_of(small_archive / "EuroMineNet", name)
        height, width = next(iter(labels.values())).shape
        row = ground_areas(height) if convention == "true" else np.full(height, 100.0)
        pixel = np.repeat(row[:, None], width, axis=1)
        assert found.years == tuple(labels)
        np.testing.assert_allclose(
            found.mine, [pixel[label == 255].sum() for label in labels.values()], rtol=1e-12
        )
        for (i, first), (j, second) in combinations(enumerate(labels.values()), 2):
            gained, lost = (first == 0) & (second == 255), (first == 255) & (second == 0)
            assert found.gained[i, j] == pytest.approx(pixel[gained].sum(), rel=1e-12)
            assert found.lost[i, j] == pytest.approx(pixel[lost].sum(), rel=1e-12)
            assert found.gained[j, i] == found.lost[j, i] == 0


def test_ignored_pixels_are_neither_mine_nor_change(tmp_path, tiff_writer):
    years = {2015: [[1, 1, 0, 255]], 2016: [[1, 255, 1, 1]]}
    for year, label in years.items():
        folder = tmp_path / "Spain_1"
        image = np.full((10, 1, 4), 500, np.int16)
        transform = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
        tiff_writer(folder / "image" / f"Year{year}.tif", image, crs="EPSG:32633", transform=transform)
        tiff_writer(folder / "label" / f"Year{year}.tif", np.array([label], np.uint8))
    found = areas_of(Archive(tmp_path).sites["Spain_1"])
    # At the central meridian, UTM is 0.9996 times the ground.
    assert found.mine == pytest.approx(np.array([200, 300]) / 0.9996**2, rel=1e-6)
    # The third pixel alone is known in both years and differs.
    assert (found.gained[0, 1], found.lost[0, 1]) == pytest.approx((100 / 0.9996**2, 0), rel=1e-6)


def test_windows_and_processes_change_nothing(small_archive, monkeypatch):
    archive = Archive(small_archive)
    whole = measure_archive(archive, workers=1, progress=False)
    apart = measure_archive(archive, workers=2, progress=False)
    monkeypatch.setattr("euromine.dataset_script.site_areas._WINDOW_PIXELS", 2000)
    windows = measure_archive(archive, workers=1, progress=False)
    for each, *others in zip(whole, apart, windows, strict=True):
        for other in others:
            assert (each.site, each.country, each.years) == (other.site, other.country, other.years)
            for name in ("mine", "gained", "lost"):
                np.testing.assert_array_equal(getattr(each, name), getattr(other, name))


def test_a_zip_measures_as_its_folder_does(small_archive, small_archive_zip):
    folder, zipped = (
        make_tables(measure_archive(Archive(path), workers=1, progress=False))
        for path in (small_archive, small_archive_zip)
    )
    assert folder == zipped


def site_areas(site: str, years: tuple[int, ...], mine: list[float], change: float = 0.0) -> SiteAreas:
    """Areas in km2; between years that are n apart n times `change` is gained, and half of that lost."""
    apart = np.triu(np.subtract.outer(years, years).T, 1)
    return SiteAreas(
        site, site.split("_")[0], years, np.array(mine) * 1e6, apart * change * 1e6, apart * change * 5e5
    )


AREAS = (
    site_areas("Italy_1", (2015, 2016, 2018), [2.0, 3.0, 5.0], change=1.0),
    site_areas("Spain_1", (2015, 2016, 2018), [10.0, 10.0, 8.0], change=2.0),
    site_areas("Spain_2", (2016, 2018), [1.0, 4.0]),
)


def test_the_first_table_has_sites_and_areas_by_country():
    kinds = {"Italy_1": "coal", "Spain_1": "coal", "Spain_2": "unknown"}
    table = country_table(AREAS, kinds)
    assert table.header[:8] == (
        "country", "sites", "metallic", "coal", "non_metallic", "quarry", "unknown", "area_2015_km2",
    )  # fmt: skip
    # The change is that of the sites that have both years.
    assert table.rows == (
        ("Italy", 1, 0, 1, 0, 0, 0, 2.0, 5.0, 150.0),
        ("Spain", 2, 0, 1, 0, 0, 1, 10.0, 12.0, -20.0),
        ("all", 3, 0, 2, 0, 0, 1, 12.0, 17.0, pytest.approx(100 / 12)),
    )
    assert table.notes == ("Without Spain_2 in 2015, of which the archive has no label there.",)
    table = production_table(AREAS, kinds)
    assert table.rows[1] == ("coal", 2, 12.0, 13.0, pytest.approx(100 / 12))
    assert table.rows[4] == ("unknown", 1, None, 4.0, None)


def test_the_second_table_has_the_area_of_each_year():
    table = year_table(AREAS, {"Italy_1": "coal", "Spain_1": "gold", "Spain_2": "gold"})
    columns = dict(zip(table.header, zip(*table.rows, strict=True), strict=True))
    assert columns["year"] == (2015, 2016, 2018)
    assert columns["sites"] == (2, 3, 3)
    assert columns["area_km2"] == (12.0, 14.0, 17.0)
    assert columns["coal_km2"] == (2.0, 3.0, 5.0)
    assert columns["gold_km2"] == (10.0, 11.0, 12.0)
    # From 2015 to 2016 Spain_2 does not count: it has no 2015.
    assert columns["change_km2"] == (None, 1.0, 3.0)


def test_the_third_table_has_what_changed_by_interval():
    table = interval_table(AREAS)
    assert table.header[:5] == (
        "interval_years",
        "year_pairs",
        "expanded_km2",
        "decreased_km2",
        "changed_km2",
    )
    # One year apart 2015-2016, two 2016-2018, three 2015-2018: 3 km2 a year are gained and half of it lost.
    assert [row[:5] for row in table.rows] == [
        (1, 1, 3.0, 1.5, 4.5),
        (2, 1, 6.0, 3.0, 9.0),
        (3, 1, 9.0, 4.5, 13.5),
    ]
    steady = interval_table([site_areas("Spain_1", tuple(range(2015, 2025)), [1.0] * 10, change=1.0)])
    assert [row[1] for row in steady.rows] == list(range(9, 0, -1))
    # Two years apart eight pairs: 16 km2 in all, 2 a pair.
    assert steady.rows[1] == (2, 8, 16.0, 8.0, 24.0, 2.0, 1.0, 3.0)


def test_one_year_has_no_change():
    areas = [site_areas("Spain_1", (2020,), [3.0])]
    table = country_table(areas)
    assert (table.header, table.rows[0]) == (("country", "sites", "area_2020_km2"), ("Spain", 1, 3.0))
    assert interval_table(areas).notes == ("No site has two years, so nothing can have changed.",)
    assert interval_table(areas).to_markdown().count("|") > 0


def test_a_table_is_written_for_programs_and_for_people():
    table = country_table(AREAS)
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert rows[1] == {
        "country": "Spain",
        "sites": "2",
        "area_2015_km2": "10.000000",
        "area_2018_km2": "12.000000",
        "change_percent": "-20.000000",
    }
    lines = table.to_markdown().splitlines()
    assert lines[2:5] == [
        "| country | sites | area_2015_km2 | area_2018_km2 | change_percent |",
        "| ------- | ----: | ------------: | ------------: | -------------: |",
        "| Italy   |     1 |          2.00 |          5.00 |         150.00 |",
    ]


def test_what_the_release_leaves_out_is_left_out(tmp_path):
    for number, name in enumerate(("Spain_1", "Spain_4", "Kiruna_1")):
        random_site(tmp_path, name, (2015, 2016), seed=number)
    archive = Archive(tmp_path)
    assert [each.site for each in measure_archive(archive, workers=1, progress=False)] == [
        "Kiruna_1",
        "Spain_1",
    ]
    found = measure_archive(archive, workers=1, progress=False, all_sites=True)
    assert [each.site for each in found] == ["Kiruna_1", "Spain_1", "Spain_4"]
    assert not is_published(archive)


def test_the_papers_table_adds_up(real_data):
    # Its own numbers, and the site count of its title.
    published = published_countries()
    assert published["all"]["sites"] == 133
    assert sum(published["all"][name] for name in ("metallic", "coal", "non_metallic", "quarry")) == 133
    with (real_data.parent / "facts" / "table1_countries.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert published[row["country"]]["area_2024_km2"] == float(row["area_2024_km2"])
    table = country_table(AREAS, beside_paper=True)
    columns = dict(zip(table.header, zip(*table.rows, strict=True), strict=True))
    assert columns["paper_2015_km2"][:2] == (5.16, 160.43)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "site,production\nSpain_1,Coal\nItaly_1,Non-metallic\n",
            {"Spain_1": "coal", "Italy_1": "non_metallic"},
        ),
        ("\ufeffsite;country;production\nSpain_1;Spain;quarry\n", {"Spain_1": "quarry"}),
    ],
)
def test_production_types_come_from_a_csv(text, expected, tmp_path):
    (tmp_path / "sites.csv").write_text(text, encoding="utf-8")
    assert read_production(tmp_path / "sites.csv") == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("site,type\nSpain_1,coal\n", "found the columns site, type; expected production"),
        ("site,production\nSpain_1,\n", "line 2: found an empty cell; expected a site and its production"),
        (
            "site,production\nSpain_1,coal\nSpain_1,quarry\n",
            "line 3: found quarry for Spain_1, and coal above",
        ),
        ("", "found the columns \\(none\\)"),
    ],
)
def test_a_csv_of_something_else_is_a_sentence(text, sentence, tmp_path):
    (tmp_path / "sites.csv").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_production(tmp_path / "sites.csv")


def test_sites_without_a_type_are_named(small_archive, caplog):
    areas = measure_archive(Archive(small_archive), workers=1, progress=False)
    tables = make_tables(areas, {"Austria_1": "coal", "Spain_9": "quarry"})
    assert "No production type is given for Bulgaria_1, Czechia_2." in caplog.text
    assert "name sites that are not measured: Spain_9." in caplog.text
    assert [table.name for table in tables] == [
        "table1_countries", "table1_production", "table2_years", "table3_intervals",
    ]  # fmt: skip


def test_real_scenes_are_measured_on_the_ground(real_data):
    root = real_data / "real_archive" / "EuroMineNet"
    for each in measure_archive(Archive(root), workers=1, progress=False):
        labels = labels_of(root, each.site)
        with rasterio.open(next((root / each.site / "image").glob("*.tif"))) as dataset:
            to_degrees = pyproj.Transformer.from_crs(dataset.crs, 4326, always_xy=True)
            left, bottom, right, top = dataset.bounds
            corners = to_degrees.transform((left, right, right, left), (top, top, bottom, bottom))
            scene = abs(pyproj.Geod(ellps="WGS84").polygon_area_perimeter(*corners)[0])
            pixel = scene / (dataset.height * dataset.width)
        np.testing.assert_allclose(
            each.mine, [pixel * (label == 255).sum() for label in labels.values()], rtol=5e-6
        )
    # Slovenia's land use is the same in each of its years.
    assert not each.gained.any()
    assert not each.lost.any()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"convention": "acres"}, "expected one of true, paper"), ({"workers": 0}, "workers: found 0")],
)
def test_wrong_arguments_are_refused(options, sentence, small_archive):
    with pytest.raises(ValueError, match=sentence):
        measure_archive(Archive(small_archive), progress=False, **options)
