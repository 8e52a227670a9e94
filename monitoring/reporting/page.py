"""The report of a series: one HTML file with its pictures inside, readable on a phone, on paper and aloud."""

from __future__ import annotations

import base64
import io
import itertools
import logging
import os
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from euromine.monitoring.history.file_names import (
    FIRST_YEAR,
    LAST_YEAR,
    PERMIT_OUTLINES,
    PERMITS_POLYGONS,
    PERMITS_TABLE,
    REPORT,
    change_name,
    footprint_name,
    quicklook_name,
)
from euromine.monitoring.history.folder import SeriesFolder
from euromine.monitoring.history.manifest import CHANGES, FOOTPRINTS, ModelRecord, SceneRecord
from euromine.monitoring.history.map_values import CHANGE_VALUES, NEVER, UNKNOWN_YEAR
from euromine.monitoring.history.polygons import require_geopandas
from euromine.support.errors import MissingExtraError
from euromine.support.files import told_when_full, write_bytes, write_text

from . import drawings
from .cartography import MapFrame

logger = logging.getLogger(__name__)

_TEMPLATE = "report.html.jinja"
# Longest sides in pixels: of the map and of a year's picture, both shown at half of it or less.
_MAP_SIDE, _PICTURE_SIDE = 1024, 360
# A map is at most so wide, and so high, in rem.
_MAP_WIDTH, _MAP_HEIGHT = 40.0, 36.0
# On paper no higher than leaves room for it on the first page.
_PAPER_HEIGHT = 20.0
# More outlines than these hide one another: the first, the last and some between are shown at first.
_SHOWN_OUTLINES = 4
_LARGEST_FINDINGS = 25
_GAIN, _LOSS, _UNDIRECTED = "217, 101, 11", "37, 99, 201", "138, 99, 184"
_EN_DASH, _MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def write_report(
    result: SeriesFolder, path: str | os.PathLike[str] | None = None, *, pdf: bool = False
) -> Path:
    """Write the report of a series.

    Args:
        result: The series.
        path: The file; default `report.html` in the series' folder, or `report.pdf`.
        pdf: Write a PDF; that needs the extra "pdf".

    Returns:
        The file's path.

    Raises:
        ValueError: The folder lacks a file of its series.
        MissingExtraError: WeasyPrint, or what it needs on the machine, is missing.
        OSError: The file cannot be written.
    """
    target = (
        result.path / (REPORT if not pdf else Path(REPORT).with_suffix(".pdf"))
        if path is None
        else Path(path)
    )
    data = _pdf(render_report(result, static=True)) if pdf else None
    page = None if pdf else render_report(result)
    with told_when_full(target.parent, "the report"):
        if data is not None:
            write_bytes(target, data)
        elif page is not None:
            write_text(target, page)
    return target


def render_report(result: SeriesFolder, *, static: bool = False) -> str:
    """The report as HTML.

    Args:
        result: The series.
        static: For paper alone: no boxes to tick, and the layout that a PDF's engine knows.

    Raises:
        ValueError: The folder lacks a file of its series.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE).render(_Report(result).context(), static=static)


def _pdf(page: str) -> bytes:
    try:
        import weasyprint
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError) as error:
        raise MissingExtraError(
            f"a PDF needs WeasyPrint, which cannot be loaded here ({error}); install euromine[pdf] and "
            "Pango, or print the HTML report to a PDF from a browser"
        ) from error

    # Whatever stands in a file's or a place's name, nothing outside of the page is asked for.
    fetcher = URLFetcher(allowed_protocols=("data",))
    return bytes(weasyprint.HTML(string=page, url_fetcher=fetcher).write_pdf())


@dataclass(frozen=True)
class _Outline:
    """A year's footprint over the map."""

    year: int
    path: str
    colour: str
    shown: bool


