"""The comparison as Markdown: scores and costs, the lead of the whole, other conditions, learning curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from euromine.benchmark.costs import SERIES_YEARS, network_costs
from euromine.benchmark.results import (
    Score,
    joint_scores_of,
    percentiles,
    resampled_scores,
    scores_of,
)
from euromine.benchmark.table_pages import shown, shown_interval
from euromine.metrics.counts import CountTable
from euromine.metrics.interval_f1.interval_f1 import interval_list
from euromine.modeling.change_detection import year_pairs
from euromine.support.markdown import table

from .competitors import (
    CHANGES,
    COMPETITORS,
    MARGINALS,
    MEDIAN,
    PATH,
    VITERBI,
    YEARLY,
)
from .evidence_jobs import Job
from .evidence_records import Settings, TrainingRecord, is_scored, read_scores, read_training
from .scored_maps import Counts, counts_of_constant
from .site_series import CLEAN, CONDITION_TITLES, SiteSeries

INTERVALS = (1, 3, 9)
WHOLE = "whole"
# Metric, score and title of the scores that the whole is to lead at once.
HEADLINES = (
    ("annual_f1", "of1", "OF1"),
    ("ca_tiou", "lca_tiou", "LCA-TIoU"),
    ("ca_tiou", "gca_tiou", "GCA-TIoU"),
    ("interval_f1", "of1_pooled", "change OF1"),
)
_KIND_TITLES = {
    YEARLY: "",
    MEDIAN: " + median",
    VITERBI: " + HMM",
    MARGINALS: ", most likely states",
    PATH: ", most likely path",
    CHANGES: "",
}
_NOTE = (
    "**Simulated data.** These figures compare networks on landscapes, mines and labels that a "
    "program draws. They say nothing about accuracy on real mines. A map that never changes scores 1.0 in "
    "CA-TIoU: read it beside OF1."
)


@dataclass(frozen=True)
class Row:
    """A kind of maps of a competitor.

    Attributes:
        competitor: Its name; "" for a constant map.
        title: Its title.
        kind: The kind of maps.
        seeds: The counts by metric, one a seed.
        seconds: Processor time of a series, None of a constant map.
    """

    competitor: str
    title: str
    kind: str
    seeds: tuple[Counts, ...]
    seconds: float | None = None

    def scores(self, metric: str) -> Mapping[str, Score | list[Score]]:
        """The scores of a metric over the seeds; none where the maps have none."""
        if metric not in self.seeds[0]:
            return {}
        return joint_scores_of([counts[metric] for counts in self.seeds], metric, "site")

    def mean(self, metric: str, score: str) -> float:
        """A score's mean over the seeds; NaN where the maps have none."""
        if metric not in self.seeds[0]:
            return float("nan")
        return float(np.mean([scores_of(counts[metric], metric, "site")[score] for counts in self.seeds]))


def rows_under(
    out: Path,
    jobs: Sequence[Job],
    condition: str,
    trained_under: Iterable[str],
    seeds: Iterable[int] | None = None,
) -> list[Row]:
    """The rows of a table, of all jobs that have been scored.

    Args:
        out: The folder.
        jobs: All jobs.
        condition: Of the test sites.
        trained_under: The conditions of training that belong in the table.
        seeds: Those that belong in it; default all.
    """
    wanted, chosen = set(trained_under), None if seeds is None else set(seeds)
    rows = []
    for name, competitor in COMPETITORS.items():
        found = [
            read_scores(job.folder(out), condition)
            for job in jobs
            if job.competitor == name
            and job.trained_under in wanted
            and condition in job.conditions
            and is_scored(job.folder(out), condition)
            and (chosen is None or job.seed in chosen)
        ]
        for kind in competitor.maps if found else ():
            seconds = float(np.mean([record.seconds[kind] for record, _ in found]))
            counts = tuple(each[kind] for _, each in found)
            rows.append(Row(name, competitor.title + _KIND_TITLES[kind], kind, counts, seconds))
    return rows


def constant_rows(test: SiteSeries) -> list[Row]:
    """The rows of maps that are the same everywhere and always."""
    titles = ("constant: no mine anywhere", "constant: mine everywhere")
    return [Row("", title, "", (counts_of_constant(test, value),)) for value, title in enumerate(titles)]


