"""The tables of the benchmark of scale, written into a page between two marks."""

from __future__ import annotations

from pathlib import Path

from euromine.support.errors import ArgumentError
from euromine.support.files import write_text
from euromine.support.markdown import table

from .scale_costs import Line, lines, scenario_cost, scenarios
from .scale_records import Interruption, ScaleRecord

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_WAYS = {"processes": "processes", "dask": "Dask"}


def write_page(page: Path, record: ScaleRecord) -> None:
    """Replace the tables of a page.

    Raises:
        ArgumentError: The page has no marks for them.
    """
    text = page.read_text(encoding="utf-8")
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise ArgumentError(f"{page}: found no {BEGIN} and {END}; expected both. Add them where tables go.")
    write_text(page, f"{before}{BEGIN}\n{markdown(record)}\n{END}{after}")


def markdown(record: ScaleRecord) -> str:
    """All sections."""
    found = lines(list(record.cells.values()))
    return "\n\n".join(
        [
            _machine(record),
            "### Pixels and years",
            _cells(record, found),
            "Least squares through these tiles:",
            _fits(found),
            "### Workers",
            _workers(record),
            "### A killed worker",
            *[_interruption(each) for each in record.interruptions.values()],
            "### Ten years of a continent",
            _scenarios(record, found),
        ]
    )


def _machine(record: ScaleRecord) -> str:
    weights = "trained weights" if record.trained else "fresh weights, which map noise or nothing"
    scenes = "**simulated** scenes" if record.simulated else "scenes"
    load = [part.load for part in record.cells.values()]
    load += [part.load for part in record.throughputs.values()]
    extensions = ", ".join(record.extensions) or "without AVX-512"
    gpu = f"GPU: {record.gpu}." if record.gpu else "No GPU was measured."
    return (
        f"`{record.network}` with {weights}; {record.scenes} {scenes} of each year; one thread of "
        f"{record.processor} ({extensions}), torch {record.torch}, with a load of {min(load):.1f} to "
        f"{max(load):.1f}. {gpu}"
    )


def _cells(record: ScaleRecord, found: dict[str, Line]) -> str:
    header = ("tile", "years", "pairs", "load", "compose (s)", "predict (s)", "series (s)", "off the line")
    more = ("on the clock (s)", "read (MB)", "stored (MB)")
    rows = []
    for place, cell in enumerate(record.cells.values()):
        cost = cell.cost
        stages = (cost.compose, cost.predict, cost.series)
        total = sum(stage.processor for stage in stages)
        residual = sum(found[name].residuals[place] for name in ("compose", "predict", "series"))
        rows.append(
            (
                f"{cell.side} x {cell.side}",
                str(cell.years),
                str(cell.pair_count),
                f"{cell.load:.1f}",
                *(f"{stage.processor:.2f}" for stage in stages),
                f"{residual:+.2f} s ({residual / total:+.0%})",
                f"{sum(stage.clock for stage in stages):.1f}",
                f"{cell.read_bytes / 1e6:.0f}",
                f"{(cost.image_bytes + cost.map_bytes) / 1e6:.1f}",
            )
        )
    return table((*header, *more), rows)


def _fits(found: dict[str, Line]) -> str:
    rows = []
    for line in found.values():
        terms = zip(line.coefficients, line.terms, strict=True)
        formula = " + ".join(f"{value:.3g} {line.unit} a {term}" for value, term in terms)
        largest = max(map(abs, line.residuals))
        rows.append(
            (
                line.name,
                formula.replace("+ -", "- "),
                f"{largest:.2g} {line.unit}",
                f"{line.determination:.4f}",
            )
        )
    return table(("cost", "line", "largest residual", "R²"), rows, numbers=False)


def _workers(record: ScaleRecord) -> str:
    rows = []
    for run in record.throughputs.values():
        one = record.throughputs.get(f"{run.way}_1", run)
        rows.append(
            (
                f"{_WAYS[run.way]}, {run.workers}",
                str(len(run.costs)),
                f"{run.load:.1f}",
                f"{run.processor:.1f}",
                f"{run.clock:.1f}",
                f"{60 * len(run.costs) / run.clock:.1f}",
                f"{one.clock / run.clock * len(run.costs) / len(one.costs):.2f}",
                f"{run.processor / run.clock:.2f}",
                f"{run.start:.1f}",
            )
        )
    header = ("workers", "tiles", "load", "processor s", "on the clock (s)", "tiles a minute", "ratio")
    return table((*header, "cores obtained", "start (s)"), rows)


def _interruption(each: Interruption) -> str:
    way = "processes" if each.way == "processes" else "workers of a Dask cluster"
    ended = (
        f"The run ended with: *{each.message}* The same command again completed it"
        if each.message
        else "The run completed by itself, as the scheduler gave the tile to a new worker"
    )
    same = (
        f"all {each.files} files but `series.json` and GeoPackages, which hold the time of writing, are byte "
        "for byte those of an undisturbed run"
        if not each.different
        else f"of {each.files} files {len(each.different)} differ from an undisturbed run's: "
        + ", ".join(f"`{name}`" for name in each.different[:5])
    )
    return f"One of two {way} was killed (SIGKILL) with {each.left} files written. {ended}; {same}."


def _scenarios(record: ScaleRecord, found: dict[str, Line]) -> str:
    header = ("plan", "pairs", "compose (core h)", "series (core h)", "all (core h)", "GPU h")
    more = ("read (TB)", "images (TB)", "maps (TB)", "days on 100 cores")
    rows = []
    for scenario in scenarios():
        cost = scenario_cost(scenario, found)
        hours = cost.compose + cost.series
        rows.append(
            (
                scenario.name,
                str(scenario.pairs),
                f"{cost.compose:,.0f}",
                f"{cost.series:,.0f}",
                f"{hours:,.0f}",
                "not measured" if record.gpu is None else record.gpu,
                f"{cost.read / 1000:,.1f}",
                f"{cost.images / 1000:,.1f}",
                f"{cost.maps / 1000:,.1f}",
                f"{hours / 100 / 24:,.1f}",
            )
        )
    return table((*header, *more), rows)
