"""Finished runs of the benchmark: reading them, checking that they belong together, joint scores."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.metrics.annual_f1.annual_f1 import annual_scores
from euromine.metrics.averaging import (
    Averaging,
    ScoreFunction,
    average_scores,
    percentile_interval,
    resample_scores,
)
from euromine.metrics.ca_tiou.ca_tiou import agreement_scores
from euromine.metrics.counts import Counts, CountTable
from euromine.metrics.interval_f1.interval_f1 import interval_list, interval_scores
from euromine.support.errors import ArgumentError, RecordError
from euromine.support.records import read_record

from .table_records import Kind, TableRecord

RESAMPLES = 1000
_ADVICE = "Remove it to train this run again."
# With fewer sites, a bootstrap interval means nothing.
SITES_FOR_INTERVAL = 5

# The fields of `Kind`, which runs in one table must share, and their names in messages.
KIND = {
    "protocol": "protocol",
    "dataset": "dataset",
    "average": "averaging of sites",
    "statistics": "normalisation",
    "years": "years",
    "sites": "test sites",
}


@dataclass(frozen=True)
class BenchmarkRun:
    """A network trained with a seed and scored on the test sites.

    Attributes:
        path: Its JSON file.
        record: Its contents.
        counts: The counted pixels of each test site that the scores come from, by metric.
    """

    path: Path
    record: TableRecord
    counts: Mapping[str, CountTable]

    @property
    def task(self) -> str:
        """The task: "segmentation" or "change-detection"."""
        return self.record.task

    @property
    def architecture(self) -> str:
        """The network's name."""
        return self.record.architecture

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return self.record.seed


@dataclass(frozen=True)
class Score:
    """A score of a network over its seeds.

    Attributes:
        values: One a seed.
        interval: 95 % of resamples of the test sites give a mean over the seeds within it; None where there
            are too few sites.
    """

    values: tuple[float, ...]
    interval: tuple[float, float] | None = None

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.values))

    @property
    def spread(self) -> float | None:
        """The standard deviation of the seeds (ddof 1); None of a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


def run_name(task: str, architecture: str, seed: int) -> str:
    """The stem of a run's file names."""
    return f"{task}_{architecture}_seed{seed}"


def read_run(path: Path) -> BenchmarkRun:
    """A run from its JSON record and the counts beside it.

    Raises:
        RecordError: One of the two is damaged.
        OSError: One of the two cannot be read.
    """
    record = read_record(TableRecord, path, advice=_ADVICE)
    counts = path.with_suffix(".npz")
    try:
        return BenchmarkRun(path, record, read_counts(counts))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RecordError(
            f"{counts}: found counts that cannot be read ({error}); expected those of {path.name}. "
            "Remove both to train this run again."
        ) from None


def read_counts(path: Path) -> dict[str, CountTable]:
    """The counts in a `counts.npz` of `train_seg.py` or `train_cd.py`, by metric."""
    with np.load(path, allow_pickle=False) as arrays:
        return {
            name: CountTable(
                tuple(arrays[f"{name}.sites"].tolist()),
                tuple(arrays[f"{name}.years"].tolist()),
                arrays[f"{name}.by_year"],
                arrays[f"{name}.by_pair"],
            )
            for name in dict.fromkeys(key.partition(".")[0] for key in arrays.files)
        }


def read_runs(folder: Path) -> list[BenchmarkRun]:
    """All runs of a folder, which may be missing.

    Raises:
        RecordError: One is damaged.
        ArgumentError: They do not belong in one table.
    """
    runs = [read_run(path) for path in sorted(folder.glob("*.json"))]
    for run in runs[1:]:
        require_one_kind(runs[0].record.kind, run.record.kind, str(runs[0].path), str(run.path))
    return runs


def require_one_kind(first: Kind, second: Kind, first_name: str, second_name: str) -> None:
    """Refuse to put results in one table that were not obtained in the same way on the same data.

    Args:
        first: The `kind` of a run.
        second: The `kind` of another.
        first_name: The name of the first in a message.
        second_name: The name of the second.

    Raises:
        ArgumentError: They differ.
    """
    for field, name in KIND.items():
        values = [getattr(kind, field) for kind in (first, second)]
        if values[0] != values[1]:
            shown = [_shown(value) for value in values]
            if shown[0] == shown[1]:
                shown = [f"{value} and others" for value in shown]
            raise ArgumentError(
                f"{second_name}: found the {name} {shown[1]}; expected {shown[0]}, as in {first_name}. "
                f"Results of different {name} do not belong in one table: give each a folder (--out) of its "
                "own."
            )


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value[:3])) + (f" ({len(value)} in all)" if len(value) > 3 else "")
    return str(value)