def page(out: Path, jobs: Sequence[Job], settings: Settings, test: SiteSeries) -> str:
    """All tables of a folder."""
    rows = rows_under(out, jobs, CLEAN, [CLEAN])
    records = [read_training(job.folder(out)) for job in jobs if job.is_trained(out)]
    parts = [
        "# The network for series beside others (simulated data)",
        f"> {_NOTE}",
        "\n".join(f"- {line}" for line in _setup(settings, records, test)),
    ]
    if rows:
        parts += ["## Scores and costs (simulated data)", score_table([*rows, *constant_rows(test)])]
        parts += ["## Intervals over the test sites (simulated data)", interval_table(rows)]
    leads = lead_table(rows)
    if leads:
        parts += ["## The lead of the whole (simulated data)", _LEAD_NOTE, leads]
    conditions = condition_table(out, jobs)
    if conditions:
        parts += ["## Other conditions (simulated data)", _CONDITION_NOTE, conditions]
    parts += ["## Trainings (simulated data)", training_table(jobs, out)]
    return "\n\n".join(parts) + "\n"


def _setup(settings: Settings, records: Sequence[TrainingRecord], test: SiteSeries) -> list[str]:
    budget = settings.budget
    precision = "bfloat16 autocast" if budget.bf16 else "float32"
    versions = sorted(
        {", ".join(f"{name} {value}" for name, value in each.versions.items()) for each in records}
    )
    rates = ", ".join(f"{rate:g}" for rate in settings.learning_rates)
    chosen = f"the learning rate {rates}"
    if len(settings.learning_rates) > 1:
        chosen = (
            f"the learning rate of {rates} with which a full training of the first seed scores best on the "
            "validation sites"
        )
    return [
        f"{settings.sites} simulated sites of {settings.side} x {settings.side} pixels, {settings.years} "
        f"years; {settings.validation_sites} validation and {len(test)} test sites.",
        f"Every network sees the same {budget.images} images in the same order: {budget.steps} steps of "
        f"{budget.series} series, crops of {budget.crop} x {budget.crop} pixels, {precision}.",
        f"Change detectors compare {budget.pairs} pairs of each series in a step, every interval equally "
        "often.",
        "All start from random weights and are trained with cross-entropy and soft Dice by AdamW, with "
        f"warm-up and a cosine schedule, and {chosen}.",
        "Sites are scored apart and averaged by their pixels. Changes are the differences of footprints, "
        "except for change detectors and the chain's most likely states, beside which the chain gives "
        "probabilities of change.",
        "Intervals: 95 %, by bootstrap over the test sites (1000 resamples) of the mean over the seeds.",
        f"Hardware: {'; '.join(sorted({each.device for each in records}))}. Versions: {'; '.join(versions)}.",
    ]


def score_table(rows: Sequence[Row]) -> str:
    """Scores and costs, one line a kind of maps."""
    header = [
        "maps",
        *(title for _, _, title in HEADLINES),
        *(f"change F1, {each} year{'s' if each > 1 else ''}" for each in INTERVALS),
        "GMAC a series",
        "a series, s",
        "parameters",
        "seeds",
    ]
    lines = []
    for row in rows:
        line = [row.title, *(_shown(row.scores(metric).get(score)) for metric, score, _ in HEADLINES)]
        line += _by_interval(row)
        line += _costs(row)
        lines.append([*line, str(len(row.seeds)) if row.competitor else "-"])
    return table(header, lines)


def _shown(score: Score | list[Score] | None) -> str:
    return shown(score) if isinstance(score, Score) else "-"


def _by_interval(row: Row) -> list[str]:
    scores = row.scores("interval_f1")
    f1 = scores["f1"]
    assert isinstance(f1, list)
    known = interval_list(row.seeds[0]["interval_f1"].years)
    places = {interval: place for place, interval in enumerate(known)}
    return [f"{f1[places[each]].mean:.4f}" if each in places else "-" for each in INTERVALS]


def _costs(row: Row) -> list[str]:
    if not row.competitor:
        return ["0", "0", "0"]
    gmacs, parameters = series_costs(row.competitor)
    return [f"{gmacs:.1f}", f"{row.seconds:.2f}", f"{parameters / 1e6:.2f} M"]


@cache
def series_costs(name: str) -> tuple[float, int]:
    """GMAC of ten years of 160 x 160 pixels, all pairs for a change detector; and parameters.

    Args:
        name: A competitor's name.
    """
    competitor = COMPETITORS[name]
    with torch.device("meta"):
        network = competitor.create()
    costs = network_costs(network)
    if competitor.maps_changes_only:
        pairs = len(year_pairs(SERIES_YEARS))
        if costs.encoder_gmacs is None or costs.decoder_gmacs is None:
            return pairs * costs.gmacs, costs.parameters
        return SERIES_YEARS * costs.encoder_gmacs + pairs * costs.decoder_gmacs, costs.parameters
    images = SERIES_YEARS if competitor.architecture.startswith("segformer") else 1
    return images * costs.gmacs, costs.parameters


