"""Errors of transitions: counts against scikit-learn, and intervals against simulated sites."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from euromine.monitoring.history.area_estimation import Confusion, adjusted_areas
from euromine.monitoring.history.transition_errors import (
    TransitionCounts,
    TransitionSums,
    adjusted_transitions,
    transition_codes,
)
from euromine.support.errors import ArgumentError

CLASSES = ("none", "pit", "dump")
CODES = range(9)


def test_counts_by_interval_and_site_are_scikit_learns() -> None:
    random = np.random.default_rng(2)
    sums = TransitionSums(CLASSES)
    expected = {}
    for site, interval in (("a", 1), ("a", 1), ("b", 1), ("b", 3), ("c", 1)):
        years = random.integers(0, 3, (2, 2, 20, 20)).astype(np.uint8)  # mapped and drawn, two years
        years[random.random(years.shape) < 0.1] = 255
        if site == "c":
            years[1] = 255  # nothing drawn
        mapped, drawn = (transition_codes(*pair, CLASSES) for pair in years)
        sums.add(site, interval, mapped, drawn)
        known = (years != 255).all(axis=(0, 1))
        codes = (years[:, 0].astype(int) * 3 + years[:, 1])[:, known]
        matrix = confusion_matrix(*codes, labels=CODES) if known.any() else np.zeros((9, 9), int)
        expected[interval, site] = expected.get((interval, site), 0) + matrix
    counts = sums.counts()
    assert {interval: found.sites for interval, found in counts.items()} == {1: ("a", "b"), 3: ("b",)}
    for interval, found in counts.items():
        for place, site in enumerate(found.sites):
            table = np.zeros((9, 9), int)
            for _, mapped, drawn, pixels in found.entries[found.entries[:, 0] == place]:
                table[mapped, drawn] = pixels
            np.testing.assert_array_equal(table, expected[interval, site])


def counts_of(table: np.ndarray) -> TransitionCounts:
    places = np.argwhere(table)
    sites = tuple(f"site_{place}" for place in range(len(table)))
    return TransitionCounts(CLASSES, sites, np.column_stack([places, table[tuple(places.T)]]))


def test_known_errors_give_the_estimate_of_changes_of_footprints() -> None:
    table = np.random.default_rng(3).integers(1, 50, (4, 9, 9))
    mapped = np.arange(1.0, 10)
    found = adjusted_transitions(mapped, counts_of(table))
    expected = adjusted_areas(mapped, Confusion(tuple(map(str, CODES)), tuple("abcd"), table))
    np.testing.assert_allclose(found.area, expected.area)
    np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high])


def test_ground_with_unknown_errors_has_no_estimate_and_widens_the_others() -> None:
    table = np.zeros((3, 9, 9), int)
    table[:, 0, 0], table[:, 4, 4] = 90, 10  # right everywhere
    table[0, 1, 1] = 5  # shown by one site alone
    mapped = np.array([100.0, 7, 0, 0, 20, 3, 0, 0, 0])  # 5 was mapped at no site
    found = adjusted_transitions(mapped, counts_of(table))
    assert np.flatnonzero(np.isfinite(found.area)).tolist() == [0, 4]
    assert (found.area[[0, 4]].tolist(), found.low[[0, 4]].tolist()) == ([100, 20], [100, 20])
    assert found.high[[0, 4]].tolist() == [110, 30]
    assert adjusted_transitions(np.array([0, 7.0, *[0] * 7]), counts_of(table)) is None


def simulated_site(random: np.random.Generator) -> np.ndarray:
    """Pixels by mapped and true transition at a site: components that last, errors that mostly last, too."""
    start = random.dirichlet([40, 6, 4])
    stay = [[0.97, 0.02, 0.01], [0.02, 0.83, 0.15], [0.05, 0.02, 0.93]]
    truth = np.stack([start[first] * random.dirichlet(60 * np.array(stay[first])) for first in range(3)])
    reading = np.stack([random.dirichlet(row) for row in ([95, 3, 2], [8, 80, 12], [8, 14, 78])])
    persistence = random.beta(8, 4)  # of the reading of ground that stays as it is
    joint = np.zeros((9, 9))
    for first in range(3):
        for second in range(3):
            read = np.outer(reading[first], reading[second])
            if first == second:
                read = persistence * np.diag(reading[first]) + (1 - persistence) * read
            joint[:, first * 3 + second] = truth[first, second] * read.ravel()
    return random.multinomial(20_000, (joint / joint.sum()).ravel()).reshape(9, 9)


def test_intervals_hold_the_truth_of_simulated_sites_as_often_as_they_say() -> None:
    random = np.random.default_rng(7)
    hits, off, raw = [], [], []
    for _ in range(60):
        counts = counts_of(np.stack([simulated_site(random) for _ in range(20)]))
        for _ in range(5):
            here = simulated_site(random)
            mapped, truth = here.sum(axis=1).astype(float), here.sum(axis=0)
            found = adjusted_transitions(mapped, counts)
            hits.append((found.low <= truth) & (truth <= found.high))
            off.append(found.area - truth)
            raw.append(mapped - truth)
    # 300 sites: the standard error of a share of 0.95 is 0.013, and 0.03 among the 60 calibrations.
    assert np.mean(hits) == pytest.approx(0.95, abs=0.03)
    assert (np.mean(hits, axis=0) > 0.88).all()
    # The map shows too much change; the estimates have far less of that bias.
    changed = [1, 2, 3, 5, 6, 7]
    assert np.mean(raw, axis=0)[changed].sum() > 5 * abs(np.mean(off, axis=0)[changed].sum())


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (np.zeros((0, 4), np.int64), "expected rows of site"),
        (np.array([[2, 0, 0, 5]]), "found numbers out of range; expected 2 sites and 9 transitions"),
        (np.array([[0, 9, 0, 5]]), "out of range"),
        (np.array([[0, 0, 0, 0]]), "out of range"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(entries, words) -> None:
    with pytest.raises(ArgumentError, match=words):
        TransitionCounts(CLASSES, ("a", "b"), entries)


def test_areas_of_other_classes_are_refused() -> None:
    with pytest.raises(ArgumentError, match="expected the areas of 9 transitions"):
        adjusted_transitions(np.ones(4), counts_of(np.ones((2, 9, 9), int)))
