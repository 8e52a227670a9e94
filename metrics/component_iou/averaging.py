"""Scores of pixel counts, averaged over sites and bootstrapped.

Needs NumPy only. Edit `metrics/averaging.py`; `python -m euromine.metrics.synchronise` copies it into the
folder of each metric, which is published on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .counts import Counts, CountTable

Scores = dict[str, NDArray[np.float64]]
ScoreFunction = Callable[[Counts, Counts], Scores]
"""Counts by year (..., years, fields) and by pair (..., years, years, fields) -> scores (..., *)."""

# Counts of 1000 resamples of ten years take some 6 MB per field.
_RESAMPLES_AT_ONCE = 1000


@dataclass(frozen=True)
class Averaging:
    """How to average the scores of many sites and to bootstrap their mean.

    Attributes:
        average: "site" averages the sites' scores, weighted by their pixels; "pooled" scores the sum of all
            sites' counts.
        zero_division: The score where there are valid pixels but the denominator is 0: nan leaves it out of
            every mean, 0 or 1 count as that score.
        bootstrap: Number of resamples of the sites for confidence intervals; 0 for none.
        confidence: Share of the resampled scores that an interval covers.
        seed: Seed of the resampling.
    """

    average: str = "site"
    zero_division: float = np.nan
    bootstrap: int = 0
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.average not in ("site", "pooled"):
            raise ValueError(f"average: found {self.average!r}; expected 'site' or 'pooled'.")
        is_nan = isinstance(self.zero_division, float | np.floating) and np.isnan(self.zero_division)
        if not is_nan and self.zero_division not in (0, 1):
            raise ValueError(f"zero_division: found {self.zero_division!r}; expected 0, 1 or nan.")
        if not isinstance(self.bootstrap, int | np.integer) or self.bootstrap < 0:
            raise ValueError(
                f"bootstrap: found {self.bootstrap!r}; expected a number of resamples, 0 for none."
            )
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence: found {self.confidence!r}; expected a share between 0 and 1.")


def average_scores(
    table: CountTable, pixels: Counts, score: ScoreFunction, averaging: Averaging
) -> dict[str, Any]:
    """Scores each site and all sites together.

    Args:
        table: The counts.
        pixels: Weights of the sites, (sites,): the pixels of their references that are not ignored.
        score: Turns counts into scores of the same leading shape.
        averaging: How to average and bootstrap.

    Returns:
        Plain floats and lists of floats, nan where undefined: every score of `score`; `pixels`; `sites`, with
        the pixels and the scalar scores of each; and, after a bootstrap, `confidence_intervals`, [low, high]
        of each scalar score.

    Raises:
        ValueError: An example has no site, which `average="site"` and a bootstrap need, or a bootstrap has
            fewer than two sites.
    """
    if None in table.sites and averaging.average == "site":
        raise ValueError(
            "sites: found examples without one; expected one each for average='site'. "
            "Pass sites, one name per example, or average='pooled'."
        )
    site_scores = score(table.by_year, table.by_pair)
    if averaging.average == "site":
        scores = {name: _mean_over_sites(values, pixels) for name, values in site_scores.items()}
    else:
        scores = score(table.by_year.sum(axis=0), table.by_pair.sum(axis=0))
    scalars = [name for name, values in scores.items() if values.ndim == 0]
    result: dict[str, Any] = {name: values.tolist() for name, values in scores.items()}
    result["pixels"] = int(pixels.sum())
    result["sites"] = {
        site: {"pixels": int(pixels[row]), **{name: float(site_scores[name][row]) for name in scalars}}
        for row, site in enumerate(table.sites)
        if site is not None
    }
    if averaging.bootstrap:
        resampled = resample_scores(table, pixels, score, averaging, site_scores)
        result["confidence_intervals"] = {
            name: percentile_interval(resampled[name], averaging.confidence) for name in scalars
        }
    return result


def _mean_over_sites(values: NDArray[np.float64], pixels: Counts) -> NDArray[np.float64]:
    """Mean of (sites, ...) over the sites where it is defined, weighted by pixels (sites,)."""
    return mean_of_defined(np.moveaxis(values, 0, -1), pixels)


def resample_scores(
    table: CountTable, pixels: Counts, score: ScoreFunction, averaging: Averaging, site_scores: Scores
) -> Scores:
    """Scores resamples of the sites.

    The draws depend only on the seed and the number of sites, so resamples of several networks on the same
    sites are paired.

    Args:
        table: The counts.
        pixels: Weights of the sites, (sites,).
        score: As in `average_scores`.
        averaging: How to average, and the number and the seed of the resamples.
        site_scores: The scores of each site.

    Returns:
        (resamples,) for each scalar score.

    Raises:
        ValueError: An example has no site, or there are fewer than two sites.
    """
    if None in table.sites:
        raise ValueError(
            "sites: found examples without one; expected one each for a bootstrap. "
            "Pass sites, one name per example."
        )
    # A site without valid pixels is not an observation.
    observed = np.flatnonzero(pixels)
    if len(observed) < 2:
        raise ValueError(
            f"sites: found {len(observed)} with valid pixels; expected at least two for a bootstrap."
        )
    generator = np.random.default_rng(averaging.seed)
    shares = np.full(len(observed), 1 / len(observed))
    draws = generator.multinomial(len(observed), shares, size=averaging.bootstrap)
    if averaging.average == "site":
        return {
            name: mean_of_defined(values[observed], draws * pixels[observed])
            for name, values in site_scores.items()
            if values.ndim == 1
        }
    by_year, by_pair = table.by_year[observed], table.by_pair[observed]
    chunks = [
        score(np.tensordot(part, by_year, 1), np.tensordot(part, by_pair, 1))
        for part in np.split(draws, range(_RESAMPLES_AT_ONCE, len(draws), _RESAMPLES_AT_ONCE))
    ]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def percentile_interval(values: NDArray[np.float64], confidence: float) -> list[float]:
    """Percentile interval [low, high] of the resampled scores (resamples,) that are defined."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return [float("nan"), float("nan")]
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, (tail, 1 - tail))
    return [float(low), float(high)]


