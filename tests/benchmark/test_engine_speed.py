"""Engines side by side: figures of one network, and the score of known maps."""

import numpy as np
import pytest
import torch
from transformers import PreTrainedConfig
from transformers.modeling_outputs import SemanticSegmenterOutput

from euromine.benchmark import engine_speed
from euromine.benchmark.engine_speed import measure, pixel_values_of, score
from euromine.benchmark.stopwatch import Stopwatch
from euromine.modeling import BANDS, SEGMENTATION, EuroMineImageProcessor, create_model
from euromine.monitoring.mapping.engines import EngineChoice
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.support.errors import ArgumentError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def detector() -> LoadedModel:
    torch.manual_seed(0)
    model = create_model("siamunet-diff", widths=(4, 4, 4, 4)).eval()
    return LoadedModel("tiny", "change-detection", model, EuroMineImageProcessor())


def test_the_same_engine_agrees_with_itself(detector):
    found = measure(
        detector, EngineChoice("eager"), pixel_values_of(detector, None, 32), Stopwatch(CPU, 0), turns=2
    )
    assert (found.difference, found.agreement) == (0.0, 1.0)
    assert min(found.seconds, found.eager_seconds) > 0
    assert found.memory >= 0


def test_the_score_is_that_of_owned_pixels(network_of_first_band):
    labels = np.zeros((2, 160, 160), np.uint8)
    labels[:, :80] = 1
    images = np.full((2, len(BANDS), 160, 160), -1, np.int16)
    images[:, 0, :80] = 1
    images[1, 0, :20] = -1
    images[:, 0, 80:, 80:] = 1  # not owned
    row = {"images": images, "labels": labels, "own": [0, 0, 160, 80], "site": "a", "years": [2015, 2016]}
    # Of the owned left half, the second year finds 60 of 80 mined rows and nothing else.
    assert score(network_of_first_band, [row]) == pytest.approx(100 * (1 + 2 * 60 / (60 + 80)) / 2)


def test_inputs_are_test_patches_beside_each_other(network_of_first_band):
    patches = [np.full((3, len(BANDS), 4, 4), place, np.int16) for place in range(4)]
    found = pixel_values_of(network_of_first_band, [{"images": each} for each in patches], 6)
    assert found.shape == (1, len(BANDS), 6, 6)
    assert found[0, 0, [0, 0, 5, 5], [0, 5, 0, 5]].tolist() == [0, 1, 2, 3]


def test_series_of_a_part_lie_evenly_in_the_split():
    assert engine_speed.spread(12, 3) == [0, 4, 8]
    assert engine_speed.spread(2, None) == engine_speed.spread(2, 5) == [0, 1]


def test_a_choice_without_precision_is_refused():
    with pytest.raises(ArgumentError, match="--engines: found 'openvino'; expected ENGINE:PRECISION"):
        engine_speed._choice("openvino")


def test_a_folder_of_trained_networks_that_is_not_there_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "sys.argv", ["engine_speed", "--networks", "sqnet", "--runs", str(tmp_path / "nosuch")]
    )
    with pytest.raises(SystemExit):
        engine_speed.main()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"--runs: found {tmp_path / 'nosuch'}, no folder; expected" in printed.err


class _FirstBand(torch.nn.Module):
    device, config = CPU, PreTrainedConfig()

    def forward(self, pixel_values):
        logit = pixel_values[:, 0]
        return SemanticSegmenterOutput(logits=torch.stack([-logit, logit], 1))


@pytest.fixture(scope="module")
def network_of_first_band() -> LoadedModel:
    processor = EuroMineImageProcessor(do_normalize=False)
    return LoadedModel("first band", SEGMENTATION, _FirstBand(), processor)
