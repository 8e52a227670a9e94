"""Recovery of ground that is not mined any more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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
from .report_data import ReportData
from .report_tables import checked_parts, first_rows, table_rows

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
    zones = _zones(data)
    if zones is None or not zones.whole or (not zones.whole[-1].ground_ha and not zones.number):
        return None
    last = zones.whole[-1]
    shown = zones.places
    return ReclamationSection(
        summary=_summary(data, last),
        definition=_definition(last),
        surround=surround(data.frame),
        coloured=reclamation_map(data, thinned_size(data, _LONGEST_SIDE)),
        bars=_bars(zones.whole),
        legend=[
            LegendEntry(hex_colour(each.colour), each.name) for each in STYLE.classes if each.name in _STATES
        ],
        years=[_row(str(int(row.year)), row) for row in zones.whole],
        places=[_row(_place_name(row), row) for row in shown],
        places_caption=_places_caption(data.last_year, zones.number - len(shown)),
    )


@dataclass
class _Zones:
    """Rows of the table.

    Attributes:
        whole: All ground, by year.
        outlines: Outlines in the last year, the first by their numbers.
        mapped: Mapped polygons in the last year, the largest.
        number: The number of all outlines and polygons in the last year.
    """

    whole: list[Any] = field(default_factory=list)
    outlines: list[Any] = field(default_factory=list)
    mapped: list[Any] = field(default_factory=list)
    number: int = 0

    @property
    def places(self) -> list[Any]:
        """The rows that are listed: outlines, then polygons."""
        return [*self.outlines, *self.mapped][:_LONGEST_LIST]


def _zones(data: ReportData) -> _Zones | None:
    """The rows that the section shows, from a table of all polygons; None without a table."""
    parts = data.folder.table_parts(RECLAMATION_TABLE, ["name"])
    if parts is None:
        return None
    found = _Zones()
    for part in checked_parts(parts, data.folder.path / RECLAMATION_TABLE, _COLUMNS):
        found.whole += table_rows(part[part["zone"] == ALL])
        of_last = part[(part["zone"] != ALL) & (part["year"] == data.last_year)]
        is_outline = of_last["zone"] == OUTLINE
        found.number += len(of_last)
        found.outlines = first_rows(found.outlines, of_last[is_outline], "polygon", _LONGEST_LIST)
        found.mapped = first_rows(
            found.mapped, of_last[~is_outline], "ground_ha", _LONGEST_LIST, descending=True
        )
    found.whole.sort(key=lambda row: row.year)
    return found


def _summary(data: ReportData, last: Any) -> str:
    ground = last.ground_ha
    if not ground:
        return f"By {data.last_year}, no ground of the mine is mapped as left."
    sentences = [
        f"By {data.last_year}, {hectares(ground)} ha were mined and are not mapped as mined any more: "
        f"{percent(last.recovered_share)} have recovered, {percent(last.recovering_share)} are "
        f"recovering, {percent(last.stalled_share)} have stalled."
    ]
    undecided = last.undecided_ha / ground
    if undecided > 0.005:
        without = 1 - last.target_share
        reason = (
            f", most of it because {percent(without)} of the ground was mined from the first year on and has "
            "no value before mining. Reference ground (--reference) would give it a target"
            if without > undecided / 2
            else ": in clouds, in its first year, or without gain for too few years"
        )
        sentences.append(f"The other {percent(undecided)} cannot be judged{reason}.")
    return " ".join(sentences)


def _definition(last: Any) -> str:
    target = "the mean of the reference ground" if last.target == REFERENCE else "the value before mining"
    return (
        f"Recovery is measured by NBR, which rises as plants grow, against {target}. Recovered: at "
        f"{TARGET_SHARE:.0%} of it or more. Recovering: below, but above the value in the first year without "
        f"mining. Stalled: no gain since then in {STALLED_YEARS} years with data. Years in clouds are left "
        "out, not filled in. NBR does not tell crops from forest, nor a meadow from what a permit asks for."
    )


def _bars(whole: Sequence[Any]) -> Chart:
    years = [int(row.year) for row in whole]
    areas = {state: [_known(getattr(row, f"{state}_ha")) for row in whole] for state in _STATES}
    colours = {each.name: hex_colour(each.colour) for each in STYLE.classes}
    spoken = "; ".join(f"{state} {hectares(of[-1])} ha" for state, of in areas.items())
    svg = stacked_bars(years, areas, colours, title=f"Ground by the state of recovery. {years[-1]}: {spoken}")
    return Chart(Markup(svg), "Ground that is not mined any more by that year, by the state of its recovery.")


def _known(area: float) -> float:
    return 0.0 if math.isnan(area) else area


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
