"""Text, outlines, scale bars and legends drawn on pictures."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from euromine.monitoring.history.file_names import PERMIT_OUTLINES, footprint_name
from euromine.monitoring.mapping.colours import FOOTPRINT_OUTLINE, PERMIT_OUTLINE
from euromine.monitoring.mapping.map_values import NODATA

from .mercator import MERCATOR, MercatorGrid
from .picture_layers import Layer
from .picture_sources import RasterSource, warped
from .site_catalogue import SitePlace
from .translations import Language, page_texts

INK, PAPER, QUIET = (20, 24, 28), (255, 255, 255), (90, 96, 104)
Font = ImageFont.FreeTypeFont
Points = Sequence[tuple[float, float]]


@functools.lru_cache(maxsize=32)
def font(size: int, *, is_bold: bool = False) -> Font:
    """A font that comes with matplotlib and has the letters of all European languages."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if is_bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def layer_title(layer: Layer, language: Language) -> str:
    """The name of a layer, as the page shows it."""
    texts = page_texts(language)
    if layer.key.startswith("components_"):
        group = class_title(layer.key.removeprefix("components_"), language)
        return texts["layer.components"].replace("{group}", group)
    return texts.get(f"layer.{layer.key}", layer.key.upper().replace("_", " "))


def class_title(name: str, language: Language) -> str:
    """The name of a class of a map; in other languages than English as the page's legend shows it."""
    plain = name.replace("_", " ")
    if language == "en":
        return plain
    return page_texts(language).get(f"kind.{name.lower().replace(' ', '_')}", plain)


def has_footprint(place: SitePlace, year: Any) -> bool:
    """Whether there is a footprint of a year."""
    return isinstance(year, int) and footprint_name(year) in place.series.manifest.files


def draw_footprint(picture: Image.Image, place: SitePlace, year: int, grid: MercatorGrid, line: int) -> None:
    """Draw the outline of a year's footprint, with a dark edge that shows on pale ground.

    Args:
        picture: RGB, on the grid.
        place: The site.
        year: The year.
        grid: The pixels.
        line: The width of the line in pixels.
    """
    source = RasterSource(place.series.file(footprint_name(year)), (1,), smooth=False)
    values = warped(source, grid)[0]
    mined = Image.fromarray(np.where((values == 1) & (values != NODATA), np.uint8(255), np.uint8(0)))
    wide = mined.filter(ImageFilter.MaxFilter(2 * line + 1))
    edge = ImageChops.subtract(wide, mined)
    around = ImageChops.subtract(wide.filter(ImageFilter.MaxFilter(3)), wide)
    picture.paste(INK, mask=around)
    picture.paste(FOOTPRINT_OUTLINE, mask=edge)


def has_permits(place: SitePlace) -> bool:
    """Whether outlines of permits were given."""
    return PERMIT_OUTLINES in place.series.manifest.files


def draw_permits(picture: Image.Image, place: SitePlace, grid: MercatorGrid, line: int) -> None:
    """Draw the outlines of the permits as dashes.

    Raises:
        MissingExtraError: geopandas is not installed.
        DataError: The file is damaged.
    """
    import shapely

    outlines = place.series.read_polygons(PERMIT_OUTLINES).to_crs(MERCATOR)
    pen = ImageDraw.Draw(picture)
    to_pixels = ~grid.transform
    for ring in shapely.get_rings(shapely.get_parts(np.asarray(outlines.geometry.array))):
        columns, rows = to_pixels @ shapely.get_coordinates(ring).T
        points = list(zip(columns.tolist(), rows.tolist(), strict=True))
        draw_dashes(pen, points, line)


def draw_dashes(pen: ImageDraw.ImageDraw, points: Points, line: int) -> None:
    """A line of dashes as permits have them, on a dark one that shows on pale ground."""
    pen.line(list(points), fill=INK, width=line + 2)
    for dash in _dashes(points, 5.0 * line):
        pen.line(dash, fill=PERMIT_OUTLINE, width=line)


def _dashes(points: Points, length: float) -> Iterator[list[tuple[float, float]]]:
    """Every second piece of a line, each of this length along it."""
    path = np.asarray(points, float)
    along = np.concatenate([[0], np.hypot(*np.diff(path, axis=0).T).cumsum()])
    # A line far outside of the picture would have countless dashes.
    step = max(length, along[-1] / 2000)
    for start in np.arange(0, along[-1], 2 * step):
        end = min(start + step, along[-1])
        inner = along[(along > start) & (along < end)]
        places = np.concatenate([[start], inner, [end]])
        x, y = np.interp(places, along, path[:, 0]), np.interp(places, along, path[:, 1])
        yield list(zip(x.tolist(), y.tolist(), strict=True))


def draw_label(
    pen: ImageDraw.ImageDraw, position: tuple[float, float], text: str, size: int, *, anchor: str = "la"
) -> None:
    """Dark text with a white edge, which shows on any ground."""
    edge = max(2, size // 8)
    pen.text(
        position, text, INK, font(size, is_bold=True), anchor=anchor, stroke_width=edge, stroke_fill=PAPER
    )


def fitted(text: str, size: int, width: float, *, is_bold: bool = False) -> str:
    """A text cut to a width in pixels, with an ellipsis."""
    letters = font(size, is_bold=is_bold)
    if letters.getlength(text) <= width:
        return text
    while text and letters.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def wrapped_lines(text: str, size: int, width: float) -> list[str]:
    """A text in lines of at most a width in pixels; longer words are cut."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(fitted(word, size, width))
    return lines


def draw_north(pen: ImageDraw.ImageDraw, right: float, top: float, size: int) -> None:
    """An arrow to the north, which is up in Web Mercator, with its right upper corner here."""
    middle = right - size / 2
    arrow = [(middle, top), (right, top + size), (middle, top + 0.75 * size), (right - size, top + size)]
    pen.polygon(arrow, fill=PAPER, outline=INK, width=max(1, size // 14))
    draw_label(pen, (middle, top + 1.1 * size), "N", math.ceil(0.7 * size), anchor="ma")
