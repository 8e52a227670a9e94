"""Open PNG files so that damage is always told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image, ImageFile


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
