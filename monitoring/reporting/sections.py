"""The sections of a report, in their order.

A section is independent of the others: a function from the series to the content of its template, which it
may leave out. A new one is a module, a template beside it and a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .area_section import area_section
from .caveat_section import caveat_section
from .change_section import change_section
from .component_section import component_section
from .index_section import index_section
from .land_cover_section import land_cover_section
from .map_section import map_section
from .permit_section import permit_section
from .provenance_section import provenance_section
from .reclamation_section import reclamation_section
from .report_data import ReportData
from .years_section import years_section


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        id: The anchor of the section.
        title: Its heading, also in the contents.
        template: Its template, beside this module; it finds the content under the name `content`.
        content: What fills the template; None leaves the section out.
        style: A template of style rules that depend on the content; "" without.
    """

    id: str
    title: str
    template: str
    content: Callable[[ReportData], Any | None]
    style: str = ""


SECTIONS = (
    Section("map", "Map", "map_section.html.jinja", map_section, style="map_section.css.jinja"),
    Section("years", "Years in pictures", "years_section.html.jinja", years_section),
    Section("areas", "Areas by year", "area_section.html.jinja", area_section),
    Section("changes", "Change between any two years", "change_section.html.jinja", change_section),
    Section("components", "Components", "component_section.html.jinja", component_section),
    Section("indices", "Plants, water and bare ground", "index_section.html.jinja", index_section),
    Section("reclamation", "Reclamation", "reclamation_section.html.jinja", reclamation_section),
    Section("land-cover", "Land taken", "land_cover_section.html.jinja", land_cover_section),
    Section("permits", "Outside the permits", "permit_section.html.jinja", permit_section),
    Section("made", "How it was made", "provenance_section.html.jinja", provenance_section),
    Section("caveats", "Limitations", "caveat_section.html.jinja", caveat_section),
)
