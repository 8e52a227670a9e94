"""The benchmark of the simulation, on as little as it can be run."""

import re

import numpy as np

from euromine.benchmark import realism as benchmark


def test_the_tables_hold_shares_bands_and_scores(capsys):
    status = benchmark.main(["--sites", "4", "--size", "48", "--samples", "300"])
    printed = capsys.readouterr().out
    assert len(re.findall(r"^\| [a-z ,]+ \| [\d.]+% \| (?:19.0|2.8|1.9)% \|$", printed, re.MULTILINE)) == 3
    assert re.findall(r"^\| (B\w+) \| \d+ \| \d+ \| \d+ \| \d+ \|$", printed, re.MULTILINE) == list(
        benchmark.BANDS
    )
    scores = [float(score) for score in re.findall(r"^\| .* \| (0\.\d{3}) \|$", printed, re.MULTILINE)]
    assert len(scores) == 4
    assert status == (0 if scores[0] < 0.75 else 1)


def test_f1_is_that_of_the_confusion_counts():
    predicted = np.array([True, True, False, False, True])
    mine = np.array([1, 0, 1, 0, 1], dtype=np.uint8)
    # Two found, one too many, one missed.
    assert benchmark.f1(predicted, mine) == 2 * 2 / (2 * 2 + 1 + 1)
    assert benchmark.f1(np.zeros(2, bool), np.zeros(2, np.uint8)) == 0
