"""Open PNG files so that damage is always told, and encode pictures quickly."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# PNG specification: colour types, and the filter that takes the mean of left and upper neighbour.
_GREY, _RGB = 0, 2
_AVERAGE = 3


@contextmanager
def open_png(file: BinaryIO) -> Iterator[Image.Image]:
    """A PNG to decode in the `with` block; a truncated or damaged one is an error whatever Pillow was told.

    `PIL.ImageFile.LOAD_TRUNCATED_IMAGES` fills what is missing with black. Many training scripts set it for
    their photographs, and WeasyPrint does when it is imported; a label would lose its mine without a word.

    Args:
        file: Readable and seekable; read from its first byte.

    Raises:
        OSError: It is no PNG, or truncated; perhaps found at the end of the block.
        SyntaxError: A chunk is damaged.
        PIL.Image.DecompressionBombError: It promises far too many pixels.
    """
    # The format is named: Pillow would hand PostScript to another program.
    with Image.open(file, formats=["PNG"]) as picture:
        yield picture
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        file.seek(0)
        with Image.open(file, formats=["PNG"]) as picture:
            picture.verify()  # by its checksums; nothing is decoded


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """A picture as PNG.

    One filter for all rows and runs alone take less than half of Pillow's time, which tries five filters for
    each row; pictures of the ground become no larger.

    Args:
        pixels: (height, width) grey, or (height, width, 3) red, green and blue.
    """
    height, width = pixels.shape[:2]
    colour = _GREY if pixels.ndim == 2 else _RGB
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    data = deflate.compress(_filtered(pixels.reshape(height, width, -1)).data) + deflate.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return _SIGNATURE + b"".join(
        _chunk(kind, content) for kind, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


def _filtered(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows (height, 1 + width * bands) of differences from the mean of both neighbours."""
    height, width, bands = pixels.shape
    rows = np.zeros((height + 1, bands + width * bands), np.uint8)  # 0 beyond the edges
    rows[1:, bands:] = pixels.reshape(height, -1)
    left, above = rows[1:, :-bands], rows[:-1, bands:]
    # Half of the sum, rounded down, which a byte can hold.
    mean = np.right_shift(left ^ above, 1) + (left & above)
    filtered = np.empty((height, 1 + width * bands), np.uint8)
    filtered[:, 0] = _AVERAGE
    np.subtract(rows[1:, bands:], mean, out=filtered[:, 1:])
    return filtered


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
