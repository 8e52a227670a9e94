"""The speed of the three metrics, beside torchmetrics and scikit-learn in one run.

`python -m euromine.benchmark.metrics` prints a Markdown table. All score the same series and must
agree: F1 of each year, F1 of each interval between years, and the IoU of the predictions of each pair of
years where the reference did not change. Then ours alone score 1,011 series, with a limit of 2 seconds.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.metrics.ca_tiou.ca_tiou import CATIoU
from euromine.metrics.interval_f1.interval_f1 import IntervalF1
from euromine.support.errors import reported_errors

from .command_line import benchmark_parser, positive

YEARS = 10
SIZE = 160
BATCH = 32
IGNORED = 255
PAIRS = list(itertools.combinations(range(YEARS), 2))
LIMIT_IN_SECONDS = 2.0

Maps = NDArray[np.uint8]
Values = list[float]
Task = Callable[[Maps, Maps], Values]
"""Predictions and references (series, years, height, width) -> the scores of the task."""


@dataclass(frozen=True)
class Row:
    """One line of the table: the score, and the seconds of each library."""

    metric: str
    ours: float
    torchmetrics: float
    sklearn: float
    difference: float


def simulate(series: int, seed: int = 0) -> tuple[Maps, Maps]:
    """Growing round mines, predicted with shifted edges and specks; a sixth of the patches is owned in part.

    Args:
        series: How many series.
        seed: Of the random numbers.

    Returns:
        Predictions and references, (series, years, height, width) uint8 each.
    """
    generator = np.random.default_rng(seed)
    rows, columns = np.ogrid[:SIZE, :SIZE]
    references = np.empty((series, YEARS, SIZE, SIZE), np.uint8)
    predictions = np.empty_like(references)
    specks = generator.random((SIZE, SIZE)) < 0.01
    for index in range(series):
        row, column = generator.integers(0, SIZE, size=2)
        radius, growth = generator.integers(15, 60), generator.integers(0, 5)
        for year in range(YEARS):
            reach = (radius + growth * year) ** 2
            shift = generator.integers(-3, 4)
            references[index, year] = (rows - row) ** 2 + (columns - column) ** 2 < reach
            predictions[index, year] = (rows - row - shift) ** 2 + (columns - column + shift) ** 2 < reach
            predictions[index, year] ^= np.roll(specks, int(generator.integers(SIZE)), axis=0)
    predictions[::6, :, :, : SIZE // 3] = IGNORED
    references[::6, :, :, : SIZE // 3] = IGNORED
    return predictions, references


def batches(predictions: Maps, references: Maps) -> list[tuple[Maps, Maps]]:
    """Cuts the series into batches."""
    starts = range(0, len(predictions), BATCH)
    return [(predictions[start : start + BATCH], references[start : start + BATCH]) for start in starts]


def changes(first: Maps, second: Maps) -> Maps:
    """The change between two years' maps; ignored where either is."""
    ignored = (first == IGNORED) | (second == IGNORED)
    return np.where(ignored, np.uint8(IGNORED), first ^ second)


def within_unchanged(predictions: Maps, references: Maps, first: int, second: int) -> tuple[Maps, Maps]:
    """Two years' predictions, the second one ignored wherever the reference changed or is ignored."""
    reference_1, reference_2 = references[:, first], references[:, second]
    unchanged = (reference_1 == reference_2) & (reference_1 != IGNORED)
    return (
        np.where(unchanged, predictions[:, first], np.uint8(0)),
        np.where(unchanged, predictions[:, second], np.uint8(IGNORED)),
    )


def our_annual_f1(predictions: Maps, references: Maps) -> Values:
    """F1 of each year by `annual_f1`."""
    metric = AnnualF1()
    for batch_predictions, batch_references in batches(predictions, references):
        metric.add_batch(predictions=batch_predictions, references=batch_references)
    return list(metric.compute(average="pooled")["f1"])


