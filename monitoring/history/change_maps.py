"""Gain and loss between two footprints."""

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.mapping.map_values import GAIN, LOSS, NODATA


def change_map(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gain and loss between the footprints of two years.

    Args:
        first: The earlier footprint, 0 other, 1 mine, 255 unknown, of any shape.
        second: The later footprint, of the same shape.

    Returns:
        uint8: 0 no change, 1 gain, 2 loss, 255 where either footprint is unknown.

    Raises:
        ValueError: The shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"second: found the shape {second.shape}; expected {first.shape} like the first.")
    change = np.where(second == 1, np.uint8(GAIN), np.uint8(LOSS))
    change *= first != second  # NO_CHANGE is 0
    unknown = first == NODATA
    unknown |= second == NODATA
    change[unknown] = NODATA
    return change
