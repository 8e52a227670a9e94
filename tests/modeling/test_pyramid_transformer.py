"""The start of the pyramid transformer's weights; its outputs are compared in test_parity.py."""

import math

import pytest
import torch
from torch import nn

from euromine.modeling.base import MultispectralModel
from euromine.modeling.changeformer import ChangeFormerConfig, ChangeFormerForChangeDetection
from euromine.modeling.icifnet import ICIFNetConfig, ICIFNetForChangeDetection
from euromine.modeling.pyramid_transformer import PyramidTransformer

SMALL = {"widths": (64, 128, 160), "depths": (1, 1, 1), "num_heads": (1, 2, 5), "reductions": (8, 4, 2)}


def changeformer() -> tuple[MultispectralModel, PyramidTransformer, list[nn.Module]]:
    """The network, its transformer and what is beside it."""
    network = ChangeFormerForChangeDetection(ChangeFormerConfig(**SMALL, decoder_width=64))
    return network, network.encoder, [network.project, network.difference, network.up, network.head]


def icifnet() -> tuple[MultispectralModel, PyramidTransformer, list[nn.Module]]:
    """The network, its transformer and what is beside it."""
    network = ICIFNetForChangeDetection(ICIFNetConfig(**SMALL))
    return network, network.transformer, [network.resnet, network.branches, network.heads]


@pytest.fixture(scope="module", params=[changeformer, icifnet])
def built(request) -> tuple[MultispectralModel, PyramidTransformer, list[nn.Module]]:
    torch.manual_seed(0)
    return request.param()


def assert_spread(weight: torch.Tensor, expected: float, name: str) -> None:
    """A sample's standard deviation, within four of its own standard errors of a normal distribution's."""
    error = 4 * expected / math.sqrt(2 * weight.numel())
    assert weight.std().item() == pytest.approx(expected, abs=error), name
    assert abs(weight.mean().item()) < 4 * expected / math.sqrt(weight.numel()), name


def test_the_transformer_starts_as_published(built):
    _, transformer, _ = built
    layers = dict(transformer.named_modules())
    assert_spread(layers["block1.0.attn.q"].weight, 0.02, "a linear layer")
    assert_spread(layers["block3.0.mlp.fc1"].weight, 0.02, "a linear layer")
    # Each value of a map is read by out_channels / groups * side * side weights.
    assert_spread(layers["patch_embed1.proj"].weight, math.sqrt(2 / (64 * 7 * 7)), "the first patches")
    assert_spread(layers["block1.0.attn.sr"].weight, math.sqrt(2 / (64 * 8 * 8)), "the reduction")
    assert_spread(layers["block2.0.mlp.dwconv"].weight, math.sqrt(2 / 9), "a depthwise convolution")
    for name, layer in layers.items():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.LayerNorm):
            assert not layer.bias.any(), name
        if isinstance(layer, nn.LayerNorm):
            assert (layer.weight == 1).all(), name


def test_what_is_beside_the_transformer_keeps_its_own_start(built):
    _, _, others = built
    for part in others:
        for name, layer in part.named_modules():
            # The published start of the transformer has neither.
            if isinstance(layer, nn.Linear):
                assert layer.weight.std() > 0.03, name
            if isinstance(layer, nn.Linear | nn.Conv2d) and layer.bias is not None:
                assert layer.bias.any(), name


def test_weights_that_are_loaded_are_not_drawn_anew(built, tmp_path):
    network, _, _ = built
    network.save_pretrained(tmp_path)
    loaded = type(network).from_pretrained(tmp_path)
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
