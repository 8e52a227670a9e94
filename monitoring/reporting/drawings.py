"""Drawings of a report: outlines of footprints, the curve of areas, gains and losses, as SVG.

Colours stand as attributes for whatever prints the page; a browser's style sheet overrides them by class, so
that they follow the page into the dark. Numbers are rounded, because digits are most of a drawing's bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# From a value to a place in the drawing.
Scale = Callable[[float], float]

# Light to dark from the oldest year to the newest; lightness falls steadily, for every kind of sight.
_RAMP = ((255, 243, 161), (255, 210, 63), (255, 154, 46), (244, 81, 44), (195, 24, 79), (122, 15, 92))
GAIN_COLOUR, LOSS_COLOUR, UNDIRECTED_COLOUR = "#d9650b", "#2563c9", "#8a63b8"

_INK, _MUTED, _RULE = "#1d2430", "#5b6675", "#d5dae1"
_WIDTH, _HEIGHT = 460, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 14, 30
_FONT = 12


def year_colour(position: float) -> str:
    """The colour of a year, "#rrggbb".

    Args:
        position: 0 for the oldest year to 1 for the newest.
    """
    return "#{:02x}{:02x}{:02x}".format(*(round(channel) for channel in _ramp(np.asarray(position))))


def year_colours(positions: NDArray[np.float64]) -> NDArray[np.uint8]:
    """As `year_colour`, for an array: (..., 3) uint8."""
    return _ramp(positions).round().astype(np.uint8)


def _ramp(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    anchors = np.asarray(_RAMP, dtype=np.float64)
    places = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(positions, places, anchors[:, channel]) for channel in range(3)], axis=-1)


def outline_path(mask: NDArray[np.bool_]) -> str:
    """The boundary of a mask as the `d` of an SVG path, along the pixels' edges, in pixels.

    Holes are rings of their own: filled, they need `fill-rule="evenodd"`.

    Args:
        mask: (height, width).
    """
    from rasterio.features import shapes

    parts = []
    for geometry, _ in shapes(mask.astype(np.uint8), mask=mask, connectivity=4):
        for ring in geometry["coordinates"]:
            points = [(round(x), round(y)) for x, y in ring]
            parts.append(_ring(points))
    return "".join(parts)


def _ring(points: Sequence[tuple[int, int]]) -> str:
    """A closed ring of level and upright edges, each told by its length alone."""
    path = [f"M{points[0][0]} {points[0][1]}"]
    for (x_1, y_1), (x_2, y_2) in pairwise(points[:-1]):
        path.append(f"h{x_2 - x_1}" if y_1 == y_2 else f"v{y_2 - y_1}")
    return "".join(path) + "z"


def number(value: float, signed: bool = False) -> str:
    """A number of hectares as people read it: three digits that say something, thousands set apart."""
    magnitude = abs(value)
    decimals = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2
    text = f"{magnitude:,.{decimals}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if float(f"{magnitude:.{decimals}f}") == 0:
        return "0"
    return ("\N{MINUS SIGN}" if value < 0 else "+" if signed else "") + text


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from at most `low` to at least `high`, evenly apart."""
    span = high - low
    if not span > 0:
        return [low, low + 1]
    step = nice_step(span / max(count, 1))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [place * step for place in range(first, last + 1)]


