"""Components: a map, the area of each by year, and the transitions between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas
from markupsafe import Markup

from euromine.dataset_script.label_groups import LabelGroups
from euromine.monitoring.history.component_areas import NO_COMPONENT
from euromine.monitoring.history.component_transitions import VISIBLE, visible_names
from euromine.monitoring.history.file_names import COMPONENTS_TABLE, TRANSITIONS_TABLE
from euromine.monitoring.mapping.colours import hex_colour
from euromine.monitoring.mapping.map_styles import component_colour
from euromine.support.errors import DataError

from .area_section import Chart
from .charts import class_curves
from .coloured_maps import ColouredMap, LegendEntry, component_map
from .flow_charts import flow_chart
from .formatting import hectare_range, hectares
from .map_section import Surround, surround
from .pictures import thinned_size
from .report_data import ReportData
from .report_tables import checked_table, table_rows

_LONGEST_SIDE = 1024
# Transitions that the text alternative of the flow names.
_SPOKEN = 6
_NOTHING = "no component"
_NO_COLOUR = "#9aa3ae"
_AREA_COLUMNS = ("year", "group", "component", "area_ha", "adjusted_ha", "low_ha", "high_ha")
_RANGES = (
    "In brackets: the 95% interval of the area corrected for the model's errors on transitions at its "
    "validation sites; it is missing where fewer than two of these show the transition. "
)
_NO_RANGES = (
    "They have no interval, because the model's errors on transitions were not counted (euromine calibrate) "
    "at two sites or more. "
)
_Flows = dict[tuple[str, str], float]
_Ranges = dict[tuple[str, str], tuple[float, float]]
_TRANSITION_COLUMNS = ("year_1", "year_2", "group", "from_component", "to_component", "area_ha")


@dataclass(frozen=True)
class ComponentRow:
    """A component of the table of areas, as text."""

    name: str
    colour: str
    cells: list[str]


@dataclass(frozen=True)
class ComponentGroupRows:
    """The components of a group in the table of areas."""

    group: str
    rows: list[ComponentRow]


@dataclass(frozen=True)
class TransitionTable:
    """Hectares from the component of each row to that of each column.

    Attributes:
        names: The components.
        rows: Their rows: the component in the earlier year, and its cells.
        moved: The transitions to other components, the largest first, for paper, on which the table has no
            room: both components, and the area.
        years: The two years.
        caption: The caption.
    """

    names: list[str]
    rows: list[tuple[str, list[str]]]
    moved: list[tuple[str, str, str]]
    years: tuple[int, int]
    caption: str


@dataclass(frozen=True)
class ComponentSection:
    """Content of the section.

    Attributes:
        surround: Of the map.
        coloured: The map of the last year.
        curves: The area of each component by year; None for a single year.
        legend: The colours of the curves.
        years: The years.
        groups: The table of areas.
        caption: Its caption.
        flow: The flow between the years of the table of transitions; None where no years were compared.
        transitions: The table.
    """

    surround: Surround
    coloured: ColouredMap
    curves: Chart | None
    legend: list[LegendEntry]
    years: Sequence[int]
    groups: list[ComponentGroupRows]
    caption: str
    flow: Chart | None
    transitions: TransitionTable | None


def component_section(data: ReportData) -> ComponentSection | None:
    """Map, areas and transitions of components; None without a component model."""
    groups = data.folder.component_groups
    if groups is None or not groups.groups:
        return None
    areas = checked_table(data.folder.components, data.folder.path / COMPONENTS_TABLE, _AREA_COLUMNS)
    found = {(row.group, row.component, int(row.year)): row for row in table_rows(areas)}
    _check_complete(data, groups, found)
    flows, ranges, pair = _flows(data, groups)
    return ComponentSection(
        surround=surround(data.frame),
        coloured=component_map(data, groups, thinned_size(data, _LONGEST_SIDE)),
        curves=_curves(data, groups, found),
        legend=[LegendEntry(_colour(name), _plain(name)) for name in _present(data, groups, found)],
        years=data.years,
        groups=[
            ComponentGroupRows(
                _plain(group), [_row(data, group, component, found) for component in components]
            )
            for group, components in groups.groups.items()
        ],
        caption=_area_caption(
            has_intervals=any(pandas.notna(row.low_ha) for row in found.values()),
            has_errors=any(pandas.notna(row.adjusted_ha) for row in found.values()),
            is_smoothed=data.manifest.settings.get("smoothing", "none") != "none",
            has_total=groups.total is not None,
        ),
        flow=None if pair is None else _flow(groups, flows, pair),
        transitions=None if pair is None else _table(groups, flows, ranges, pair),
    )


def _check_complete(data: ReportData, groups: LabelGroups, found: Mapping[tuple[str, str, int], Any]) -> None:
    for group, components in groups.groups.items():
        for component in components:
            for year in data.years:
                if (group, component, year) not in found:
                    raise DataError(
                        f"{data.folder.path / COMPONENTS_TABLE}: found no row for {component} in {year}; "
                        "expected one for each component and year. Run `euromine series` again."
                    )


def _present(
    data: ReportData, groups: LabelGroups, found: Mapping[tuple[str, str, int], Any]
) -> dict[str, list[float]]:
    """Hectares by year of each component that any year has."""
    by_name = {
        component: [float(found[group, component, year].area_ha) for year in data.years]
        for group, components in groups.groups.items()
        for component in components
    }
    return {name: areas for name, areas in by_name.items() if any(areas)}


def _curves(data: ReportData, groups: LabelGroups, found: Mapping[tuple[str, str, int], Any]) -> Chart | None:
    present = _present(data, groups, found)
    if len(data.years) < 2 or not present:
        return None
    last = data.last_year
    spoken = ", ".join(
        f"{_plain(name)} {hectares(areas[-1])} ha in {last}" for name, areas in present.items()
    )
    svg = class_curves(
        data.years,
        {_plain(name): areas for name, areas in present.items()},
        {_plain(name): _colour(name) for name in present},
        title=f"Area of each component by year. {spoken}",
    )
    return Chart(Markup(svg), "Area of each component as mapped.")  # escaped where it is drawn


def _row(
    data: ReportData, group: str, component: str, found: Mapping[tuple[str, str, int], Any]
) -> ComponentRow:
    cells = []
    for year in data.years:
        row = found[group, component, year]
        cell = hectares(row.area_ha)
        if pandas.notna(row.low_ha) and pandas.notna(row.high_ha):
            cell = f"{cell} ({hectare_range(row.low_ha, row.high_ha)})"
        cells.append(cell)
    return ComponentRow(_plain(component), _colour(component), cells)


def _area_caption(*, has_intervals: bool, has_errors: bool, is_smoothed: bool, has_total: bool) -> str:
    how = "smoothed over the years" if is_smoothed else "each year on its own"
    sentences = [
        f"Hectares of each component as mapped, {how}. Components of different groups may lie on the same "
        "ground, so their areas do not add up to the mined area."
    ]
    if not has_total:
        sentences.append("The mined area of this report is the ground with any of these components.")
    if has_intervals:
        sentences.append(
            "In brackets: the 95% interval of the area corrected for the model's errors at its validation "
            "sites."
        )
    elif has_errors:
        sentences.append(
            "They have no interval, because the model's errors were counted at too few sites to show how "
            "they vary."
        )
    else:
        sentences.append(
            "They have no interval, because the model's errors on components were not counted (euromine "
            "calibrate)."
        )
    return " ".join(sentences)


def _flows(data: ReportData, groups: LabelGroups) -> tuple[_Flows, _Ranges, tuple[int, int] | None]:
    """Hectares by visible component in two years, the first and the last, else those farthest apart.

    Returns:
        The mapped areas, the intervals of those that have one, and the years.
    """
    pairs = sorted(data.manifest.pairs, key=lambda pair: (pair[1] - pair[0], pair[0]))
    if not pairs:
        return {}, {}, None
    path = data.folder.path / TRANSITIONS_TABLE
    table = checked_table(data.folder.component_transitions, path, _TRANSITION_COLUMNS)
    chosen = table[
        (table["year_1"] == pairs[-1][0]) & (table["year_2"] == pairs[-1][1]) & (table["group"] == VISIBLE)
    ]
    flows = {
        (str(before), str(after)): float(area)
        for before, after, area in chosen[["from_component", "to_component", "area_ha"]].to_numpy()
    }
    ranges: _Ranges = {}
    if {"low_ha", "high_ha"} <= {*chosen.columns}:  # earlier versions wrote none
        known = chosen[chosen["low_ha"].notna() & chosen["high_ha"].notna()]
        ranges = {
            (str(before), str(after)): (float(low), float(high))
            for before, after, low, high in known[
                ["from_component", "to_component", "low_ha", "high_ha"]
            ].to_numpy()
        }
    if unknown := {name for pair in flows for name in pair} - {*visible_names(groups)}:
        raise DataError(
            f"{path}: found the component {min(unknown)!r}; expected those of the series. "
            "Run `euromine series` again."
        )
    # Ground that never had a component is most of the scene, and not of the mine.
    flows.pop((NO_COMPONENT, NO_COMPONENT), None)
    return flows, ranges, pairs[-1]


def _order(groups: LabelGroups) -> list[str]:
    """The components, and last none of them."""
    return [*visible_names(groups)[1:], NO_COMPONENT]


def _flow(groups: LabelGroups, flows: Mapping[tuple[str, str], float], pair: tuple[int, int]) -> Chart | None:
    if not flows:
        return None
    spoken = ", ".join(
        f"{hectares(area)} ha from {_name(before)} to {_name(after)}"
        for before, after, area in _moved(flows)[:_SPOKEN]
    )
    order = _order(groups)
    svg = flow_chart(
        {(_name(before), _name(after)): area for (before, after), area in flows.items()},
        [_name(name) for name in order],
        {_name(name): _NO_COLOUR if name == NO_COMPONENT else _colour(name) for name in order},
        pair,
        title=f"Flow of ground between components from {pair[0]} to {pair[1]}: {spoken or 'none'}",
    )
    caption = (
        f"Ground by its component in {pair[0]} (left) and in {pair[1]} (right), the one on top where "
        "there are several. Bands are as wide as areas; pale ones stayed as they were."
    )
    return Chart(Markup(svg), caption)  # escaped where it is drawn


def _table(
    groups: LabelGroups, flows: _Flows, ranges: _Ranges, pair: tuple[int, int]
) -> TransitionTable | None:
    names = [name for name in _order(groups) if any(name in each for each in flows)]
    if not names:
        return None

    def cell(before: str, after: str) -> str:
        if (before, after) not in flows:
            return ""
        area = hectares(flows[before, after])
        return f"{area} ({hectare_range(*ranges[before, after])})" if (before, after) in ranges else area

    rows = [(_name(before), [cell(before, after) for after in names]) for before in names]
    caption = (
        f"Hectares by component in {pair[0]} (rows) and in {pair[1]} (columns). Errors of both "
        f"maps add up here: small transitions may be noise. {_RANGES if ranges else _NO_RANGES}Other "
        f"years, and each group on its own, are in {TRANSITIONS_TABLE}."
    )
    moved = [(_name(before), _name(after), cell(before, after)) for before, after, _ in _moved(flows)]
    return TransitionTable([_name(name) for name in names], rows, moved, pair, caption)


def _moved(flows: Mapping[tuple[str, str], float]) -> list[tuple[str, str, float]]:
    """The flows between different components, the largest first."""
    moved = [(before, after, area) for (before, after), area in flows.items() if before != after]
    return sorted(moved, key=lambda each: -each[2])


def _colour(name: str) -> str:
    return hex_colour(component_colour(name))


def _name(name: str) -> str:
    return _NOTHING if name == NO_COMPONENT else _plain(name)


def _plain(name: str) -> str:
    return name.replace("_", " ")