def joint_scores(runs: Sequence[BenchmarkRun], metric: str) -> dict[str, Score | list[Score]]:
    """A network's scores by a metric over its seeds, with intervals by bootstrap over the test sites.

    The interval is of the mean over the seeds: each resample draws the same sites for all of them.

    Args:
        runs: Runs of one network and task, one a seed.
        metric: "annual_f1", "ca_tiou" or "interval_f1".

    Returns:
        A score for each number that the metric gives, a list of them by year or interval for each list, and
        none for a matrix.
    """
    return joint_scores_of([run.counts[metric] for run in runs], metric, runs[0].record.kind.average)


def joint_scores_of(
    tables: Sequence[CountTable], metric: str, average: str
) -> dict[str, Score | list[Score]]:
    """As `joint_scores`, from the counts of each seed.

    Args:
        tables: The counts of the same sites, one a seed.
        metric: "annual_f1", "ca_tiou" or "interval_f1".
        average: "site" or "pooled".
    """
    found = [scores_of(table, metric, average) for table in tables]
    draws = resampled_scores(tables, metric, average)
    scores: dict[str, Score | list[Score]] = {}
    for name, value in found[0].items():
        if isinstance(value, float):
            interval = percentiles(draws[name]) if name in draws else None
            scores[name] = Score(tuple(each[name] for each in found), interval)
        elif isinstance(value, list) and all(isinstance(each, float) for each in value):
            scores[name] = [Score(values) for values in zip(*(each[name] for each in found), strict=True)]
    return scores


def scores_of(table: CountTable, metric: str, average: str) -> dict[str, Any]:
    """The scores that a metric computes from its counts.

    Args:
        table: The counts.
        metric: "annual_f1", "ca_tiou" or "interval_f1".
        average: "site" or "pooled".
    """
    score, pixels = _SCORES[metric](table)
    return average_scores(table, pixels, score, Averaging(average))


def resampled_scores(
    tables: Sequence[CountTable], metric: str, average: str
) -> dict[str, NDArray[np.float64]]:
    """The mean scores of several counts of the same sites, in resamples that draw the same sites for all.

    Resamples of other counts of the same sites correspond one to one, so the difference of two networks is
    the difference of their resamples.

    Args:
        tables: The counts.
        metric: "annual_f1", "ca_tiou" or "interval_f1".
        average: "site" or "pooled".

    Returns:
        (resamples,) for each number that the metric gives; nothing where there are too few sites.
    """
    averaging = Averaging(average, bootstrap=RESAMPLES)
    draws: list[Mapping[str, NDArray[np.float64]]] = []
    for table in tables:
        score, pixels = _SCORES[metric](table)
        if np.count_nonzero(pixels) < SITES_FOR_INTERVAL:
            return {}
        by_site = score(table.by_year, table.by_pair)
        draws.append(resample_scores(table, pixels, score, averaging, by_site))
    return {
        name: np.mean([each[name] for each in draws], axis=0) for name in draws[0] if draws[0][name].ndim == 1
    }


def percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    """The interval that holds 95 % of resampled values."""
    low, high = percentile_interval(values, Averaging.confidence)
    return low, high


def parts_of(run: BenchmarkRun, metric: str) -> list[int]:
    """The years, or the intervals between them, that the lists in a metric's scores run over."""
    years = run.counts[metric].years
    return interval_list(years) if metric == "interval_f1" else list(years)


def _of_years(score: Callable[[Counts, Counts], Any]) -> Callable[[CountTable], tuple[ScoreFunction, Counts]]:
    return lambda table: (score, table.by_year[..., 3].sum(axis=-1))


def _of_intervals(table: CountTable) -> tuple[ScoreFunction, Counts]:
    def score(by_year: Counts, by_pair: Counts) -> Any:
        return interval_scores(table.years, by_pair, np.nan)

    return score, table.by_year[..., 0].sum(axis=-1)


# The score of a metric's counts, and the weights of the sites.
_SCORES: dict[str, Callable[[CountTable], tuple[ScoreFunction, Counts]]] = {
    "annual_f1": _of_years(lambda by_year, by_pair: annual_scores(by_year, np.nan)),
    "ca_tiou": _of_years(lambda by_year, by_pair: agreement_scores(by_year, by_pair, np.nan)),
    "interval_f1": _of_intervals,
}
