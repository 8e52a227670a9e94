"""The rows of Tables 4 to 6: each network's scores over its seeds, beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from euromine.modeling.auto import list_models
from euromine.modeling.tasks import CHANGE_DETECTION, SEGMENTATION

from .published import PublishedRow, published_table
from .results import BenchmarkRun, Score, joint_scores, parts_of

POST_CLASSIFICATION = "post-classification"


@dataclass(frozen=True)
class TableLayout:
    """The columns of one of the paper's tables.

    Attributes:
        number: Its number in the paper.
        title: Its title.
        task: The task that its networks are trained for.
        headlines: Metric, score and header of each score over all years or intervals.
        parts: The metric whose F1 is shown part by part.
        part: The name of such a part.
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
        headlines: Its scores over all years or intervals, by name.
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


def row_by_network(tables: Mapping[str, Sequence[Row]]) -> list[Row]:
    """One row per network and task; footprint mappers appear in two tables."""
    return list(
        {(LAYOUTS[task].task, row.network): row for task, rows in tables.items() for row in rows}.values()
    )


def figure_note(rows: Sequence[Row]) -> str:
    """The protocol, and whether the data are simulated, for a figure's title."""
    record = rows[0].runs[0].record
    return f", protocol {record.kind.protocol}" + (", SIMULATED data" if record.dataset.simulated else "")