def our_interval_f1(predictions: Maps, references: Maps) -> Values:
    """F1 of each interval by `interval_f1`."""
    metric = IntervalF1()
    for batch_predictions, batch_references in batches(predictions, references):
        metric.add_batch(predictions=batch_predictions, references=batch_references)
    return list(metric.compute(average="pooled")["f1"])


def our_ca_tiou(predictions: Maps, references: Maps) -> Values:
    """TIoU of each pair of years by `ca_tiou`."""
    metric = CATIoU()
    for batch_predictions, batch_references in batches(predictions, references):
        metric.add_batch(predictions=batch_predictions, references=batch_references)
    matrix = metric.compute(average="pooled")["matrix"]
    return [matrix[first][second] for first, second in PAIRS]


def torchmetrics_annual_f1(predictions: Maps, references: Maps) -> Values:
    """F1 of each year by `torchmetrics.classification.BinaryF1Score`."""
    import torch
    from torchmetrics.classification import BinaryF1Score

    metrics = [BinaryF1Score(ignore_index=IGNORED) for _ in range(YEARS)]
    for batch_predictions, batch_references in batches(predictions, references):
        decided = np.where(batch_references == IGNORED, np.uint8(0), batch_predictions)
        for year, metric in enumerate(metrics):
            metric.update(torch.from_numpy(decided[:, year]), torch.from_numpy(batch_references[:, year]))
    return [float(metric.compute()) for metric in metrics]


def torchmetrics_interval_f1(predictions: Maps, references: Maps) -> Values:
    """F1 of each interval by `torchmetrics.classification.BinaryF1Score`."""
    import torch
    from torchmetrics.classification import BinaryF1Score

    metrics = {interval: BinaryF1Score(ignore_index=IGNORED) for interval in range(1, YEARS)}
    for batch_predictions, batch_references in batches(predictions, references):
        for first, second in PAIRS:
            actual = changes(batch_references[:, first], batch_references[:, second])
            predicted = batch_predictions[:, first] != batch_predictions[:, second]
            metrics[second - first].update(torch.from_numpy(predicted).int(), torch.from_numpy(actual))
    return [float(metric.compute()) for metric in metrics.values()]


def torchmetrics_ca_tiou(predictions: Maps, references: Maps) -> Values:
    """TIoU of each pair of years by `torchmetrics.classification.BinaryJaccardIndex`."""
    import torch
    from torchmetrics.classification import BinaryJaccardIndex

    metrics = {pair: BinaryJaccardIndex(ignore_index=IGNORED) for pair in PAIRS}
    for batch_predictions, batch_references in batches(predictions, references):
        for (first, second), metric in metrics.items():
            maps = within_unchanged(batch_predictions, batch_references, first, second)
            metric.update(*(torch.from_numpy(year) for year in maps))
    return [float(metric.compute()) for metric in metrics.values()]


def sklearn_annual_f1(predictions: Maps, references: Maps) -> Values:
    """F1 of each year by `sklearn.metrics.f1_score`."""
    from sklearn.metrics import f1_score

    scores = []
    for year in range(YEARS):
        counted = references[:, year] != IGNORED
        scores.append(float(f1_score(references[:, year][counted], predictions[:, year][counted])))
    return scores


def sklearn_interval_f1(predictions: Maps, references: Maps) -> Values:
    """F1 of each interval by `sklearn.metrics.f1_score`."""
    from sklearn.metrics import f1_score

    scores = []
    for interval in range(1, YEARS):
        actual = changes(references[:, :-interval], references[:, interval:])
        predicted = changes(predictions[:, :-interval], predictions[:, interval:])
        counted = actual != IGNORED
        scores.append(float(f1_score(actual[counted], predicted[counted])))
    return scores


def sklearn_ca_tiou(predictions: Maps, references: Maps) -> Values:
    """TIoU of each pair of years by `sklearn.metrics.jaccard_score`."""
    from sklearn.metrics import jaccard_score

    scores = []
    for first, second in PAIRS:
        predicted_1, predicted_2 = within_unchanged(predictions, references, first, second)
        counted = predicted_2 != IGNORED
        scores.append(float(jaccard_score(predicted_1[counted], predicted_2[counted])))
    return scores


