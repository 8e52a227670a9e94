"""Finished runs of the benchmark: what is kept of one, which belong together, and their joint scores."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.metrics.annual_f1.annual_f1 import annual_scores
from euromine.metrics.ca_tiou.ca_tiou import agreement_scores
from euromine.metrics.counts import (
    Averaging,
    Counts,
    CountTable,
    ScoreFunction,
    average_scores,
    percentile_interval,
    resample_scores,
)
from euromine.metrics.interval_f1.interval_f1 import interval_list, interval_scores

RESAMPLES = 1000
# With fewer sites than these an interval by bootstrap says nothing.
SITES_FOR_INTERVAL = 5

# What two runs must have in common to stand in one table, and how a person calls it.
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
        record: What the file holds; `make_record` of `tables.py` says what that is.
        counts: What the scores come from, by metric: the counted pixels of each test site.
    """

    path: Path
    record: Mapping[str, Any]
    counts: Mapping[str, CountTable]

    @property
    def task(self) -> str:
        """What the network does: "segmentation" or "change-detection"."""
        return str(self.record["task"])

    @property
    def architecture(self) -> str:
        """The network's name."""
        return str(self.record["architecture"])

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return int(self.record["seed"])


@dataclass(frozen=True)
class Score:
    """A score of a network over its seeds.

    Attributes:
        values: One a seed.
        interval: Within which the mean over the seeds lies in 95 % of resamples of the test sites; None
            where these are too few.
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
    """What the files of a run are called."""
    return f"{task}_{architecture}_seed{seed}"


def read_run(path: Path) -> BenchmarkRun:
    """A run from its JSON file and the counts beside it.

    Raises:
        ValueError: One of the two is damaged.
        OSError: One of the two cannot be read.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        counts = read_counts(path.with_suffix(".npz"))
        return BenchmarkRun(path, {**record, "kind": {name: record["kind"][name] for name in KIND}}, counts)
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} cannot be read ({error}), a result of the benchmark and its counts ({path.stem}.npz) "
            "were expected: remove it to run it anew"
        ) from None


def read_counts(path: Path) -> dict[str, CountTable]:
    """What `train_seg.py` or `train_cd.py` wrote as `counts.npz`, by metric."""
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
        ValueError: One is damaged, or they do not belong in one table.
    """
    runs = [read_run(path) for path in sorted(folder.glob("*.json"))]
    for run in runs[1:]:
        require_one_kind(runs[0].record["kind"], run.record["kind"], str(runs[0].path), str(run.path))
    return runs


def require_one_kind(
    first: Mapping[str, Any], second: Mapping[str, Any], first_name: str, second_name: str
) -> None:
    """Refuse to put results side by side that were not found in the same way on the same data.

    Args:
        first: The `kind` of a run.
        second: The `kind` of another.
        first_name: How an error calls the first.
        second_name: How it calls the second.

    Raises:
        ValueError: They differ.
    """
    for name, called in KIND.items():
        if first[name] != second[name]:
            values = [_shown(kind[name]) for kind in (first, second)]
            if values[0] == values[1]:
                values = [f"{value} and others" for value in values]
            raise ValueError(
                f"{first_name} has the {called} {values[0]}, {second_name} has {values[1]}: results of "
                f"different {called} do not belong in one table, so each needs a folder (--out) of its own"
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
    average = str(runs[0].record["kind"]["average"])
    found = [scores_of(run.counts[metric], metric, average) for run in runs]
    draws = resampled_scores([run.counts[metric] for run in runs], metric, average)
    scores: dict[str, Score | list[Score]] = {}
    for name, value in found[0].items():
        if isinstance(value, float):
            interval = percentiles(draws[name]) if name in draws else None
            scores[name] = Score(tuple(each[name] for each in found), interval)
        elif isinstance(value, list) and all(isinstance(each, float) for each in value):
            scores[name] = [Score(values) for values in zip(*(each[name] for each in found), strict=True)]
    return scores


def scores_of(table: CountTable, metric: str, average: str) -> dict[str, Any]:
    """What a metric makes of its counts, as `compute` does.

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

    Resamples of other counts of these sites belong to them one by one: the difference of two networks is
    that of their resamples.

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
    """Within which 95 % of resampled values lie."""
    low, high = percentile_interval(values, Averaging.confidence)
    return low, high


def parts_of(run: BenchmarkRun, metric: str) -> list[int]:
    """What the lists of a metric's scores stand for: the years, or the intervals between them."""
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
