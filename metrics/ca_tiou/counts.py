"""Pixel counts of footprint series, added up by site, and the averages of the scores they give.

NumPy alone. The file is edited as `metrics/counts.py`; `python -m euromine.metrics.synchronise` copies it
into the folder of each metric, because such a folder is published alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED = 255
"""The class of the pixels that no metric counts."""

Bits = NDArray[np.uint64]
Counts = NDArray[np.int64]
Scores = dict[str, NDArray[np.float64]]
ScoreFunction = Callable[[Counts, Counts], Scores]
"""Counts by year (..., years, fields) and by pair (..., years, years, fields) -> scores (..., *)."""

# 512 x 512 pixels: the 45 pairs of ten years are 1.5 MB, which a processor's cache holds.
_WORDS_AT_ONCE = 4096
# Resamples whose counts are held at once: 1000 of ten years are some 6 MB per counted field.
_RESAMPLES_AT_ONCE = 1000


def pack(maps: NDArray[Any], name: str) -> tuple[Bits, Bits]:
    """Packs class maps into bits, 64 pixels a word.

    Args:
        maps: Maps of 0, 1 and 255, (maps, height, width), integer or boolean.
        name: What the maps are called in an error.

    Returns:
        The bits of the pixels that are 1 and of the pixels that are not 255, each (maps, words) uint64. The
        padding of the last word is 0 in both.

    Raises:
        ValueError: The maps are no stack of maps, hold no pixels, or hold something else than classes.
    """
    if maps.ndim != 3 or 0 in maps.shape[1:]:
        raise ValueError(
            f"{name} has the shape {maps.shape}, expected (years, height, width) with pixels in it."
        )
    if maps.dtype != np.bool_ and not np.issubdtype(maps.dtype, np.integer):
        raise ValueError(
            f"{name} is of type {maps.dtype}, expected the classes 0, 1 and 255 as integers or booleans: "
            "threshold probabilities, or take the argmax of logits, first."
        )
    count, height, width = maps.shape
    pixels = maps.reshape(count, height * width)
    if maps.dtype.kind in "bu" and pixels.max(initial=0) <= 1:
        # Most maps ignore nothing: their ones are packed as they are, and every pixel is valid.
        all_pixels = _pack_flags(np.ones((1, height * width), np.bool_))
        return _pack_flags(pixels), np.repeat(all_pixels, count, axis=0)
    ones = _pack_flags(pixels == 1)
    valid = _pack_flags(pixels != IGNORED)
    if not np.array_equal(ones ^ valid, _pack_flags(pixels == 0)):
        others = np.setdiff1d(maps, (0, 1, IGNORED))
        shown = ", ".join(str(value) for value in others[:5]) + (", ..." if len(others) > 5 else "")
        raise ValueError(f"{name} holds the values {shown}, expected 0, 1 and 255 (ignored) alone.")
    return ones, valid


def _pack_flags(flags: NDArray[Any]) -> Bits:
    """(maps, pixels), whatever is not 0 being 1 -> (maps, words), the last word filled up with 0."""
    packed = np.packbits(flags, axis=-1)
    missing_bytes = -packed.shape[-1] % 8
    if missing_bytes:
        packed = np.pad(packed, ((0, 0), (0, missing_bytes)))
    return packed.view(np.uint64)


def pack_footprints(prediction: NDArray[Any], reference: NDArray[Any], name: str) -> tuple[Bits, Bits, Bits]:
    """Packs a predicted and a reference series of the same maps.

    Args:
        prediction: Class maps, (maps, height, width), 0, 1 and 255.
        reference: Class maps of the same shape; its 255 are ignored.
        name: How an error calls the example, such as "example 3 of the batch".

    Returns:
        The predicted ones, the reference's ones and the pixels that count, each (maps, words) uint64; the
        first two hold no pixel that the third lacks.

    Raises:
        ValueError: The shapes differ, a map is not made of classes, or a prediction is 255 where its
            reference is not.
    """
    if prediction.shape != reference.shape:
        raise ValueError(
            f"The prediction of {name} has the shape {prediction.shape}, its reference {reference.shape}; "
            "expected the same (years, height, width) of both."
        )
    predicted, decided = pack(prediction, f"The prediction of {name}")
    actual, valid = pack(reference, f"The reference of {name}")
    require_decided(decided, valid, name)
    return predicted & valid, actual, valid


def require_decided(decided: Bits, valid: Bits, name: str) -> None:
    """Raises a ValueError where a prediction leaves out a pixel that its reference has.

    Args:
        decided: The pixels whose prediction is not 255, (maps, words).
        valid: The pixels whose reference is not 255, (maps, words).
        name: How the error calls the example.
    """
    undecided = int(count_bits(valid & ~decided).sum())
    if undecided:
        raise ValueError(
            f"The prediction of {name} is 255 in {undecided} pixels whose reference is 0 or 1; "
            "expected a class there, because only a reference can leave a pixel out."
        )


def count_bits(bits: Bits) -> Counts:
    """Counts the pixels of packed maps: (..., words) -> (...)."""
    return np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)


def pair_indices(years: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first and the second index of each pair of years, (pairs,), in `itertools.combinations` order."""
    first, second = np.triu_indices(years, 1)
    return first, second


