"""The components of a report, of tables and maps written by hand."""

import re
from pathlib import Path

import numpy as np
import pandas
import pytest

from euromine.monitoring.reporting.flow_charts import flow_chart
from euromine.monitoring.reporting.page import render_report
from euromine.monitoring.result import SeriesResult
from euromine.support.errors import DataError

from .html_page import Page
from .written_series import DASH, HEIGHT, WIDTH, YEARS, write_map, write_series

GROUPS = {"ground": ["excavation"], "deposits": ["dumping_ground", "stockpile"]}
AREAS = {"excavation": (8, 7, 5.5), "dumping_ground": (0, 1, 2.25), "stockpile": (0, 0, 0)}
FLOWS = {
    ("excavation", "excavation"): 5.5,
    ("excavation", "dumping_ground"): 2.25,
    ("none", "excavation"): 1.5,
    ("none", "none"): 14.0,
}


def write_components(folder: Path, *, intervals: bool = False, **fields) -> SeriesResult:
    write_series(folder, component_groups=GROUPS, **{"component_total": "total", **fields})
    for year in YEARS:
        pit, dump = (np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(2))
        pit[10:30, 10:40], dump[15:20, 20:30] = 1, 1
        write_map(folder / f"components_ground_{year}.tif", pit, 255)
        write_map(folder / f"components_deposits_{year}.tif", dump, 255)
    rows = [
        ("Mine", year, group, name, 1, area, *((area, 0.5 * area, 2 * area) if intervals else (None,) * 3))
        for group, names in GROUPS.items()
        for name in names
        for year, area in zip(YEARS, AREAS[name], strict=True)
    ]
    names = ["site", "year", "group", "component", "pixels", "area_ha", "adjusted_ha", "low_ha", "high_ha"]
    pandas.DataFrame(rows, columns=names).to_csv(folder / "components.csv", index=False)
    flows = [
        ("Mine", 2015, 2018, "visible component", before, after, 1, area)
        for (before, after), area in FLOWS.items()
    ]
    flows += [("Mine", 2015, 2016, "visible component", "excavation", "stockpile", 1, 99.0)]
    names = ["site", "year_1", "year_2", "group", "from_component", "to_component", "pixels", "area_ha"]
    pandas.DataFrame(flows, columns=names).to_csv(folder / "component_transitions.csv", index=False)
    return SeriesResult(folder)


