"""A check of digital numbers against their assumed offset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .sentinel2_products import BASELINE_OFFSET

# Scenes without clouds have shadows, water or vegetation, which are dark in one of the bands; with the right
# offset, few numbers are below 0.
_FEW_DARK, _MANY_NEGATIVE = 0.01, 0.05


class OffsetCheck:
    """Counts of dark and negative reflectances, which reveal a wrong offset."""

    def __init__(self) -> None:
        self._dark = self._negative = self._count = 0

    def add(self, numbers: NDArray[np.floating | np.integer]) -> None:
        """Count digital numbers of any shape, with their offset added and nodata left out."""
        self._dark += int(np.count_nonzero(numbers < -BASELINE_OFFSET))
        self._negative += int(np.count_nonzero(numbers < 0))
        self._count += numbers.size

    @property
    def lacks_dark(self) -> bool:
        """Whether almost no reflectance is below 0.1, as if 1000 were still in the numbers."""
        return bool(self._count) and self._dark < _FEW_DARK * self._count

    @property
    def negative_share(self) -> float:
        """The share of reflectances below 0."""
        return self._negative / self._count if self._count else 0.0

    @property
    def is_negative(self) -> bool:
        """Whether so many reflectances are below 0 that the numbers seem to have had no offset in them."""
        return self._negative > _MANY_NEGATIVE * self._count
