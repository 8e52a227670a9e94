"""Pictures of layers in Web Mercator: images stretched year by year, indices and classes in their colours."""

from __future__ import annotations

import io
import math
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from euromine.monitoring.mapping.map_styles import MapStyle, ramp_colours
from euromine.support.contrast import Limits, contrast_limits, stretched

from .mercator import MercatorGrid
from .picture_cache import PictureCache
from .picture_layers import IMAGE, INDEX, MOST_SIDE, QUICKLOOK, Layer, Year
from .picture_sources import (
    QuicklookSource,
    Source,
    lacks_overviews,
    resampled,
    source_of,
    warped,
    warped_copy,
)
from .site_catalogue import SitePlace

# Pixels on the longer side from which a year's stretch is measured.
_LIMITS_SIDE = 512
# Steps between black and white: finer than a byte even where the curve is steepest.
_STEPS = 4096
# Rows that are coloured at once, which bounds the memory for numbers between.
_ROWS = 128
# More colours of an index cannot be told apart, and take half as many bytes again.
_INDEX_COLOURS = 48
_JPEG_QUALITY, _WEBP_QUALITY = 75, 70
_NO_DATA = 128
_LEAST, _LARGEST = -32768, 32767
# A picture hardly finer than the copy that is kept is made from it.
_ROUNDING = 1.05


@dataclass(frozen=True)
class Picture:
    """An encoded picture.

    Attributes:
        data: Its bytes.
        media_type: Such as "image/jpeg".
    """

    data: bytes
    media_type: str

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True)
class LayerYear:
    """A layer of a site in a year.

    Attributes:
        place: The site.
        layer: One of its layers.
        year: One of the layer's years.
        cache: Keeps the stretch of images.
    """

    place: SitePlace
    layer: Layer
    year: Year
    cache: PictureCache

    @property
    def source(self) -> Source:
        """The raster behind it."""
        return source_of(self.place, self.layer, self.year)

    @property
    def key(self) -> tuple[Hashable, ...]:
        """Changes with the site's maps and with the image."""
        return self.place.id, self.place.version, self.layer.key, self.year, self.source.state

    def values(self, source: Source, grid: MercatorGrid, *, sampled: bool = False) -> NDArray[np.float32]:
        """As `warped`; coarse pictures of a large image without overviews come from a copy that is kept."""
        reduced = self.layer.grid.fitting(MOST_SIDE)
        is_fine = _pixel(grid) * _ROUNDING < _pixel(reduced)
        if isinstance(source, QuicklookSource) or is_fine or not lacks_overviews(source):
            return warped(source, grid, sampled=sampled)
        kept = self.cache.get(
            ("reduced", *self.key),
            lambda: _as_integers(warped_copy(source, reduced)),
            lambda each: each.nbytes,
        )
        part, ground = _part(kept, reduced, grid)
        return resampled(_as_floats(part), ground, grid)

    def limits(self, source: Source) -> Limits:
        """The values shown as black and white, of the whole site in this year."""

        def measured() -> Limits:
            values = self.values(source, self.layer.grid.fitting(_LIMITS_SIDE), sampled=True)
            known = np.isfinite(values).all(axis=0)
            return contrast_limits(values[:, known].T)

        return self.cache.get(("limits", *self.key), measured, lambda each: sum(end.nbytes for end in each))


def layer_image(shown: LayerYear, grid: MercatorGrid) -> Image.Image:
    """A layer in Web Mercator.

    Args:
        shown: The layer of a year.
        grid: The pixels.

    Returns:
        Of an image, RGB, or RGBA where there are pixels without data; else a palette, whose colour 0 is
        transparent.

    Raises:
        NotFound: The image has been taken away.
        DataError: A file is damaged.
        OSError: It cannot be read.
    """
    source, layer = shown.source, shown.layer
    if layer.kind == IMAGE:
        limits = None if layer.key == QUICKLOOK else shown.limits(source)
        return _colour_image(shown.values(source, grid), limits)
    values = warped(source, grid)[0]
    return _amounts(values, layer.style) if layer.kind == INDEX else _classes(values, layer.style)


def whole_picture(shown: LayerYear, side: int = MOST_SIDE) -> Picture:
    """The picture of a whole site, encoded as its layer promises.

    Args:
        shown: The layer of a year.
        side: Pixels on the longer side, at most.

    Raises:
        NotFound: As for `layer_image`.
    """
    image = layer_image(shown, shown.layer.grid.fitting(side))
    return encoded(image, shown.layer.format)


def encoded(image: Image.Image, suffix: str) -> Picture:
    """An image as bytes.

    Args:
        image: As `layer_image` gives it.
        suffix: "jpg", "webp" or "png".
    """
    data = io.BytesIO()
    if suffix == "jpg":
        full_image(image).save(data, "JPEG", quality=_JPEG_QUALITY, progressive=True)
        return Picture(data.getvalue(), "image/jpeg")
    if suffix == "webp":
        image.save(data, "WEBP", quality=_WEBP_QUALITY, method=0, alpha_quality=100)
        return Picture(data.getvalue(), "image/webp")
    options = {"transparency": 0} if image.mode == "P" else {}
    image.save(data, "PNG", compress_level=6, **options)
    return Picture(data.getvalue(), "image/png")


