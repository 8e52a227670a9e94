"""Segmentation mask 1.1: a PNG a picture in which each class has a colour."""

from __future__ import annotations

import io
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from euromine.support.errors import AnnotationError
from euromine.support.png_files import open_png

from .annotated_shapes import Annotations, Picture, Shape, check_picture_size
from .annotation_sources import Source
from .run_lengths import Runs

FORMAT = "Segmentation mask 1.1"

LABEL_MAP = "labelmap.txt"
_CLASSES, _LARGEST_MAP = "SegmentationClass", 2**20


def read_segmentation_masks(source: Source, label_map: str, annotations: Annotations) -> None:
    """Add the masks of an export.

    Args:
        source: The folder or zip.
        label_map: The name of its `labelmap.txt`.
        annotations: Takes the pictures.

    Raises:
        AnnotationError: There is no mask, a picture is no PNG or too large, or has a colour that the label
            map lacks.
    """
    colours = _colours(source.read(label_map, _LARGEST_MAP), source.named(label_map))
    folder = (PurePosixPath(label_map).parent / _CLASSES).as_posix()
    names = [name for name in source.sizes if name.startswith(f"{folder}/") and source.sizes[name]]
    if not names:
        raise AnnotationError(
            f"{source.path}: found no picture in {folder}; expected masks, as in an "
            "export of 'Segmentation mask 1.1'. Name its folder or zip."
        )
    for name in names:
        where = source.named(name)
        pixels = read_png(source.read(name), where)
        shapes = _shapes(pixels, colours, where)
        picture = Picture(PurePosixPath(name).name, tuple(shapes), (pixels.shape[0], pixels.shape[1]))
        annotations.pictures.append(picture)
    annotations.notes.append(
        "A segmentation mask has one class a pixel: what lay under another shape is lost. Export 'CVAT for "
        "images 1.1' to keep it."
    )


def _colours(data: bytes, where: str) -> dict[int, str]:
    """Packed colour -> class."""
    colours: dict[int, str] = {}
    for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.strip().rsplit(":", 3)
        try:
            label, (red, green, blue) = parts[0], (int(each) for each in parts[1].split(","))
            colour = red << 16 | green << 8 | blue
        except (IndexError, ValueError):
            raise AnnotationError(
                f"{where}: found {line[:40]!r} in line {number}; expected one such as excavation:176,0,32::, "
                "a class and its colour."
            ) from None
        if colour in colours:
            raise AnnotationError(
                f"{where}: found the colour {parts[1]} of {colours[colour]} again for {label}; expected one "
                "colour a class."
            )
        colours[colour] = label
    if not colours:
        raise AnnotationError(
            f"{where}: found no class; expected lines such as excavation:176,0,32::, one a class."
        )
    return colours


def _shapes(pixels: NDArray[np.uint8], colours: dict[int, str], where: str) -> list[Shape]:
    packed = pixels[..., 0].astype(np.int32) << 16 | pixels[..., 1].astype(np.int32) << 8 | pixels[..., 2]
    shapes = []
    for number, colour in enumerate(np.unique(packed).tolist(), 1):
        if colour not in colours:
            count = int((packed == colour).sum())
            raise AnnotationError(
                f"{where}: found {count} pixels of the colour {colour >> 16},{colour >> 8 & 255},"
                f"{colour & 255}; expected colours of {LABEL_MAP}."
            )
        if colours[colour] != "background":
            shapes.append(Shape(colours[colour], number, Runs.of_mask(packed == colour)))
    return shapes


def read_png(data: bytes, where: str) -> NDArray[np.uint8]:
    """The pixels of a PNG, (height, width, 3) uint8. Its size is checked before it is decoded.

    Raises:
        AnnotationError: It is another format, too large, or damaged.
    """
    try:
        with open_png(io.BytesIO(data)) as picture:
            check_picture_size(picture.height, picture.width, where)
            return np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError:
        raise AnnotationError(f"{where}: found a file that is no PNG; expected a mask as PNG.") from None
    except Image.DecompressionBombError:
        raise AnnotationError(
            f"{where}: found a picture of far too many pixels; expected a mask as PNG."
        ) from None
    except AnnotationError:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's for damaged data
        raise AnnotationError(f"{where}: found a damaged PNG ({error}); expected a whole one.") from None
