"""Spectral indices in the mine and around it, and water within the mine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas
from markupsafe import Markup

from euromine.monitoring.history.file_names import INDICES_TABLE, WATER_TABLE
from euromine.monitoring.history.index_zones import FOOTPRINT, SCENE, SURROUNDINGS
from euromine.monitoring.scenes.spectral_indices import INDICES
from euromine.support.errors import DataError

from .area_section import Chart
from .charts import area_curve
from .coloured_maps import LegendEntry
from .formatting import decimal, hectares
from .impact_charts import zone_curves
from .report_data import ReportData
from .report_tables import checked_parts, checked_table, table_rows

_COLUMNS = ("year", "zone", "polygon", "index", "mean", "spread")
_WATER_COLUMNS = ("year", "water_ha", "known_share")
# Okabe and Ito's vermilion and bluish green, which colour-blind readers tell apart.
_COLOURS = {FOOTPRINT: "#d55e00", SURROUNDINGS: "#009e73", SCENE: "#d55e00"}
_NAMES = {FOOTPRINT: "mine", SURROUNDINGS: "surroundings", SCENE: "scene"}


@dataclass(frozen=True)
class IndexChart:
    """An index by year.

    Attributes:
        name: Such as "NDVI".
        subject: Its subject and formula.
        svg: The chart.
    """

    name: str
    subject: str
    svg: Markup


@dataclass(frozen=True)
class IndexTableRow:
    """A row of the table: an index in a zone, as text by year."""

    name: str
    zone: str
    cells: list[str]


@dataclass(frozen=True)
class IndexSection:
    """Content of the section.

    Attributes:
        introduction: The zones, and advice on comparing years.
        charts: A chart for each index.
        legend: The colours of zones.
        years: The years of the table's columns.
        rows: The table.
        water: Water within the mine by year; None where it was not measured.
    """

    introduction: str
    charts: list[IndexChart]
    legend: list[LegendEntry]
    years: list[int]
    rows: list[IndexTableRow]
    water: Chart | None


def index_section(data: ReportData) -> IndexSection | None:
    """Charts and a table of the indices; None where none were asked for."""
    parts = data.folder.table_parts(INDICES_TABLE)
    if parts is None:
        return None
    path = data.folder.path / INDICES_TABLE
    found: dict[tuple[str, str, int], Any] = {}
    for part in checked_parts(parts, path, _COLUMNS):
        of_zones = part[(part["polygon"] == 0) & part["zone"].isin(_NAMES)]
        for row in table_rows(of_zones.rename(columns={"index": "index_name"})):
            found[row.zone, row.index_name, int(row.year)] = (row.mean, row.spread)
    names = [name for name in INDICES if name in {index for _, index, _ in found}]
    zones = [zone for zone in _NAMES if zone in {zone for zone, _, _ in found}]
    if not names:
        raise DataError(f"{path}: found no index; expected some. Run `euromine series` again.")
    return IndexSection(
        introduction=_introduction(data, zones),
        charts=[_chart(data, name, zones, found) for name in names],
        legend=[LegendEntry(_COLOURS[zone], _NAMES[zone]) for zone in zones],
        years=list(data.years),
        rows=[_row(data, name, zone, found) for name in names for zone in zones],
        water=_water(data),
    )


def _introduction(data: ReportData, zones: list[str]) -> str:
    if SCENE in zones:
        return (
            "Means over the scene by year, as no footprints were mapped. The band is one standard deviation."
        )
    width = (data.manifest.settings.get("impact") or {}).get("surroundings")
    ring = f"within {width:g} m of it" if isinstance(width, int | float) else "around it"
    return (
        f"Means by year over the ground mapped as mined in that year, and over the other ground {ring}. The "
        "band is one standard deviation over the mine. Images of different seasons differ without any change "
        "on the ground: compare the mine with its surroundings, not a year with the next."
    )


def _series(
    data: ReportData, zone: str, name: str, found: dict[tuple[str, str, int], Any], place: int
) -> list[float]:
    return [float(found.get((zone, name, year), (math.nan, math.nan))[place]) for year in data.years]


def _chart(
    data: ReportData, name: str, zones: list[str], found: dict[tuple[str, str, int], Any]
) -> IndexChart:
    means = {_NAMES[zone]: _series(data, zone, name, found, 0) for zone in zones}
    spoken = "; ".join(
        f"{zone}: {', '.join(f'{year} {decimal(of[place])}' for place, year in enumerate(data.years))}"
        for zone, of in means.items()
    )
    svg = zone_curves(
        data.years,
        means,
        {_NAMES[zone]: _COLOURS[zone] for zone in zones},
        _series(data, zones[0], name, found, 1),
        title=f"{_title(name)} by year. {spoken}",
    )
    return IndexChart(_title(name), INDICES[name].subject, Markup(svg))  # escaped where it is drawn


def _row(data: ReportData, name: str, zone: str, found: dict[tuple[str, str, int], Any]) -> IndexTableRow:
    return IndexTableRow(
        _title(name), _NAMES[zone], [decimal(value) for value in _series(data, zone, name, found, 0)]
    )


def _water(data: ReportData) -> Chart | None:
    table: pandas.DataFrame | None = data.folder.water
    if table is None:
        return None
    table = checked_table(table, data.folder.path / WATER_TABLE, _WATER_COLUMNS)
    rows = table[table["known_share"] > 0]
    years, areas = rows["year"].astype(int).tolist(), rows["water_ha"].tolist()
    if not years:
        return None
    spoken = ", ".join(f"{year}: {hectares(area)} ha" for year, area in zip(years, areas, strict=True))
    svg = area_curve(years, areas, title=f"Water within the mine by year. {spoken}")
    partly = [int(row.year) for row in table_rows(rows) if row.known_share < 0.995]
    caption = (
        "Ground mined by that year whose MNDWI is above 0: pit lakes and ponds. Shadows of pit walls may "
        "count as water."
    )
    if partly:
        caption += f" Clouds hide part of the mine in {', '.join(map(str, partly))}."
    return Chart(Markup(svg), caption)  # escaped where it is drawn


def _title(name: str) -> str:
    return name.upper() if len(name) <= 5 else name.replace("_", " ").capitalize()
