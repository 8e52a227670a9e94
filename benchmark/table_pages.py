"""The benchmark's Tables 4, 5 and 6 as Markdown, CSV and figures, the paper's numbers beside."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from euromine.modeling.auto import CHANGE_DETECTION, SEGMENTATION, list_models
from euromine.support import files
from euromine.training.model_cards import table

from .published import PublishedRow, published_table
from .results import BenchmarkRun, Score, joint_scores, parts_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POST_CLASSIFICATION = "post-classification"

PROTOCOLS = {
    "corrected": (
        "each pixel of a scene is counted once, in the patch that owns it; the corrected split; normalised "
        "with the training sites' own statistics; the checkpoint chosen on the validation sites"
    ),
    "paper": (
        "the pixels of whole patches are pooled, those in overlaps more than once and padding too; the "
        "official split, which names one training site twice and leaves one out; the published "
        "normalisation; the checkpoint chosen on the validation sites here, too"
    ),
}
_AVERAGES = {
    "site": "each site is scored from its own pixels, and sites are averaged, weighted by their pixels",
    "pooled": "the pixels of all sites are counted together",
}
UNREADABLE = "not readable"


@dataclass(frozen=True)
class TableLayout:
    """What stands in a table of the paper.

    Attributes:
        number: Its number in the paper.
        title: Its title.
        task: What its networks are trained for.
        headlines: Metric, score and header of each score over all years or intervals.
        parts: The metric whose F1 is shown part by part.
        part: What such a part is.
    """

    number: int
    title: str
    task: str
    headlines: tuple[tuple[str, str, str], ...]
    parts: str
    part: str


_OF_INTERVALS = (
    ("interval_f1", "of1_pooled", "OF1, all intervals together"),
    ("interval_f1", "of1_mean", "OF1, mean of the intervals"),
)
LAYOUTS: dict[str, TableLayout] = {
    SEGMENTATION: TableLayout(
        4,
        "Footprints by year",
        SEGMENTATION,
        (
            ("annual_f1", "of1", "OF1"),
            ("ca_tiou", "gca_tiou", "GCA-TIoU"),
            ("ca_tiou", "lca_tiou", "LCA-TIoU"),
        ),
        "annual_f1",
        "year",
    ),
    CHANGE_DETECTION: TableLayout(
        5, "Change detection by interval", CHANGE_DETECTION, _OF_INTERVALS, "interval_f1", "years between"
    ),
    POST_CLASSIFICATION: TableLayout(
        6, "Post-classification by interval", SEGMENTATION, _OF_INTERVALS, "interval_f1", "years between"
    ),
}


@dataclass(frozen=True)
class Row:
    """A network's row.

    Attributes:
        network: Its name.
        runs: Its runs, one a seed.
        headlines: Its scores over everything, by name.
        parts: Its F1 by year or interval.
        paper: Its row in the paper, where it has one.
    """

    network: str
    runs: tuple[BenchmarkRun, ...]
    headlines: dict[str, Score]
    parts: dict[str, Score]
    paper: PublishedRow | None


def rows_of(runs: Sequence[BenchmarkRun], layout: TableLayout) -> list[Row]:
    """The rows of a table, in the order of `list_models`."""
    rows = []
    for network in list_models(layout.task):
        own = tuple(run for run in runs if (run.task, run.architecture) == (layout.task, network))
        if not own:
            continue
        by_metric = {metric: joint_scores(own, metric) for metric in {layout.parts, *_metrics(layout)}}
        f1 = by_metric[layout.parts]["f1"]
        assert isinstance(f1, list)  # one score a part
        parts = [str(part) for part in parts_of(own[0], layout.parts)]
        headlines = {score: by_metric[metric][score] for metric, score, _ in layout.headlines}
        rows.append(
            Row(
                network,
                own,
                {name: score for name, score in headlines.items() if isinstance(score, Score)},
                dict(zip(parts, f1, strict=True)),
                published_table(layout.number).get(network),
            )
        )
    return rows


def _metrics(layout: TableLayout) -> set[str]:
    return {metric for metric, _, _ in layout.headlines}


def write_report(out: Path, runs: Sequence[BenchmarkRun], tasks: Sequence[str]) -> Path:
    """Write `tables.md`, a CSV file and a figure for each table, `runs.csv` and the figure of what it costs.

    Args:
        out: The folder, made if it is missing.
        runs: Runs that belong in one table (`read_runs` has looked).
        tasks: Which tables: "segmentation", "change-detection" and "post-classification".

    Returns:
        The path of `tables.md`.

    Raises:
        ValueError: There is no run of any of the tasks.
    """
    tables = {task: rows for task in tasks if (rows := rows_of(runs, LAYOUTS[task]))}
    if not tables:
        raise ValueError(f"there is no finished run of {', '.join(tasks)} to make a table of")
    out.mkdir(parents=True, exist_ok=True)
    shown = [run for rows in tables.values() for row in rows for run in row.runs]
    for task, rows in tables.items():
        layout = LAYOUTS[task]
        files.write_text(out / f"table{layout.number}.csv", table_csv(rows, layout))
        files.write_bytes(out / f"table{layout.number}.png", draw_table(rows, layout))
    files.write_text(out / "runs.csv", runs_csv(tables))
    files.write_bytes(out / "efficiency.png", draw_efficiency(tables))
    files.write_text(out / "tables.md", markdown(tables, shown))
    return out / "tables.md"


def markdown(tables: Mapping[str, Sequence[Row]], runs: Sequence[BenchmarkRun]) -> str:
    """All tables on one page, headed by what they were made with."""
    simulated = bool(runs[0].record["dataset"]["simulated"])
    numbers = [str(LAYOUTS[task].number) for task in tables]
    listed = numbers[0] if len(numbers) == 1 else f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    protocol = runs[0].record["kind"]["protocol"]
    title = f"# Table{'s' if len(numbers) > 1 else ''} {listed}, protocol `{protocol}`"
    parts = [f"{title}, simulated data" if simulated else title]
    if simulated:
        parts.append(
            "> **The data are simulated.** These figures say that the way from an archive to the tables "
            "works, and what its networks cost. They say nothing about accuracy on real mines, nor are they "
            "to be compared with the paper's, which stand beside them to show where they go."
        )
    parts.append("\n".join(f"- {line}" for line in _setup(runs)))
    for task, rows in tables.items():
        parts += _table_parts(rows, LAYOUTS[task], simulated)
    parts += _efficiency_parts(tables, simulated)
    return "\n\n".join(parts) + "\n"


def _setup(runs: Sequence[BenchmarkRun]) -> list[str]:
    """What holds for all runs of a page."""
    record = runs[0].record
    kind, dataset = record["kind"], record["dataset"]
    sites = record["sites"]
    seeds = sorted({run.seed for run in runs})
    named = f"{dataset['name']}" + (f" at {dataset['revision']}" if dataset["revision"] else "")
    recipes = sorted({f"{run.record['recipe']}{_given(run)}" for run in runs})
    hardware = sorted({_hardware(run) for run in runs})
    versions = sorted(
        {", ".join(f"{name} {version}" for name, version in run.record["versions"].items()) for run in runs}
    )
    counts = ", ".join(f"{len(sites[split])} {split}" for split in ("train", "validation", "test"))
    return [
        f"Protocol `{kind['protocol']}`: {PROTOCOLS[kind['protocol']]}.",
        f"Averaging: {_AVERAGES[kind['average']]}.",
        f"Data: {named}{' (simulated)' if dataset['simulated'] else ''}, digest {kind['dataset']}; {counts} "
        f"sites, split: {record['split']}; years {kind['years'][0]}-{kind['years'][-1]}; normalisation: "
        f"{kind['statistics']}.",
        f"Recipe{'s' if len(recipes) > 1 else ''}: {'; '.join(recipes)}.",
        f"Seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}: "
        + (
            "mean ± standard deviation over the seeds."
            if len(seeds) > 1
            else "a single one, so the spread over seeds is unknown."
        ),
        "Intervals: 95 %, by bootstrap over the test sites (1000 resamples) of the mean over the seeds.",
        f"Hardware: {'; '.join(hardware)}.",
        f"Versions: {'; '.join(versions)}.",
    ]


# What every network may have of its own; it stands in the table of costs.
_OF_NETWORKS = ("max_steps", "num_train_epochs", "per_device_train_batch_size", "learning_rate")


def _given(run: BenchmarkRun) -> str:
    """The arguments with which a run departs from its recipe."""
    given = {name: value for name, value in run.record["given"].items() if name not in _OF_NETWORKS}
    listed = ", ".join(f"{name} {value}" for name, value in given.items())
    return f" ({run.task}: {listed})" if listed else ""


def _hardware(run: BenchmarkRun) -> str:
    processes = run.record["hardware"]["processes"]
    return (f"{processes} x " if processes > 1 else "") + str(run.record["hardware"]["device"])


def _table_parts(rows: Sequence[Row], layout: TableLayout, simulated: bool) -> list[str]:
    header = ["network"]
    for _, _, title in layout.headlines:
        header += [title, "95 % over sites", "the paper's"]
    lines = []
    for row in rows:
        line = [row.network]
        for _, name, _ in layout.headlines:
            score = row.headlines[name]
            line += [shown(score), shown_interval(score), _published(row, name)]
        lines.append([*line, str(len(row.runs))])
    part_lines = []
    for row in rows:
        part_lines.append([row.network, *(shown(Score((score.mean,))) for score in row.parts.values())])
        if row.paper is not None:
            part_lines.append(["*the paper's*", *(_published(row, part) for part in row.parts)])
    note = " (simulated data)" if simulated else ""
    return [
        f"## Table {layout.number}: {layout.title}{note}",
        table([*header, "seeds"], lines),
        f"F1 by {'year' if layout.part == 'year' else 'the years between two dates'}:",
        table([layout.part, *rows[0].parts], part_lines),
        f"![Table {layout.number}](table{layout.number}.png)",
    ]


def _efficiency_parts(tables: Mapping[str, Sequence[Row]], simulated: bool) -> list[str]:
    lines = []
    for row in _networks(tables):
        record = row.runs[0].record
        costs, training = record["costs"], record["training"]
        parts = [costs["encoder_gmacs"], costs["decoder_gmacs"]]
        lines.append(
            [
                row.network,
                record["task"],
                f"{costs['parameters'] / 1e6:.2f} M",
                f"{costs['gmacs']:.2f}",
                "-" if None in parts else f"{parts[0]:.2f} + {parts[1]:.2f}",
                f"{training['steps']} x {training['batch_size']}",
                f"{training['arguments']['learning_rate']:.2g}",
                _duration(row, "run_seconds"),
                _duration(row, "run_processor_seconds"),
                f"{1000 * _mean(run.record['costs']['series_seconds'] for run in row.runs):.0f}",
                energy(row),
            ]
        )
    header = (
        "network",
        "task",
        "parameters",
        "GMAC",
        "year + pair",
        "steps x batch",
        "learning rate",
        "a run, s",
        "of processors, s",
        "a series, ms",
        "energy of a run",
    )
    note = " (simulated data)" if simulated else ""
    return [
        f"## What it costs{note}",
        table(header, lines),
        "GMAC: thousand millions of multiplications, each with its addition, for one image (segmentation) or "
        "one pair (change detection) of 160 x 160 pixels; year + pair: of encoding a year once and of "
        "decoding a pair. A run: training, choosing and scoring together, by the clock and as time of "
        "processors, which what else the machine did does not lengthen; with ≥ where an interrupted attempt "
        "is not in it. A series: ten years of one patch, as ten footprints or 45 changes. Energy: all that "
        "the processors' and the GPUs' own counters saw in that time; "
        f"'{UNREADABLE}' where a machine does not show them.",
        "![What it costs](efficiency.png)",
    ]


def _networks(tables: Mapping[str, Sequence[Row]]) -> list[Row]:
    """One row a network and task: the footprint mappers stand in two tables."""
    return list(
        {(LAYOUTS[task].task, row.network): row for task, rows in tables.items() for row in rows}.values()
    )


def _duration(row: Row, name: str) -> str:
    seconds = _mean(run.record["costs"][name] for run in row.runs)
    whole = all(run.record["costs"]["run_is_whole"] for run in row.runs)
    return f"{'' if whole else '≥ '}{seconds:.0f}"


def energy(row: Row) -> str:
    """What a run of a network took, by source."""
    sources = {source for run in row.runs for source in run.record["costs"]["joules"]}
    means = {
        source: _mean(run.record["costs"]["joules"].get(source, 0.0) for run in row.runs)
        for source in sorted(sources)
    }
    return ", ".join(f"{joules / 1000:.1f} kJ {source}" for source, joules in means.items()) or UNREADABLE


def _mean(values: Any) -> float:
    found = list(values)
    return sum(found) / len(found)


def shown(score: Score) -> str:
    """The mean over the seeds, with the spread where there is one."""
    if score.mean != score.mean:
        return "-"
    return f"{score.mean:.4f}" + (f" ± {score.spread:.4f}" if score.spread is not None else "")


def shown_interval(score: Score) -> str:
    """The interval over the sites."""
    if score.interval is None or score.interval[0] != score.interval[0]:
        return "-"
    return f"{score.interval[0]:.4f} to {score.interval[1]:.4f}"


def _published(row: Row, name: str) -> str:
    value = row.paper.scores.get(name) if row.paper is not None else None
    return "-" if value is None else f"{value:.4f}"


def table_csv(rows: Sequence[Row], layout: TableLayout) -> str:
    """A table with one line a network: mean, spread, interval and the paper's number of each score."""
    lines: list[dict[str, Any]] = []
    for row in rows:
        line: dict[str, Any] = {
            "network": row.network,
            "name_in_the_paper": row.paper.name if row.paper else "",
            "seeds": len(row.runs),
        }
        headers = {name: name for _, name, _ in layout.headlines} | {
            part: f"f1_{'year' if layout.part == 'year' else 'interval'}_{part}" for part in row.parts
        }
        for name, score in {**row.headlines, **row.parts}.items():
            low, high = score.interval or (None, None)
            line[f"{headers[name]}"] = score.mean
            line[f"{headers[name]}_std"] = score.spread
            if name in row.headlines:
                line |= {f"{headers[name]}_low": low, f"{headers[name]}_high": high}
            line[f"{headers[name]}_paper"] = row.paper.scores.get(name) if row.paper else None
        lines.append(line)
    return _csv(lines)


