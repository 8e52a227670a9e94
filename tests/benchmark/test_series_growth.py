"""The table of growth: a row for each number of years."""

from importlib import import_module

import pytest
import torch

from euromine.benchmark.series_growth import GrowthRow, header, line, measure
from euromine.benchmark.stage_memory import _STAGES, TASKS, StageRow, quick_network, stage_lines
from euromine.modeling import SERIES, EuroMineImageProcessor, create_model
from euromine.monitoring.mapping.loading import LoadedModel


def test_the_table_has_a_row_for_each_number_of_years():
    rows = [GrowthRow(2, 0.5, 0.1, 2**20, 2**21), GrowthRow(10, 2.0, 0.4, 2**23, 2**24)]
    first, second = map(line, rows)
    assert first == "| 2 | 1 | 0.50 s | 0.250 s | 1 MB | 0.10 s | 2 MB |\n"
    assert second == "| 10 | 45 | 2.00 s | 0.200 s | 8 MB | 0.40 s | 16 MB |\n"
    *_, names, _ = header("utae", 160, torch.device("cpu")).splitlines()
    assert names.count("|") == first.count("|")


def test_a_window_is_measured():
    model = create_model("utae", encoder_widths=(8, 16), decoder_widths=(8, 16), model_width=16, num_heads=4)
    network = LoadedModel("utae", SERIES, model.eval(), EuroMineImageProcessor())
    row = measure(network, 3, 32, 0)
    assert row.years == 3
    assert min(row.network, row.chains) > 0


def test_the_peaks_of_a_series_are_listed_by_stage():
    row = StageRow("one layer, series", (10_980, 896), 10, {"evidence": 3 * 2**20, "areas": 2**21}, 61.2)
    assert stage_lines(row).splitlines() == [
        "| one layer, series | 10980 x 896 px | 10 | all | **3 MB** | 61 s |",
        "| | | | evidence | 3 MB | |",
        "| | | | areas | 2 MB | |",
    ]


@pytest.mark.parametrize("name", _STAGES)
def test_a_stage_is_a_function_of_the_series(name):
    module, function = name.rsplit(".", 1)
    assert callable(getattr(import_module(f"euromine.monitoring.{module}"), function))


@pytest.mark.parametrize("task", TASKS)
def test_the_quick_networks_see_bright_ground(task):
    network, processor = quick_network(task)
    images = torch.tensor([1500.0, 2500.0])[:, None, None, None].expand(2, 10, 4, 4)
    pixel_values = processor.preprocess(images.numpy(), return_tensors="pt").pixel_values
    with torch.no_grad():
        if task == "segmentation":
            logits = network(pixel_values=pixel_values).logits
            assert (logits[:, 1] > logits[:, 0])[:, 0, 0].tolist() == [False, True]
        elif task == "change-detection":
            change = network.predict_series(pixel_values[[0, 1, 1]][None])[0, :, 1] > 0
            assert change[:, 0, 0].tolist() == [True, True, False]
        else:
            assert (network(pixel_values[None]).logits[0].argmax(1))[:, 0, 0].tolist() == [0, 1]
