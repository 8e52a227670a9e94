"""Recovery of ground that is not mined any more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas
from markupsafe import Markup

from euromine.monitoring.history.file_names import RECLAMATION, RECLAMATION_TABLE
from euromine.monitoring.history.index_zones import OUTLINE
from euromine.monitoring.history.reclaimed_ground import ALL, REFERENCE
from euromine.monitoring.history.recovery import STALLED_YEARS, TARGET_SHARE
from euromine.monitoring.mapping.colours import hex_colour
from euromine.monitoring.mapping.map_styles import RECLAMATION as STYLE

from .area_section import Chart
from .coloured_maps import ColouredMap, LegendEntry, reclamation_map
from .formatting import EN_DASH, counted, decimal, hectares, percent
from .impact_charts import stacked_bars
from .map_section import Surround, surround
from .pictures import thinned_size
from .report_data import ReportData, checked_table, table_rows

_STATES = ("recovered", "recovering", "stalled", "undecided")
_COLUMNS = (
    "zone",
    "polygon",
    "name",
    "year",
    "ground_ha",
    *(f"{state}_ha" for state in _STATES),
    "recovered_share",
    "recovering_share",
    "stalled_share",
    "known_share",
    "target_share",
    "target",
    "dnbr",
    "yearly_rate",
    "r80p",
    "rri",
    "y2r",
)
_LONGEST_SIDE = 1024
_LONGEST_LIST = 15


@dataclass(frozen=True)
class RecoveryRow:
    """A row of a table, as text: a year, or a polygon in the last year."""

    name: str
    ground: str
    shares: list[str]
    metrics: list[str]


@dataclass(frozen=True)
class ReclamationSection:
    """Content of the section.

    Attributes:
        summary: The finding.
        definition: The definitions of recovered, recovering and stalled.
        surround: Of the map.
        coloured: The map of the last year.
        bars: Hectares of each state by year.
        legend: The colours of the bars.
        years: All ground by year.
        places: Outlines, and the largest mapped polygons, in the last year.
        places_caption: Caption of their table.
    """

    summary: str
    definition: str
    surround: Surround
    coloured: ColouredMap
    bars: Chart
    legend: list[LegendEntry]
    years: list[RecoveryRow]
    places: list[RecoveryRow]
    places_caption: str


def reclamation_section(data: ReportData) -> ReclamationSection | None:
    """Map, chart and tables of recovery; None where it was not measured or no ground was left."""
    table = data.folder.reclamation
    if table is None:
        return None
    table = checked_table(table, data.folder.path / RECLAMATION_TABLE, _COLUMNS)
    whole = table[table["zone"] == ALL].sort_values("year")
    others = table[(table["zone"] != ALL) & (table["year"] == data.last_year)]
    if whole.empty or (not whole["ground_ha"].iloc[-1] and others.empty):
        return None
    places = pandas.concat(
        [
            others[others["zone"] == OUTLINE].sort_values("polygon"),
            others[others["zone"] != OUTLINE].sort_values("ground_ha", ascending=False),
        ]
    )
    shown = places.head(_LONGEST_LIST)
    return ReclamationSection(
        summary=_summary(data, whole.iloc[-1]),
        definition=_definition(whole.iloc[-1]),
        surround=surround(data.frame),
        coloured=reclamation_map(data, thinned_size(data, _LONGEST_SIDE)),
        bars=_bars(whole),
        legend=[
            LegendEntry(hex_colour(each.colour), each.name) for each in STYLE.classes if each.name in _STATES
        ],
        years=[_row(str(int(row.year)), row) for row in table_rows(whole)],
        places=[_row(_place_name(row), row) for row in table_rows(shown)],
        places_caption=_places_caption(data.last_year, len(places) - len(shown)),
    )


def _summary(data: ReportData, last: Any) -> str:
    ground = last["ground_ha"]
    if not ground:
        return f"By {data.last_year}, no ground of the mine is mapped as left."
    sentences = [
        f"By {data.last_year}, {hectares(ground)} ha were mined and are not mapped as mined any more: "
        f"{percent(last['recovered_share'])} have recovered, {percent(last['recovering_share'])} are "
        f"recovering, {percent(last['stalled_share'])} have stalled."
    ]
    undecided = last["undecided_ha"] / ground
    if undecided > 0.005:
        without = 1 - last["target_share"]
        reason = (
            f", most of it because {percent(without)} of the ground was mined from the first year on and has "
            "no value before mining. Reference ground (--reference) would give it a target"
            if without > undecided / 2
            else ": in clouds, in its first year, or without gain for too few years"
        )
        sentences.append(f"The other {percent(undecided)} cannot be judged{reason}.")
    return " ".join(sentences)


def _definition(last: Any) -> str:
    target = "the mean of the reference ground" if last["target"] == REFERENCE else "the value before mining"
    return (
        f"Recovery is measured by NBR, which rises as plants grow, against {target}. Recovered: at "
        f"{TARGET_SHARE:.0%} of it or more. Recovering: below, but above the value in the first year without "
        f"mining. Stalled: no gain since then in {STALLED_YEARS} years with data. Years in clouds are left "
        "out, not filled in. NBR does not tell crops from forest, nor a meadow from what a permit asks for."
    )


def _bars(whole: pandas.DataFrame) -> Chart:
    years = whole["year"].astype(int).tolist()
    areas = {state: whole[f"{state}_ha"].fillna(0).tolist() for state in _STATES}
    colours = {each.name: hex_colour(each.colour) for each in STYLE.classes}
    spoken = "; ".join(f"{state} {hectares(of[-1])} ha" for state, of in areas.items())
    svg = stacked_bars(years, areas, colours, title=f"Ground by the state of recovery. {years[-1]}: {spoken}")
    return Chart(Markup(svg), "Ground that is not mined any more by that year, by the state of its recovery.")


def _row(name: str, row: Any) -> RecoveryRow:
    ground = row.ground_ha
    shares = [row.recovered_share, row.recovering_share, row.stalled_share]
    shares.append(row.undecided_ha / ground if ground else float("nan"))
    return RecoveryRow(
        name,
        hectares(ground),
        [EN_DASH if math.isnan(share) else percent(share) for share in shares],
        [decimal(value) for value in (row.dnbr, row.yearly_rate, row.r80p, row.rri)] + [decimal(row.y2r, 1)],
    )


def _place_name(row: Any) -> str:
    name = f" ({row.name})" if isinstance(row.name, str) else ""
    return f"{'outline' if row.zone == OUTLINE else 'polygon'} {int(row.polygon)}{name}"


def _places_caption(year: int, more: int) -> str:
    caption = (
        f"Outlines that were given, and the largest polygons, in {year}; their numbers are those in "
        f"{RECLAMATION}.gpkg."
    )
    if more:
        caption += f" {counted(more, 'more polygon')} in {RECLAMATION_TABLE}."
    return caption
