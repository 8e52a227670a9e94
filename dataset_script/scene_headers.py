"""The checks of a site's headers: bands, types, sizes, and one grid for all years and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from euromine.support.errors import ArchiveError
from euromine.support.placements import check_placement
from euromine.support.rasters import check_blocks, crs_name, shown
from euromine.support.wording import counted

from .archive_bands import BANDS

_LARGEST_SCENE = 2**31

# Years may differ by the rounding of their exporter, never by a visible part of a pixel.
_LARGEST_SHIFT = 0.1


def check_image(dataset: Any, path: str) -> None:
    """Refuse an open image of other bands or types, of an absurd size, or without a place on the ground.

    Raises:
        ArchiveError: It is one.
    """
    expected = f"{len(BANDS)} bands ({' '.join(BANDS)}) of int16 DN (reflectance x 10000)"
    if dataset.count != len(BANDS):
        raise ArchiveError(f"{shown(path)}: found {counted(dataset.count, 'band')}; expected {expected}.")
    types = sorted(set(dataset.dtypes))
    if not set(types) <= {"int16", "uint16"}:
        kind = "reflectance as " if types[0].startswith("float") else ""
        raise ArchiveError(f"{shown(path)}: found {kind}{', '.join(types)}; expected {expected}.")
    check_size(dataset, path)
    size = (dataset.height, dataset.width)
    check_placement(dataset.crs, tuple(dataset.transform), size, shown(path), ArchiveError)


def check_label(dataset: Any, path: str) -> None:
    """Refuse an open label of other bands or types, or of an absurd size.

    Raises:
        ArchiveError: It is one.
    """
    expected = "one band of uint8 with 0 and 255 (mine), or 0 and 1 (mine)"
    if dataset.count != 1:
        raise ArchiveError(f"{shown(path)}: found {counted(dataset.count, 'band')}; expected {expected}.")
    if np.dtype(dataset.dtypes[0]).kind not in "iu":
        raise ArchiveError(f"{shown(path)}: found {dataset.dtypes[0]}; expected {expected}.")
    check_size(dataset, path)


def check_size(dataset: Any, path: str) -> None:
    """Refuse an absurd size in a header before anything is read.

    Raises:
        ArchiveError: It is one.
    """
    if dataset.height * dataset.width > _LARGEST_SCENE:
        raise ArchiveError(
            f"{shown(path)}: found a header of {dataset.height} x {dataset.width} pixels; expected "
            f"a scene of at most {_LARGEST_SCENE} pixels."
        )
    check_blocks(dataset, path, ArchiveError)


def check_same_place(dataset: Any, path: str, first: Any, first_path: str) -> None:
    """Refuse a year or label on another grid than the site's first image.

    Raises:
        ArchiveError: It lies on another grid.
    """
    if (dataset.height, dataset.width) != (first.height, first.width):
        raise ArchiveError(
            f"{shown(path)}: found {dataset.height} x {dataset.width} pixels; expected {first.height} x "
            f"{first.width} as in {shown(first_path)}."
        )
    if dataset.crs and dataset.crs != first.crs:
        raise ArchiveError(
            f"{shown(path)}: found the CRS {crs_name(dataset.crs)}; expected {crs_name(first.crs)} as in "
            f"{shown(first_path)}."
        )
    if not dataset.transform.is_identity:  # the identity is how a label without georeferencing reads
        shift = _corner_shift(first.transform, dataset.transform, first.height, first.width)
        if not shift <= _LARGEST_SHIFT:
            raise ArchiveError(
                f"{shown(path)}: found a grid {shift:.3g} pixels away from {shown(first_path)}; "
                f"expected the same geotransform within {_LARGEST_SHIFT} pixel."
            )


def _corner_shift(first: Any, second: Any, height: int, width: int) -> float:
    """The furthest that a corner of the second raster lies from the first's, in pixels of the first."""
    to_pixels = ~first
    shifts = []
    for corner in ((0, 0), (width, 0), (0, height), (width, height)):
        column, row = _apply(to_pixels, *_apply(second, *corner))
        shifts += [abs(column - corner[0]), abs(row - corner[1])]
    return math.nan if any(map(math.isnan, shifts)) else max(shifts)


def _apply(transform: Sequence[float], column: float, row: float) -> tuple[float, float]:
    a, b, c, d, e, f = transform[:6]
    return a * column + b * row + c, d * column + e * row + f