TASKS: dict[str, tuple[Task, Task, Task]] = {
    "ca_tiou": (our_ca_tiou, torchmetrics_ca_tiou, sklearn_ca_tiou),
    "annual_f1": (our_annual_f1, torchmetrics_annual_f1, sklearn_annual_f1),
    "interval_f1": (our_interval_f1, torchmetrics_interval_f1, sklearn_interval_f1),
}


def seconds_of(task: Task, predictions: Maps, references: Maps, repeats: int) -> tuple[float, Values]:
    """The shortest of several runs: the one that other processes disturbed least."""
    shortest = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        values = task(predictions, references)
        shortest = min(shortest, time.perf_counter() - start)
    return shortest, values


def compare(predictions: Maps, references: Maps, repeats: int) -> list[Row]:
    """Times all three on the same series, one after the other, and compares the scores.

    Args:
        predictions: (series, years, height, width).
        references: The same.
        repeats: How often each is run.

    Returns:
        One row a metric.

    Raises:
        RuntimeError: The scores differ by more than float32 rounding, in which torchmetrics computes.
    """
    rows = []
    for name, tasks in TASKS.items():
        (ours, values), (torchmetrics, others_1), (sklearn, others_2) = (
            seconds_of(task, predictions, references, repeats) for task in tasks
        )
        difference = float(np.abs(np.array([others_1, others_2]) - values).max())
        if not difference < 1e-6:
            raise RuntimeError(f"{name} differs from torchmetrics or scikit-learn by {difference}.")
        rows.append(Row(name, ours, torchmetrics, sklearn, difference))
    return rows


def markdown(rows: list[Row], shared: int, totals: dict[str, float], series: int) -> str:
    """The figures as a Markdown table.

    Args:
        rows: What `compare` found.
        shared: How many series all three scored.
        totals: The seconds of ours alone by metric.
        series: How many series ours alone scored.
    """
    lines = [
        f"All on the same {shared} series of {YEARS} x {SIZE} x {SIZE}, one thread, batches of {BATCH}:",
        "",
        "| metric | ours | torchmetrics | scikit-learn | torchmetrics / ours | scikit-learn / ours "
        "| largest difference |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.metric} | {row.ours:.3f} s | {row.torchmetrics:.2f} s | {row.sklearn:.2f} s "
        f"| {row.torchmetrics / row.ours:.0f} x | {row.sklearn / row.ours:.0f} x | {row.difference:.0e} |"
        for row in rows
    ]
    total = sum(totals.values())
    each = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in totals.items())
    verdict = "under" if total < LIMIT_IN_SECONDS else "NOT under"
    lines += ["", f"Ours on {series} series: {each}; {total:.2f} s in all, {verdict} {LIMIT_IN_SECONDS:g} s."]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Time the three metrics beside torchmetrics and scikit-learn.

    Returns:
        The exit status.
    """
    parser = benchmark_parser("metrics", __doc__)
    parser.add_argument("--series", type=positive, default=1011, help="how many series ours alone score")
    parser.add_argument("--shared", type=positive, default=32, help="how many series all three score")
    parser.add_argument("--repeats", type=positive, default=3, help="how often ours alone run")
    parser.add_argument("--shared-repeats", type=positive, default=1, help="how often all three run")
    options = parser.parse_args(arguments)

    import torch

    torch.set_num_threads(1)
    predictions, references = simulate(max(options.series, options.shared))
    # The first use of each pays for its imports.
    compare(predictions[:1], references[:1], repeats=1)
    rows = compare(predictions[: options.shared], references[: options.shared], options.shared_repeats)
    predictions, references = predictions[: options.series], references[: options.series]
    totals = {
        name: seconds_of(tasks[0], predictions, references, options.repeats)[0]
        for name, tasks in TASKS.items()
    }
    sys.stdout.write(markdown(rows, options.shared, totals, options.series))
    return 0


if __name__ == "__main__":
    with reported_errors("metrics"):
        sys.exit(main())
