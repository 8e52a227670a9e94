"""Statistics of a band written row by row, as GDAL and GIS programs store them with a raster."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Numbers counted at once, so that their copies take little memory.
_PART = 2**20


class BandStatistics:
    """Least, largest, mean, standard deviation and share of the pixels with data.

    Args:
        nodata: The number of pixels without data, None without one.
    """

    def __init__(self, nodata: float | None) -> None:
        self._nodata = nodata
        self._pixels = self._known = 0
        self._least, self._largest = math.inf, -math.inf
        self._mean = self._squares = 0.0

    def add(self, rows: NDArray[Any]) -> None:
        """Count rows of any shape."""
        numbers = rows.reshape(-1)
        for begin in range(0, rows.size, _PART):
            self._add(numbers[begin : begin + _PART])

    def _add(self, numbers: NDArray[Any]) -> None:
        """Merge means and squares as Chan, Golub and LeVeque (1979) do."""
        self._pixels += numbers.size
        known = _where(numbers, ~np.isnan(numbers)) if numbers.dtype.kind == "f" else numbers
        if self._nodata is not None and not math.isnan(self._nodata):
            known = _where(known, known != self._nodata)
        if not known.size:
            return
        self._least = min(self._least, float(known.min()))
        self._largest = max(self._largest, float(known.max()))
        mean = float(known.mean(dtype=np.float64))
        shifted = np.subtract(known, mean, dtype=np.float64)
        squares = float(np.square(shifted, out=shifted).sum())
        total, shift = self._known + known.size, mean - self._mean
        self._squares += squares + shift**2 * self._known * known.size / total
        self._mean += shift * known.size / total
        self._known = total

    @property
    def tags(self) -> dict[str, str]:
        """The statistics by GDAL's names; empty if no pixel has data."""
        if not self._known:
            return {}
        return {
            "STATISTICS_MINIMUM": f"{self._least:.17g}",
            "STATISTICS_MAXIMUM": f"{self._largest:.17g}",
            "STATISTICS_MEAN": f"{self._mean:.17g}",
            "STATISTICS_STDDEV": f"{math.sqrt(self._squares / self._known):.17g}",
            "STATISTICS_VALID_PERCENT": f"{100 * self._known / self._pixels:.4g}",
        }


def _where(numbers: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """The numbers under a mask, without a copy if these are all."""
    return numbers if mask.all() else numbers[mask]
