"""A timelapse: the years of a layer one after another, as an animated GIF or WebP."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Literal

from PIL import Image, ImageDraw

from .layer_pictures import LayerYear, Picture, full_image, layer_image
from .map_drawing import (
    PAPER,
    QUIET,
    draw_footprint,
    draw_label,
    fitted,
    font,
    has_footprint,
    layer_title,
    wrapped_lines,
)
from .mercator import MercatorGrid
from .site_documents import attribution
from .translations import Language, translated

LEAST_SECONDS, MOST_SECONDS = 0.2, 10.0
# Pixels on the longer side: larger GIFs take many megabytes.
_LONGEST_SIDE, _LEAST_SIDE = 720, 480
_LINE = 19
_WEBP_QUALITY = 75
# The last year stays for longer, so that the eye finds the end.
_LAST = 2


def timelapse(
    frames: Sequence[LayerYear],
    suffix: Literal["gif", "webp"],
    seconds: float,
    footprints: bool,
    language: Language = "en",
) -> Picture:
    """Years one after another, with the year and the attribution written in.

    Args:
        frames: A layer in each year.
        suffix: The format.
        seconds: The time of each year.
        footprints: Whether to draw the year's footprint.
        language: The language of the lines below the pictures.

    Raises:
        NotFound: An image has been taken away.
        DataError: A file is damaged.
        OSError: A file cannot be read.
    """
    grid = _frame_grid(frames[0].layer.grid)
    milliseconds = round(1000 * seconds)
    durations = [milliseconds] * (len(frames) - 1) + [_LAST * milliseconds]
    options = {"save_all": True, "duration": durations, "loop": 0}
    data = io.BytesIO()
    if suffix == "gif":
        pictures = (_as_palette(frame) for frame in _frames(frames, grid, footprints, language))
        first = next(pictures)
        first.save(data, "GIF", append_images=pictures, optimize=False, disposal=1, **options)
    else:
        moving = _frames(frames, grid, footprints, language)
        first = next(moving)
        first.save(data, "WEBP", append_images=moving, quality=_WEBP_QUALITY, method=2, **options)
    return Picture(data.getvalue(), f"image/{suffix}")


def _frame_grid(grid: MercatorGrid) -> MercatorGrid:
    longest = max(grid.width, grid.height)
    return grid.squared(min(_LONGEST_SIDE, max(_LEAST_SIDE, longest)))


def _frames(
    frames: Sequence[LayerYear], grid: MercatorGrid, footprints: bool, language: Language
) -> Iterator[Image.Image]:
    """The pictures, one at a time: all of them together would take much memory."""
    for shown in frames:
        year = int(shown.year)
        picture = full_image(layer_image(shown, grid), ground=255)
        if footprints and has_footprint(shown.place, year):
            draw_footprint(picture, shown.place, year, grid, 2)
        yield _lettered(picture, shown, language)


def _lettered(picture: Image.Image, shown: LayerYear, language: Language) -> Image.Image:
    """A picture with the year in it, and site, layer and attribution below."""
    width, height = picture.size
    size, room = 13, width - 16
    title = f"{shown.place.name} · {layer_title(shown.layer, language)}"
    credit = translated(attribution(shown.place.series.manifest), language)
    lines = [fitted(title, size, room), *wrapped_lines(credit, size, room)]
    frame = Image.new("RGB", (width, height + _LINE * len(lines) + 8), PAPER)
    frame.paste(picture)
    pen = ImageDraw.Draw(frame)
    draw_label(pen, (12, 10), str(shown.year), max(18, width // 16))
    for number, line in enumerate(lines):
        pen.text((8, height + 4 + _LINE * number), line, QUIET, font(size))
    return frame


def _as_palette(frame: Image.Image) -> Image.Image:
    """A frame in 256 colours of its own, without dots, which would flicker and take twice the bytes.

    The colours are those of a sixteenth of the pixels, which takes a fifth of the time.
    """
    few = frame.resize((frame.width // 4, frame.height // 4), Image.Resampling.NEAREST)
    palette = few.quantize(256, Image.Quantize.MEDIANCUT)
    return frame.quantize(palette=palette, dither=Image.Dither.NONE)
