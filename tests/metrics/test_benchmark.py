"""The benchmark of the metrics, on as little as it can be run."""

import re

import numpy as np

from euromine.benchmark import metrics as benchmark


def test_all_three_agree_and_the_table_has_a_row_for_each(capsys):
    assert benchmark.main(["--series", "3", "--shared", "2", "--repeats", "1"]) == 0
    printed = capsys.readouterr().out
    rows = re.findall(
        r"^\| (\w+) \| [\d.]+ s \| [\d.]+ s \| [\d.]+ s \| \d+ x \| \d+ x \|", printed, re.MULTILINE
    )
    assert rows == ["ca_tiou", "annual_f1", "interval_f1"]
    assert "Ours on 3 series" in printed


def test_the_simulated_series_are_maps_with_mines_changes_and_ignored_pixels():
    predictions, references = benchmark.simulate(7)
    assert predictions.shape == references.shape == (7, 10, 160, 160)
    assert set(np.unique(predictions)) == set(np.unique(references)) == {0, 1, 255}
    assert (references[1, 0] != references[1, 9]).any()
    assert (predictions != references).any()
