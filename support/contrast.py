"""Contrast stretches of imagery for display."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Percentiles shown as black and as white.
_DARKEST, _BRIGHTEST = 1.0, 99.0
# Lifts the shadows slightly.
_GAMMA = 0.8
_NO_DATA = 128

Limits = tuple[NDArray[np.float64], NDArray[np.float64]]


def contrast_limits(pixels: NDArray[Any]) -> Limits:
    """The values shown as black and as white in each band.

    Args:
        pixels: (pixels, bands), those with data; there may be none.
    """
    if not len(pixels):
        pixels = np.zeros((1, pixels.shape[-1]), np.float32)
    low, high = np.percentile(pixels, (_DARKEST, _BRIGHTEST), axis=0)
    return low, high


def stretched(values: NDArray[Any], limits: Limits) -> NDArray[np.uint8]:
    """Values (..., bands) as bytes, each band stretched to the full range; grey for NaN."""
    shown = np.empty(values.shape, np.uint8)
    # Band by band, as arithmetic along an axis of three is slow; bytes need no float64.
    for band, (low, high) in enumerate(zip(*limits, strict=True)):
        shares = np.subtract(values[..., band], low, dtype=np.float32)
        shares /= np.float32(max(high - low, 1))
        np.clip(shares, 0, 1, out=shares)
        np.power(shares, np.float32(_GAMMA), out=shares)
        shares *= 255
        np.rint(shares, out=shares)
        if (unknown := np.isnan(shares)).any():
            shares[unknown] = _NO_DATA
        shown[..., band] = shares
    return shown
