"""Tiles of a layer (XYZ, Web Mercator), for sites that are too large for one picture."""

from __future__ import annotations

import functools
import math

from PIL import Image

from .app_errors import NotFound
from .layer_pictures import LayerYear, Picture, encoded, layer_image, transparent
from .mercator import MOST_ZOOM, MercatorGrid, tile_grid
from .picture_layers import IMAGE

SIDES = (256, 512)
"""Pixels on a side of a tile."""


def map_tile(shown: LayerYear, zoom: int, column: int, row: int, side: int = SIDES[0]) -> Picture:
    """A tile of a layer: of an image JPEG inside and WebP at its edges, else PNG; an empty PNG outside.

    Args:
        shown: The layer of a year.
        zoom: 0 for the whole world in one tile.
        column: x, counted from the west.
        row: y, counted from the north.
        side: Pixels on a side.

    Raises:
        NotFound: There is no such tile in the world.
        DataError: A file is damaged.
        OSError: It cannot be read.
    """
    count = 2**zoom if 0 <= zoom <= MOST_ZOOM else 0
    if not (0 <= column < count and 0 <= row < count):
        raise NotFound(
            f"tile: found {zoom}/{column}/{row}; expected a zoom of 0 to {MOST_ZOOM}, and x and y below "
            "2^zoom."
        )
    site = shown.layer.grid
    for place in (column, column - count):  # the second across the antimeridian
        tile = tile_grid(zoom, place, row, side)
        if tile.touches(site):
            return _tile(shown, tile, site)
    return empty_tile(side)


@functools.lru_cache(maxsize=len(SIDES))
def empty_tile(side: int) -> Picture:
    """A transparent tile."""
    return encoded(Image.new("P", (side, side)), "png")


def _tile(shown: LayerYear, tile: MercatorGrid, site: MercatorGrid) -> Picture:
    """The part of a tile inside the site, on a transparent ground."""
    columns, rows = ~tile.transform @ (site.left, site.top), ~tile.transform @ (site.right, site.bottom)
    left, top = (max(0, math.floor(each + 1e-6)) for each in columns)
    right = min(tile.width, math.ceil(rows[0] - 1e-6))
    bottom = min(tile.height, math.ceil(rows[1] - 1e-6))
    west, north = tile.transform @ (left, top)
    east, south = tile.transform @ (right, bottom)
    part = MercatorGrid(west, south, east, north, right - left, bottom - top)
    image = layer_image(shown, part)
    if shown.layer.kind != IMAGE:
        whole = Image.new("P", (tile.width, tile.height))
        whole.putpalette(image.getpalette() or [])
        whole.paste(image, (left, top))
        return encoded(whole, "png")
    if image.mode == "RGB" and image.size == (tile.width, tile.height):
        return encoded(image, "jpg")
    whole = Image.new("RGBA", (tile.width, tile.height))
    whole.paste(transparent(image), (left, top))
    return encoded(whole, "webp")
