"""Mined ground outside the permits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from euromine.monitoring.history.file_names import PERMITS_TABLE
from euromine.monitoring.history.permits import NEW

from .formatting import counted, hectares
from .outside_sums import OutsideSums, YearOutside
from .report_data import ReportData


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
    outside = data.outside
    if outside is None:
        return None
    return PermitSection(
        summary=_summary(data, outside),
        years=[_year(year, of_year) for year, of_year in sorted(outside.years.items())],
        places=[_place(row) for row in outside.largest],
        places_caption=_places_caption(data.last_year, outside.number - len(outside.largest)),
        note=(
            "This comparison does not establish that any mining lacked permission. The outlines may be "
            "incomplete, outdated or displaced, the maps contain errors, and a pixel is "
            f"{data.frame.pixel_width:.3g} m wide. Check the images and the permits themselves before "
            "drawing conclusions."
        ),
    )


def _summary(data: ReportData, outside: OutsideSums) -> str:
    given = data.manifest.settings.get("permits") or "the given file"
    if not outside.years:
        return f"No ground mapped as mined lies outside the outlines in {given} in any year."
    last = outside.of(data.last_year)
    places = f", in {counted(last.places, 'place')}" if last.places else ""
    return (
        f"In {data.last_year}, {hectares(last.mined_ha)} ha mapped as mined lie outside the outlines in "
        f"{given}{places}. Summed over the years, {hectares(outside.new_ha)} ha outside them are mapped as "
        "newly mined."
    )


def _year(year: int, outside: YearOutside) -> OutsideYear:
    return OutsideYear(str(year), hectares(outside.mined_ha), hectares(outside.new_ha), str(outside.places))


def _place(row: Any) -> Place:
    return Place(
        status=f"newly mined since {int(row.year_1)}" if row.kind == NEW else "mined",
        area=hectares(row.area_ha),
        position=f"{row.latitude:.5f}, {row.longitude:.5f}",
    )


def _places_caption(year: int, more: int) -> str:
    caption = f"Places in {year}, the largest first."
    if more:
        caption += f" {more} more {'is' if more == 1 else 'are'} listed in {PERMITS_TABLE}."
    return caption
