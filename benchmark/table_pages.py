"""Tables 4 to 6 as Markdown and CSV, with the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from euromine.support.csv_tables import csv_text
from euromine.support.errors import DataError
from euromine.support.files import write_bytes, write_text
from euromine.support.markdown import escaped, table

from .results import BenchmarkRun, Score
from .table_figures import draw_efficiency, draw_table
from .table_rows import LAYOUTS, Row, TableLayout, row_by_network, rows_of

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


def write_pages(out: Path, runs: Sequence[BenchmarkRun], tasks: Sequence[str]) -> Path:
    """Write `tables.md`, a CSV file and a figure per table, `runs.csv`, and score against cost as a figure.

    Args:
        out: The folder; created if missing.
        runs: Runs that belong in one table (`read_runs` checks that).
        tasks: Which tables: "segmentation", "change-detection" and "post-classification".

    Returns:
        The path of `tables.md`.

    Raises:
        DataError: There is no run of any of the tasks.
    """
    tables = {task: rows for task in tasks if (rows := rows_of(runs, LAYOUTS[task]))}
    if not tables:
        raise DataError(
            f"{out}: found no finished run of {', '.join(tasks)}; expected at least one for a table."
        )
    out.mkdir(parents=True, exist_ok=True)
    shown = [run for rows in tables.values() for row in rows for run in row.runs]
    for task, rows in tables.items():
        layout = LAYOUTS[task]
        write_text(out / f"table{layout.number}.csv", table_csv(rows, layout))
        write_bytes(out / f"table{layout.number}.png", draw_table(rows, layout))
    write_text(out / "runs.csv", runs_csv(tables))
    write_bytes(out / "efficiency.png", draw_efficiency(tables))
    write_text(out / "tables.md", markdown(tables, shown))
    return out / "tables.md"


def markdown(tables: Mapping[str, Sequence[Row]], runs: Sequence[BenchmarkRun]) -> str:
    """All tables on one page, headed by the data, protocol and machine behind them."""
    simulated = bool(runs[0].record.dataset.simulated)
    numbers = [str(LAYOUTS[task].number) for task in tables]
    listed = numbers[0] if len(numbers) == 1 else f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    protocol = runs[0].record.kind.protocol
    title = f"# Table{'s' if len(numbers) > 1 else ''} {listed}, protocol `{protocol}`"
    parts = [f"{title}, simulated data" if simulated else title]
    if simulated:
        parts.append(
            "> **The data are simulated.** These figures show that the pipeline runs from an archive to the "
            "tables, and what the networks cost. They say nothing about accuracy on real mines. The paper's "
            "numbers stand beside them to show the layout and must not be compared with them."
        )
    parts.append("\n".join(f"- {line}" for line in _setup(runs)))
    for task, rows in tables.items():
        parts += _table_parts(rows, LAYOUTS[task], simulated)
    parts += _efficiency_parts(tables, simulated)
    return "\n\n".join(parts) + "\n"


def _setup(runs: Sequence[BenchmarkRun]) -> list[str]:
    """The properties that all runs of a page share."""
    record = runs[0].record
    kind, dataset = record.kind, record.dataset
    sites = record.sites
    seeds = sorted({run.seed for run in runs})
    named = escaped(dataset.name) + (f" at {escaped(dataset.revision)}" if dataset.revision else "")
    recipes = sorted({f"{run.record.recipe}{_given(run)}" for run in runs})
    hardware = sorted({_hardware(run) for run in runs})
    versions = sorted(
        {", ".join(f"{name} {version}" for name, version in run.record.versions.items()) for run in runs}
    )
    counts = ", ".join(f"{len(sites[split])} {split}" for split in ("train", "validation", "test"))
    return [
        f"Protocol `{kind.protocol}`: {PROTOCOLS[kind.protocol]}.",
        f"Averaging: {_AVERAGES[kind.average]}.",
        f"Data: {named}{' (simulated)' if dataset.simulated else ''}, digest {kind.dataset}; {counts} "
        f"sites, split: {record.split}; years {kind.years[0]}-{kind.years[-1]}; normalisation: "
        f"{kind.statistics}.",
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


# Arguments that may differ between networks; the table of costs shows them.
_OF_NETWORKS = ("max_steps", "num_train_epochs", "per_device_train_batch_size", "learning_rate")


def _given(run: BenchmarkRun) -> str:
    """The arguments in which a run departs from its recipe."""
    given = {name: value for name, value in run.record.given.items() if name not in _OF_NETWORKS}
    listed = ", ".join(f"{name} {value}" for name, value in given.items())
    return f" ({run.task}: {listed})" if listed else ""


def _hardware(run: BenchmarkRun) -> str:
    processes = run.record.hardware.processes
    return (f"{processes} x " if processes > 1 else "") + str(run.record.hardware.device)


def _table_parts(rows: Sequence[Row], layout: TableLayout, simulated: bool) -> list[str]:
    header = ["network"]
    for _, _, title in layout.headlines:
        header += [title, "95 % over sites", "the paper's"]
    lines = []
    for row in rows:
        line = [escaped(row.network)]
        for _, name, _ in layout.headlines:
            score = row.headlines[name]
            line += [shown(score), shown_interval(score), _published(row, name)]
        lines.append([*line, str(len(row.runs))])
    part_lines = []
    for row in rows:
        part_lines.append(
            [escaped(row.network), *(shown(Score((score.mean,))) for score in row.parts.values())]
        )
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
    for row in row_by_network(tables):
        record = row.runs[0].record
        costs, training = record.costs, record.training
        parts = [costs.encoder_gmacs, costs.decoder_gmacs]
        lines.append(
            [
                row.network,
                record.task,
                f"{costs.parameters / 1e6:.2f} M",
                f"{costs.gmacs:.2f}",
                "-" if None in parts else f"{parts[0]:.2f} + {parts[1]:.2f}",
                f"{training.steps} x {training.batch_size}",
                f"{training.arguments['learning_rate']:.2g}",
                _duration(row, "run_seconds"),
                _duration(row, "run_processor_seconds"),
                f"{1000 * _mean(run.record.costs.series_seconds for run in row.runs):.0f}",
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
        "GMAC: 1e9 multiply-accumulate operations for one image (segmentation) or one pair (change "
        "detection) of 160 x 160 pixels; year + pair: those of encoding a year once and of decoding a pair. "
        "A run: training, selection and scoring together, in wall-clock time and in processor time, which "
        "other load does not lengthen; ≥ where an interrupted attempt is missing. A series: ten years of one "
        "patch, as ten footprints or 45 changes. Energy: all that the counters of the processors and GPUs "
        f"recorded during the run; '{UNREADABLE}' where a machine does not expose them.",
        "![What it costs](efficiency.png)",
    ]


def _duration(row: Row, name: str) -> str:
    seconds = _mean(getattr(run.record.costs, name) for run in row.runs)
    whole = all(run.record.costs.run_is_whole for run in row.runs)
    return f"{'' if whole else '≥ '}{seconds:.0f}"


def energy(row: Row) -> str:
    """The mean energy of a network's runs, by counter."""
    sources = {source for run in row.runs for source in run.record.costs.joules}
    means = {
        source: _mean(run.record.costs.joules.get(source, 0.0) for run in row.runs)
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
    """A table with one line per network: mean, spread, interval and the paper's number for each score."""
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
    """One line per run: its scores and costs."""
    lines: list[dict[str, Any]] = []
    for task, rows in tables.items():
        for row in rows:
            for place, run in enumerate(row.runs):
                costs = run.record.costs
                lines.append(
                    {
                        "table": LAYOUTS[task].number,
                        "network": row.network,
                        "seed": run.seed,
                        "protocol": run.record.kind.protocol,
                        "simulated": run.record.dataset.simulated,
                        **{name: score.values[place] for name, score in row.headlines.items()},
                        "parameters": costs.parameters,
                        "gmacs": costs.gmacs,
                        "run_seconds": costs.run_seconds,
                        "run_processor_seconds": costs.run_processor_seconds,
                        "series_seconds": costs.series_seconds,
                        "joules": sum(costs.joules.values()) if costs.joules else None,
                    }
                )
    return _csv(lines)


def _csv(lines: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for line in lines for name in line))
    return csv_text(names, ([line.get(name) for name in names] for line in lines))
