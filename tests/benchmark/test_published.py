import csv

import numpy as np
import pytest

from euromine.benchmark.published import published_table
from euromine.modeling.auto import CHANGE_DETECTION, SEGMENTATION, list_models

FILES = {4: "table4_segmentation.csv", 5: "table5_change_detection.csv", 6: "table6_postclassification.csv"}


def test_every_network_of_the_paper_is_one_of_ours():
    not_in_the_paper = {f"segformer-b{size}" for size in range(5)}
    for number, task in ((4, SEGMENTATION), (5, CHANGE_DETECTION), (6, SEGMENTATION)):
        assert set(published_table(number)) == set(list_models(task)) - not_in_the_paper


def test_the_papers_mean_is_that_of_its_years():
    # Table 4 states both; DeeplabV3P (MobileNetV2) is 1.3e-4 off in the paper itself.
    for row in published_table(4).values():
        years = [row.scores[str(year)] for year in range(2015, 2025)]
        assert np.mean(years) == pytest.approx(row.scores["of1"], abs=1.4e-4)


@pytest.mark.parametrize("number", FILES)
def test_the_numbers_are_the_papers(number, real_data):
    with (real_data.parent / "facts" / FILES[number]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = {row.pop("model"): [float(value) for value in row.values()] for row in rows}
    assert {row.name: list(row.scores.values()) for row in published_table(number).values()} == expected


def test_there_is_no_other_table():
    with pytest.raises(ValueError, match=r"^number: found 3; expected 4, 5 or 6"):
        published_table(3)
