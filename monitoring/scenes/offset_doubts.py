"""Doubts about a scene's offset, from the pixels read so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from euromine.support.offset_check import OffsetCheck

from .band_names import REFLECTANCE_BANDS

_STEP = 4  # every fourth row and column is counted


def count_reflectances(
    check: OffsetCheck, image: NDArray[np.float32], valid: NDArray[np.bool_], bands: Sequence[str]
) -> None:
    """Count a window.

    Args:
        check: The counts, which grow.
        image: (bands, height, width) digital numbers.
        valid: Which pixels (height, width) have data.
        bands: Names of the bands; those without reflectance are left out.
    """
    sample = slice(None, None, _STEP)
    is_counted = valid[sample, sample]
    for numbers, band in zip(image, bands, strict=True):
        if band in REFLECTANCE_BANDS:
            check.add(numbers[sample, sample][is_counted])


def offset_doubt(check: OffsetCheck) -> str | None:
    """One or two sentences of warning if the offset looks wrong; None if it does not."""
    if check.lacks_dark:
        return (
            "Almost no reflectance is below 0.1: the scene shows clouds or snow, or processing baseline "
            "04.00 or later added 1000 to its numbers. In the second case, give --offset -1000."
        )
    if check.is_negative:
        return (
            f"{check.negative_share:.0%} of the reflectances are below 0: an offset was subtracted that the "
            "numbers do not contain, or a number marks pixels without data. In the first case, give "
            "--offset 0; in the second, that number with --nodata."
        )
    return None
