"""Figures of the report's page as pictures: charts, and maps with their outlines, ticks and scale bar."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from PIL import Image

from euromine.support.errors import missing_extra

from .page_tree import classes, plain_text, with_class

_SVG = "http://www.w3.org/2000/svg"
_FONT = "DejaVu Sans"
# Pixels across a page.
_CHART_WIDTH, _MAP_WIDTH, _SMALL_WIDTH = 1400, 1600, 560
# The units of a map's drawing: the map's width, and the room around it for ticks.
_UNITS, _LEFT, _BOTTOM, _EDGE = 1000.0, 40.0, 34.0, 12.0
_TICK, _TICK_SIZE, _SCALE_SIZE = 7.0, 19, 22
_FLOW_ROOM = 50
_MUTED = "#444c57"
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class FigurePicture:
    """A picture with its text alternative.

    Attributes:
        data: A PNG; a JPEG where the figure is a photograph.
        alt: The text alternative.
    """

    data: bytes
    alt: str


def require_resvg() -> Any:
    """The library that draws SVG.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise missing_extra("docx", "resvg-py") from error
    return resvg_py


def chart_picture(svg: Element) -> FigurePicture:
    """A chart, an `svg` element of the page."""
    if "flow" in classes(svg):
        svg = _with_room(svg)
    return FigurePicture(_drawn(svg, _CHART_WIDTH), svg.get("aria-label", ""))


def map_picture(frame: Element) -> FigurePicture:
    """A map in its frame, the element that the template `map_frame.html.jinja` writes."""
    ground = next(with_class(frame, "map"))
    height = _UNITS * float(ground.get("data-aspect", "100")) / 100
    size = _EDGE + _LEFT + _UNITS + _EDGE, _EDGE + height + _BOTTOM
    svg = _svg({"viewBox": f"{-_EDGE - _LEFT:g} {-_EDGE:g} {size[0]:g} {size[1]:g}"})
    image = _add_layers(svg, ground, _UNITS, height)
    _add_scale(svg, next(with_class(ground, "scale")), height)
    for tick in with_class(frame, "tick"):
        _add_tick(svg, tick, height)
    return _picture(svg, image, _MAP_WIDTH)


def small_picture(picture: Element) -> FigurePicture:
    """The picture of a year with its outline, an element of the class `picture`."""
    height = _UNITS * float(picture.get("data-aspect", "100")) / 100
    svg = _svg({"viewBox": f"0 0 {_UNITS:g} {height:g}"})
    return _picture(svg, _add_layers(svg, picture, _UNITS, height), _SMALL_WIDTH)


def embedded_picture(image: Element) -> FigurePicture:
    """The picture of an `img` element, which holds it as a `data:` URI."""
    return FigurePicture(base64.b64decode(image.get("src", "").partition(",")[2]), image.get("alt", ""))


def _with_room(svg: Element) -> Element:
    """A flow chart with more room for its labels, because this font is wider than most on the web."""
    left, top, width, height = map(float, svg.get("viewBox", "").split())
    box = f"{left - _FLOW_ROOM:g} {top:g} {width + 2 * _FLOW_ROOM:g} {height:g}"
    wider = Element("svg", {**svg.attrib, "viewBox": box})
    wider.extend(svg)
    return wider


def _svg(attributes: dict[str, str]) -> Element:
    return Element("svg", {"xmlns": _SVG, "font-family": _FONT, **attributes})


def _add_layers(svg: Element, ground: Element, width: float, height: float) -> Element:
    """Draw the image and what lies over it; the `img` element is returned."""
    (image,) = ground.iter("img")
    box = {"x": "0", "y": "0", "width": f"{width:g}", "height": f"{height:g}"}
    inside = SubElement(svg, "svg", {**box, "viewBox": f"0 0 {width:g} {height:g}"})
    stretched = {**box, "href": image.get("src", ""), "preserveAspectRatio": "none"}
    if "raster" in classes(image):
        stretched["image-rendering"] = "optimizeSpeed"
    SubElement(inside, "image", stretched)
    for layer in ground.iter("svg"):
        if "north" in classes(layer):
            place = {"x": f"{width - 66:g}", "y": "16", "width": "48", "height": "70.4"}
        else:
            place = box
        over = SubElement(inside, "svg", {**layer.attrib, **place})
        over.extend(layer)
    return image


def _add_scale(svg: Element, scale: Element, height: float) -> None:
    length = float(scale.get("data-length", "0")) / 100 * _UNITS
    left, right, low = 30.0, 30.0 + length, height - 22
    bar = f"M{left:g} {low - 10:g}V{low:g}H{right:g}V{low - 10:g}"
    for colour, width in (("#000", "7"), ("#fff", "3.5")):
        SubElement(
            svg,
            "path",
            {"d": bar, "fill": "none", "stroke": colour, "stroke-width": width, "stroke-opacity": ".8"},
        )
    label = _label(plain_text(scale), (left + right) / 2, low - 20, _SCALE_SIZE)
    label |= {"fill": "#fff", "stroke": "#000", "stroke-width": "4", "paint-order": "stroke"}
    SubElement(svg, "text", {**label, "stroke-linejoin": "round"}).text = plain_text(scale)


def _add_tick(svg: Element, tick: Element, height: float) -> None:
    place = float(tick.get("data-position", "0"))
    if "x" in classes(tick):
        x, y = place * _UNITS, height
        mark, label = f"M{x:g} {y:g}v{_TICK:g}", _label(plain_text(tick), x, y + 27, _TICK_SIZE)
    else:
        x, y = 0.0, place * height
        mark, label = f"M{x:g} {y:g}h{-_TICK:g}", _label(plain_text(tick), -16, y, _TICK_SIZE)
        label["transform"] = f"rotate(-90 -16 {y:g})"
    SubElement(svg, "path", {"d": mark, "stroke": _MUTED, "stroke-width": "2"})
    SubElement(svg, "text", {**label, "fill": _MUTED}).text = plain_text(tick)


def _label(text: str, x: float, y: float, size: int) -> dict[str, str]:
    """Where to write a text, moved so that none of it leaves the map's width."""
    half = 0.3 * size * len(text)
    x = x if x < 0 else min(max(x, half), _UNITS - half)
    return {"x": f"{x:g}", "y": f"{y:g}", "font-size": str(size), "text-anchor": "middle"}


def _picture(svg: Element, image: Element, width: int) -> FigurePicture:
    """A drawing over an image: as JPEG where the image is one, since a photograph as PNG takes megabytes."""
    data = _drawn(svg, width)
    if image.get("src", "").startswith("data:image/jpeg"):
        with Image.open(io.BytesIO(data)) as picture:
            small = io.BytesIO()
            picture.convert("RGB").save(small, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        data = small.getvalue()
    return FigurePicture(data, image.get("alt", ""))


def _drawn(svg: Element, width: int) -> bytes:
    # The fonts of this machine are left aside: a report has the same pictures everywhere.
    import matplotlib

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return bytes(
        require_resvg().svg_to_bytes(
            svg_string=tostring(svg, encoding="unicode"),
            width=width,
            background="#ffffff",
            skip_system_fonts=True,
            font_files=[str(fonts / name) for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")],
            font_family=_FONT,
            sans_serif_family=_FONT,
        )
    )