def count_in_blocks(count: Callable[..., Counts], *maps: Bits) -> Counts:
    """Counts pairs of maps block by block, so that a large scene needs no memory for all its pairs at once.

    Args:
        count: Counts maps (maps, words); of any number of words the sum of what it counts of their parts.
        *maps: What `count` takes, each (maps, words).

    Returns:
        What `count` returns for all words.
    """
    words = maps[0].shape[-1]
    blocks = [slice(start, start + _WORDS_AT_ONCE) for start in range(0, words, _WORDS_AT_ONCE)]
    counts = count(*(bits[:, blocks[0]] for bits in maps))
    for block in blocks[1:]:
        counts = counts + count(*(bits[:, block] for bits in maps))
    return counts


def count_confusion(predicted: Bits, actual: Bits, valid: Bits) -> Counts:
    """Counts a binary classification map by map.

    Args:
        predicted: The predicted ones among the pixels that count, (maps, words).
        actual: The reference's ones among them, (maps, words).
        valid: The pixels that count, (maps, words).

    Returns:
        (maps, 4): true positives, predicted, actual and valid pixels, the fields of `binary_scores`.
    """
    return np.stack([count_bits(bits) for bits in (predicted & actual, predicted, actual, valid)], axis=-1)


@dataclass(frozen=True)
class CountTable:
    """The counts of all sites on one axis of years.

    Attributes:
        sites: Names in order; `None` stands for the examples that came without one, and is first.
        years: All years of all sites, ascending.
        by_year: (sites, years, fields).
        by_pair: (sites, years, years, fields); what is counted stands above the diagonal.
    """

    sites: tuple[str | None, ...]
    years: tuple[int, ...]
    by_year: Counts
    by_pair: Counts


class SiteCounts:
    """Counts by site, year and pair of years, added up example by example.

    They are integers: whatever the order in which the patches of a site arrive, and however they are split
    into batches and processes, the sums are the same.
    """

    def __init__(self) -> None:
        self.examples = 0
        self.has_calendar: bool | None = None
        self._sums: dict[tuple[str | None, tuple[int, ...]], tuple[Counts, Counts]] = {}

    def add(self, site: str | None, years: tuple[int, ...] | None, by_year: Counts, by_pair: Counts) -> None:
        """Adds one example.

        Args:
            site: The name of its site, if it has one.
            years: Its calendar years, ascending; `None` numbers them from 0.
            by_year: (years, fields).
            by_pair: (pairs, fields), in the order of `pair_indices`.

        Raises:
            ValueError: Some examples come with calendar years and some without.
        """
        self._require_calendar(years is not None)
        self.examples += 1
        series = tuple(range(len(by_year))) if years is None else years
        self._add_sums((site, series), by_year, by_pair)

    def update(self, other: SiteCounts) -> None:
        """Adds all that another one has counted.

        Raises:
            ValueError: One has calendar years and the other has not.
        """
        if other.has_calendar is not None:
            self._require_calendar(other.has_calendar)
        self.examples += other.examples
        for key, (by_year, by_pair) in other._sums.items():
            self._add_sums(key, by_year, by_pair)

    def table(self) -> CountTable:
        """Lays the counts of all sites out on one axis of years.

        Raises:
            ValueError: Nothing was added.
        """
        if not self._sums:
            raise ValueError("Nothing was added, expected examples before a score.")
        sites = sorted({site for site, _ in self._sums}, key=lambda site: (site is not None, site or ""))
        years = sorted({year for _, series in self._sums for year in series})
        some_year, some_pair = next(iter(self._sums.values()))
        by_year = np.zeros((len(sites), len(years), some_year.shape[-1]), np.int64)
        by_pair = np.zeros((len(sites), len(years), len(years), some_pair.shape[-1]), np.int64)
        for (site, series), (year_counts, pair_counts) in self._sums.items():
            row = sites.index(site)
            columns = np.searchsorted(years, series)
            first, second = pair_indices(len(series))
            by_year[row, columns] += year_counts
            by_pair[row, columns[first], columns[second]] += pair_counts
        return CountTable(tuple(sites), tuple(years), by_year, by_pair)

    def _add_sums(self, key: tuple[str | None, tuple[int, ...]], by_year: Counts, by_pair: Counts) -> None:
        if key in self._sums:
            sum_by_year, sum_by_pair = self._sums[key]
            by_year, by_pair = sum_by_year + by_year, sum_by_pair + by_pair
        self._sums[key] = by_year, by_pair

    def _require_calendar(self, has_calendar: bool) -> None:
        if self.has_calendar not in (None, has_calendar):
            raise ValueError(
                "Some examples came with years and some without, expected years for all or for none."
            )
        self.has_calendar = has_calendar


