"""Areas by year: the mined area, gains and losses as charts and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .charts import area_curve, gain_and_loss_bars
from .formatting import hectares, percent
from .report_data import MinedArea, ReportData

_BARS_CAPTION = (
    "Upwards: ground that became mined since the previous year with an image. Downwards: ground that ceased "
    "to be mined."
)


@dataclass(frozen=True)
class Chart:
    """A chart as SVG with its caption."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class AreaRow:
    """A year of the table, as text."""

    year: str
    area: str
    adjusted: str
    interval: str
    gain: str
    loss: str
    known: str


@dataclass(frozen=True)
class AreaSection:
    """Content of the section.

    Attributes:
        curve: The mined area by year.
        bars: Gains and losses; None where no neighbouring years were compared.
        caption: Caption of the table.
        has_intervals: Whether the table has columns for estimates and their intervals.
        rows: The table.
    """

    curve: Chart
    bars: Chart | None
    caption: str
    has_intervals: bool
    rows: list[AreaRow]


def area_section(data: ReportData) -> AreaSection | None:
    """Charts and table of the areas; None without footprints."""
    if not data.has_footprints:
        return None
    return AreaSection(
        curve=_curve(data),
        bars=_bars(data),
        caption=_table_caption(data),
        has_intervals=data.has_intervals,
        rows=[_row(data, year) for year in data.years],
    )


def _curve(data: ReportData) -> Chart:
    areas = [data.areas[year] for year in data.years]
    spoken = ", ".join(
        f"{year}: {hectares(area.area_ha)} ha" for year, area in zip(data.years, areas, strict=True)
    )
    low, high, adjusted = _complete_intervals(areas)
    caption = (
        "Area as mapped. It has no interval, because the model's errors are not known well enough (see "
        "Limitations)."
    )
    if low:
        caption = (
            "Solid line: area as mapped. Dashed line and band: estimate corrected for the errors that the "
            "model made at its validation sites, with its 95% interval."
        )
    elif data.has_intervals:
        caption = "Area as mapped. Some years have no interval: see the table."
    svg = area_curve(
        data.years,
        [area.area_ha for area in areas],
        low=low,
        high=high,
        adjusted=adjusted,
        title=f"Mined area by year. {spoken}",
    )
    return Chart(Markup(svg), caption)  # escaped where it is drawn


def _complete_intervals(
    areas: Sequence[MinedArea],
) -> tuple[list[float], list[float], list[float]] | tuple[None, None, None]:
    """Lower ends, upper ends and estimates; None unless every year has them."""
    known = [
        (area.low_ha, area.high_ha, area.adjusted_ha)
        for area in areas
        if area.low_ha is not None and area.high_ha is not None and area.adjusted_ha is not None
    ]
    if not areas or len(known) < len(areas):
        return None, None, None
    low, high, adjusted = (list(values) for values in zip(*known, strict=True))
    return low, high, adjusted


def _bars(data: ReportData) -> Chart | None:
    steps = data.steps
    if not steps:
        return None
    changes = [data.changes[pair] for pair in steps]
    spoken = ", ".join(
        f"to {second}: {hectares(change.gain_ha)} gained, {hectares(change.loss_ha)} lost"
        for (_, second), change in zip(steps, changes, strict=True)
    )
    svg = gain_and_loss_bars(
        steps,
        [change.gain_ha for change in changes],
        [change.loss_ha for change in changes],
        title=f"Hectares gained and lost since the previous year with an image. {spoken}",
    )
    return Chart(Markup(svg), _BARS_CAPTION)  # escaped where it is drawn


def _table_caption(data: ReportData) -> str:
    caption = "Ground areas in hectares."
    if data.has_intervals:
        caption += " Estimate: the mapped area corrected for the model's errors, with its 95% interval."
    return (
        f"{caption} Gained and lost: since the previous year with an image. Data: share of the scene with "
        "data."
    )


def _row(data: ReportData, year: int) -> AreaRow:
    area = data.areas[year]
    step = next((data.changes[pair] for pair in data.steps if pair[1] == year), None)
    return AreaRow(
        year=str(year),
        area=hectares(area.area_ha),
        adjusted=hectares(area.adjusted_ha),
        interval=area.interval,
        gain="" if step is None else hectares(step.gain_ha, signed=True),
        loss="" if step is None else hectares(-step.loss_ha),
        known=percent(area.known_share),
    )
