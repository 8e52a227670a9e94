"""The flow of ground between the classes of two years, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from .formatting import hectares

_WIDTH = 820
_BAR, _LABEL = 14, 245
_TOP, _BOTTOM = 30, 10
# Between bars, and at least between the middles of labels.
_GAP, _LINE = 8, 17
_LEAST_HEIGHT, _ROW = 240, 30
_FONT_SIZE = 13
_MUTED = "#5b6675"


@dataclass(frozen=True)
class _Bar:
    """A class on one side of the flow: its height in hectares and its place from the top in pixels."""

    name: str
    area: float
    top: float


def flow_chart(
    flows: Mapping[tuple[str, str], float],
    order: Sequence[str],
    colours: Mapping[str, str],
    years: tuple[int, int],
    *,
    headings: tuple[str, str] | None = None,
    label_widths: tuple[int, int] = (_LABEL, _LABEL),
    title: str = "",
) -> str:
    """The flow of ground between the classes of two years: bars as high as areas, and bands between them.

    Args:
        flows: Hectares by the class in the earlier and in the later year.
        order: The classes from top to bottom.
        colours: Their colours.
        years: The two years; a side whose classes are years themselves has 0.
        headings: The headings of both sides; by default the years.
        label_widths: Room for the names of both sides, of 720 in all.
        title: The text alternative for screen readers.
    """
    sides = [
        {name: sum(area for pair, area in flows.items() if pair[side] == name) for name in order}
        for side in (0, 1)
    ]
    counts = [sum(area > 0 for area in side.values()) for side in sides]
    height = max(_LEAST_HEIGHT, _ROW * max(counts))
    # Bars and their gaps fill the taller side.
    scale = min(
        (height - _GAP * (count - 1)) / max(sum(side.values()), 1e-9)
        for count, side in zip(counts, sides, strict=True)
    )
    left, right = (_stacked(side, scale) for side in sides)
    ends = label_widths[0], _WIDTH - label_widths[1] - _BAR
    parts = _bands(flows, order, left, right, ends, scale, colours, years)
    names = (str(years[0]), str(years[1])) if headings is None else headings
    for bars, x, anchor, offset, year, heading in (
        (left, ends[0], "end", -6, years[0], names[0]),
        (right, ends[1], "start", _BAR + 6, years[1], names[1]),
    ):
        parts += _drawn_bars(bars, x, scale, colours, year)
        parts += _labels(bars, x + offset, anchor, scale, _TOP + height)
        parts.append(_text(x + offset, _TOP - 14, heading, anchor, bold=True))
    whole = height + _TOP + _BOTTOM
    return (
        f'<svg class="chart flow" style="max-width: 50rem" role="img" viewBox="0 0 {_WIDTH} {whole}" '
        f'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _stacked(areas: Mapping[str, float], scale: float) -> list[_Bar]:
    bars, top = [], float(_TOP)
    for name, area in areas.items():
        if area > 0:
            bars.append(_Bar(name, area, top))
            top += area * scale + _GAP
    return bars


def _bands(
    flows: Mapping[tuple[str, str], float],
    order: Sequence[str],
    left: Sequence[_Bar],
    right: Sequence[_Bar],
    sides: tuple[int, int],
    scale: float,
    colours: Mapping[str, str],
    years: tuple[int, int],
) -> list[str]:
    """A band for each flow, in the order of both sides so that bands cross as little as they can."""
    starts, ends = ({bar.name: bar.top for bar in bars} for bars in (left, right))
    x_1, x_2 = sides[0] + _BAR, sides[1]
    middle = (x_1 + x_2) / 2
    parts = []
    for before in order:
        for after in order:
            area = flows.get((before, after), 0)
            if not area:
                continue
            thickness = area * scale
            top_1, top_2 = starts[before], ends[after]
            starts[before] += thickness
            ends[after] += thickness
            low_1, low_2 = top_1 + thickness, top_2 + thickness
            path = (
                f"M{x_1} {top_1:.1f}C{middle:.0f} {top_1:.1f} {middle:.0f} {top_2:.1f} {x_2} {top_2:.1f}"
                f"V{low_2:.1f}C{middle:.0f} {low_2:.1f} {middle:.0f} {low_1:.1f} {x_1} {low_1:.1f}z"
            )
            words = f"{_in_year(before, years[0])}, {_in_year(after, years[1])}: {hectares(area)} ha"
            parts.append(
                f'<path d="{path}" fill="{colours[before]}" '
                f'fill-opacity="{0.25 if before == after else 0.55}"><title>{escape(words)}</title></path>'
            )
    return parts


def _drawn_bars(
    bars: Sequence[_Bar], x: float, scale: float, colours: Mapping[str, str], year: int
) -> list[str]:
    return [
        f'<rect x="{x}" y="{bar.top:.1f}" width="{_BAR}" height="{max(bar.area * scale, 1):.1f}" '
        f'fill="{colours[bar.name]}" stroke="#000" stroke-opacity=".35" stroke-width=".5">'
        f"<title>{escape(f'{_in_year(bar.name, year)}: {hectares(bar.area)} ha')}</title></rect>"
        for bar in bars
    ]


def _labels(bars: Sequence[_Bar], x: float, anchor: str, scale: float, bottom: float) -> list[str]:
    """A label beside the middle of each bar, moved where those above and below would be too near."""
    places: list[float] = []
    for bar in bars:
        middle = bar.top + bar.area * scale / 2
        places.append(max(middle, places[-1] + _LINE) if places else middle)
    for below in range(1, len(places) + 1):
        places[-below] = min(places[-below], bottom - (below - 1) * _LINE)
    return [
        _text(x, place + 4, f"{bar.name} {hectares(bar.area)} ha", anchor)
        for bar, place in zip(bars, places, strict=True)
    ]


def _in_year(name: str, year: int) -> str:
    return f"{name} in {year}" if year else name


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="700"' if bold else ""
    return (
        f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}" font-size="{_FONT_SIZE}"{weight} '
        f'fill="{_MUTED}">{escape(text)}</text>'
    )
