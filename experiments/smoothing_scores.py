"""The speed of smoothing a series, and the effect of smoothing on a mapper's scores.

`python -m euromine.experiments.smoothing_scores` times a series of ten years of 2,000 x 2,000 pixels, for
which Viterbi's path has 2 seconds, beside a textbook implementation of the same path and the same median in
NumPy and SciPy. With `--dataset FOLDER --models FOLDER...` it then maps the test sites with each model, and
scores the maps with and without smoothing. Switch rates come from the training labels, the prior from
validation.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from euromine.dataset_script.build_record import is_simulated_dataset
from euromine.dataset_script.reading import read_dataset
from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.metrics.ca_tiou.ca_tiou import CATIoU
from euromine.metrics.interval_f1.interval_f1 import IntervalF1
from euromine.modeling.tasks import SEGMENTATION
from euromine.monitoring.history.calibration_counts import calibrate, series_probability
from euromine.monitoring.history.markov import change_probability, posterior
from euromine.monitoring.history.pixel_counts import owned_box
from euromine.monitoring.history.smoothing import METHODS, Method, smooth
from euromine.monitoring.history.switch_rates import SwitchRates
from euromine.monitoring.mapping.loading import load_model
from euromine.support.errors import ArgumentError
from euromine.support.files import write_text
from euromine.support.gap_filling import fill_gaps

LIMIT_IN_SECONDS = 2.0
# Rates of the order of the published labels': mines grow, and few are given back.
RATES = SwitchRates(expansion=0.01, reclamation=0.03, prior=0.2)
# The scores of the table: the metric, its score, and what the column is called.
SCORES = (
    ("annual_f1", "of1", "annual F1"),
    ("ca_tiou", "lca_tiou", "LCA-TIoU"),
    ("ca_tiou", "gca_tiou", "GCA-TIoU"),
    ("interval_f1", "of1_pooled", "interval F1"),
)
_RESAMPLES = 2000
# Viterbi's path where nothing was fitted.
PLAIN = "viterbi, labels' prior"

Float = NDArray[np.float32]
Maps = NDArray[np.uint8]


@dataclass(frozen=True)
class Timing:
    """One line of the table of times.

    Attributes:
        what: What was computed.
        ours: Seconds of each repetition.
        other: By what else it was computed, "" if by nothing.
        seconds: Seconds of each repetition of that.
        differing: Share of pixels on which the two differ.
    """

    what: str
    ours: list[float]
    other: str = ""
    seconds: tuple[float, ...] = ()
    differing: float = 0.0


def textbook_viterbi(probability: Float, rates: SwitchRates) -> Maps:
    """Viterbi's path as textbooks give it for any number of states: scores, maxima and back pointers."""
    step = np.log(rates.transition().astype(np.float32))
    prior = np.log(np.array([1 - rates.prior, rates.prior], np.float32))
    values = np.clip(probability, 2**-20, 1 - 2**-20)
    emission = np.log(np.stack([1 - values, values], axis=1)) - prior[:, None, None]
    score = prior[:, None, None] + emission[0]
    pointers = np.empty(emission.shape, np.uint8)
    for year in range(1, len(probability)):
        ways = score[:, None] + step[..., None, None]
        pointers[year] = ways.argmax(axis=0)
        score = ways.max(axis=0) + emission[year]
    path = np.empty(probability.shape, np.uint8)
    path[-1] = score.argmax(axis=0)
    for year in range(len(probability) - 1, 0, -1):
        path[year - 1] = np.take_along_axis(pointers[year], path[year][None].astype(np.intp), axis=0)[0]
    return path


