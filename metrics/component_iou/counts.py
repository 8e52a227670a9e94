"""Pixel counts of footprint series, summed per site.

Needs NumPy only. Edit `metrics/counts.py`; `python -m euromine.metrics.synchronise` copies it into the folder
of each metric, which is published on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED = 255
"""Class of the pixels that no metric counts."""

Bits = NDArray[np.uint64]
Counts = NDArray[np.int64]

# 512 x 512 pixels: the 45 pairs of ten years take 1.5 MB and fit a processor's cache.
_WORDS_AT_ONCE = 4096


def pack(maps: NDArray[Any], name: str) -> tuple[Bits, Bits]:
    """Packs class maps into bits, 64 pixels per word.

    Args:
        maps: Maps of 0, 1 and 255, (maps, height, width), integer or boolean.
        name: Name of the maps in errors, such as "prediction of example 3".

    Returns:
        The bits of the pixels that are 1 and of the pixels that are not 255, each (maps, words) uint64. The
        padding of the last word is 0 in both.

    Raises:
        ValueError: The shape is not (maps, height, width), there are no pixels, or a value is not a class.
    """
    if maps.ndim != 3 or 0 in maps.shape[1:]:
        raise ValueError(
            f"{name}: found the shape {maps.shape}; expected (years, height, width) with pixels in it."
        )
    if maps.dtype != np.bool_ and not np.issubdtype(maps.dtype, np.integer):
        raise ValueError(
            f"{name}: found the type {maps.dtype}; expected the classes 0, 1 and 255 as integers or "
            "booleans. Threshold probabilities, or take the argmax of logits, first."
        )
    count, height, width = maps.shape
    pixels = maps.reshape(count, height * width)
    if maps.dtype.kind in "bu" and pixels.max(initial=0) <= 1:
        # Most maps ignore nothing and need no comparison: every pixel is valid.
        all_pixels = _pack_flags(np.ones((1, height * width), np.bool_))
        return _pack_flags(pixels), np.repeat(all_pixels, count, axis=0)
    ones = _pack_flags(pixels == 1)
    valid = _pack_flags(pixels != IGNORED)
    if not np.array_equal(ones ^ valid, _pack_flags(pixels == 0)):
        others = np.setdiff1d(maps, (0, 1, IGNORED))
        shown = ", ".join(str(value) for value in others[:5]) + (", ..." if len(others) > 5 else "")
        raise ValueError(f"{name}: found the values {shown}; expected 0, 1 and 255 (ignored).")
    return ones, valid


def _pack_flags(flags: NDArray[Any]) -> Bits:
    """(maps, pixels), nonzero for 1 -> (maps, words), the last word padded with 0."""
    packed = np.packbits(flags, axis=-1)
    missing_bytes = -packed.shape[-1] % 8
    if missing_bytes:
        packed = np.pad(packed, ((0, 0), (0, missing_bytes)))
    return packed.view(np.uint64)


def pack_footprints(prediction: NDArray[Any], reference: NDArray[Any], name: str) -> tuple[Bits, Bits, Bits]:
    """Packs a predicted and a reference series.

    Args:
        prediction: Class maps, (maps, height, width), 0, 1 and 255.
        reference: Class maps of the same shape; its 255 are ignored.
        name: Name of the example in errors, such as "example 3".

    Returns:
        The predicted ones, the reference's ones and the valid pixels, each (maps, words) uint64; the first
        two are subsets of the third.

    Raises:
        ValueError: The shapes differ, a value is not a class, or a prediction is 255 where its reference is
            not.
    """
    if prediction.shape != reference.shape:
        raise ValueError(
            f"{name}: found a prediction of shape {prediction.shape} and a reference of shape "
            f"{reference.shape}; expected the same (years, height, width)."
        )
    predicted, decided = pack(prediction, f"prediction of {name}")
    actual, valid = pack(reference, f"reference of {name}")
    require_decided(decided, valid, name)
    return predicted & valid, actual, valid


def require_decided(decided: Bits, valid: Bits, name: str) -> None:
    """Raises a ValueError if a prediction is 255 where its reference is not.

    Args:
        decided: The pixels whose prediction is not 255, (maps, words).
        valid: The pixels whose reference is not 255, (maps, words).
        name: Name of the example in the error.
    """
    undecided = int(count_bits(valid & ~decided).sum())
    if undecided:
        raise ValueError(
            f"prediction of {name}: found 255 in {undecided} pixels whose reference is 0 or 1; "
            "expected a class there, as only a reference can ignore pixels."
        )


def count_bits(bits: Bits) -> Counts:
    """Counts the pixels of packed maps: (..., words) -> (...)."""
    return np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)


def pair_indices(years: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and second index of each pair of years, (pairs,), in `itertools.combinations` order."""
    first, second = np.triu_indices(years, 1)
    return first, second


def count_in_blocks(count: Callable[..., Counts], *maps: Bits) -> Counts:
    """Counts pairs of maps block by block, which bounds the memory that a large scene takes.

    Args:
        count: Counts maps (maps, words); its counts must add up over blocks of words.
        *maps: The arguments of `count`, each (maps, words).

    Returns:
        The counts of all words.
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
        predicted: The predicted ones among the valid pixels, (maps, words).
        actual: The reference's ones among them, (maps, words).
        valid: The valid pixels, (maps, words).

    Returns:
        (maps, 4): true positives, predicted, actual and valid pixels, the fields of `binary_scores`.
    """
    return np.stack([count_bits(bits) for bits in (predicted & actual, predicted, actual, valid)], axis=-1)


@dataclass(frozen=True)
class CountTable:
    """Counts of all sites on a common axis of years.

    Attributes:
        sites: Sorted names; examples without a site are under `None`, which comes first.
        years: All years of all sites, ascending.
        by_year: (sites, years, fields).
        by_pair: (sites, years, years, fields), filled above the diagonal.
    """

    sites: tuple[str | None, ...]
    years: tuple[int, ...]
    by_year: Counts
    by_pair: Counts


class SiteCounts:
    """Counts by site, year and pair of years, added up example by example.

    They are integers, so the sums depend neither on the order of a site's patches nor on their division into
    batches and processes.
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
        """Adds the counts of another instance.

        Raises:
            ValueError: Only one of the two has calendar years.
        """
        if other.has_calendar is not None:
            self._require_calendar(other.has_calendar)
        self.examples += other.examples
        for key, (by_year, by_pair) in other._sums.items():
            self._add_sums(key, by_year, by_pair)

    def table(self) -> CountTable:
        """Lays out the counts of all sites on a common axis of years.

        Raises:
            ValueError: Nothing was added.
        """
        if not self._sums:
            raise ValueError("examples: found none; expected some before a score.")
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
                "years: found with some examples and not with others; expected for all or for none."
            )
        self.has_calendar = has_calendar
