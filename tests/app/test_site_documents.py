"""The facts of a site are those of its tables, and unknown ones are null."""

import csv
import json
import math
import shutil
from dataclasses import replace

import pytest
from scipy.stats import theilslopes

from euromine.app.site_catalogue import SiteCatalogue
from euromine.app.site_documents import area_trend, file_of, site_document, site_summary
from euromine.app.site_tables import cell_text, table_of
from euromine.support.errors import DataError

from .drawn_app import HEIGHT, LEFT, SECOND_ID, SECOND_YEARS, SITE, TOP, WIDTH, YEARS


@pytest.fixture(scope="module")
def document(series_site):
    return site_document(series_site, 2)


def cells(place, name):
    with (place.series.path / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_summary_has_the_areas_of_the_latest_year(series_site) -> None:
    summary = site_summary(series_site, 2)
    latest = cells(series_site, "areas.csv")[-1]
    assert (summary["area_ha"], summary["adjusted_ha"], summary["low_ha"]) == (
        float(latest["area_ha"]),
        None,
        None,
    )
    outside = [row for row in cells(series_site, "permits.csv") if row["kind"] == "mined"]
    assert summary["outside_permits_ha"] == sum(
        float(row["area_ha"]) for row in outside if row["year"] == "2022"
    )
    assert (summary["name"], summary["years"], summary["open_alerts"]) == (SITE, list(YEARS), 2)
    assert summary["simulated"] is True


def test_the_place_is_where_another_library_puts_it(series_site, second_site) -> None:
    from pyproj import Transformer

    to_degrees = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    middle = to_degrees.transform(LEFT + 5 * WIDTH, TOP - 5 * HEIGHT)
    summary = site_summary(series_site)
    assert (summary["longitude"], summary["latitude"]) == pytest.approx(middle, abs=1e-6)
    corners = [to_degrees.transform(LEFT + 10 * x, TOP - 10 * y) for x in (0, WIDTH) for y in (0, HEIGHT)]
    west, south, east, north = summary["bounds"]
    for longitude, latitude in corners:
        assert west - 1e-6 <= longitude <= east + 1e-6
        assert south - 1e-6 <= latitude <= north + 1e-6
    assert site_summary(second_site)["bounds"] == pytest.approx([10.0, 49.9968, 10.004, 50.0])


def test_a_site_without_permits_indices_or_images_has_no_numbers_for_them(second_site) -> None:
    summary, document = site_summary(second_site), site_document(second_site)
    assert summary["outside_permits_ha"] is None
    assert summary["trend_ha_per_year"] is None  # two years
    for name in ("permits", "indices", "water", "reclamation", "land_cover"):
        assert document[name] == []
    assert document["vectors"]["permits"] is False
    assert document["vectors"]["outside_permits"] == []
    assert [scene["found"] for scene in document["facts"]["scenes"]] == [False] * len(SECOND_YEARS)
    assert document["attribution"] == "Contains modified Copernicus Sentinel data 2020 and 2021"


def test_the_trend_is_the_median_of_the_slopes_between_all_pairs_of_years(series_site) -> None:
    areas = [
        {"year": year, "area_ha": area, "adjusted_ha": None, "known_share": 1.0}
        for year, area in ((2015, 10.0), (2016, 12.0), (2017, 11.0), (2018, 90.0), (2020, 20.0))
    ]
    slope = theilslopes([row["area_ha"] for row in areas], [row["year"] for row in areas]).slope
    assert area_trend(areas) == pytest.approx(slope, abs=1e-4)
    cloudy = [{**row, "known_share": 0.5} if row["year"] == 2018 else row for row in areas]
    assert area_trend(cloudy) == area_trend([row for row in areas if row["year"] != 2018])
    adjusted = [{**row, "adjusted_ha": 3.0 * row["area_ha"]} for row in areas]
    assert area_trend(adjusted) == pytest.approx(3 * slope, abs=1e-4)
    assert area_trend([*adjusted[:-1], areas[-1]]) == area_trend(areas)
    assert area_trend(areas[:2]) is None


def test_tables_are_those_of_the_files(series_site, document) -> None:
    assert [row["area_ha"] for row in document["areas"]] == [
        float(row["area_ha"]) for row in cells(series_site, "areas.csv")
    ]
    changes = cells(series_site, "changes.csv")
    assert len(document["changes"]) == len(changes) == 6
    for found, row in zip(document["changes"], changes, strict=True):
        assert {name: str(found[name]) for name in ("year_1", "year_2")} == {
            name: row[name] for name in ("year_1", "year_2")
        }
        assert (found["gain_ha"], found["loss_ha"]) == (float(row["gain_ha"]), float(row["loss_ha"]))
        assert found["gain_low_ha"] is None
    zones = {row["zone"] for row in document["indices"]}
    assert zones == {"footprint", "surroundings"}
    assert len(document["indices"]) == 2 * 3 * len(YEARS)
    assert [row["ground_ha"] for row in document["reclamation"]] == [
        float(row["ground_ha"]) for row in cells(series_site, "reclamation.csv") if row["zone"] == "all"
    ]
    assert {row["land_cover"] for row in document["land_cover"]} == {"Tree cover", "Cropland"}
    assert document["components"][0]["component"] == "excavation"
    new = [row for row in document["permits"] if row["kind"] == "new"]
    assert [row["year"] for row in new] == [2019, 2021, 2022]
    assert new[0] == {"year": 2019, "kind": "new", "area_ha": 0, "places": 0}


def test_facts_name_models_and_images_without_their_folders(series_site, document, app_folder) -> None:
    facts = document["facts"]
    assert facts["models"][0]["digest"] == series_site.series.manifest.models[0].digest
    assert [scene["name"] for scene in facts["scenes"]] == [f"Year{year}.tif" for year in YEARS]
    assert all(scene["found"] for scene in facts["scenes"])
    assert facts["missing_years"] == []
    assert str(app_folder) not in json.dumps(document)
    assert document["attribution"] == "Simulated images 2018, 2019, 2021 and 2022"


def test_downloads_are_the_files_of_the_series(series_site, document) -> None:
    found = {row["name"]: row for row in document["downloads"]}
    assert {"areas.csv", "footprints.gpkg", "footprint_2018.tif", "series.json"} <= set(found)
    assert not any(name.endswith((".qml", ".png")) for name in found)
    row = found["change_2018_2019.tif"]
    assert (row["kind"], row["year"]) == ("map", "2018-2019")
    assert row["bytes"] == (series_site.series.path / "change_2018_2019.tif").stat().st_size
    assert found["components_ground_2019.tif"]["year"] == 2019
    assert found["areas.csv"]["year"] is None


@pytest.mark.parametrize("name", ["../watch.yaml", "/etc/passwd", "", ".", "none.csv", "report.html"])
def test_no_other_file_is_offered(series_site, name) -> None:
    assert file_of(series_site, name) is None
    listing = {**series_site.series.manifest.files, name: "0" * 64}
    forged = replace(series_site, series=_with_files(series_site.series, listing))
    assert file_of(forged, name) is None  # even if a manifest lists it


def _with_files(series, files):
    copy = object.__new__(type(series))
    copy.path, copy.manifest = series.path, replace(series.manifest, files=files)
    return copy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("site,year\nPit_7,2018\n", "found no column area_ha"),
        ("site,year,area_ha\nPit_7,2018\n", "found 2 cells in line 2; expected 3"),
        ("site,year,area_ha\nPit_7,2018,much\n", "found 'much' in line 2; expected a number"),
        ("\ud800", "found no table"),
        ("", "found no column year, area_ha"),
    ],
)
def test_a_damaged_table_is_one_sentence(app_folder, tmp_path, text, words) -> None:
    shutil.copytree(app_folder / "sites" / "second", tmp_path / "a")
    (tmp_path / "a" / "areas.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    series = SiteCatalogue(tmp_path).place(SECOND_ID).series
    with pytest.raises(DataError, match=words):
        table_of(series, "areas.csv", ("year", "area_ha"))


def test_cells_are_numbers_texts_or_null(series_site, tmp_path) -> None:
    rows = table_of(series_site.series, "indices.csv")
    assert {type(row["year"]) for row in rows} == {int}
    assert {type(row["zone"]) for row in rows} == {str}
    assert not any(isinstance(value, float) and math.isnan(value) for row in rows for value in row.values())
    assert table_of(series_site.series, "none.csv") is None
    assert (cell_text("'=1+1"), cell_text("'s-Hertogenbosch"), cell_text("-5")) == (
        "=1+1",
        "'s-Hertogenbosch",
        "-5",
    )