def interval_table(rows: Sequence[Row]) -> str:
    """The intervals of the headline scores over the sites."""
    lines = [
        [row.title, *(_interval(row.scores(metric).get(score)) for metric, score, _ in HEADLINES)]
        for row in rows
    ]
    return table(["maps", *(title for _, _, title in HEADLINES)], lines)


def _interval(score: Score | list[Score] | None) -> str:
    return shown_interval(score) if isinstance(score, Score) else "-"


_LEAD_NOTE = (
    "The whole's score (most likely path) minus that of the row, on the seeds that both have; in brackets, "
    "95 % of resamples of the same test sites for both. Where the interval contains 0, neither leads."
)
_CONDITION_NOTE = (
    "One seed. Networks trained on sites as simulated are scored on disturbed ones; with `trained so`, they "
    "are trained on disturbed sites as well (noisy labels disturb training only). In brackets, the "
    "whole's score minus the best of the other networks in the same condition."
)


def lead_table(rows: Sequence[Row]) -> str:
    """The differences of the whole's path and all other rows, with intervals; "" without the whole."""
    whole = next((row for row in rows if row.competitor == WHOLE and row.kind == PATH), None)
    if whole is None:
        return ""
    lines = [
        [row.title, *(_lead(whole, row, metric, score) for metric, score, _ in HEADLINES)]
        for row in rows
        if row.competitor != WHOLE
    ]
    return table(["over", *(title for _, _, title in HEADLINES)], lines)


def _lead(whole: Row, other: Row, metric: str, score: str) -> str:
    if metric not in other.seeds[0]:
        return "-"
    seeds = min(len(whole.seeds), len(other.seeds))
    tables: list[list[CountTable]] = [[each[metric] for each in row.seeds[:seeds]] for row in (whole, other)]
    means = [np.mean([scores_of(each, metric, "site")[score] for each in group]) for group in tables]
    draws = [resampled_scores(group, metric, "site") for group in tables]
    lead = f"{means[0] - means[1]:+.4f}"
    if not all(score in each for each in draws):
        return lead
    low, high = percentiles(draws[0][score] - draws[1][score])
    return f"{lead} ({low:+.4f} to {high:+.4f})"


def condition_table(out: Path, jobs: Sequence[Job]) -> str:
    """Headline scores under each condition, one line a kind of maps; "" where none has been scored."""
    tested = list(dict.fromkeys(each for job in jobs for each in job.conditions))
    settings = [(condition, CLEAN) for condition in tested]
    settings += [(condition, condition) for condition in tested if condition != CLEAN]
    lines = []
    robust = {job.competitor for job in jobs if set(job.conditions) - {CLEAN}}
    for condition, trained in settings:
        rows = [row for row in rows_under(out, jobs, condition, [trained], [0]) if row.competitor in robust]
        if not robust or not rows or len({row.competitor for row in rows}) < 2:
            continue
        title = CONDITION_TITLES[condition] + (", trained so" if trained != CLEAN else "")
        best = {
            score: max(
                (row.mean(metric, score) for row in rows if row.competitor != WHOLE), default=float("nan")
            )
            for metric, score, _ in HEADLINES
        }
        for row in rows:
            line = [title, row.title]
            for metric, score, _ in HEADLINES:
                value = row.mean(metric, score)
                lead = f" ({value - best[score]:+.3f})" if row.competitor == WHOLE else ""
                line.append(f"{value:.3f}{lead}" if value == value else "-")
            lines.append(line)
    return table(["condition", "maps", *(title for _, _, title in HEADLINES)], lines) if lines else ""


def training_table(jobs: Sequence[Job], out: Path) -> str:
    """Learning rates, times and learning curves of all trainings."""
    lines = []
    for job in jobs:
        if not job.is_trained(out):
            continue
        record = read_training(job.folder(out))
        curve = ", ".join(f"{point.step}: {point.score:.3f} ({point.loss:.2f})" for point in record.curve)
        lines.append(
            [
                COMPETITORS[record.competitor].title,
                "a trial" if job.learning_rate is not None else CONDITION_TITLES[record.condition],
                str(record.seed),
                f"{record.learning_rate:g}",
                f"{record.seconds:.0f}",
                curve,
            ]
        )
    return table(
        ["network", "training", "seed", "learning rate", "processor time, s", "step: validation OF1 (loss)"],
        lines,
    )
