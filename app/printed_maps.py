"""A map to print: title, coordinates, scale bar, north, legend and attribution, as a PNG."""

from __future__ import annotations

import io
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from euromine.monitoring.history.manifest import Manifest
from euromine.monitoring.mapping.colours import FOOTPRINT_OUTLINE
from euromine.monitoring.reporting.cartography import MapFrame, Tick

from .layer_pictures import LayerYear, Picture, full_image, layer_image, transparent
from .map_drawing import (
    INK,
    PAPER,
    QUIET,
    class_title,
    draw_dashes,
    draw_footprint,
    draw_label,
    draw_north,
    draw_permits,
    fitted,
    font,
    has_footprint,
    has_permits,
    layer_title,
    wrapped_lines,
)
from .mercator import MERCATOR, MercatorGrid
from .picture_layers import ALL_YEARS, CLASS, IMAGE, INDEX, QUICKLOOK, Layer, layers_of
from .site_documents import attribution
from .translations import Language, in_words, page_texts, translated

LEAST_WIDTH, USUAL_WIDTH, MOST_WIDTH = 600, 1600, 4000
# Height of a map in widths, at most.
_TALLEST = 1.3
# Images below maps of classes, and their greys: between a half and white.
_GROUNDS = ("natural", QUICKLOOK)
_PALE = [round(0.55 * grey + 0.45 * 255) for grey in range(256)]
# Ticks closer to a corner than this share of the edge would collide with the other axis' labels.
_CORNER = 0.1


@dataclass(frozen=True)
class MapRequest:
    """A map to print.

    Attributes:
        years: One year of a layer, or two beside each other.
        footprints: Whether to draw the years' footprints.
        permits: Whether to draw the outlines of the permits.
        width: The width of the whole picture in pixels.
        language: The language of its labels.
    """

    years: tuple[LayerYear, ...]
    footprints: bool
    permits: bool
    width: int
    language: Language = "en"

    @property
    def key(self) -> tuple[Hashable, ...]:
        """Stands for everything that the map depends on."""
        return (*(each.key for each in self.years), self.footprints, self.permits, self.width, self.language)


def printed_map(wanted: MapRequest) -> Picture:
    """A map as a PNG.

    Raises:
        NotFound: An image has been taken away.
        MissingExtraError: Permits are asked for, and geopandas is not installed.
        DataError: A file is damaged.
        OSError: A file cannot be read.
    """
    page = _Page(wanted)
    data = io.BytesIO()
    page.picture().save(data, "PNG", compress_level=6, dpi=(200, 200))
    return Picture(data.getvalue(), "image/png")