def cells_of(page: str, label: str) -> list[list[str]]:
    table = page.split(f'aria-label="{label}"')[1].split("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [
        [re.sub(r"<.*?>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows
    ]


def test_the_section_has_map_areas_and_transitions(tmp_path) -> None:
    page = render_report(write_components(tmp_path / "series"))
    text = Page(page).text
    assert "Components in 2018. Where two lie on the same ground" in text
    assert "They have no interval, because the model's errors on components were not counted (" in text
    assert "errors on transitions were not counted (euromine calibrate) at two sites or more." in text
    assert cells_of(page, "Components by year, table") == [
        ["ha", "2015", "2016", "2018"],
        ["ground"],
        ["excavation", "8.00", "7.00", "5.50"],
        ["deposits"],
        ["dumping ground", "0", "1.00", "2.25"],
        ["stockpile", "0", "0", "0"],
    ]
    assert cells_of(page, "Transitions between components, table") == [
        ["ha", "excavation", "dumping ground", "no component"],
        ["excavation", "5.50", "2.25", ""],
        ["dumping ground", "", "", ""],
        ["no component", "1.50", "", ""],
    ]
    assert "excavation in 2015, dumping ground in 2018: 2.25 ha" in page
    assert "99" not in cells_of(page, "Transitions between components, table")


def test_on_paper_transitions_are_a_list(tmp_path) -> None:
    page = render_report(write_components(tmp_path / "series"), static=True)
    assert cells_of(page, "Transitions between components, table") == [
        ["2015", "2018", "ha"],
        ["excavation", "dumping ground", "2.25"],
        ["no component", "excavation", "1.50"],
    ]


def test_areas_with_known_errors_have_their_interval(tmp_path) -> None:
    page = render_report(write_components(tmp_path / "series", intervals=True))
    rows = cells_of(page, "Components by year, table")
    assert rows[2][1] == f"8.00 (4.00{DASH}16.0)"
    assert "In brackets: the 95% interval" in Page(page).text


def test_transitions_with_known_errors_have_their_interval(tmp_path) -> None:
    series = write_components(tmp_path / "series")
    table = pandas.read_csv(series.path / "component_transitions.csv")
    table["low_ha"] = [1.0 if target == "dumping_ground" else None for target in table["to_component"]]
    table.assign(adjusted_ha=2.0, high_ha=4.0).to_csv(series.path / "component_transitions.csv", index=False)
    page = render_report(series)
    assert cells_of(page, "Transitions between components, table")[1] == [
        "excavation",
        "5.50",
        f"2.25 (1.00{DASH}4.00)",
        "",
    ]
    assert (
        "errors on transitions at its validation sites; it is missing where fewer than two" in Page(page).text
    )


def test_the_section_says_whether_components_are_smoothed(tmp_path) -> None:
    assert "as mapped, each year on its own." in Page(render_report(write_components(tmp_path / "one"))).text
    smoothed = {"component_total": None, "settings": {"smoothing": "median"}}
    text = Page(render_report(write_components(tmp_path / "two", **smoothed))).text
    assert "as mapped, smoothed over the years." in text
    assert "Smoothing of components majority of each year and its neighbours" in " ".join(text.split())
    assert "The mined area of this report is the ground with any of these components." in text


def test_errors_at_a_single_site_give_no_interval(tmp_path) -> None:
    series = write_components(tmp_path / "series", intervals=True)
    table = pandas.read_csv(series.path / "components.csv")
    table.assign(low_ha=None, high_ha=None).to_csv(series.path / "components.csv", index=False)
    assert "counted at too few sites to show how they vary" in Page(render_report(series)).text


def test_a_series_without_components_has_no_such_section(page) -> None:
    assert 'id="components"' not in page


def test_damaged_tables_are_refused(tmp_path) -> None:
    series = write_components(tmp_path / "series")
    table = (series.path / "components.csv").read_text()
    (series.path / "components.csv").write_text(table.replace("excavation", "trench"))
    with pytest.raises(DataError, match="found no row for excavation in 2015; expected one"):
        render_report(series)
    (series.path / "components.csv").write_text(table.replace("area_ha", "acres"))
    with pytest.raises(DataError, match="found no column area_ha"):
        render_report(series)
    (series.path / "components.csv").write_text(table)
    flows = (series.path / "component_transitions.csv").read_text()
    (series.path / "component_transitions.csv").write_text(flows.replace("dumping_ground", "trench"))
    with pytest.raises(DataError, match="found the component 'trench'; expected those of the series"):
        render_report(series)


def test_bands_are_as_wide_as_areas_and_bars_hold_them() -> None:
    flows = {("a", "a"): 30.0, ("a", "b"): 10.0, ("b", "b"): 5.0, ("none", "b"): 15.0}
    svg = flow_chart(flows, ["a", "b", "none"], dict.fromkeys(("a", "b", "none"), "#000000"), (2015, 2020))
    bands = {}
    for path, words in re.findall(r'<path d="(.*?)".*?<title>(.*?)</title>', svg):
        start, end = re.search(r"M\d+ ([\d.]+)C.* [\d.]+ \d+ ([\d.]+)z", path).groups()
        bands[words] = float(end) - float(start)
    assert list(bands) == [
        "a in 2015, a in 2020: 30.0 ha",
        "a in 2015, b in 2020: 10.0 ha",
        "b in 2015, b in 2020: 5.00 ha",
        "none in 2015, b in 2020: 15.0 ha",
    ]
    unit = bands["b in 2015, b in 2020: 5.00 ha"] / 5
    assert list(bands.values()) == pytest.approx([30 * unit, 10 * unit, 5 * unit, 15 * unit], abs=0.21)
    bars = [
        (float(y), float(height))
        for y, height in re.findall(r'<rect x="\d+" y="([\d.]+)".*?height="([\d.]+)"', svg)
    ]
    assert [height for _, height in bars] == pytest.approx(
        [40 * unit, 5 * unit, 15 * unit, 30 * unit, 30 * unit], abs=0.5
    )
    assert max(y + height for y, height in bars) <= float(re.search(r'viewBox="0 0 \d+ (\d+)"', svg)[1])


def test_labels_of_thin_bars_keep_apart_inside_the_picture() -> None:
    order = ["large", *(f"small {number}" for number in range(10))]
    flows = {(name, name): 1000.0 if name == "large" else 0.1 for name in order}
    svg = flow_chart(flows, order, dict.fromkeys(order, "#000000"), (1, 2))
    height = float(re.search(r'viewBox="0 0 \d+ (\d+)"', svg)[1])
    for anchor in ("start", "end"):
        places = [
            float(y) for y in re.findall(rf'y="([\d.]+)" text-anchor="{anchor}" font-size="13" fill', svg)
        ]
        assert len(places) == 11
        assert min(np.diff(places)) >= 16.8
        assert max(places) <= height