def nice_step(rough: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not under `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def area_curve(
    years: Sequence[int],
    areas: Sequence[float],
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    adjusted: Sequence[float] | None = None,
    title: str = "",
) -> str:
    """Area by year as a curve, with its interval as a band where there is one.

    Args:
        years: The years, sorted; the curve is broken nowhere, gaps show as a wider step.
        areas: Mapped area of each, hectares.
        low: Lower end of the interval.
        high: Upper end.
        adjusted: The estimate that the interval belongs to, dashed.
        title: What a person who cannot see it hears.
    """
    highest = max([*areas, *(high or ()), *(adjusted or ()), 1e-9])
    ticks = nice_ticks(0, highest, 4)
    x, y = _year_scale(years), _linear(0, ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    parts = [*_value_axis(ticks, y, "ha"), *_year_axis(years, x)]
    if low is not None and high is not None:
        upper, lower = _points(years, high, x, y), _points(years, low, x, y)
        parts.append(
            f'<path class="band" d="M{"L".join([*upper, *reversed(lower)])}z" fill="{GAIN_COLOUR}" '
            'fill-opacity="0.18"/>'
        )
    if adjusted is not None:
        line = "L".join(
            f"{_short(x(year))} {_short(y(value))}" for year, value in zip(years, adjusted, strict=True)
        )
        parts.append(
            f'<path class="adjusted" d="M{line}" fill="none" stroke="{GAIN_COLOUR}" stroke-width="1.5" '
            'stroke-dasharray="4 3"/>'
        )
    line = "L".join(_points(years, areas, x, y))
    parts.append(f'<path class="line" d="M{line}" fill="none" stroke="{_INK}" stroke-width="2"/>')
    for year, value in zip(years, areas, strict=True):
        parts.append(
            f'<circle class="dot" cx="{_short(x(year))}" cy="{_short(y(value))}" r="3.4" fill="{_INK}">'
            f"<title>{year}: {number(value)} ha</title></circle>"
        )
    return _drawing(parts, title)


def gain_and_loss_bars(
    pairs: Sequence[tuple[int, int]], gains: Sequence[float], losses: Sequence[float], title: str = ""
) -> str:
    """Gained area upwards and lost area downwards, one bar a step from a year to the next.

    Args:
        pairs: The years of each step.
        gains: Hectares gained in each.
        losses: Hectares lost in each.
        title: What a person who cannot see it hears.
    """
    highest, lowest = max([*gains, 1e-9]), max([*losses, 1e-9])
    ticks = nice_ticks(-lowest, highest, 4)
    y = _linear(ticks[0], ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    step = (_WIDTH - _LEFT - _RIGHT) / len(pairs)
    width = min(step * 0.62, 44)
    parts = _value_axis(ticks, y, "ha", signed=True)
    every = _every(len(pairs), step)
    for place, ((first, second), gain, loss) in enumerate(zip(pairs, gains, losses, strict=True)):
        center = _LEFT + (place + 0.5) * step
        for value, kind, colour in ((gain, "gain", GAIN_COLOUR), (-loss, "loss", LOSS_COLOUR)):
            top, bottom = sorted((y(0), y(value)))
            if value:
                parts.append(
                    f'<rect class="{kind}" x="{_short(center - width / 2)}" y="{_short(top)}" '
                    f'width="{_short(width)}" height="{_short(bottom - top)}" fill="{colour}">'
                    f"<title>{first}\N{EN DASH}{second}: {number(value, signed=True)} ha</title></rect>"
                )
        if place % every == 0:
            parts.append(_text(center, _HEIGHT - _BOTTOM + 18, str(second), "middle"))
    parts.append(
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_short(y(0))}" y2="{_short(y(0))}" '
        f'stroke="{_MUTED}"/>'
    )
    return _drawing(parts, title)


def _points(years: Sequence[int], values: Sequence[float], x: Scale, y: Scale) -> list[str]:
    return [f"{_short(x(year))} {_short(y(value))}" for year, value in zip(years, values, strict=True)]


def _linear(low: float, high: float, start: float, end: float) -> Scale:
    def scale(value: float) -> float:
        return start + (value - low) / (high - low) * (end - start)

    return scale


def _year_scale(years: Sequence[int]) -> Scale:
    if len(years) == 1:
        return lambda year: (_LEFT + _WIDTH - _RIGHT) / 2
    return _linear(years[0], years[-1], _LEFT + 14, _WIDTH - _RIGHT - 14)


def _value_axis(ticks: Sequence[float], y: Scale, unit: str, signed: bool = False) -> list[str]:
    parts = []
    for place, tick in enumerate(ticks):
        parts.append(
            f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_short(y(tick))}" '
            f'y2="{_short(y(tick))}" stroke="{_RULE}"/>'
        )
        label = _tick_label(tick, ticks[1] - ticks[0], signed) + (
            f" {unit}" if place == len(ticks) - 1 else ""
        )
        parts.append(_text(_LEFT - 6, y(tick) + 4, label, "end"))
    return parts


def _tick_label(value: float, step: float, signed: bool) -> str:
    """A round number with as many decimals as its neighbours need."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{abs(value):,.{decimals}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if abs(value) < step / 2:
        return "0"
    return ("\N{MINUS SIGN}" if value < 0 else "+" if signed else "") + text


def _year_axis(years: Sequence[int], x: Scale) -> list[str]:
    step = (_WIDTH - _LEFT - _RIGHT - 28) / max(years[-1] - years[0], 1)
    every = _every(len(years), step)
    return [
        _text(x(year), _HEIGHT - _BOTTOM + 18, str(year), "middle")
        for place, year in enumerate(years)
        if place % every == 0
    ]


def _every(count: int, step: float) -> int:
    """Every how many-th label has room."""
    return max(1, math.ceil(36 / step)) if count > 1 else 1


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{_short(x)}" y="{_short(y)}" text-anchor="{anchor}" font-size="{_FONT}" '
        f'fill="{_MUTED}">{escape(text)}</text>'
    )


def _short(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _drawing(parts: Sequence[str], title: str) -> str:
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" xmlns="http://www.w3.org/2000/svg" '
        f'font-family="sans-serif" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
