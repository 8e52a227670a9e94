"""The table of growth: a row for each number of years."""

import torch

from euromine.benchmark.series_growth import GrowthRow, markdown, measure
from euromine.modeling import SERIES, EuroMineImageProcessor, create_model
from euromine.monitoring.mapping.loading import LoadedModel


def test_the_table_has_a_row_for_each_number_of_years():
    rows = [GrowthRow(2, 0.5, 0.1, 2**20, 2**21), GrowthRow(10, 2.0, 0.4, 2**23, 2**24)]
    *_, first, second = markdown(rows, "utae", 160, torch.device("cpu")).splitlines()
    assert first == "| 2 | 1 | 0.50 s | 0.250 s | 1 MB | 0.10 s | 2 MB |"
    assert second == "| 10 | 45 | 2.00 s | 0.200 s | 8 MB | 0.40 s | 16 MB |"


def test_a_window_is_measured():
    model = create_model("utae", encoder_widths=(8, 16), decoder_widths=(8, 16), model_width=16, num_heads=4)
    network = LoadedModel("utae", SERIES, model.eval(), EuroMineImageProcessor())
    row = measure(network, 3, 32, 0)
    assert row.years == 3
    assert min(row.network, row.chains) > 0