class _Page:
    """The parts of a map, from the top down."""

    def __init__(self, wanted: MapRequest) -> None:
        self.wanted, self.width, self.language = wanted, wanted.width, wanted.language
        self.margin = wanted.width // 40
        self.size = max(11, wanted.width // 80)
        self.line = max(2, wanted.width // 500)
        first = wanted.years[0]
        self.place, self.layer, self.manifest = first.place, first.layer, first.place.series.manifest
        self.inner = self.width - 2 * self.margin
        count = len(wanted.years)
        self.grid = _panel_grid(self.layer.grid, (self.inner - (count - 1) * self.margin) // count)

    def picture(self) -> Image.Image:
        """The whole map."""
        strips = [self._title(), self._maps(), self._scale(), self._legend(), self._credit()]
        shown = [strip for strip in strips if strip is not None]
        gap = self.margin // 2
        height = sum(strip.height for strip in shown) + gap * (len(shown) - 1) + 2 * self.margin
        page = Image.new("RGB", (self.width, height), PAPER)
        top = self.margin
        for strip in shown:
            page.paste(strip, (self.margin, top))
            top += strip.height + gap
        return page

    def _strip(self, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        strip = Image.new("RGB", (self.inner, height), PAPER)
        return strip, ImageDraw.Draw(strip)

    def _title(self) -> Image.Image:
        large = round(1.8 * self.size)
        strip, pen = self._strip(large + round(2.2 * self.size))
        name = fitted(self.place.name, large, self.inner, is_bold=True)
        pen.text((0, 0), name, INK, font(large, is_bold=True))
        years = " and ".join(str(each.year) for each in self.wanted.years if each.year != ALL_YEARS)
        layer = layer_title(self.layer, self.language)
        words = f"{layer}, {in_words(years, self.language)}" if years else layer
        pen.text((0, large + 0.6 * self.size), fitted(words, self.size, self.inner), QUIET, font(self.size))
        return strip

    def _maps(self) -> Image.Image:
        strip, _ = self._strip(self.grid.height)
        step = (self.inner + self.margin) // len(self.wanted.years)
        # A map that is narrower than its part of the page stands in the middle.
        spare = (step - self.margin - self.grid.width) // 2 if len(self.wanted.years) > 1 else 0
        for number, shown in enumerate(self.wanted.years):
            strip.paste(self._panel(shown), (number * step + max(0, spare), 0))
        return strip

    def _panel(self, shown: LayerYear) -> Image.Image:
        """A year's map with its outlines, coordinates and north."""
        grid = self.grid
        picture = _on_ground(shown, grid)
        if self.wanted.footprints and has_footprint(self.place, shown.year):
            draw_footprint(picture, self.place, int(shown.year), grid, self.line)
        if self.wanted.permits and has_permits(self.place):
            draw_permits(picture, self.place, grid, self.line)
        pen = ImageDraw.Draw(picture)
        self._draw_coordinates(pen)
        small = round(1.6 * self.size)
        draw_north(pen, grid.width - self.size, self.size, small)
        if len(self.wanted.years) > 1:
            draw_label(pen, (self.size, self.size), str(shown.year), small)
        pen.rectangle((0, 0, grid.width - 1, grid.height - 1), outline=INK, width=max(1, self.line // 2))
        return picture

    def _draw_coordinates(self, pen: ImageDraw.ImageDraw) -> None:
        frame, size, tick = self._frame(), round(0.85 * self.size), self.size
        for each in frame.longitude_ticks(3):
            x = each.position * self.grid.width
            if _CORNER < each.position < 1 - _CORNER:
                pen.line([(x, self.grid.height - tick), (x, self.grid.height)], PAPER, self.line)
                draw_label(pen, (x, self.grid.height - 1.2 * tick), self._degrees(each), size, anchor="ms")
        for each in frame.latitude_ticks(3):
            y = each.position * self.grid.height
            if _CORNER < each.position < 1 - _CORNER:
                pen.line([(0, y), (tick, y)], PAPER, self.line)
                draw_label(pen, (1.3 * tick, y), self._degrees(each), size, anchor="lm")

    def _degrees(self, tick: Tick) -> str:
        east = page_texts(self.language)["format.east"]
        return in_words(tick.label, self.language).replace("E", east)

    def _frame(self) -> MapFrame:
        transform = tuple(self.grid.transform)[:6]
        return MapFrame(MERCATOR, transform, self.grid.width, self.grid.height)

    def _scale(self) -> Image.Image:
        """The scale bar, valid in the middle of the map, and the outlines' keys."""
        strip, pen = self._strip(round(2.4 * self.size))
        bar, thick = self._frame().scale_bar(0.25), max(3, self.size // 3)
        length, top = bar.share * self.grid.width, 0.4 * self.size
        pen.rectangle((0, top, length, top + thick), fill=PAPER, outline=INK, width=max(1, self.line // 2))
        pen.rectangle((0, top, length / 2, top + thick), fill=INK)
        pen.text((0, top + thick + 3), "0", INK, font(self.size))
        label = in_words(bar.label, self.language)
        pen.text((length, top + thick + 3), label, INK, font(self.size), anchor="ma")
        left = length + 5 * self.size
        if self.wanted.footprints and any(has_footprint(self.place, each.year) for each in self.wanted.years):
            pen.line([(left, self.size), (left + 3 * self.size, self.size)], FOOTPRINT_OUTLINE, 2 * self.line)
            left = self._word(pen, left + 3.5 * self.size, "mapped as mined")
        if self.wanted.permits and has_permits(self.place):
            draw_dashes(pen, [(left, self.size), (left + 3 * self.size, self.size)], self.line)
            self._word(pen, left + 3.5 * self.size, "outlines given")
        return strip

    def _word(self, pen: ImageDraw.ImageDraw, left: float, words: str) -> float:
        """Write words behind a key, and return the place for the next key."""
        text = translated(words, self.language)
        pen.text((left, self.size), text, INK, font(self.size), anchor="lm")
        return left + font(self.size).getlength(text) + 2 * self.size

    def _legend(self) -> Image.Image | None:
        if self.layer.kind == IMAGE:
            return None
        if self.layer.kind == INDEX:
            return self._ramp(self.layer)
        return self._classes(self.layer)

    def _ramp(self, layer: Layer) -> Image.Image:
        strip, pen = self._strip(round(2.6 * self.size))
        colours, length = layer.style.ramp, self.inner // 3
        least, most = colours[0][0], colours[-1][0]
        bar = Image.new("RGB", (len(colours), 1))
        bar.putdata([colour for _, colour in colours])
        strip.paste(bar.resize((length, self.size), Image.Resampling.BILINEAR), (0, 0))
        for value in (least, (least + most) / 2, most):
            place = (value - least) / (most - least)
            anchor = "la" if place == 0 else "ra" if place == 1 else "ma"
            text = in_words(f"{value:g}".replace("-", "\N{MINUS SIGN}"), self.language)
            pen.text((place * length, 1.2 * self.size), text, INK, font(self.size), anchor=anchor)
        return strip

    def _classes(self, layer: Layer) -> Image.Image:
        entries = [
            (each.colour, class_title(each.name, self.language))
            for each in layer.style.classes
            if each.is_shown
        ]
        places, left, top = [], 0.0, 0.0
        for _, name in entries:
            length = 3 * self.size + font(self.size).getlength(name)
            if left and left + length > self.inner:
                left, top = 0.0, top + 1.8 * self.size
            places.append((left, top))
            left += length
        strip, pen = self._strip(round(top + 1.8 * self.size))
        for (colour, name), (x, y) in zip(entries, places, strict=True):
            pen.rectangle((x, y, x + self.size, y + self.size), fill=colour, outline=QUIET)
            pen.text((x + 1.5 * self.size, y + self.size / 2), name, INK, font(self.size), anchor="lm")
        return strip

    def _credit(self) -> Image.Image:
        sentences = (
            attribution(self.manifest),
            f"Mapped by {mappers_in_words(self.manifest)}.",
            "Shown in Web Mercator (EPSG:3857); the scale holds in the middle of the map.",
        )
        credit, *others = (translated(each, self.language) for each in sentences)
        words = " ".join([f"{credit}.", *others, "EuroMine."])
        size = round(0.85 * self.size)
        lines: Sequence[str] = wrapped_lines(words, size, self.inner)
        strip, pen = self._strip(round(1.4 * size * len(lines)) + 2)
        for number, line in enumerate(lines):
            pen.text((0, 1.4 * size * number), line, QUIET, font(size))
        return strip


def mappers_in_words(manifest: Manifest) -> str:
    """The architectures behind a site's maps, and whether one learned from simulated images."""
    names = dict.fromkeys(
        f"{model.architecture} (trained on simulated images)" if model.simulated else model.architecture
        for model in manifest.models
    )
    return ", ".join(names)


def _on_ground(shown: LayerYear, grid: MercatorGrid) -> Image.Image:
    """A layer in RGB: classes on the latest image in pale grey, as in the report; else on white."""
    picture = layer_image(shown, grid)
    natural = next((each for each in layers_of(shown.place) if each.key in _GROUNDS), None)
    if shown.layer.kind != CLASS or natural is None:
        return full_image(picture, ground=255)
    latest = LayerYear(shown.place, natural, natural.years[-1], shown.cache)
    ground = full_image(layer_image(latest, grid), ground=255).convert("L")
    pale = ground.point(_PALE).convert("RGB")
    above = transparent(picture)
    pale.paste(above, mask=above.getchannel("A"))
    return pale


def _panel_grid(grid: MercatorGrid, width: int) -> MercatorGrid:
    """Square pixels, as wide as the panel unless it would be too tall."""
    aspect = (grid.top - grid.bottom) / (grid.right - grid.left)
    columns = min(width, round(_TALLEST * width / aspect))
    return grid.sized(max(1, columns), max(1, round(columns * aspect)))