def runs_csv(tables: Mapping[str, Sequence[Row]]) -> str:
    """One line a run: its scores and what it took."""
    lines: list[dict[str, Any]] = []
    for task, rows in tables.items():
        for row in rows:
            for place, run in enumerate(row.runs):
                costs = run.record["costs"]
                lines.append(
                    {
                        "table": LAYOUTS[task].number,
                        "network": row.network,
                        "seed": run.seed,
                        "protocol": run.record["kind"]["protocol"],
                        "simulated": run.record["dataset"]["simulated"],
                        **{name: score.values[place] for name, score in row.headlines.items()},
                        "parameters": costs["parameters"],
                        "gmacs": costs["gmacs"],
                        "run_seconds": costs["run_seconds"],
                        "run_processor_seconds": costs["run_processor_seconds"],
                        "series_seconds": costs["series_seconds"],
                        "joules": sum(costs["joules"].values()) if costs["joules"] else None,
                    }
                )
    return _csv(lines)


def _csv(lines: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    names = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


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
    figure.suptitle(f"Table {layout.number}: {layout.title}{_figure_note(rows)}")
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
            costs, score = row.runs[0].record["costs"], row.headlines[name]
            axes.scatter(costs["gmacs"], score.mean, s=12 + 4 * costs["parameters"] / 1e6, alpha=0.6)
            # Names above and below in turn: dots on one level are neighbours in this order.
            place = {"xytext": (5, 4 if number % 2 else -10), "textcoords": "offset points", "fontsize": 7}
            axes.annotate(row.network, (costs["gmacs"], score.mean), **place)
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
    figure.suptitle(f"Score and work; a dot's area follows the parameters{_figure_note(rows)}")
    return _png(figure)


def _figure_note(rows: Sequence[Row]) -> str:
    record = rows[0].runs[0].record
    return f", protocol {record['kind']['protocol']}" + (
        ", SIMULATED data" if record["dataset"]["simulated"] else ""
    )


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
