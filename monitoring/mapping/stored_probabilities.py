"""Probabilities as float32, or as whole numbers with a scale, which take a fraction of the bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import ArgumentError

from .geotiffs import CogWriter

PROBABILITY_TYPES = ("float32", "uint16", "uint8")
# The number that stands for a probability of 1. The largest of a type stands for no data.
_STEPS = {"uint16": 10_000, "uint8": 250}


def check_probability_type(name: str) -> None:
    """Refuse a type in which no map of probability is stored.

    Raises:
        ArgumentError: It is none of `PROBABILITY_TYPES`.
    """
    if name not in PROBABILITY_TYPES:
        raise ArgumentError(f"probability_type: found {name!r}; expected float32, uint16 or uint8.")


def scale_of(probability_type: str) -> float | None:
    """The factor from a type's numbers to probabilities; None for float32."""
    steps = _STEPS.get(probability_type)
    return None if steps is None else 1 / steps


def nodata_of(probability_type: str) -> float:
    """The number of pixels without data."""
    return float(np.iinfo(probability_type).max) if probability_type in _STEPS else float("nan")


def encode_probability(
    probability: NDArray[np.float32], probability_type: str, threshold: float = 0.5
) -> NDArray[Any]:
    """Probabilities as they are stored.

    Args:
        probability: float32 of any shape, 0 to 1, NaN without data.
        probability_type: One of `PROBABILITY_TYPES`.
        threshold: Whole numbers stay on the side of it on which the probability is, so that footprints
            without smoothing, and those of medians of three years, are the same for all types.

    Returns:
        The same shape. Whole numbers are the nearest ones, or, at the threshold, the next.
    """
    if probability_type not in _STEPS:
        return probability
    limit, steps = np.float32(threshold), _STEPS[probability_type]
    known = ~np.isnan(probability)
    numbers = np.rint(np.where(known, probability, 0) * np.float32(steps))
    stored = _decoded(numbers, steps)
    is_above = probability > limit
    numbers += is_above & (stored <= limit)
    numbers -= ~is_above & (stored > limit)
    return np.where(known, numbers, nodata_of(probability_type)).astype(probability_type)


def decode_probability(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Stored probabilities of any of the types -> float32, NaN without data."""
    name = stored.dtype.name
    if name not in _STEPS:
        return stored
    probability = _decoded(stored, _STEPS[name])
    probability[stored == nodata_of(name)] = np.nan
    return probability


def _decoded(numbers: NDArray[Any], steps: int) -> NDArray[np.float32]:
    return np.asarray(numbers / np.float64(steps), np.float32)


class ProbabilityWriter(CogWriter):
    """A `CogWriter` of probabilities, which takes float32 and stores another type.

    Args:
        path: As for `CogWriter`.
        grid: As for `CogWriter`.
        probability_type: One of `PROBABILITY_TYPES`.
        threshold: As for `encode_probability`.
        options: As for `CogWriter`: description, style and record.
    """

    def __init__(
        self, path: Any, grid: Any, probability_type: str, threshold: float = 0.5, **options: Any
    ) -> None:
        super().__init__(
            path,
            grid,
            probability_type,
            nodata_of(probability_type),
            resampling="average",
            scale=scale_of(probability_type),
            **options,
        )
        self._threshold = threshold

    def write(self, rows: NDArray[Any]) -> None:
        """Write the next rows, (rows, width) float32, as `CogWriter.write` does."""
        super().write(encode_probability(rows, self.dtype.name, self._threshold))
