"""The head of a report: title, warnings, the findings in a few sentences and figures."""

from __future__ import annotations

from dataclasses import dataclass

from .formatting import TIMES, counted, hectares, listed
from .report_data import MinedArea, ReportData, model_name


@dataclass(frozen=True)
class Notice:
    """A warning that precedes everything else."""

    title: str
    text: str


@dataclass(frozen=True)
class Figure:
    """A number in large print.

    Attributes:
        name: What it counts.
        value: The number with its unit.
        note: What it refers to.
        kind: "gain", "loss" or "undirected" for their colours.
    """

    name: str
    value: str
    note: str
    kind: str = ""


@dataclass(frozen=True)
class Summary:
    """The head of the page."""

    title: str
    subtitle: str
    warnings: list[Notice]
    lead: str
    figures: list[Figure]


def summary(data: ReportData) -> Summary:
    """Title, warnings, lead and figures."""
    return Summary(
        title=f"Mine history of {data.manifest.site}, {data.period}",
        subtitle=_subtitle(data),
        warnings=_warnings(data),
        lead=_lead(data),
        figures=_figures(data),
    )


def _subtitle(data: ReportData) -> str:
    frame = data.frame
    longitude, latitude = frame.center
    place = (
        f"{abs(latitude):.4f}° {'N' if latitude >= 0 else 'S'}, "
        f"{abs(longitude):.4f}° {'E' if longitude >= 0 else 'W'}"
    )
    size = f"{frame.ground_width / 1000:.2g} {TIMES} {frame.ground_height / 1000:.2g} km"
    across, down = f"{frame.pixel_width:.2g}", f"{frame.pixel_height:.2g}"
    pixel = across if across == down else f"{across} {TIMES} {down}"
    years = counted(len(data.years), "year")
    return f"{size} centred on {place} · satellite images from {years} · {pixel} m pixels"


def _warnings(data: ReportData) -> list[Notice]:
    found = []
    if data.manifest.simulated:
        found.append(
            Notice("Simulated images.", "The images of this series are simulated: this mine does not exist.")
        )
    trained = [model_name(record) for record in data.manifest.models if record.simulated]
    if trained:
        found.append(
            Notice(
                "Trained on simulated data.",
                f"{listed(trained)} {'was' if len(trained) == 1 else 'were'} trained on simulated images. "
                "Do not rely on this report for statements about a real mine.",
            )
        )
    return found


def _lead(data: ReportData) -> str:
    return " ".join(_footprint_sentences(data) if data.has_footprints else _change_sentences(data))


def _change_sentences(data: ReportData) -> list[str]:
    change = data.overall_change
    if change is None:
        return [
            f"Change was mapped for {counted(len(data.changes), 'pair')} of years, from images of "
            f"{counted(len(data.years), 'year')}."
        ]
    return [
        f"Between {data.first_year} and {data.last_year}, {hectares(change.undirected_ha)} ha are mapped as "
        "changed: this ground either became mined or ceased to be mined.",
        "A change detector alone cannot distinguish the two.",
    ]


def _footprint_sentences(data: ReportData) -> list[str]:
    first, last = data.first_year, data.last_year
    area, change = data.areas[last], data.overall_change
    sentences = [f"In {last}, {hectares(area.area_ha)} ha are mapped as mined."]
    if data.has_intervals and area.adjusted_ha is not None:
        sentences.append(
            "Corrected for the errors that the model made at its validation sites, the estimate is "
            f"{hectares(area.adjusted_ha)} ha (95% interval {_interval(area)})."
        )
    if change is not None:
        sentences.append(
            f"Compared with {first}, the maps show {hectares(change.gain_ha)} ha of newly mined ground and "
            f"{hectares(change.loss_ha)} ha that are no longer mined."
        )
        if change.undirected_ha > 0:
            sentences.append(
                f"Another {hectares(change.undirected_ha)} ha are mapped as changed, but the footprints do "
                "not show in which direction."
            )
    return sentences


def _figures(data: ReportData) -> list[Figure]:
    last, change = data.last_year, data.overall_change
    found = []
    if data.has_footprints:
        area = data.areas[last]
        note = "as mapped"
        if data.has_intervals and area.adjusted_ha is not None:
            note = f"estimate {hectares(area.adjusted_ha)} ha; 95% interval {_interval(area)}"
        found.append(Figure(f"Mined in {last}", f"{hectares(area.area_ha)} ha", note))
        if change is not None:
            gain, loss = hectares(change.gain_ha, signed=True), hectares(-change.loss_ha)
            found.append(Figure("Gained", f"{gain} ha", data.period, "gain"))
            found.append(Figure("Lost", f"{loss} ha", f"{data.period}, no longer mined", "loss"))
    if change is not None and change.undirected_ha > 0:
        note = f"{data.period}, direction unknown" if data.has_footprints else data.period
        found.append(Figure("Changed", f"{hectares(change.undirected_ha)} ha", note, "undirected"))
    if data.outside is not None:
        outside = data.outside.of(last).mined_ha
        found.append(Figure("Outside the permits", f"{hectares(outside)} ha", f"mined in {last}"))
    return found


def _interval(area: MinedArea) -> str:
    return area.interval if area.low_ha is None else f"{area.interval} ha"