def ratio(
    numerator: Counts, denominator: Counts, pixels: Counts, zero_division: float
) -> NDArray[np.float64]:
    """Divides counts of the same shape.

    Where the denominator is 0, the ratio is `zero_division` if there are valid pixels and nan otherwise: a
    missing year has no score, whatever `zero_division`.
    """
    undefined = np.where(pixels > 0, zero_division, np.nan)
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), undefined)


def mean_of_defined(values: NDArray[np.float64], weights: Counts | int = 1) -> NDArray[np.float64]:
    """Weighted mean over the last axis, ignoring nan; nan where all are."""
    defined = ~np.isnan(values)
    weights_of_defined = weights * defined
    totals = np.asarray(weights_of_defined.sum(axis=-1))
    sums = (np.where(defined, values, 0.0) * weights_of_defined).sum(axis=-1)
    return np.where(totals > 0, sums / np.maximum(totals, 1), np.nan)


def binary_scores(confusion: Counts, zero_division: float) -> Scores:
    """F1, precision, recall and IoU, (...) each.

    Args:
        confusion: (..., 4): true positives, predicted, actual and valid pixels.
        zero_division: The score where there are valid pixels but the denominator is 0.
    """
    hits, predicted, actual, pixels = np.moveaxis(confusion, -1, 0)
    return {
        "f1": ratio(2 * hits, predicted + actual, pixels, zero_division),
        "precision": ratio(hits, predicted, pixels, zero_division),
        "recall": ratio(hits, actual, pixels, zero_division),
        "iou": ratio(hits, predicted + actual - hits, pixels, zero_division),
    }
