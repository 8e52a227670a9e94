"""Land cover that was taken by mining."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pandas
from markupsafe import Markup

from euromine.monitoring.history.file_names import LAND_COVER_TABLE
from euromine.monitoring.mapping.colours import year_colour

from .area_section import Chart
from .flow_charts import flow_chart
from .formatting import hectares, listed, percent
from .report_data import ReportData
from .report_tables import checked_table, table_rows

_COLUMNS = ("first_year", "code", "land_cover", "area_ha", "share", "land_cover_year")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_NO_COLOUR = "#9aa3ae"
_LONGEST_NAME = 34
# Room for names and years on both sides of the chart, in pixels.
_LABEL_WIDTHS = (310, 150)


@dataclass(frozen=True)
class LandRow:
    """A class of the table, as text: hectares in all, its share, and hectares by year first mined."""

    name: str
    colour: str
    total: str
    share: str
    cells: list[str]


@dataclass(frozen=True)
class LandCoverSection:
    """Content of the section.

    Attributes:
        summary: The finding.
        flow: From classes to the years in which they were first mined.
        years: Headings of the table's columns.
        rows: The table.
        source: The raster, its year and its attribution.
        note: Limits of the finding.
    """

    summary: str
    flow: Chart
    years: list[str]
    rows: list[LandRow]
    source: str
    note: str


def land_cover_section(data: ReportData) -> LandCoverSection | None:
    """Flow chart and table of the land taken; None without land cover or mined ground."""
    table = data.folder.land_cover
    if table is None:
        return None
    table = checked_table(table, data.folder.path / LAND_COVER_TABLE, _COLUMNS)
    if table.empty:
        return None
    table["land_cover"] = table["land_cover"].fillna("").astype(str)
    settings = (data.manifest.settings.get("impact") or {}).get("land_cover") or {}
    of_year = int(table["land_cover_year"].iloc[0])
    totals = table.groupby("land_cover")["area_ha"].sum().sort_values(ascending=False)
    order = [str(name) for name in totals.index]
    colours = _colours(table, settings)
    names = {year: _year_name(data, year) for year in sorted({int(year) for year in table["first_year"]})}
    return LandCoverSection(
        summary=_summary(data, table, totals, of_year),
        flow=_flow(data, table, order, colours, names, of_year),
        years=list(names.values()),
        rows=[_row(table, name, totals, colours, list(names)) for name in order],
        source=_source(settings, of_year),
        note=(
            "Ground first mined in the first year of the series may have been mined for longer. The land "
            "cover is itself a map with errors, and coarser ones hide small patches. The areas are those of "
            "the maps, without an interval."
        ),
    )


def _summary(data: ReportData, table: pandas.DataFrame, totals: pandas.Series[Any], of_year: int) -> str:
    new = table[table["first_year"] > data.first_year]
    known = new[new["code"].notna()].groupby("land_cover")["area_ha"].sum().sort_values(ascending=False)
    if known.empty:
        return (
            f"The {hectares(totals.sum())} ha ever mapped as mined were mined by {data.first_year}, or "
            f"have no class in the land cover of {of_year}."
        )
    parts = [f"{hectares(area)} ha of {str(name).lower()}" for name, area in known.head(3).items()]
    rest = known.iloc[3:].sum()
    if rest > 0:
        parts.append(f"{hectares(rest)} ha of other classes")
    return (
        f"After {data.first_year}, mining took {hectares(new['area_ha'].sum())} ha; by the land cover of "
        f"{of_year}, {listed(parts)}."
    )


def _flow(
    data: ReportData,
    table: pandas.DataFrame,
    order: list[str],
    colours: dict[str, str],
    names: dict[int, str],
    of_year: int,
) -> Chart:
    flows = {
        (_short(str(row.land_cover)), names[int(row.first_year)]): float(row.area_ha)
        for row in table_rows(table)
    }
    span = max(data.last_year - data.first_year, 1)
    by_year = {name: year_colour((year - data.first_year) / span) for year, name in names.items()}
    spoken = ", ".join(
        f"{name}: {hectares(table.loc[table['land_cover'] == name, 'area_ha'].sum())} ha" for name in order
    )
    svg = flow_chart(
        flows,
        [*dict.fromkeys(map(_short, order)), *names.values()],
        {**{_short(name): colour for name, colour in colours.items()}, **by_year},
        (0, 0),
        headings=(f"Land cover {of_year}", "First mined"),
        label_widths=_LABEL_WIDTHS,
        title=f"Land cover taken by year first mined. {spoken}",
    )
    return Chart(  # escaped where it is drawn
        Markup(svg), f"Land cover of {of_year} (left) by the year in which it was first mined (right)."
    )


def _row(
    table: pandas.DataFrame, name: str, totals: pandas.Series[Any], colours: dict[str, str], years: list[int]
) -> LandRow:
    rows = table[table["land_cover"] == name]
    cells = []
    for year in years:
        area = rows.loc[rows["first_year"] == year, "area_ha"].sum()
        cells.append(hectares(area) if area else "")
    return LandRow(name, colours[name], hectares(totals[name]), percent(totals[name] / totals.sum()), cells)


def _colours(table: pandas.DataFrame, settings: dict[str, Any]) -> dict[str, str]:
    """The colour of each class by its name."""
    given = settings.get("colours") or {}
    found = {}
    for row in table_rows(table):
        code = row.code if isinstance(row.code, str) else "" if row.code != row.code else f"{row.code:g}"
        colour = given.get(code)
        is_colour = isinstance(colour, str) and _COLOUR.fullmatch(colour)
        found[str(row.land_cover)] = str(colour) if is_colour else _NO_COLOUR
    return found


def _year_name(data: ReportData, year: int) -> str:
    return f"{year} or before" if year == data.first_year else str(year)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1].rstrip()}…"


def _source(settings: dict[str, Any], of_year: int) -> str:
    product, file = settings.get("product") or "Land cover", settings.get("file") or "a file that was given"
    attribution = settings.get("attribution")
    source = f" {attribution}." if attribution else " The raster names no source."
    return f"{product} of {of_year}, from {file}.{source}"