def simulated_probability(years: int, side: int) -> Float:
    """Probabilities of growing mines with a mapper's uncertainty, (years, side, side)."""
    generator = np.random.default_rng(0)
    land = ndimage.zoom(generator.standard_normal((side // 20 + 2, side // 20 + 2)).astype(np.float32), 20)
    growing = land[None, :side, :side] + np.linspace(-1.5, -0.8, years, dtype=np.float32)[:, None, None]
    doubts = generator.standard_normal((years, side, side), dtype=np.float32)
    return 1 / (1 + np.exp(-(4 * growing + doubts)))


def measure(years: int, side: int, repeats: int) -> list[Timing]:
    """The times of all methods; the two implementations take turns."""
    probability = simulated_probability(years, side)
    others: dict[str, tuple[str, Callable[[], Maps]]] = {
        "viterbi": ("textbook NumPy", lambda: textbook_viterbi(probability, RATES)),
        "median": (
            "scipy.ndimage.median_filter",
            lambda: (ndimage.median_filter(probability, size=(3, 1, 1), mode="nearest") > 0.5).astype(
                np.uint8
            ),
        ),
    }
    timings = []
    for method in METHODS:
        name, other = others.get(method, ("", None))
        ours, seconds, differing = [], [], 0.0
        for repeat in range(repeats):
            found, elapsed = _timed(partial(smooth, probability, method, RATES))
            ours.append(elapsed)
            # The other one is slow: twice is enough to see how much.
            if other is not None and repeat < 2:
                expected, elapsed = _timed(other)
                seconds.append(elapsed)
                differing = float((found != expected).mean())
        timings.append(Timing(method, ours, name, tuple(seconds), differing))
    few = max(1, repeats // 2)
    timings.append(
        Timing(
            "posteriors of all years", [_timed(lambda: posterior(probability, RATES))[1] for _ in range(few)]
        )
    )
    pairs = years * (years - 1) // 2
    # A quarter of the rows at a time, as a series is mapped: all at once are 360 bytes a pixel.
    rows = -(-side // 4)

    def all_pairs() -> None:
        for top in range(0, side, rows):
            change_probability(probability[:, top : top + rows], RATES)

    timings.append(Timing(f"gain and loss of {pairs} pairs", [_timed(all_pairs)[1] for _ in range(few)]))
    return timings


def time_report(timings: Sequence[Timing], years: int, side: int) -> str:
    """The times as Markdown."""
    lines = [
        f"{years} years of {side:,} x {side:,} pixels on {os.cpu_count()} cores, medians, load "
        f"{os.getloadavg()[0]:.1f}.",
        "",
        "| | seconds | beside | seconds | faster | pixels that differ |",
        "|---|--:|---|--:|--:|--:|",
    ]
    for timing in timings:
        ours = float(np.median(timing.ours))
        beside = "| | |"
        if timing.seconds:
            other = float(np.median(timing.seconds))
            beside = f"{timing.other} | {other:.2f} | {other / ours:.0f} x | {timing.differing:.1e}"
        lines.append(f"| {timing.what} | {ours:.2f} | {beside} |")
    viterbi = float(np.median(timings[0].ours))
    verdict = "within" if viterbi < LIMIT_IN_SECONDS else "beyond"
    lines += ["", f"Viterbi's path takes {viterbi:.2f} s, {verdict} the limit of {LIMIT_IN_SECONDS:.0f} s."]
    return "\n".join(lines) + "\n"


class Scorer:
    """The three metrics of one model and one method."""

    def __init__(self) -> None:
        self._metrics: dict[str, Any] = {
            "annual_f1": AnnualF1(),
            "ca_tiou": CATIoU(),
            "interval_f1": IntervalF1(),
        }

    def add(self, maps: Maps, labels: Maps, site: str, years: Sequence[int]) -> None:
        """Count one series, (years, height, width) both."""
        for metric in self._metrics.values():
            metric.add(prediction=maps, reference=labels, site=site, years=years)

    def compute(self) -> dict[str, dict[str, Any]]:
        """All scores, by metric."""
        return {name: metric.compute() for name, metric in self._metrics.items()}


@dataclass(frozen=True)
class ModelScores:
    """The scores of a model.

    Attributes:
        rates: Its switch rates, with the prior that was fitted at the validation sites.
        scores: What each metric computed, by method of smoothing.
    """

    rates: SwitchRates
    scores: dict[str, dict[str, dict[str, Any]]]


def score_model(source: str, dataset: Path, split: str, device: str | None) -> ModelScores:
    """The scores of a model by method of smoothing and metric.

    Args:
        source: The model's folder or Hub repository.
        dataset: A folder that `euromine build` wrote.
        split: The split to score on.
        device: Where the model runs; default a GPU if there is one.
    """
    loaded = load_model(source, task=SEGMENTATION, device=device)
    rates = calibrate(loaded.model, loaded.image_processor, dataset, progress=True).rates
    plain = replace(rates, emission_prior=None)
    methods: dict[str, tuple[Method, SwitchRates]] = {
        "none": ("none", rates),
        "median": ("median", rates),
        "viterbi": ("viterbi", rates),
        PLAIN: ("viterbi", plain),
    }
    scorers = {name: Scorer() for name in methods}
    columns = ("images", "labels", "own", "site", "years")
    for row in tqdm(read_dataset(dataset, "series", split, columns=columns), desc="mapping", unit="patch"):
        own = owned_box(row["own"])
        years = [int(year) for year in row["years"]]
        images = fill_gaps(row["images"], row["labels"])
        probability = series_probability(loaded.model, loaded.image_processor, images)[own]
        for name, (method, chosen) in methods.items():
            maps = smooth(probability, method, chosen, years=years)
            scorers[name].add(maps, row["labels"][own], row["site"], years)
    return ModelScores(rates, {name: scorer.compute() for name, scorer in scorers.items()})


def paired_interval(before: dict[str, Any], after: dict[str, Any], score: str) -> tuple[float, float]:
    """The interval of 95 % of a score's difference, by resamples of the sites that both were scored on.

    Args:
        before: What a metric computed.
        after: What it computed of other maps of the same sites.
        score: One of its scores, a mean over sites.
    """
    sites = list(before["sites"])
    pixels = np.array([before["sites"][site]["pixels"] for site in sites], np.float64)
    values = np.array([[each["sites"][site][score] for site in sites] for each in (before, after)])
    weights = np.where(np.isnan(values), 0, pixels)
    values = np.nan_to_num(values)
    draws = np.random.default_rng(0).multinomial(len(sites), np.full(len(sites), 1 / len(sites)), _RESAMPLES)
    with np.errstate(invalid="ignore"):
        means = (draws @ (values * weights).T) / (draws @ weights.T)
    low, high = np.nanquantile(means[:, 1] - means[:, 0], (0.025, 0.975))
    return float(low), float(high)


def score_report(models: dict[str, ModelScores], dataset: Path, split: str) -> str:
    """The scores as Markdown: each method beside no smoothing, by model."""
    some = next(iter(models.values()))
    first, rates = some.scores["none"]["annual_f1"], some.rates
    data = "SIMULATED data" if is_simulated_dataset(dataset) else f"the dataset {dataset.name}"
    lines = [
        f"Scores on {data}, {len(first['sites'])} sites of the split {split}; means over sites weighted by "
        "their pixels. In brackets the difference to no smoothing and, from "
        f"{_RESAMPLES} resamples of the sites, its interval of 95 %.",
        "",
        f"Switch rates of the training labels: expansion {rates.expansion:.4f}, reclamation "
        f"{rates.reclamation:.4f} a year; share of mines {rates.prior:.3f}. `viterbi` divides a model's "
        f"probabilities by the prior that fits the validation sites best (in the first column), `{PLAIN}` by "
        "that share.",
        "",
        "| model | smoothing | " + " | ".join(name for _, _, name in SCORES) + " |",
        "|---|---|" + "---|" * len(SCORES),
    ]
    for model, found in models.items():
        by_method = found.scores
        for method in by_method:
            cells = []
            for metric, score, _ in SCORES:
                value = by_method[method][metric][score]
                if method == "none":
                    cells.append(f"{value:.3f}")
                    continue
                before, after = by_method["none"][metric], by_method[method][metric]
                low, high = paired_interval(before, after, score)
                cells.append(f"{value:.3f} ({value - before[score]:+.3f}, {low:+.3f} to {high:+.3f})")
            name = f"{model} ({found.rates.emission_prior:.2f})"
            lines.append(f"| {name} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, score, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--years", type=int, default=10, help="years of the series that is timed")
    parser.add_argument("--side", type=int, default=2000, help="its height and width")
    parser.add_argument("--repeats", type=int, default=5, help="how often it is smoothed; 0 leaves times out")
    parser.add_argument("--dataset", type=Path, help="a built dataset, to score on")
    parser.add_argument("--models", nargs="+", default=[], help="folders of footprint mappers to score")
    parser.add_argument("--split", default="test", help="the split to score on")
    parser.add_argument("--device", help="where the models run; a GPU if there is one")
    parser.add_argument("--out", type=Path, help="a Markdown file for the tables, too")
    chosen = parser.parse_args(arguments)
    if bool(chosen.models) != (chosen.dataset is not None):
        parser.error("--dataset and --models belong together")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    parts = []
    if chosen.repeats:
        timings = measure(chosen.years, chosen.side, chosen.repeats)
        parts.append(time_report(timings, chosen.years, chosen.side))
    if chosen.models:
        models = {
            name: score_model(source, chosen.dataset, chosen.split, chosen.device)
            for name, source in zip(_model_names(chosen.models), chosen.models, strict=True)
        }
        parts.append(score_report(models, chosen.dataset, chosen.split))
    text = "\n".join(parts)
    sys.stdout.write(text)
    if chosen.out:
        write_text(chosen.out, text)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def _model_names(sources: Sequence[str]) -> list[str]:
    """Names of the models in the table: the shortest ends of their paths that differ."""
    paths = [
        Path(source).resolve().parts if Path(source).is_dir() else tuple(source.split("/"))
        for source in sources
    ]
    for length in range(1, max(map(len, paths)) + 1):
        names = ["/".join(parts[-length:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    raise ArgumentError(f"--models: found {', '.join(sources)}; expected each model once.")


if __name__ == "__main__":
    main()
