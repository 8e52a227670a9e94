"""Round numbers for the axes of charts and the frames of maps."""

import math


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` evenly spaced round numbers that cover `low` to `high`."""
    span = high - low
    if not span > 0:
        return [low, low + 1]
    step = nice_step(span / max(count, 1))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [place * step for place in range(first, last + 1)]


def nice_step(rough: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def step_decimals(step: float) -> int:
    """Decimals that multiples of a round step need."""
    return max(0, -math.floor(math.log10(step) + 1e-9))
