"""SVG charts of a report: area by year, gains and losses.

Colours are written as attributes for PDF engines; in a browser the page's style sheet overrides them by
class, so that charts follow light and dark mode. Coordinates are rounded to keep the page small.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from euromine.monitoring.mapping import colours

from .formatting import EN_DASH, grouped, hectares, sign
from .ticks import nice_ticks, step_decimals

# From a value to a coordinate in the drawing.
Scale = Callable[[float], float]

_GAIN, _LOSS = colours.hex_colour(colours.GAIN), colours.hex_colour(colours.LOSS)
_INK, _MUTED, _RULE = "#1d2430", "#5b6675", "#d5dae1"
_WIDTH, HEIGHT = 460, 250
# On the left, +15 000 ha has room.
_LEFT, _RIGHT, TOP, BOTTOM = 66, 14, 14, 30
# Between the frame and the first and the last year of a curve.
_INSET = 14
_FONT_SIZE = 12
# A year's label needs so much room.
_LABEL_WIDTH = 36


def area_curve(
    years: Sequence[int],
    areas: Sequence[float],
    *,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    adjusted: Sequence[float] | None = None,
    title: str = "",
) -> str:
    """Area by year as a curve, with its interval as a band where there is one.

    Args:
        years: The years, sorted. Years without an image leave a wider step, not a gap.
        areas: Mapped area of each, hectares.
        low: Lower ends of the intervals.
        high: Upper ends.
        adjusted: The estimates that the intervals belong to, dashed.
        title: The text alternative for screen readers.
    """
    ticks = nice_ticks(0, max([*areas, *(high or ()), *(adjusted or ())]), 4)
    x, y = year_scale(years), linear(0, ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [*value_axis(ticks, y, "ha"), *year_axis(years, x)]
    if low is not None and high is not None:
        upper, lower = _points(years, high, x, y), _points(years, low, x, y)
        parts.append(
            f'<path class="band" d="M{"L".join([*upper, *reversed(lower)])}z" fill="{_GAIN}" '
            'fill-opacity="0.18"/>'
        )
    if adjusted is not None:
        line = "L".join(_points(years, adjusted, x, y))
        parts.append(
            f'<path class="adjusted" d="M{line}" fill="none" stroke="{_GAIN}" stroke-width="1.5" '
            'stroke-dasharray="4 3"/>'
        )
    line = "L".join(_points(years, areas, x, y))
    parts.append(f'<path class="line" d="M{line}" fill="none" stroke="{_INK}" stroke-width="2"/>')
    for year, value in zip(years, areas, strict=True):
        parts.append(
            f'<circle class="dot" cx="{short(x(year))}" cy="{short(y(value))}" r="3.4" fill="{_INK}">'
            f"<title>{year}: {hectares(value)} ha</title></circle>"
        )
    return drawing(parts, title)


def class_curves(
    years: Sequence[int],
    areas: Mapping[str, Sequence[float]],
    class_colours: Mapping[str, str],
    *,
    title: str = "",
) -> str:
    """The area of several classes by year, a curve in the colour of each.

    Args:
        years: The years, sorted.
        areas: Hectares of each class in each year, by its name.
        class_colours: Colours such as "#c1440e" by name.
        title: The text alternative for screen readers.
    """
    ticks = nice_ticks(0, max((max(values) for values in areas.values()), default=0.0), 4)
    x, y = year_scale(years), linear(0, ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [*value_axis(ticks, y, "ha"), *year_axis(years, x)]
    for name, values in areas.items():
        colour = class_colours[name]
        line = "L".join(_points(years, values, x, y))
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{short(x(year))}" cy="{short(y(value))}" r="3" fill="{colour}">'
            f"<title>{escape(name)}, {year}: {hectares(value)} ha</title></circle>"
            for year, value in zip(years, values, strict=True)
        ]
    return drawing(parts, title)


def gain_and_loss_bars(
    pairs: Sequence[tuple[int, int]],
    gains: Sequence[float],
    losses: Sequence[float],
    *,
    title: str = "",
) -> str:
    """Gained area upwards and lost area downwards, one bar for each pair of years.

    Args:
        pairs: The years of each bar, the earlier first.
        gains: Hectares gained in each.
        losses: Hectares lost in each.
        title: The text alternative for screen readers.
    """
    ticks = nice_ticks(-max(losses), max(gains), 4)
    y = linear(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    step = (_WIDTH - _LEFT - _RIGHT) / len(pairs)
    width = min(step * 0.62, 44)
    parts = value_axis(ticks, y, "ha", signed=True)
    every = _label_interval(len(pairs), step)
    for place, (pair, gain, loss) in enumerate(zip(pairs, gains, losses, strict=True)):
        center = _LEFT + (place + 0.5) * step
        parts += [
            _bar(center, width, y, value, kind, colour, pair)
            for value, kind, colour in ((gain, "gain", _GAIN), (-loss, "loss", _LOSS))
            if value
        ]
        if place % every == 0:
            parts.append(_text(center, HEIGHT - BOTTOM + 18, str(pair[1]), "middle"))
    parts.append(
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{short(y(0))}" y2="{short(y(0))}" '
        f'stroke="{_MUTED}"/>'
    )
    return drawing(parts, title)


def _bar(
    center: float, width: float, y: Scale, value: float, kind: str, colour: str, pair: tuple[int, int]
) -> str:
    top, bottom = sorted((y(0), y(value)))
    return (
        f'<rect class="{kind}" x="{short(center - width / 2)}" y="{short(top)}" '
        f'width="{short(width)}" height="{short(bottom - top)}" fill="{colour}">'
        f"<title>{pair[0]}{EN_DASH}{pair[1]}: {hectares(value, signed=True)} ha</title></rect>"
    )


def _points(years: Sequence[int], values: Sequence[float], x: Scale, y: Scale) -> list[str]:
    return [f"{short(x(year))} {short(y(value))}" for year, value in zip(years, values, strict=True)]


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """The scale from `low` at `start` to `high` at `end`."""

    def scale(value: float) -> float:
        return start + (value - low) / (high - low) * (end - start)

    return scale


def year_scale(years: Sequence[int]) -> Scale:
    """The scale of a chart's years."""
    if len(years) == 1:
        return lambda year: (_LEFT + _WIDTH - _RIGHT) / 2
    return linear(years[0], years[-1], _LEFT + _INSET, _WIDTH - _RIGHT - _INSET)


