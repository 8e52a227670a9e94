"""SVG charts of indices in two zones, and of the states of recovery by year."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from .charts import BOTTOM, HEIGHT, TOP, drawing, linear, short, value_axis, year_axis, year_scale
from .formatting import hectares
from .ticks import nice_ticks

# Of a year's bar, and at most in pixels.
_BAR_SHARE, _BAR_WIDTH = 0.62, 34


def zone_curves(
    years: Sequence[int],
    means: Mapping[str, Sequence[float]],
    colours: Mapping[str, str],
    spread: Sequence[float] | None = None,
    *,
    title: str = "",
) -> str:
    """An index by year in several zones, with the spread of the first as a band.

    Args:
        years: The years, sorted.
        means: The mean in each zone by year, NaN where it is unknown, which leaves a gap.
        colours: The colour of each zone.
        spread: The standard deviation in the first zone by year.
        title: The text alternative for screen readers.
    """
    first = next(iter(means.values()))
    around = [0.0] * len(years) if spread is None else spread
    edges = [*(mean - wide for mean, wide in zip(first, around, strict=True))]
    edges += [mean + wide for mean, wide in zip(first, around, strict=True)]
    known = [value for value in (*edges, *(each for of in means.values() for each in of)) if value == value]
    ticks = nice_ticks(min(known, default=0.0), max(known, default=1.0), 4)
    x, y = year_scale(years), linear(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [*value_axis(ticks, y, "", signed=False), *year_axis(years, x)]
    for run in _runs(first):
        upper = [f"{short(x(years[place]))} {short(y(first[place] + around[place]))}" for place in run]
        lower = [f"{short(x(years[place]))} {short(y(first[place] - around[place]))}" for place in run]
        colour = colours[next(iter(means))]
        parts.append(
            f'<path d="M{"L".join([*upper, *reversed(lower)])}z" fill="{colour}" fill-opacity="0.14"/>'
        )
    for name, values in means.items():
        dash = "" if values is first else ' stroke-dasharray="5 4"'
        for run in _runs(values):
            line = "L".join(f"{short(x(years[place]))} {short(y(values[place]))}" for place in run)
            parts.append(f'<path d="M{line}" fill="none" stroke="{colours[name]}" stroke-width="2"{dash}/>')
            parts += [
                f'<circle cx="{short(x(years[place]))}" cy="{short(y(values[place]))}" r="3" '
                f'fill="{colours[name]}"><title>{escape(name)}, {years[place]}: {values[place]:.2f}</title>'
                "</circle>"
                for place in run
            ]
    return drawing(parts, title)


def stacked_bars(
    years: Sequence[int],
    areas: Mapping[str, Sequence[float]],
    colours: Mapping[str, str],
    *,
    title: str = "",
) -> str:
    """Hectares of several classes by year, on top of one another.

    Args:
        years: The years, sorted.
        areas: Hectares of each class by year, the lowest first.
        colours: The colour of each class.
        title: The text alternative for screen readers.
    """
    totals = [sum(of_year) for of_year in zip(*areas.values(), strict=True)]
    ticks = nice_ticks(0, max(totals, default=0.0), 4)
    x, y = year_scale(years), linear(0, ticks[-1], HEIGHT - BOTTOM, TOP)
    steps = [second - first for first, second in pairwise(years)]
    width = min(_BAR_WIDTH, _BAR_SHARE * (x(years[0] + min(steps)) - x(years[0]))) if steps else _BAR_WIDTH
    parts = [*value_axis(ticks, y, "ha"), *year_axis(years, x)]
    bottoms = [0.0] * len(years)
    for name, values in areas.items():
        for place, (year, value) in enumerate(zip(years, values, strict=True)):
            if value:
                top = bottoms[place] + value
                parts.append(
                    f'<rect x="{short(x(year) - width / 2)}" y="{short(y(top))}" width="{short(width)}" '
                    f'height="{short(y(bottoms[place]) - y(top))}" fill="{colours[name]}">'
                    f"<title>{escape(name)}, {year}: {hectares(value)} ha</title></rect>"
                )
                bottoms[place] = top
    return drawing(parts, title)


def _runs(values: Sequence[float]) -> list[list[int]]:
    """The places of consecutive known values."""
    runs: list[list[int]] = [[]]
    for place, value in enumerate(values):
        if math.isnan(value):
            runs.append([])
        else:
            runs[-1].append(place)
    return [run for run in runs if run]
