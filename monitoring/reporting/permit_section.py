"""Mined ground outside the permits."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas

from euromine.monitoring.history.file_names import PERMITS_TABLE
from euromine.monitoring.history.permits import MINED, NEW

from .formatting import counted, hectares
from .report_data import ReportData

_LONGEST_LIST = 25


@dataclass(frozen=True)
class OutsideYear:
    """A year of the table, as text: hectares mined and newly mined outside, and the number of places."""

    year: str
    mined: str
    new: str
    places: str


@dataclass(frozen=True)
class Place:
    """A place outside the permits, as text."""

    status: str
    area: str
    position: str


@dataclass(frozen=True)
class PermitSection:
    """Content of the section.

    Attributes:
        summary: The finding.
        years: Each year with mined ground outside.
        places: The largest places in the latest year.
        places_caption: Caption of their table.
        note: What the finding does not establish.
    """

    summary: str
    years: list[OutsideYear]
    places: list[Place]
    places_caption: str
    note: str


def permit_section(data: ReportData) -> PermitSection | None:
    """Mined ground outside the permits; None where no permits were given."""
    table = data.permits
    if table is None:
        return None
    listed = table[table["year"] == data.last_year].sort_values("area_ha", ascending=False)
    shown = listed.head(_LONGEST_LIST)
    return PermitSection(
        summary=_summary(data, table),
        years=_years(table),
        places=[_place(row) for row in shown.to_dict("records")],
        places_caption=_places_caption(data.last_year, len(listed) - len(shown)),
        note=(
            "This comparison does not establish that any mining lacked permission. The outlines may be "
            "incomplete, outdated or displaced, the maps contain errors, and a pixel is "
            f"{data.frame.pixel_width:.3g} m wide. Check the images and the permits themselves before "
            "drawing conclusions."
        ),
    )


def _summary(data: ReportData, table: pandas.DataFrame) -> str:
    given = data.manifest.settings.get("permits") or "the given file"
    if table.empty:
        return f"No ground mapped as mined lies outside the outlines in {given} in any year."
    mined = table[(table["year"] == data.last_year) & (table["kind"] == MINED)]
    new = table[table["kind"] == NEW]
    places = f", in {counted(len(mined), 'place')}" if len(mined) else ""
    return (
        f"In {data.last_year}, {hectares(mined['area_ha'].sum())} ha mapped as mined lie outside the "
        f"outlines in {given}{places}. Summed over the years, {hectares(new['area_ha'].sum())} ha outside "
        "them are mapped as newly mined."
    )


def _years(table: pandas.DataFrame) -> list[OutsideYear]:
    rows = []
    for year, group in table.groupby("year"):
        mined = group[group["kind"] == MINED]["area_ha"]
        new = group[group["kind"] == NEW]["area_ha"]
        rows.append(OutsideYear(str(year), hectares(mined.sum()), hectares(new.sum()), str(len(mined))))
    return rows


def _place(row: Mapping[Hashable, Any]) -> Place:
    is_new = row["kind"] == NEW
    return Place(
        status=f"newly mined since {int(row['year_1'])}" if is_new else "mined",
        area=hectares(row["area_ha"]),
        position=f"{row['latitude']:.5f}, {row['longitude']:.5f}",
    )


def _places_caption(year: int, more: int) -> str:
    caption = f"Places in {year}, the largest first."
    if more:
        caption += f" {more} more {'is' if more == 1 else 'are'} listed in {PERMITS_TABLE}."
    return caption
