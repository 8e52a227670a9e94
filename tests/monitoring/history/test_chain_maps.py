"""A network for series over whole scenes, against the network itself on the whole images."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from euromine.modeling import SERIES, EuroMineImageProcessor, create_model
from euromine.monitoring.history import evidence_store
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.map_values import GAIN, LOSS, NO_CHANGE

from .site_images import PLAIN, YEARS, image_of, series_of

MIT = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2]}
WINDOWS = {"window": 64, "overlap": 32}


@pytest.fixture(scope="module")
def network() -> LoadedModel:
    """A tiny network for series whose years see each other, and whose answers are far from one half."""
    torch.manual_seed(1)
    model = create_model("euromine-series-b0", encoder_fields=MIT, decoder_width=8, detail_width=8).eval()
    processor = EuroMineImageProcessor()
    images = np.stack([image_of(year) for year in YEARS])
    with torch.no_grad():
        for layer in [*model.attention, model.convolution]:
            for zero in layer.zero_layers:
                for parameter in zero.parameters():
                    nn.init.normal_(parameter, std=0.3)
        model.rate_head.rates.weight.mul_(20)
        model.rate_head.rates.bias.fill_(1.0)
        pixel_values = processor(images, return_tensors="pt").pixel_values[None]
        logits = model.evidence(pixel_values, torch.tensor([YEARS]), None).potentials[:, :, 1]
        last = model.decoder.mine
        last.bias.sub_(logits.median()).mul_(6 / logits.std())
        last.weight.mul_(6 / logits.std())
    return LoadedModel("runs/tiny-series", SERIES, model, processor)


def expected_maps(network: LoadedModel, years=YEARS, missing=()) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (years, height, width), and of changes (pairs, height, width), of the whole images."""
    images = np.stack([image_of(year) for year in years])
    with torch.no_grad():
        pixel_values = network.image_processor(images, return_tensors="pt").pixel_values[None]
        found = network.model(
            pixel_values,
            years=torch.tensor([years]),
            mask=torch.tensor([[year not in missing for year in years]]),
            pairs=list(combinations(range(len(years)), 2)) if len(years) > 1 else None,
        )
    changes = None if found.change_logits is None else found.change_logits[0, :, 1].exp().numpy()
    return found.logits[0, :, 1].exp().numpy(), changes


def test_a_scene_in_one_window_is_mapped_as_the_network_does_it(place, network, tmp_path):
    result = series_of([network], place, tmp_path, **PLAIN)
    probability, changes = expected_maps(network)
    assert 0.1 < (probability > 0.5).mean() < 0.9
    for year, expected in zip(YEARS, probability, strict=True):
        np.testing.assert_allclose(result.probability(year), expected, atol=1e-5)
        is_clear = abs(expected - 0.5) > 1e-4
        np.testing.assert_array_equal(result.footprint(year)[is_clear], (expected > 0.5)[is_clear])
    for pair, expected in zip(result.pairs, changes, strict=True):
        first, second = (probability[YEARS.index(year)] for year in pair)
        kind = np.where(expected > 0.5, np.where(second > first, GAIN, LOSS), NO_CHANGE)
        is_clear = np.all([abs(each - 0.5) > 1e-4 for each in (first, second, expected)], axis=0)
        np.testing.assert_array_equal(result.change(*pair)[is_clear], kind[is_clear])
        assert set(np.unique(kind)) == {NO_CHANGE, GAIN, LOSS}
    assert not (tmp_path / evidence_store.FOLDER).exists()