class _Report:
    """What the template is filled with."""

    def __init__(self, result: SeriesFolder) -> None:
        self.result = result
        self.manifest = result.manifest
        self.years = result.years
        manifest = self.manifest
        self.frame = MapFrame(manifest.crs, manifest.transform, manifest.width, manifest.height)
        self.has_footprints = manifest.maps_footprints
        self.areas = result.areas if self.has_footprints else pandas.DataFrame()
        self.changes = result.changes

    @cached_property
    def period(self) -> str:
        return str(self.years[0]) if len(self.years) == 1 else f"{self.years[0]}{_EN_DASH}{self.years[-1]}"

    def context(self) -> dict[str, Any]:
        """Everything that the template names."""
        map_ = self.map()
        permits = self.permits()
        curve, bars = self.curve(), self.bars()
        matrix = self.matrix()
        sections = [
            ("map", "Map", True),
            ("years", "Years in pictures", True),
            ("areas", "Areas by year", bool(curve or bars)),
            ("changes", "Change between any two years", matrix is not None),
            ("permits", "Outside the permits", permits is not None),
            ("made", "What made it", True),
            ("caveats", "What to keep in mind", True),
        ]
        return {
            "version": version("euromine"),
            "title": f"Mine history of {self.manifest.site}, {self.period}",
            "subtitle": self.subtitle(),
            "warnings": self.warnings(),
            "sections": [{"id": name, "title": title} for name, title, shown in sections if shown],
            "lead": self.lead(),
            "figures": self.figures(),
            "map": map_,
            "history": self.history(),
            "years": self.pictures(),
            "pictures_note": self.pictures_note(),
            "curve": Markup(curve) if curve else None,
            "curve_caption": self.curve_caption(),
            "bars": Markup(bars) if bars else None,
            "bars_caption": "Ground that became mined from one year to the next one with an image, upwards; "
            "ground that ceased to be, downwards.",
            "area_rows": self.area_rows(),
            "has_interval": self.has_interval,
            "matrix": matrix,
            "permits": permits,
            "last_year": self.years[-1],
            "models": [self.model(record) for record in self.manifest.models],
            "settings": self.settings(),
            "scenes": [self.scene(record) for record in self.manifest.scenes],
            "same_decisions": self.same_decisions(),
            "caveats": self.caveats(),
            "created": self.manifest.created[:10],
        }

    # Words

    def subtitle(self) -> str:
        frame = self.frame
        longitude, latitude = frame.center
        place = (
            f"{abs(latitude):.4f}° {'N' if latitude >= 0 else 'S'}, {abs(longitude):.4f}° "
            f"{'E' if longitude >= 0 else 'W'}"
        )
        size = f"{frame.ground_width / 1000:.2g} \N{MULTIPLICATION SIGN} {frame.ground_height / 1000:.2g} km"
        count = len(self.years)
        years = "1 year" if count == 1 else f"{count} years"
        across, down = f"{frame.pixel_width:.2g}", f"{frame.pixel_height:.2g}"
        pixel = f"{across} m" if across == down else f"{across} \N{MULTIPLICATION SIGN} {down} m"
        return f"{size} around {place} · {years} of satellite images · pixels of {pixel}"

    def warnings(self) -> list[dict[str, str]]:
        found = []
        if self.manifest.simulated:
            found.append(
                {
                    "title": "Simulated images.",
                    "text": "The images of this series were simulated: there is no such mine.",
                }
            )
        trained = [record for record in self.manifest.models if record.simulated]
        if trained:
            names = " and ".join(_short_source(record) for record in trained)
            found.append(
                {
                    "title": "Trained on simulated data.",
                    "text": (
                        f"{names} learnt from simulated images: what this report says about a real mine is "
                        "not to be relied upon."
                    ),
                }
            )
        return found

    def lead(self) -> str:
        first, last = self.years[0], self.years[-1]
        if not self.has_footprints:
            row = self.pair(first, last)
            if row is None:
                return f"{len(self.changes)} changes between {len(self.years)} years were looked for."
            area = drawings.number(row["undirected_ha"])
            return (
                f"Between {first} and {last}, {area} ha changed: ground that became mined or ceased to be. "
                "A change detector alone does not tell the two apart."
            )
        area = self.area(last)
        sentence = f"In {last}, {drawings.number(area['area_ha'])} ha are mapped as mined"
        if self.has_interval:
            sentence += (
                "; corrected for the model's known errors, an estimated "
                f"{drawings.number(area['adjusted_ha'])} ha (95 % interval {self.interval(area)})"
            )
        sentence += "."
        row = self.pair(first, last)
        if row is not None:
            sentence += (
                f" Since {first}, {drawings.number(row['gain_ha'])} ha were gained and "
                f"{drawings.number(row['loss_ha'])} ha lost."
            )
            if row["undirected_ha"] > 0:
                sentence += (
                    f" Another {drawings.number(row['undirected_ha'])} ha changed in a direction that the "
                    "footprints do not tell."
                )
        return sentence

    def figures(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        first, last = self.years[0], self.years[-1]
        if self.has_footprints:
            area = self.area(last)
            note = f"95 % interval {self.interval(area)} ha" if self.has_interval else "as mapped"
            if self.has_interval:
                note = f"estimate {drawings.number(area['adjusted_ha'])}; 95 %: {self.interval(area)}"
            found.append(_figure(f"Mined in {last}", f"{drawings.number(area['area_ha'])} ha", note))
        row = self.pair(first, last)
        if row is not None and self.has_footprints:
            found.append(
                _figure("Gained", f"{drawings.number(row['gain_ha'], signed=True)} ha", self.period, "gain")
            )
            found.append(
                _figure(
                    "Lost",
                    f"{drawings.number(-row['loss_ha'])} ha",
                    f"{self.period}, mined no longer",
                    "loss",
                )
            )
        if row is not None and row["undirected_ha"] > 0:
            note = self.period if not self.has_footprints else f"{self.period}, direction unknown"
            found.append(
                _figure("Changed", f"{drawings.number(row['undirected_ha'])} ha", note, "undirected")
            )
        permits = self.result.permits
        if permits is not None:
            outside = permits[(permits["year"] == last) & (permits["kind"] == "mined")]["area_ha"].sum()
            found.append(_figure("Outside the permits", f"{drawings.number(outside)} ha", f"mined in {last}"))
        return found

    # Tables

    def area(self, year: int) -> Any:
        return self.areas[self.areas["year"] == year].iloc[0]

    def pair(self, first: int, second: int) -> Any:
        table = self.changes
        rows = table[(table["year_1"] == first) & (table["year_2"] == second)]
        return None if rows.empty else rows.iloc[0]

    @cached_property
    def has_interval(self) -> bool:
        return self.has_footprints and bool(self.areas["low_ha"].notna().any())

    def interval(self, area: Any) -> str:
        if pandas.isna(area["low_ha"]):
            return "unknown"
        return f"{drawings.number(area['low_ha'])}{_EN_DASH}{drawings.number(area['high_ha'])}"

    def steps(self) -> list[tuple[int, int]]:
        """The pairs of neighbouring years that have a change map."""
        return [pair for pair in itertools.pairwise(self.years) if pair in set(self.result.pairs)]

    def area_rows(self) -> list[dict[str, str]]:
        if not self.has_footprints:
            return []
        rows = []
        before = dict(zip(self.years[1:], self.years[:-1], strict=True))
        for year in self.years:
            area = self.area(year)
            step = self.pair(before[year], year) if year in before else None
            rows.append(
                {
                    "year": str(year),
                    "area": drawings.number(area["area_ha"]),
                    "adjusted": drawings.number(area["adjusted_ha"]) if self.has_interval else "",
                    "interval": self.interval(area) if self.has_interval else "",
                    "gain": "" if step is None else drawings.number(step["gain_ha"], signed=True),
                    "loss": "" if step is None else drawings.number(-step["loss_ha"]),
                    "known": _percent(area["known_share"]),
                }
            )
        return rows

    def matrix(self) -> dict[str, Any] | None:
        """Gains above the diagonal, losses below; without directions, change above."""
        if len(self.years) < 2:
            return None
        directed = self.has_footprints
        columns = ("gain_ha", "loss_ha") if directed else ("undirected_ha", "undirected_ha")
        highest = [max(float(self.changes[column].max()), 1e-9) for column in columns]
        rows = []
        for earlier in self.years:
            cells: list[dict[str, Any]] = []
            for later in self.years:
                is_above = earlier < later
                row = None if earlier == later else self.pair(min(earlier, later), max(earlier, later))
                if earlier == later:
                    cells.append({"same": True})
                elif row is None or (not directed and not is_above):
                    cells.append({"same": False, "text": "", "style": "", "title": ""})
                else:
                    value = float(row[columns[not is_above]])
                    colour = (_GAIN if is_above else _LOSS) if directed else _UNDIRECTED
                    sign = ("+" if is_above else _MINUS) if directed and value else ""
                    word = ("gained" if is_above else "lost") if directed else "changed"
                    cells.append(
                        {
                            "same": False,
                            "text": sign + drawings.number(value),
                            "style": f"rgba({colour}, {0.04 + 0.46 * value / highest[not is_above]:.2f})",
                            "title": f"{drawings.number(value)} ha {word} between {min(earlier, later)} and "
                            f"{max(earlier, later)}",
                        }
                    )
            rows.append({"year": earlier, "cells": cells})
        caption = (
            "Above the diagonal, hectares gained from the row's year to the column's; below it, hectares "
            "lost from the column's year to the row's. The stronger the colour, the more."
            if directed
            else "Hectares that changed from the row's year to the column's. "
            "The stronger the colour, the more."
        )
        absent = len(self.years) * (len(self.years) - 1) // 2 - len(self.result.pairs)
        if absent > 0:
            caption += " Pairs that were not asked for are empty."
        return {"years": self.years, "rows": rows, "caption": caption}

    def permits(self) -> dict[str, Any] | None:
        table = self.result.permits
        if table is None:
            return None
        last = self.years[-1]
        mined = table[(table["year"] == last) & (table["kind"] == "mined")]
        new = table[table["kind"] == "new"]
        given = self.manifest.settings.get("permits", "")
        if table.empty:
            summary = f"No mined area outside the outlines of {given} was found in any year."
        else:
            summary = (
                f"{drawings.number(mined['area_ha'].sum())} ha that were mapped as mined in {last} lie "
                f"outside the outlines of {given}, in {_counted(len(mined), 'place')}; "
                f"{drawings.number(new['area_ha'].sum())} ha of new mining outside of them were found over "
                "the years."
            )
        listed = table[table["year"] == last].sort_values("area_ha", ascending=False)
        shown = listed.head(_LARGEST_FINDINGS)
        words = {"mined": "mined", "new": "new"}
        by_year = [
            (str(year), *(drawings.number(value) for value in (mined_ha, new_ha)), str(parts))
            for year, mined_ha, new_ha, parts in _outside_by_year(table)
        ]
        return {
            "summary": summary,
            "by_year": by_year,
            "last_year": last,
            "rows": [
                (
                    words.get(str(row["kind"]), str(row["kind"]))
                    + (f" since {int(row['year_1'])}" if row["kind"] == "new" else ""),
                    drawings.number(row["area_ha"]),
                    f"{row['latitude']:.5f}, {row['longitude']:.5f}",
                )
                for _, row in shown.iterrows()
            ],
            "more": len(listed) - len(shown),
            "table": PERMITS_TABLE,
            "note": (
                "Outside of the given outlines is not yet unlawful: outlines may be incomplete or shifted, "
                f"and a pixel is {self.frame.pixel_width:.3g} m wide. Look at the images before you say so."
            ),
        }

    # Pictures

    def map(self) -> dict[str, Any]:
        frame, last = self.frame, self.years[-1]
        picture, columns, rows = self._base
        layers = self.outlines(columns, rows)
        aspect = frame.ground_height / frame.ground_width
        bar = frame.scale_bar()
        outside, permits = self._permit_paths(columns, rows)
        caption = f"Image of {last}"
        if layers:
            caption += ", and the outlines of the mined ground by year."
        else:
            caption += "."
        return {
            "picture": _data_uri(picture, "JPEG"),
            "alt": f"Satellite image of {last}"
            + (" with the outlines of the mined ground of each year" if layers else ""),
            "columns": columns,
            "rows": rows,
            "stroke": round(columns / 300, 2),
            "layers": layers,
            "outside": outside,
            "permits": permits,
            "caption": caption,
            "aspect": round(100 * aspect, 3),
            "max_width": round(min(_MAP_WIDTH, _MAP_HEIGHT / aspect), 2),
            "paper_width": round(min(_MAP_WIDTH, _PAPER_HEIGHT / aspect), 2),
            "north": round(frame.north, 1),
            "north_words": "up"
            if abs(frame.north) < 5
            else f"{abs(frame.north):.0f} degrees to the {'right' if frame.north > 0 else 'left'} of up",
            "scale_width": round(100 * bar.share, 2),
            "scale_label": bar.label,
            "x_ticks": [
                {"position": round(tick.position, 4), "label": tick.label}
                for tick in frame.longitude_ticks(2)
                if 0.08 < tick.position < 0.92
            ],
            "y_ticks": [
                {"position": round(tick.position, 4), "label": tick.label}
                for tick in frame.latitude_ticks(2)
                if 0.08 < tick.position < 0.92
            ],
        }

    @cached_property
    def _base(self) -> tuple[Image.Image, int, int]:
        """The latest picture, and the columns and rows that outlines over it are counted in."""
        picture = self._quicklook(self.years[-1])
        columns, rows = self._size(_MAP_SIDE)
        return picture, columns, rows

    def _size(self, longest: int) -> tuple[int, int]:
        """Columns and rows of the grid, thinned to a longest side."""
        manifest = self.manifest
        share = min(1.0, longest / max(manifest.width, manifest.height))
        return max(1, round(manifest.width * share)), max(1, round(manifest.height * share))

    def _quicklook(self, year: int) -> Image.Image:
        path = self.result.path / quicklook_name(year)
        if not path.exists():
            raise ValueError(f"{self.result.path} holds no {path.name}; run `euromine series` again")
        with Image.open(path) as picture:
            return picture.convert("RGB")

    def _mask(self, name: str, columns: int, rows: int) -> NDArray[Any]:
        """A map of the series, thinned by its most frequent values."""
        return self.result.read_map(name, (rows, columns))

    def outlines(self, columns: int, rows: int) -> list[_Outline]:
        if not self.has_footprints:
            return []
        count = len(self.years)
        shown = set(np.linspace(0, count - 1, min(count, _SHOWN_OUTLINES)).round().astype(int).tolist())
        return [
            _Outline(
                year,
                drawings.outline_path(self._mask(footprint_name(year), columns, rows) == 1),
                drawings.year_colour(place / max(count - 1, 1)),
                place in shown,
            )
            for place, year in enumerate(self.years)
        ]

    def history(self) -> dict[str, Any] | None:
        """When ground was first mined, in colours over the latest image in grey."""
        if len(self.years) < 2:
            return None
        last = self.years[-1]
        columns, rows = self._size(_MAP_SIDE)
        grey = np.asarray(self._base[0].convert("L").resize((columns, rows)), dtype=np.float64)
        # Pale, so that colours stand out from it.
        base = np.repeat((0.55 * grey + 0.45 * 255)[..., None], 3, axis=2)
        if not self.has_footprints:
            first = self.years[0]
            if (first, last) not in set(self.result.pairs):
                return None
            change = self._mask(change_name(first, last), columns, rows)
            for value, colour in zip(CHANGE_VALUES, _CHANGE_COLOURS, strict=True):
                base[change == value] = 0.25 * base[change == value] + 0.75 * np.asarray(colour)
            return {
                "picture": _data_uri(Image.fromarray(base.round().astype(np.uint8)), "PNG"),
                "alt": f"Where the ground changed between {first} and {last}",
                "legend": [{"colour": drawings.UNDIRECTED_COLOUR, "name": f"changed {self.period}"}],
                "caption": f"Where a change between {first} and {last} was found.",
            }
        first_year = self._mask(FIRST_YEAR, columns, rows)
        last_year = self._mask(LAST_YEAR, columns, rows)
        span = max(last - self.years[0], 1)
        mined = (first_year != NEVER) & (first_year != UNKNOWN_YEAR)
        colours = drawings.year_colours((first_year[mined].astype(np.float64) - self.years[0]) / span)
        grey = base.copy()
        base[mined] = 0.15 * base[mined] + 0.85 * colours
        gone = mined & (last_year != UNKNOWN_YEAR) & (last_year < last)
        base[gone] = 0.3 * grey[gone] + 0.7 * np.asarray(_LOST_COLOUR)
        legend = [
            {"colour": drawings.year_colour((year - self.years[0]) / span), "name": str(year)}
            for year in self.years
        ]
        legend[0]["name"] += " or before"
        if gone.any():
            legend.append({"colour": _LOST_LEGEND, "name": f"no longer in {last}"})
        return {
            "picture": _data_uri(Image.fromarray(base.round().astype(np.uint8)), "PNG"),
            "alt": (
                "When each part of the ground was first mined, in colours from pale yellow for the first "
                "year to dark purple for the last"
            ),
            "legend": legend,
            "caption": (
                "The first year in which ground is mapped as mined; blue where it is not mined any more in "
                f"{last}."
            ),
        }

    def pictures(self) -> list[dict[str, Any]]:
        """A small picture of each year with its footprint, and a gap for a year without an image."""
        columns, rows = self._size(_PICTURE_SIDE)
        found: list[dict[str, Any]] = []
        for year in sorted({*self.years, *self.manifest.missing_years}):
            if year not in self.years:
                found.append({"year": year, "picture": None})
                continue
            picture = self._quicklook(year)
            picture.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
            path, area, note = "", "", ""
            if self.has_footprints:
                path = drawings.outline_path(self._mask(footprint_name(year), columns, rows) == 1)
                row = self.area(year)
                area = drawings.number(row["area_ha"])
                if row["known_share"] < 0.995:
                    note = f"{_percent(row['known_share'])} of the scene seen"
            found.append(
                {
                    "year": year,
                    "picture": _data_uri(picture, "JPEG"),
                    "alt": f"Satellite image of {year}"
                    + (f", {area} ha of it mapped as mined" if self.has_footprints else ""),
                    "path": path,
                    "columns": columns,
                    "rows": rows,
                    "stroke": round(columns / 110, 2),
                    "area": area,
                    "note": note,
                }
            )
        return found

    def pictures_note(self) -> str:
        bands = self.manifest.scenes[0].quicklook_bands
        colours = "natural colour" if bands == ["B04", "B03", "B02"] else f"the bands {', '.join(bands)}"
        if len(bands) == 1:
            colours = f"the band {bands[0]}"
        outline = ", with the mapped footprint outlined" if self.has_footprints else ""
        return f"The images in {colours}{outline}, each stretched on its own: colours do not compare."

    def curve(self) -> str | None:
        if not self.has_footprints:
            return None
        areas = self.areas.sort_values("year")
        low = high = adjusted = None
        if self.has_interval and bool(areas["low_ha"].notna().all()):
            low, high, adjusted = (areas[name].tolist() for name in ("low_ha", "high_ha", "adjusted_ha"))
        spoken = ", ".join(
            f"{year}: {drawings.number(value)} ha"
            for year, value in zip(areas["year"], areas["area_ha"], strict=True)
        )
        return drawings.area_curve(
            areas["year"].tolist(),
            areas["area_ha"].tolist(),
            low,
            high,
            adjusted,
            f"Mined area by year. {spoken}",
        )

    def curve_caption(self) -> str:
        if not self.has_interval:
            return (
                "Dark: the area as mapped. No interval: what errors the model makes is not known (see below)."
            )
        return (
            "Dark: the area as mapped. Dashed: corrected for the errors that the model makes on its "
            "validation sites, with its 95 % interval."
        )

    def bars(self) -> str | None:
        steps = self.steps()
        if not self.has_footprints or not steps:
            return None
        rows = [self.pair(*pair) for pair in steps]
        spoken = ", ".join(
            f"to {second}: {drawings.number(row['gain_ha'])} gained, {drawings.number(row['loss_ha'])} lost"
            for (_, second), row in zip(steps, rows, strict=True)
        )
        return drawings.gain_and_loss_bars(
            steps,
            [float(row["gain_ha"]) for row in rows],
            [float(row["loss_ha"]) for row in rows],
            f"Hectares gained and lost from one year to the next. {spoken}",
        )

    def _permit_paths(self, columns: int, rows: int) -> tuple[str, str]:
        """What lies outside in the last year, and the permits, as paths over the map."""
        found, outlines = (self.result.path / name for name in (PERMITS_POLYGONS, PERMIT_OUTLINES))
        if not (found.exists() and outlines.exists()):
            return "", ""
        try:
            geopandas = require_geopandas()
        except ImportError as error:
            logger.warning("the map shows no permits: %s", error)
            return "", ""
        outside, permits = geopandas.read_file(found), geopandas.read_file(outlines)
        outside = outside[(outside["year"] == self.years[-1]) & (outside["kind"] == "mined")]
        return (
            self._geometry_path(outside.geometry, columns, rows),
            self._geometry_path(permits.geometry, columns, rows),
        )

    def _geometry_path(self, geometries: Any, columns: int, rows: int) -> str:
        """Polygons on the series' grid -> the `d` of an SVG path over a map of so many columns and rows."""
        from rasterio import Affine

        a, b, c, d, e, f = (~Affine(*self.manifest.transform))[:6]
        across, down = columns / self.manifest.width, rows / self.manifest.height
        parts = []
        for geometry in geometries:
            for polygon in getattr(geometry, "geoms", [geometry]):
                for ring in (polygon.exterior, *polygon.interiors):
                    points = [(a * x + b * y + c, d * x + e * y + f) for x, y, *_ in ring.coords]
                    parts.append(
                        "M"
                        + "L".join(f"{column * across:.1f} {row * down:.1f}" for column, row in points)
                        + "z"
                    )
        return "".join(parts)

    # What made it

    def model(self, record: ModelRecord) -> dict[str, Any]:
        task = "Maps footprints" if record.task == FOOTPRINTS else "Finds changes"
        dataset = record.dataset or "not said by its checkpoint"
        rows = [
            ("Checkpoint", record.source),
            ("Architecture", f"{record.architecture}, {record.parameters / 1e6:.1f} million parameters"),
            ("Bands", ", ".join(record.bands)),
            ("Trained on", f"{dataset} (simulated)" if record.simulated else dataset),
            ("Scores", _scores(record)),
            ("Fingerprint", record.digest),
        ]
        return {"title": f"{task}: {_short_source(record)}", "rows": rows}

    def settings(self) -> list[tuple[str, str]]:
        manifest, settings = self.manifest, self.manifest.settings
        rows = [
            (
                "Grid",
                f"{manifest.width} \N{MULTIPLICATION SIGN} {manifest.height} pixels, "
                f"{_crs_words(manifest.crs)}",
            ),
            ("Change", self._change_words()),
        ]
        if self.has_footprints:
            rows.append(("Smoothing", _smoothing_words(settings)))
            rows.append(("Threshold", f"mined from a probability of {settings.get('threshold', 0.5):g}"))
        unit = settings.get("smallest_mapping_unit", 0)
        rows.append(("Smallest mapping unit", f"{unit:g} ha, of polygons" if unit else "none"))
        if settings.get("permits"):
            rows.append(("Permits", str(settings["permits"])))
        if "window" in settings:
            rows.append(
                (
                    "Windows",
                    f"{settings['window']} pixels, overlapping by {settings.get('overlap', 0)}, blended",
                )
            )
        rows.append(("Versions", ", ".join(f"{name} {number}" for name, number in manifest.versions.items())))
        return rows

    def _change_words(self) -> str:
        detectors = [record for record in self.manifest.models if record.task == CHANGES]
        if not detectors:
            return "post-classification: the footprints of two years compared"
        if not self.has_footprints:
            return "found by a change detector, which says where, not in which direction"
        return "found by a change detector; the footprints of both years say whether gained or lost"

    def scene(self, record: SceneRecord) -> dict[str, Any]:
        return {
            "year": record.year,
            "path": record.path,
            "decisions": " ".join(record.decisions),
            "grid": record.resampled or f"as it is, {_crs_words(record.crs)}",
        }

    def same_decisions(self) -> str:
        """What was decided of the images, where it is the same of all."""
        decisions = {" ".join(record.decisions) for record in self.manifest.scenes}
        return decisions.pop() if len(decisions) == 1 else ""

    def caveats(self) -> list[str]:
        manifest = self.manifest
        found = []
        if manifest.simulated:
            found.append("The images are simulated. Nothing here is about a real place.")
        for record in manifest.models:
            if record.simulated:
                found.append(
                    f"{_short_source(record)} was trained and scored on simulated data. How it does on "
                    "real mines is unknown."
                )
            elif record.scores and record.scored_sites:
                found.append(
                    f"{_short_source(record)} was scored on {_counted(record.scored_sites, 'site')} of its "
                    f"{record.scored_split} split ({_scores(record)}). A mine unlike those may be mapped "
                    "worse."
                )
            else:
                found.append(
                    f"The checkpoint of {_short_source(record)} says no scores: how right its maps are is "
                    "unknown."
                )
        if self.has_interval:
            found.append(
                "Intervals are 95 % confidence intervals of the stratified, error-adjusted estimate "
                "(Olofsson et al. 2014), from the errors that the model makes on its validation sites. "
                "They hold as far as this mine resembles those sites, and say nothing about errors of the "
                "images' position."
            )
            found += manifest.caveats
        elif self.has_footprints:
            found.append(
                "Areas are those of the pixels mapped as mined, without an interval: the checkpoint "
                "carries no confusion matrix of its validation sites."
            )
        found.append(
            "Areas are ground areas, on the ellipsoid for coordinates in degrees; slopes count as seen "
            "from above."
        )
        if manifest.missing_years:
            found.append(
                f"There is no image of {', '.join(map(str, manifest.missing_years))}; changes span the gap."
            )
        poor = [
            f"{record.year} ({_percent(record.known_share)} seen)"
            for record in manifest.scenes
            if record.known_share is not None and record.known_share < 0.995
        ]
        if poor:
            found.append(
                f"Parts of the scene have no data in {', '.join(poor)}: their areas are lower bounds, and "
                "a change there is unknown."
            )
        resampled = [str(record.year) for record in manifest.scenes if record.resampled]
        if resampled:
            found.append(
                f"The images of {', '.join(resampled)} lie on another grid and were resampled, which blurs "
                "them by up to a pixel."
            )
        found.append(
            "Nothing masks clouds, haze, snow or shadow: look at the pictures of the years before you "
            "trust a jump."
        )
        if self.has_footprints:
            method = manifest.settings.get("smoothing", "none")
            if method != "none":
                found.append(
                    "The years were smoothed over time: a change that lasts a single year is held for an "
                    "error and suppressed, and a real one may show a year late."
                )
            else:
                found.append(
                    "The years were mapped one by one: part of the gains and losses from year to year is "
                    "noise. Longer intervals are more reliable."
                )
        found.append(
            "Footprints are what is seen from above: pits, dumps, ponds and plants, not concessions or "
            "legal boundaries."
        )
        return found


def _outside_by_year(table: pandas.DataFrame) -> list[tuple[int, float, float, int]]:
    """Year, hectares mined outside, hectares new there, number of mined places there."""
    rows = []
    for year, group in table.groupby("year"):
        mined = group[group["kind"] == "mined"]["area_ha"]
        new = group[group["kind"] == "new"]["area_ha"]
        rows.append((int(str(year)), float(mined.sum()), float(new.sum()), len(mined)))
    return rows


_CHANGE_COLOURS = ((217, 101, 11), (37, 99, 201), (138, 99, 184))
# What is mined no longer, and how it looks over a picture in pale grey.
_LOST_COLOUR, _LOST_LEGEND = (37, 130, 220), "#5194d2"


def _figure(name: str, value: str, note: str, kind: str = "") -> dict[str, str]:
    return {"name": name, "value": value, "note": note, "kind": kind}


def _data_uri(picture: Image.Image, kind: str) -> str:
    data = io.BytesIO()
    options: dict[str, Any] = {"quality": 85, "optimize": True} if kind == "JPEG" else {"optimize": True}
    picture.save(data, format=kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode('ascii')}"


def _percent(share: float) -> str:
    """A share in per cent; all of it only where it is all."""
    if share >= 1:
        return "100 %"
    return f"{min(100 * share, 99.9):.3g} %"


def _counted(count: int, thing: str) -> str:
    return f"1 {thing}" if count == 1 else f"{count} {thing}s"


def _short_source(record: ModelRecord) -> str:
    return record.source.rstrip("/").rsplit("/", 1)[-1]


def _scores(record: ModelRecord) -> str:
    known = [(name, value) for name, value in record.scores.items() if value is not None]
    if not known:
        return "none said by its checkpoint"
    return ", ".join(f"{name} {value:.3f}" for name, value in known)


def _crs_words(crs: str) -> str:
    """A code as it is; of a WKT its name alone."""
    if len(crs) < 40:
        return crs
    return crs.split('"', 2)[1] if crs.count('"') > 1 else crs[:40]


def _smoothing_words(settings: dict[str, Any]) -> str:
    method = settings.get("smoothing", "none")
    if method == "none":
        return "none"
    if method == "median":
        return "median of each year and its neighbours"
    rates = settings.get("rates") or {}
    words = "the most probable history of each pixel (two-state hidden Markov model, Viterbi)"
    if rates:
        words += (
            f"; a year turns {rates['expansion']:.2%} of other ground into mines and reclaims "
            f"{rates['reclamation']:.2%} of them"
        )
    return words