def full_image(image: Image.Image, ground: int = _NO_DATA) -> Image.Image:
    """An image in RGB, on grey where it is transparent."""
    if image.mode == "RGB":
        return image
    if image.mode == "P":
        image = transparent(image)
    below = Image.new("RGB", image.size, (ground, ground, ground))
    below.paste(image, mask=image.getchannel("A"))
    return below


def transparent(image: Image.Image) -> Image.Image:
    """An image in RGBA; of a palette, colour 0 is transparent."""
    if image.mode != "P":
        return image.convert("RGBA")
    alpha = image.point([0, *[255] * 255], "L")
    solid = image.convert("RGB")
    solid.putalpha(alpha)
    return solid


def _pixel(grid: MercatorGrid) -> float:
    return (grid.right - grid.left) / grid.width


def _as_integers(values: NDArray[np.float32]) -> NDArray[np.int16]:
    """Digital numbers in half the bytes; NaN as the least number."""
    kept = np.empty(values.shape, np.int16)
    for band, numbers in enumerate(values):
        kept[band] = np.nan_to_num(np.clip(numbers, -_LARGEST, _LARGEST), nan=_LEAST).round()
    return kept


def _part(
    kept: NDArray[np.int16], whole: MercatorGrid, wanted: MercatorGrid
) -> tuple[NDArray[np.int16], MercatorGrid]:
    """The pixels around a grid, and their own grid: tiles need few of the copy's."""
    left, top = ~whole.transform @ (wanted.left, wanted.top)
    right, bottom = ~whole.transform @ (wanted.right, wanted.bottom)
    first, last = max(0, math.floor(left) - 2), min(whole.width, math.ceil(right) + 2)
    upper, lower = max(0, math.floor(top) - 2), min(whole.height, math.ceil(bottom) + 2)
    west, north = whole.transform @ (first, upper)
    east, south = whole.transform @ (last, lower)
    ground = MercatorGrid(west, south, east, north, last - first, lower - upper)
    return kept[:, upper:lower, first:last], ground


def _as_floats(kept: NDArray[np.int16]) -> NDArray[np.float32]:
    values = kept.astype(np.float32)
    values[kept == _LEAST] = np.nan
    return values


def _colour_image(values: NDArray[np.float32], limits: Limits | None) -> Image.Image:
    """Bands (3, height, width) as red, green and blue; without limits they are bytes already."""
    bands, height, width = values.shape
    colours = np.empty((height, width, bands), np.uint8)
    known = np.empty((height, width), bool)
    tables = None if limits is None else _tables(limits)
    for top in range(0, height, _ROWS):
        strip = values[:, top : top + _ROWS]
        known[top : top + _ROWS] = np.isfinite(strip).all(axis=0)
        for band in range(bands):
            if limits is None or tables is None:
                steps = np.nan_to_num(strip[band], nan=_NO_DATA).round()
                colours[top : top + _ROWS, :, band] = np.clip(steps, 0, 255)
                continue
            low, high = limits[0][band], limits[1][band]
            steps = (strip[band] - np.float32(low)) * np.float32((_STEPS - 1) / max(high - low, 1))
            steps = np.clip(np.nan_to_num(steps, nan=0), 0, _STEPS - 1)
            colours[top : top + _ROWS, :, band] = tables[steps.round().astype(np.uint16), band]
    if known.all():
        return Image.fromarray(colours)
    colours[~known] = _NO_DATA
    return Image.fromarray(np.dstack([colours, np.where(known, np.uint8(255), np.uint8(0))]))


def _tables(limits: Limits) -> NDArray[np.uint8]:
    """The bytes of values in equal steps from black to white, (steps, bands)."""
    low, high = limits
    shares = np.linspace(0, 1, _STEPS)[:, None]
    return stretched(low + shares * np.maximum(high - low, 1), limits)


def _amounts(values: NDArray[np.float32], style: MapStyle) -> Image.Image:
    least, most = style.ramp[0][0], style.ramp[-1][0]
    steps = (values - np.float32(least)) * np.float32((_INDEX_COLOURS - 1) / (most - least))
    places = np.nan_to_num(np.clip(steps, 0, _INDEX_COLOURS - 1).round() + 1, nan=0).astype(np.uint8)
    return _palette_image(places, ramp_colours(style, _INDEX_COLOURS))


def _classes(values: NDArray[np.float32], style: MapStyle) -> Image.Image:
    shown = [each for each in style.classes if each.is_shown]
    places = np.zeros(values.shape, np.uint8)
    for place, each in enumerate(shown, 1):
        places[values == each.value] = place
    return _palette_image(places, np.asarray([each.colour for each in shown], np.uint8).reshape(-1, 3))


def _palette_image(places: NDArray[np.uint8], colours: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(places)
    image.putpalette([0, 0, 0, *colours.ravel().tolist()])
    return image