def value_axis(ticks: Sequence[float], y: Scale, unit: str, *, signed: bool = False) -> list[str]:
    """Lines and labels of round values."""
    parts = []
    for place, tick in enumerate(ticks):
        parts.append(
            f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{short(y(tick))}" '
            f'y2="{short(y(tick))}" stroke="{_RULE}"/>'
        )
        label = _tick_label(tick, ticks[1] - ticks[0], signed=signed)
        if place == len(ticks) - 1:
            label += f" {unit}"
        parts.append(_text(_LEFT - 6, y(tick) + 4, label, "end"))
    return parts


def _tick_label(value: float, step: float, *, signed: bool) -> str:
    if abs(value) < step / 2:
        return "0"
    return sign(value, signed=signed) + grouped(abs(value), step_decimals(step))


def year_axis(years: Sequence[int], x: Scale) -> list[str]:
    """Labels of the years that have room."""
    step = (_WIDTH - _LEFT - _RIGHT - 2 * _INSET) / max(years[-1] - years[0], 1)
    every = _label_interval(len(years), step)
    return [
        _text(x(year), HEIGHT - BOTTOM + 18, str(year), "middle")
        for place, year in enumerate(years)
        if place % every == 0
    ]


def _label_interval(count: int, step: float) -> int:
    """N where every n-th label has room."""
    return max(1, math.ceil(_LABEL_WIDTH / step)) if count > 1 else 1


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{short(x)}" y="{short(y)}" text-anchor="{anchor}" font-size="{_FONT_SIZE}" '
        f'fill="{_MUTED}">{escape(text)}</text>'
    )


def short(value: float) -> str:
    """A coordinate to a tenth of a pixel."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def drawing(parts: Sequence[str], title: str) -> str:
    """A chart of these parts."""
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {_WIDTH} {HEIGHT}" xmlns="http://www.w3.org/2000/svg" '
        f'font-family="sans-serif" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
