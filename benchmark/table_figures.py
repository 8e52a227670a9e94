"""Tables 4 to 6 as figures, and score against cost."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from euromine.modeling.tasks import CHANGE_DETECTION

from .table_rows import LAYOUTS, Row, TableLayout, figure_note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_table(rows: Sequence[Row], layout: TableLayout) -> bytes:
    """A table as a figure: each network's scores with their intervals, and its F1 by year or interval."""
    from matplotlib.ticker import MaxNLocator

    figure = _figure((13, max(3.6, 1.6 + 0.42 * len(rows))))
    panels: Any = figure.subplots(
        1, len(layout.headlines) + 1, width_ratios=[1] * len(layout.headlines) + [1.7]
    )
    places = list(range(len(rows)))[::-1]
    for axes, (_, name, title) in zip(panels, layout.headlines, strict=False):
        for place, row in zip(places, rows, strict=True):
            score = row.headlines[name]
            low, high = score.interval or (score.mean, score.mean)
            axes.plot([low, high], [place, place], color="tab:blue", linewidth=2, alpha=0.5)
            axes.plot(score.mean, place, "o", color="tab:blue")
            if row.paper is not None and name in row.paper.scores:
                axes.plot(row.paper.scores[name], place, "D", color="black", markerfacecolor="none")
        axes.set(yticks=places, title=title)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_yticklabels([row.network for row in rows] if axes is panels[0] else [])
        axes.grid(axis="x", alpha=0.3)
    lines: Axes = panels[-1]
    for number, row in enumerate(rows):
        values = [score.mean for score in row.parts.values()]
        style = ("-", "--", ":")[number // 10 % 3]
        lines.plot(
            list(row.parts), values, f"o{style}", markersize=3, label=row.network, color=f"C{number % 10}"
        )
    lines.set(title=f"F1 by {layout.part}")
    lines.tick_params(axis="x", labelrotation=45 if layout.part == "year" else 0)
    lines.grid(alpha=0.3)
    lines.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(f"Table {layout.number}: {layout.title}{figure_note(rows)}")
    figure.supxlabel(
        "dot and bar: mean over seeds and 95 % over test sites; diamond: the paper's", fontsize=8
    )
    return _png(figure)


def draw_efficiency(tables: Mapping[str, Sequence[Row]]) -> bytes:
    """Each table's first score over the work of one image or pair."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = _figure((4.6 * len(tables) + 0.6, 4.2))
    panels: Any = figure.subplots(1, len(tables), squeeze=False)
    for axes, (task, rows) in zip(panels[0], tables.items(), strict=True):
        layout = LAYOUTS[task]
        name, title = layout.headlines[0][1:]
        by_score = sorted(rows, key=lambda row: float(row.headlines[name].mean))
        for number, row in enumerate(by_score):
            costs, score = row.runs[0].record.costs, row.headlines[name]
            axes.scatter(costs.gmacs, score.mean, s=12 + 4 * costs.parameters / 1e6, alpha=0.6)
            # Names above and below in turn: dots on one level are neighbours in this order.
            place = {"xytext": (5, 4 if number % 2 else -10), "textcoords": "offset points", "fontsize": 7}
            axes.annotate(row.network, (costs.gmacs, score.mean), **place)
        axes.set(
            xscale="log",
            xlabel=f"GMAC of one {'pair' if task == CHANGE_DETECTION else 'image'}",
            ylabel=title,
            title=f"Table {layout.number}",
        )
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda gmacs, _: f"{gmacs:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.25, y=0.1)  # room for the last name
        axes.grid(alpha=0.3)
    rows = next(iter(tables.values()))
    figure.suptitle(f"Score and work; a dot's area follows the parameters{figure_note(rows)}")
    return _png(figure)


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    return picture.getvalue()
