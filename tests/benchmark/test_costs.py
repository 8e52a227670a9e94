"""What networks cost: layers counted by hand, and the published networks' own figures."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from euromine.benchmark.costs import NetworkCosts, gmacs_of, main, network_costs
from euromine.modeling.auto import CHANGE_DETECTORS, create_model
from euromine.modeling.change_detection import SiameseChangeDetector
from euromine.modeling.configuration import ChangeDetectionConfig

PARITY = Path(__file__).parents[1] / "modeling" / "parity"


@pytest.mark.parametrize(
    ("layer", "shape", "products"),
    [
        # Output values times what each reads.
        (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 10, 12), 2 * 8 * 10 * 12 * 3 * 9),
        (nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=4), (1, 4, 10, 12), 8 * 5 * 6 * 9),
        (nn.Conv3d(3, 5, (2, 3, 3)), (1, 3, 4, 6, 7), 5 * 3 * 4 * 5 * 3 * 18),
        # Input values times what each reaches.
        (nn.ConvTranspose2d(4, 6, 2, stride=2), (1, 4, 5, 7), 4 * 5 * 7 * 6 * 4),
        (nn.Linear(7, 11), (2, 3, 7), 2 * 3 * 7 * 11),
        (nn.Linear(7, 11), (7,), 7 * 11),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)), (1, 3, 8, 8), 0),
    ],
)
def test_a_layers_products_are_those_counted_by_hand(layer, shape, products):
    gmacs, _ = gmacs_of(lambda: layer.eval()(torch.zeros(shape)))
    assert gmacs * 1e9 == pytest.approx(products)


def test_attention_on_the_cpu_counts_two_products_for_each_query_and_key():
    query, key, value = torch.zeros(2, 3, 20, 8), torch.zeros(2, 3, 5, 8), torch.zeros(2, 3, 5, 8)
    gmacs, found = gmacs_of(lambda: F.scaled_dot_product_attention(query, key, value))
    assert found.shape == query.shape
    assert gmacs * 1e9 == pytest.approx(2 * 3 * 20 * 5 * (8 + 8))


class TwoConvsConfig(ChangeDetectionConfig):
    model_type = "euromine_test_two_convs"


class TwoConvs(SiameseChangeDetector):
    """A convolution of each date, and one of their difference."""

    config_class = TwoConvsConfig
    size_multiple = 8

    def __init__(self, config: TwoConvsConfig) -> None:
        super().__init__(config)
        self.before = nn.Conv2d(self.num_channels, 4, 1)
        self.after = nn.Conv2d(4, 2, 3, padding=1, bias=False)
        self.before.requires_grad_(False)
        self.post_init()

    def encode(self, pixel_values: Tensor) -> Tensor:
        return self.before(pixel_values)

    def decode(self, features_1: Tensor, features_2: Tensor) -> Tensor:
        return self.after(features_1 - features_2)


def test_a_change_detectors_encoder_and_decoder_are_counted_apart():
    network = TwoConvs(TwoConvsConfig(num_channels=3)).train()
    # 30 x 20 pixels are padded to 32 x 24.
    costs = network_costs(network, size=(30, 20))
    assert costs.parameters == 3 * 4 + 4 + 2 * 4 * 9
    assert costs.trainable_parameters == 2 * 4 * 9
    encoder, decoder = 32 * 24 * 3 * 4 / 1e9, 32 * 24 * 4 * 9 * 2 / 1e9
    assert costs.encoder_gmacs == pytest.approx(encoder)
    assert costs.decoder_gmacs == pytest.approx(decoder)
    assert costs.gmacs == pytest.approx(2 * encoder + decoder)
    assert costs.series_speed_up() == pytest.approx(
        (90 * encoder + 45 * decoder) / (10 * encoder + 45 * decoder)
    )
    assert network.training
    assert all(parameter.device.type == "cpu" for parameter in network.parameters())


def test_a_network_that_does_not_encode_years_gains_nothing_by_a_series():
    assert NetworkCosts(parameters=1, trainable_parameters=1, gmacs=3.0).series_speed_up() == 1


# Dead layers take part in the published figures, and linear ones need not be where they are.
LESS_THAN_PUBLISHED = {"a2net", "bit", "changeformer", "hanet", "icifnet", "mspsnet"}


@pytest.mark.parametrize("name", sorted(CHANGE_DETECTORS))
def test_a_change_detector_costs_what_the_published_network_costs(name):
    published = json.loads((PARITY / f"{name}.json").read_text())["flops_256_3_bands"] / 2e9
    with torch.device("meta"):
        network = create_model(name, num_channels=3)
    costs = network_costs(network, size=(256, 256))
    assert 0.5 * published < costs.gmacs <= published
    if name not in LESS_THAN_PUBLISHED:
        assert costs.gmacs == pytest.approx(published, rel=1e-6)
    assert costs.parameters == network.num_parameters()
    if network.encodes_years:
        assert costs.series_speed_up() > 1


@pytest.mark.parametrize("name", ["segformer-b0", "mask2former-swin-base"])
def test_networks_of_transformers_are_counted_too(name):
    with torch.device("meta"):
        network = create_model(name)
    costs = network_costs(network, size=(64, 64))
    assert costs.gmacs > 0.05
    assert costs.encoder_gmacs is None
    assert costs.parameters == network.num_parameters()


def test_the_command_prints_a_table_of_the_networks_asked_for(capsys):
    assert main(["fc-ef", "bit", "--size", "64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[4:]] == ["fc-ef", "bit"]
    assert lines[4].split("|")[2].strip() == "1.35 M"


def test_an_unknown_network_is_refused_by_name(capsys):
    with pytest.raises(SystemExit):
        main(["nosuch"])
    assert "network: found nosuch; expected some of a2net" in capsys.readouterr().err
