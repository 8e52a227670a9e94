"""Parts of a network on OpenVINO: their inputs, and figures of one part."""

import torch

from euromine.benchmark.engine_part_speed import inputs_of_parts, measure_part
from euromine.benchmark.stopwatch import Stopwatch
from euromine.modeling import CHANGE_DETECTION, EuroMineImageProcessor, create_model
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.network_parts import network_parts


def test_a_decoder_is_measured_on_the_maps_of_its_encoder():
    torch.manual_seed(0)
    model = create_model("siamunet-diff", widths=(4, 4, 4, 4)).eval()
    detector = LoadedModel("tiny", CHANGE_DETECTION, model, EuroMineImageProcessor())
    side, inputs = inputs_of_parts(detector, 32)
    assert side == 32
    (image,) = inputs["encode"]
    assert image.shape == (1, 10, 32, 32)
    with torch.inference_mode():
        expected = model.encode(image)
    for found, feature in zip(inputs["decode"], expected, strict=False):
        torch.testing.assert_close(found, feature)
    assert len(inputs["decode"]) == 2 * len(expected)

    watch = Stopwatch(torch.device("cpu"), 0.0)
    found = measure_part(model, network_parts(model)["encode"], inputs["encode"], watch, turns=1)
    assert found.difference < 1e-5
    assert min(found.seconds, found.eager_seconds, found.innermost_seconds, found.conversion) > 0
