"""The benchmark of smoothing, on a series of a few pixels."""

import numpy as np
import pytest

from euromine.experiments.smoothing_scores import (
    RATES,
    Scorer,
    measure,
    paired_interval,
    simulated_probability,
    textbook_viterbi,
    time_report,
)
from euromine.monitoring.history.smoothing import smooth


def test_the_textbook_s_path_is_ours():
    probability = simulated_probability(6, 60)
    found = smooth(probability, "viterbi", RATES)
    assert 0.01 < found.mean() < 0.99
    # Paths that are as probable as each other, to float32 rounding, may be chosen differently.
    assert (textbook_viterbi(probability, RATES) != found).mean() < 1e-4


def test_the_times_of_all_methods_are_reported():
    report = time_report(measure(3, 40, 2), 3, 40)
    rows = [line for line in report.splitlines() if line.startswith("| ")]
    for name in ("viterbi", "median", "none", "posteriors of all years", "gain and loss of 3 pairs"):
        assert sum(row.startswith(f"| {name} |") for row in rows) == 1
    # Every row has as many cells as the head.
    assert {row.count("|") for row in rows} == {7}


def test_an_interval_of_a_difference_knows_that_both_were_scored_on_the_same_sites():
    # Sites differ widely, and each gains exactly as much: the difference is certain.
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, (12, 2, 20, 20)).astype(np.uint8)
    before, after = Scorer(), Scorer()
    for number, label in enumerate(labels):
        wrong = label.copy()
        wrong[:, : number + 1] ^= 1
        before.add(wrong, label, f"site {number}", (2015, 2016))
        after.add(wrong, label, f"site {number}", (2015, 2016))
    scores = [each.compute()["annual_f1"] for each in (before, after)]
    assert paired_interval(*scores, "of1") == pytest.approx((0, 0))
    perfect = Scorer()
    for number, label in enumerate(labels):
        perfect.add(label, label, f"site {number}", (2015, 2016))
    low, high = paired_interval(scores[0], perfect.compute()["annual_f1"], "of1")
    assert 0 < low < 1 - scores[0]["of1"] < high
