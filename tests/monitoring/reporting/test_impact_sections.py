"""The sections on indices, reclamation and land taken, from tables that are written by hand."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas
import pytest

from euromine.monitoring.history import folder_files
from euromine.monitoring.history.folder import SeriesFolder
from euromine.monitoring.reporting import report_tables
from euromine.monitoring.reporting.flow_charts import flow_chart
from euromine.monitoring.reporting.formatting import EN_DASH, MINUS, decimal
from euromine.monitoring.reporting.impact_charts import stacked_bars, zone_curves
from euromine.monitoring.reporting.index_section import index_section
from euromine.monitoring.reporting.land_cover_section import land_cover_section
from euromine.monitoring.reporting.page import render_report
from euromine.monitoring.reporting.provenance_section import provenance_section
from euromine.monitoring.reporting.reclamation_section import reclamation_section
from euromine.monitoring.reporting.report_data import read_report_data
from euromine.monitoring.result import SeriesResult
from euromine.support.errors import DataError, RecordError

from .written_series import HEIGHT, WIDTH, YEARS, write_map, write_series

IMPACT = {
    "indices": ["ndvi", "nbr"],
    "surroundings": 500.0,
    "reclamation": "terraces.gpkg",
    "reference": None,
    "land_cover": {
        "file": "cover_2014.tif",
        "year": 2014,
        "product": "",
        "attribution": "A <survey>",
        "colours": {"3": "#00aa00", "4": "javascript:alert(1)"},
    },
}
RECOVERY = [
    "zone",
    "polygon",
    "name",
    "year",
    "ground_ha",
    "recovered_ha",
    "recovering_ha",
    "stalled_ha",
    "undecided_ha",
]
RECOVERY += ["recovered_share", "recovering_share", "stalled_share", "known_share", "target_share", "target"]
RECOVERY += ["dnbr", "yearly_rate", "r80p", "rri", "y2r"]


def write_tables(folder: Path) -> None:
    indices = [
        (year, zone, polygon, index, mean + 0.1 * (zone == "surroundings"), 0.05)
        for year in YEARS
        for zone, polygon in (("footprint", 0), ("surroundings", 0), ("polygon", 1))
        for index, mean in (("ndvi", -0.25), ("nbr", None if year == 2016 else 0.125))
        if mean is not None
    ]
    write(folder, "indices", ["year", "zone", "polygon", "index", "mean", "spread"], indices)
    water = [(2015, 0.0, 0.4), (2016, 1.0, 0.0), (2018, 2.5, 1.0)]
    write(folder, "water", ["year", "water_ha", "known_share"], water)
    none = (None,) * 3
    recovery = [
        ("all", 0, None, 2015, 0, 0, 0, 0, 0, *none, None, None, "before mining", *none, None, None),
        ("all", 0, None, 2016, 4, 0, 1, 0, 3, 0, 0.25, 0, 1, 1, "before mining", 0.1, *none, None),
        ("all", 0, None, 2018, 8, 2, 1, 1, 4, 0.25, 0.125, 0.125, 1, 0.5, "before mining",
         -0.1, 0.05, 0.9, 0.3, 2),
        ("mapped", 1, None, 2018, 5, 2, 1, 1, 1, 0.4, 0.2, 0.2, 1, 1, "before mining", 0.2, 0.1, 0.9, 0.3, 2),
        ("outline", 1, "<North>", 2018, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, "before mining", *none, None, None),
    ]  # fmt: skip
    write(folder, "reclamation", RECOVERY, recovery)
    state = np.zeros((HEIGHT, WIDTH), np.uint8)
    state[:10, :10], state[10:12, :10] = 1, 4
    write_map(folder / "reclamation.tif", state, 255)
    taken = [
        (2015, 3, "Forest", 10.0, 0.8, 2014),
        (2015, None, "outside the land cover", 2.5, 0.2, 2014),
        (2016, 4, "Land principally occupied by <fields>, with some more words", 1.5, 0.6, 2014),
        (2016, 3, "Forest", 1.0, 0.4, 2014),
    ]
    columns = ["first_year", "code", "land_cover", "area_ha", "share", "land_cover_year"]
    write(folder, "land_cover", columns, taken)


def write(folder: Path, name: str, columns: list[str], rows: list[tuple]) -> None:
    pandas.DataFrame(rows, columns=columns).to_csv(folder / f"{name}.csv", index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = write_series(tmp_path_factory.mktemp("impact") / "series", settings={"impact": IMPACT})
    write_tables(path)
    return path


@pytest.fixture(scope="module")
def data(folder):
    return read_report_data(SeriesResult(folder))


def test_the_page_has_the_sections_and_escapes_what_files_say(folder, page):
    for anchor in ("indices", "reclamation", "land-cover"):
        assert f'id="{anchor}"' not in page
    made = render_report(SeriesResult(folder))
    for anchor in ("indices", "reclamation", "land-cover"):
        assert f'<section id="{anchor}"' in made
    assert "A &lt;survey&gt;" in made
    assert "outline 1 (&lt;North&gt;)" in made
    for words in ("<survey>", "<North>", "<fields>", "javascript"):
        assert words not in made
    for svg in re.findall(r"<svg class=\"chart.*?</svg>", made, re.DOTALL):
        ET.fromstring(svg)


def test_indices_of_the_mine_and_around_it_are_listed_by_year(data):
    section = index_section(data)
    assert [chart.name for chart in section.charts] == ["NDVI", "NBR"]
    assert "within 500 m of it" in section.introduction
    rows = {(row.name, row.zone): row.cells for row in section.rows}
    assert rows["NDVI", "mine"] == [f"{MINUS}0.25"] * 3
    assert rows["NDVI", "surroundings"] == [f"{MINUS}0.15"] * 3
    assert rows["NBR", "mine"] == ["0.12", EN_DASH, "0.12"]
    assert "Clouds hide part of the mine in 2015." in section.water.caption
    assert "2016" not in section.water.svg.split("aria-label")[1].split(">")[0]


def test_recovery_is_told_with_its_target_and_what_cannot_be_judged(data):
    section = reclamation_section(data)
    assert section.summary.startswith(
        "By 2018, 8.00 ha were mined and are not mapped as mined any more: 25% have"
    )
    assert "The other 50% cannot be judged, most of it because 50% of the ground was mined" in section.summary
    assert "against the value before mining" in section.definition
    assert [row.name for row in section.places] == ["outline 1 (<North>)", "polygon 1"]
    first, _, last = section.years
    assert (first.ground, first.shares[0]) == ("0", EN_DASH)
    assert last.metrics == [f"{MINUS}0.10", "0.05", "0.90", "0.30", "2.0"]
    assert [entry.name for entry in section.coloured.legend] == ["recovered", "undecided"]


@pytest.fixture
def _parts_of_three_rows(monkeypatch):
    """Tables are read three rows at a time, and none as a whole."""
    monkeypatch.setattr(folder_files, "_ROWS", 3)
    for name in ("indices", "reclamation", "permits"):
        monkeypatch.delattr(SeriesFolder, name)


@pytest.mark.usefixtures("_parts_of_three_rows")
def test_tables_of_polygons_are_read_some_rows_at_a_time_for_the_same_page(folder, tmp_path, monkeypatch):
    held = []
    checked = report_tables.checked_table

    def noted(table, *others):
        held.append(len(table))
        return checked(table, *others)

    monkeypatch.setattr(report_tables, "checked_table", noted)
    in_parts = render_report(SeriesResult(folder))
    assert len(held) == 7  # of 15 and 5 rows
    assert max(held) == 3
    monkeypatch.setattr(folder_files, "_ROWS", 10**6)
    assert render_report(SeriesResult(folder)) == in_parts


@pytest.mark.usefixtures("_parts_of_three_rows")
def test_of_many_polygons_the_largest_are_listed_after_the_outlines(tmp_path):
    path = write_series(tmp_path / "series", settings={"impact": IMPACT})
    write_tables(path)
    table = pandas.read_csv(path / "reclamation.csv")
    (mapped,) = table[table.zone == "mapped"].to_dict("records")
    sizes = [1.0, 3.0, 2.0, None, 3.0, *[0.5] * 20]
    more = [{**mapped, "polygon": place + 2, "ground_ha": size} for place, size in enumerate(sizes)]
    outline = table[table.zone == "outline"].assign(polygon=2, name="12")  # a name that is a number
    pandas.concat([pandas.DataFrame(more), outline, table]).to_csv(path / "reclamation.csv", index=False)
    section = reclamation_section(read_report_data(SeriesResult(path)))
    # Of equal ones, those that come first in the table.
    polygons = [1, 3, 6, 4, 2, *range(7, 15)]
    assert [row.name for row in section.places] == [
        "outline 1 (<North>)",
        "outline 2 (12)",
        *(f"polygon {number}" for number in polygons),
    ]
    assert section.places_caption.endswith(" 13 more polygons in reclamation.csv.")
    assert [row.name for row in section.years] == ["2015", "2016", "2018"]


def test_land_taken_is_told_by_class_with_its_source(data):
    section = land_cover_section(data)
    assert section.summary == (
        "After 2015, mining took 2.50 ha; by the land cover of 2014, 1.50 ha of land principally occupied by "
        "<fields>, with some more words and 1.00 ha of forest."
    )
    assert section.years == ["2015 or before", "2016"]
    rows = {row.name: row for row in section.rows}
    assert (rows["Forest"].total, rows["Forest"].share, rows["Forest"].cells) == (
        "11.0",
        "73.3%",
        ["10.0", "1.00"],
    )
    assert rows["Forest"].colour == "#00aa00"
    assert rows["outside the land cover"].colour == "#9aa3ae"
    assert section.source == "Land cover of 2014, from cover_2014.tif. A <survey>."
    assert "Forest, 2015 or before: 10.0 ha" in section.flow.svg


def test_the_settings_are_listed_with_the_others(data):
    settings = dict(provenance_section(data).settings)
    assert settings["Indices"] == "ndvi and nbr, of reflectance"
    assert settings["Reclaimed ground"] == "terraces.gpkg"
    assert settings["Land cover"] == "cover_2014.tif, 2014"


@pytest.mark.parametrize("name", ["indices", "water", "reclamation", "land_cover"])
def test_damaged_tables_are_named(folder, tmp_path, name):
    broken = write_series(tmp_path / "series", settings={"impact": IMPACT})
    write_tables(broken)
    (broken / f"{name}.csv").write_text("year,words\n2015,text\n")
    with pytest.raises(DataError, match=rf"{name}\.csv: found no column"):
        render_report(SeriesResult(broken))


def test_settings_of_another_form_are_refused(tmp_path):
    path = write_series(tmp_path / "series", settings={"impact": ["ndvi"]})
    with pytest.raises(RecordError, match=r"series\.json, settings"):
        SeriesResult(path)


# Charts


def test_a_curve_has_a_gap_where_nothing_is_known():
    svg = zone_curves(
        [2015, 2016, 2017, 2018],
        {"mine": [0.1, float("nan"), 0.3, 0.2], "around": [0.2] * 4},
        {"mine": "#111111", "around": "#222222"},
        [0.1] * 4,
    )
    assert len(re.findall(r'<circle[^>]*fill="#111111"', svg)) == 3
    assert len(re.findall(r'<path[^>]*stroke="#111111"', svg)) == 2
    assert len(re.findall(r'<path[^>]*stroke="#222222"', svg)) == 1
    assert "nan" not in svg


def test_bars_are_stacked_to_the_height_of_their_sum():
    svg = stacked_bars([2015, 2016], {"a": [1.0, 3.0], "b": [0.0, 1.0]}, {"a": "#111111", "b": "#222222"})
    bars = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)" fill="(#\d+)"', svg)
    (_, top_1, height_1, _), (x, top_2, height_2, _), (other_x, top_3, height_3, colour) = bars
    assert (float(height_1) * 3, float(height_1)) == pytest.approx(
        (float(height_2), float(height_3)), abs=0.3
    )
    assert colour == "#222222"
    assert x == other_x
    assert float(top_3) + float(height_3) == pytest.approx(float(top_2), abs=0.11)
    assert float(top_1) > float(top_2)


def test_a_flow_may_have_headings_of_its_own():
    svg = flow_chart(
        {("a", "b"): 1.0}, ["a", "b"], {"a": "#111111", "b": "#222222"}, (0, 0), headings=("Left", "<R>")
    )
    assert "<title>a, b: 1.00 ha</title>" in svg
    assert ">Left</text>" in svg
    assert ">&lt;R&gt;</text>" in svg


@pytest.mark.parametrize(
    ("value", "words"),
    [(-0.254, f"{MINUS}0.25"), (-0.001, "0.00"), (float("nan"), EN_DASH), (1.0, "1.00")],
)
def test_decimals_have_a_sign_only_where_it_shows(value, words):
    assert decimal(value) == words
