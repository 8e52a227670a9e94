"""Maps drawn in colours over the latest image in pale grey: first mined years, changes, or components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from euromine.dataset_script.label_groups import LabelGroups
from euromine.monitoring.history.component_transitions import visible_components, visible_names
from euromine.monitoring.history.file_names import (
    FIRST_YEAR,
    LAST_YEAR,
    RECLAMATION_MAP,
    change_name,
    component_name,
)
from euromine.monitoring.mapping import colours
from euromine.monitoring.mapping.map_styles import RECLAMATION, component_colour
from euromine.monitoring.mapping.map_values import GAIN, LOSS, NEVER, UNDIRECTED, UNKNOWN_YEAR

from .pictures import data_uri, quicklook, thinned_map
from .report_data import ReportData

_CHANGE_COLOURS = {GAIN: colours.GAIN, LOSS: colours.LOSS, UNDIRECTED: colours.UNDIRECTED}
# Ground that is no longer mined, and how this colour looks over the pale image.
_LOST_COLOUR, _LOST_LEGEND = (37, 130, 220), "#5194d2"


@dataclass(frozen=True)
class LegendEntry:
    """A colour, such as "#ffd23f", and what it stands for."""

    colour: str
    name: str


@dataclass(frozen=True)
class ColouredMap:
    """A map with its legend.

    Attributes:
        picture: The map as a `data:` URI.
        alt: Its text alternative.
        legend: Its colours.
        caption: Its caption.
    """

    picture: str
    alt: str
    legend: list[LegendEntry]
    caption: str


def first_year_map(data: ReportData, size: tuple[int, int]) -> ColouredMap | None:
    """When ground was first mined, and where it is no longer; None for a single year.

    Args:
        data: A series with footprints.
        size: Columns and rows of the map.
    """
    if len(data.years) < 2:
        return None
    first, last = data.first_year, data.last_year
    first_mined, last_mined = (thinned_map(data, name, size) for name in (FIRST_YEAR, LAST_YEAR))
    mined = (first_mined != NEVER) & (first_mined != UNKNOWN_YEAR)
    gone = mined & (last_mined != UNKNOWN_YEAR) & (last_mined < last)

    pale = _pale_image(data, size)
    picture = pale.copy()
    positions = (first_mined[mined].astype(np.float64) - first) / (last - first)
    picture[mined] = 0.15 * pale[mined] + 0.85 * colours.year_colours(positions)
    picture[gone] = 0.3 * pale[gone] + 0.7 * np.asarray(_LOST_COLOUR)

    legend = [
        LegendEntry(
            colours.year_colour((year - first) / (last - first)),
            f"{year} or earlier" if year == first else str(year),
        )
        for year in data.years
    ]
    caption = "First year in which ground is mapped as mined."
    if gone.any():
        legend.append(LegendEntry(_LOST_LEGEND, f"no longer mined in {last}"))
        caption += f" Blue: not mapped as mined in {last}."
    return ColouredMap(
        picture=_png(picture),
        alt=(
            "First year in which each part of the ground is mapped as mined, from pale yellow for the first "
            "year to dark purple for the last"
        ),
        legend=legend,
        caption=caption,
    )


def change_map(data: ReportData, size: tuple[int, int]) -> ColouredMap | None:
    """Where change was found from the first to the last year; None where these were not compared.

    Args:
        data: A series without footprints.
        size: Columns and rows of the map.
    """
    first, last = data.first_year, data.last_year
    if data.overall_change is None:
        return None
    change = thinned_map(data, change_name(first, last), size)
    picture = _pale_image(data, size)
    for value, colour in _CHANGE_COLOURS.items():
        picture[change == value] = 0.25 * picture[change == value] + 0.75 * np.asarray(colour)
    words = f"mapped as changed between {first} and {last}"
    return ColouredMap(
        picture=_png(picture),
        alt=f"Ground {words}",
        legend=[LegendEntry(colours.hex_colour(colours.UNDIRECTED), f"changed {data.period}")],
        caption=f"Ground {words}.",
    )


def component_map(data: ReportData, groups: LabelGroups, size: tuple[int, int]) -> ColouredMap:
    """The visible component of each part of the mine in the last year.

    Args:
        data: A series with components.
        groups: Their groups.
        size: Columns and rows of the map.
    """
    last = data.last_year
    maps = np.stack([thinned_map(data, component_name(group, last), size) for group in groups.groups])
    visible = visible_components(maps, LabelGroups(groups.groups))
    picture = _pale_image(data, size)
    legend = []
    for value, name in enumerate(visible_names(groups)[1:], 1):
        here, colour = visible == value, component_colour(name)
        if here.any():
            picture[here] = 0.15 * picture[here] + 0.85 * np.asarray(colour)
            legend.append(LegendEntry(colours.hex_colour(colour), name.replace("_", " ")))
    names = ", ".join(entry.name for entry in legend) or "none"
    return ColouredMap(
        picture=_png(picture),
        alt=f"Components of the mine in {last}: {names}",
        legend=legend,
        caption=f"Components in {last}. Where two lie on the same ground, the map shows the one on top.",
    )


def reclamation_map(data: ReportData, size: tuple[int, int]) -> ColouredMap:
    """The state of recovery in the last year of ground that is not mined any more.

    Args:
        data: A series whose recovery was measured.
        size: Columns and rows of the map.
    """
    state = thinned_map(data, RECLAMATION_MAP, size)
    picture = _pale_image(data, size)
    legend = []
    for each in RECLAMATION.classes:
        here = state == each.value
        if each.is_shown and here.any():
            picture[here] = 0.15 * picture[here] + 0.85 * np.asarray(each.colour)
            legend.append(LegendEntry(colours.hex_colour(each.colour), each.name))
    words = f"Ground that is not mined any more in {data.last_year}, by the state of its recovery"
    return ColouredMap(picture=_png(picture), alt=words, legend=legend, caption=f"{words}.")


def _pale_image(data: ReportData, size: tuple[int, int]) -> NDArray[np.float64]:
    """The latest image in a grey that colours stand out from, (rows, columns, 3) float64, 0 to 255."""
    grey = np.asarray(quicklook(data, data.last_year).convert("L").resize(size), dtype=np.float64)
    return np.repeat((0.55 * grey + 0.45 * 255)[..., None], 3, axis=2)


def _png(picture: NDArray[np.float64]) -> str:
    return data_uri(Image.fromarray(picture.round().astype(np.uint8)), "PNG")