@dataclass(frozen=True)
class Averaging:
    """How the counts of many sites become one score.

    Attributes:
        average: "site" averages the scores of the sites, each weighted by its pixels; "pooled" sums the
            counts of all sites as if they were one.
        zero_division: The score where there are pixels to judge but nothing to divide by: nan leaves it out
            of every mean, 0 and 1 put that score there.
        bootstrap: How many times the sites are resampled for the intervals of confidence; 0 leaves them out.
        confidence: The share of the resampled scores that an interval covers.
        seed: The seed of the resampling.
    """

    average: str = "site"
    zero_division: float = np.nan
    bootstrap: int = 0
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.average not in ("site", "pooled"):
            raise ValueError(f"average is {self.average!r}, expected 'site' or 'pooled'.")
        is_nan = isinstance(self.zero_division, float | np.floating) and np.isnan(self.zero_division)
        if not is_nan and self.zero_division not in (0, 1):
            raise ValueError(f"zero_division is {self.zero_division!r}, expected 0, 1 or nan.")
        if not isinstance(self.bootstrap, int | np.integer) or self.bootstrap < 0:
            raise ValueError(f"bootstrap is {self.bootstrap!r}, expected a number of resamples, 0 for none.")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence!r}, expected a share between 0 and 1.")


def average_scores(
    table: CountTable, pixels: Counts, score: ScoreFunction, averaging: Averaging
) -> dict[str, Any]:
    """Scores every site, and all of them together.

    Args:
        table: The counts.
        pixels: The weight of each site, (sites,): how many pixels of its reference are not ignored.
        score: Turns counts of any leading shape into scores of that leading shape.
        averaging: How the sites become one.

    Returns:
        Plain floats and lists of floats, nan where nothing defines a score: every score of `score`;
        `pixels`; `sites`, the pixels and the scalar scores of each; and, after a bootstrap,
        `confidence_intervals`, [low, high] of each scalar score.

    Raises:
        ValueError: An example without a site stands in the way of `average="site"` or of a bootstrap, or a
            bootstrap finds fewer than two sites.
    """
    if None in table.sites and averaging.average == "site":
        raise ValueError(
            "Some examples came without a site, which average='site' needs: pass sites, one name an example, "
            "or average='pooled'."
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
    """The mean of (sites, ...) weighted by pixels (sites,), over the sites where a value is defined."""
    return mean_of_defined(np.moveaxis(values, 0, -1), pixels)


def resample_scores(
    table: CountTable, pixels: Counts, score: ScoreFunction, averaging: Averaging, site_scores: Scores
) -> Scores:
    """Scores as many resamples of the sites as asked for.

    The sites that are drawn depend on the seed and on how many there are, so resamples of several networks'
    counts on the same sites belong together, one by one.

    Args:
        table: The counts.
        pixels: The weight of each site, (sites,).
        score: As for `average_scores`.
        averaging: How the sites become one, and the number and the seed of the resamples.
        site_scores: What `score` makes of the counts of each site.

    Returns:
        (resamples,) a scalar score.

    Raises:
        ValueError: An example has no site, or there are fewer than two sites.
    """
    if None in table.sites:
        raise ValueError(
            "Some examples came without a site, which a bootstrap needs: pass sites, one name an example."
        )
    # A site without a single pixel to judge is no observation that could be drawn.
    observed = np.flatnonzero(pixels)
    if len(observed) < 2:
        raise ValueError(f"A bootstrap resamples sites and needs two or more, found {len(observed)}.")
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
    """The middle part of the resampled scores (resamples,) that are defined: [low, high]."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return [float("nan"), float("nan")]
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, (tail, 1 - tail))
    return [float(low), float(high)]


def ratio(
    numerator: Counts, denominator: Counts, pixels: Counts, zero_division: float
) -> NDArray[np.float64]:
    """Divides counts, all of one shape.

    Where the denominator is 0 the ratio is `zero_division` if there were pixels to judge, and nan if there
    were none: a missing year has no score, whatever `zero_division`.
    """
    undefined = np.where(pixels > 0, zero_division, np.nan)
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), undefined)


def mean_of_defined(values: NDArray[np.float64], weights: Counts | int = 1) -> NDArray[np.float64]:
    """The weighted mean over the last axis of the values that are not nan; nan where there are none."""
    defined = ~np.isnan(values)
    weights_of_defined = weights * defined
    totals = np.asarray(weights_of_defined.sum(axis=-1))
    sums = (np.where(defined, values, 0.0) * weights_of_defined).sum(axis=-1)
    return np.where(totals > 0, sums / np.maximum(totals, 1), np.nan)


def binary_scores(confusion: Counts, zero_division: float) -> Scores:
    """F1, precision, recall and IoU, (...) each.

    Args:
        confusion: (..., 4): true positives, predicted, actual and valid pixels.
        zero_division: The score where there are pixels but nothing to divide by.
    """
    hits, predicted, actual, pixels = np.moveaxis(confusion, -1, 0)
    return {
        "f1": ratio(2 * hits, predicted + actual, pixels, zero_division),
        "precision": ratio(hits, predicted, pixels, zero_division),
        "recall": ratio(hits, actual, pixels, zero_division),
        "iou": ratio(hits, predicted + actual - hits, pixels, zero_division),
    }
