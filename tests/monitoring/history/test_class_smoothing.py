"""The running majority against a loop that counts the classes of three years."""

from itertools import product

import numpy as np

from euromine.monitoring.history.class_smoothing import running_majority
from euromine.monitoring.history.smoothing import smooth

UNKNOWN = 255


def majority_of(before: int, now: int, after: int) -> int:
    """The class of a year by counting, the year's own where none has two of the three."""
    votes = [each for each in (before, now, after) if each != UNKNOWN]
    most = [each for each in set(votes) if votes.count(each) >= 2]
    if most:
        return most[0]
    if now != UNKNOWN:
        return now
    return votes[0] if len(votes) == 1 else UNKNOWN


def test_every_series_of_four_years_is_smoothed_as_by_counting() -> None:
    series = np.array(list(product((0, 1, 2, UNKNOWN), repeat=4)), np.uint8).T
    expected = np.empty_like(series)
    for pixel in range(series.shape[1]):
        first, *_, last = years = series[:, pixel].tolist()
        around = [first, *years, last]
        for year in range(4):
            expected[year, pixel] = majority_of(*around[year : year + 3])
    found = running_majority(series.reshape(4, 16, 16))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found.reshape(4, -1), expected)


def test_a_class_of_one_year_alone_goes_and_a_lasting_change_stays() -> None:
    pit, dump, heap = 1, 2, 3
    for before, after in (
        ([pit, pit, dump, pit, pit], [pit] * 5),
        ([pit, pit, dump, dump, dump], [pit, pit, dump, dump, dump]),
        ([pit, dump, heap, heap, UNKNOWN], [pit, dump, heap, heap, heap]),
        ([pit, UNKNOWN, dump], [pit, UNKNOWN, dump]),
    ):
        assert running_majority(np.array(before, np.uint8)).tolist() == after


def test_of_two_classes_it_is_the_median_that_smooths_footprints() -> None:
    random = np.random.default_rng(6)
    maps = random.integers(0, 2, (7, 12, 13)).astype(np.uint8)
    footprints = smooth(maps.astype(np.float32), "median")
    np.testing.assert_array_equal(running_majority(maps), footprints)


def test_a_single_year_is_left_as_it_is() -> None:
    maps = np.array([[[0, 1, UNKNOWN]]], np.uint8)
    np.testing.assert_array_equal(running_majority(maps), maps)
