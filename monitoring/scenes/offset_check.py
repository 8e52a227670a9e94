"""A check of the pixels read from a scene against its offset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from euromine.support.sentinel2_products import BASELINE_OFFSET

from .band_names import REFLECTANCE_BANDS

# Scenes without clouds have shadows, water or vegetation, which are dark in one of the bands; with the right
# offset, few numbers are below 0.
_FEW_DARK, _MANY_NEGATIVE = 0.01, 0.05
_STEP = 4  # every fourth row and column is counted


class OffsetCheck:
    """Counts of dark and negative reflectances, by which a wrong offset shows."""

    def __init__(self) -> None:
        self._dark = self._negative = self._count = 0

    def add(self, image: NDArray[np.float32], valid: NDArray[np.bool_], bands: Sequence[str]) -> None:
        """Count a window.

        Args:
            image: (bands, height, width) digital numbers.
            valid: Which pixels (height, width) have data.
            bands: Names of the bands; those without reflectance are left out.
        """
        sample = slice(None, None, _STEP)
        is_counted = valid[sample, sample]
        for values, band in zip(image, bands, strict=True):
            if band in REFLECTANCE_BANDS:
                counted = values[sample, sample][is_counted]
                self._dark += int(np.count_nonzero(counted < -BASELINE_OFFSET))
                self._negative += int(np.count_nonzero(counted < 0))
                self._count += counted.size

    def doubt(self) -> str | None:
        """One or two sentences of warning if the offset looks wrong; None if it does not."""
        if self._count and self._dark < _FEW_DARK * self._count:
            return (
                "Almost no reflectance is below 0.1: the scene shows clouds or snow, or processing baseline "
                "04.00 or later added 1000 to its numbers. In the second case, give --offset -1000."
            )
        if self._negative > _MANY_NEGATIVE * self._count:
            return (
                f"{self._negative / self._count:.0%} of the reflectances are below 0: an offset may have "
                "been subtracted that the numbers do not contain. If so, give --offset 0."
            )
        return None
