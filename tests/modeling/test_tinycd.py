import math

import pytest
import torch
from torch.nn import functional as F

from euromine.modeling.auto import create_model
from euromine.modeling.tinycd import InstanceNorm, MixingBlock


@torch.no_grad()
def test_a_channel_is_mixed_with_its_namesake_of_the_other_date_alone():
    torch.manual_seed(0)
    block = MixingBlock(5).eval()
    features_1, features_2 = torch.randn(2, 1, 5, 6, 7)
    before = block(block.convolved(features_1, 0), block.convolved(features_2, 1))
    for changed in (features_1, features_2):
        changed[:, 3] += torch.randn(6, 7)
        after = block(block.convolved(features_1, 0), block.convolved(features_2, 1))
        moved = (after != before).any(dim=(0, 2, 3))
        assert moved.tolist() == [False, False, False, True, False]
        before = after


def test_a_single_pair_trains_and_stochastic_depth_makes_passes_differ():
    torch.manual_seed(0)
    network = create_model("tinycd", stochastic_depth_rate=0.9).train()
    pixel_values = torch.randn(1, 2, 10, 32, 32)
    first, second = (network(pixel_values).logits for _ in range(2))
    assert not torch.equal(first, second)
    network.eval()
    assert torch.equal(network(pixel_values).logits, network(pixel_values).logits)


def test_the_start_is_the_authors_for_the_encoder_and_pytorchs_for_the_rest():
    torch.manual_seed(0)
    network = create_model("tinycd")
    # 48 channels go out, one comes in: PyTorch's own start would be 2.8 times as wide.
    depthwise = network.encoder.stages[0][0].depthwise.conv.weight
    assert depthwise.std().item() == pytest.approx(math.sqrt(2 / (48 * 9)), rel=0.15)
    assert not network.encoder.stages[0][0].excitation.reduce.bias.any()
    # Not normal: PyTorch's start is uniform between plus and minus 1 / sqrt(fan in).
    pointwise = network.up_blocks[0].pointwise.conv
    bound = 1 / math.sqrt(56)
    assert 0.95 * bound < pointwise.weight.abs().max().item() <= bound
    assert 0 < pointwise.bias.abs().max().item() <= bound
    assert network.up_blocks[0].pointwise.activation.weight.item() == 0.25


@torch.no_grad()
def test_an_encoding_holds_for_either_place_in_a_pair_what_the_mixing_makes_of_the_image_and_three_scales():
    network = create_model("tinycd").eval()
    images = torch.randn(2, 10, 48, 64)
    maps = network.encode(images)
    assert [tuple(each.shape) for each in maps] == 2 * [
        (2, 10, 48, 64), (2, 24, 24, 32), (2, 32, 12, 16), (2, 56, 6, 8),
    ]  # fmt: skip
    # The published convolution sees both dates' channels side by side, in pairs of namesakes.
    others = torch.randn(2, 10, 48, 64)
    together = network.attention_masks[0].mixing.mix.conv(torch.stack((images, others), dim=2).flatten(1, 2))
    torch.testing.assert_close(maps[0] + network.encode(others)[4], together)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_instance_norm_is_pytorchs_also_where_the_mean_is_far_from_zero(memory_format, training):
    features = (100 + torch.randn(2, 3, 40, 50)).contiguous(memory_format=memory_format)
    expected = F.instance_norm(features.double()).float()
    found = InstanceNorm().train(training)(features)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_the_instance_norms_gradient_is_pytorchs(training):
    features = (3 + torch.randn(2, 3, 8, 10, dtype=torch.float64)).requires_grad_()
    weights = torch.randn_like(features)
    found, expected = (
        torch.autograd.grad((weights * norm(features)).sum(), features)
        for norm in (InstanceNorm().train(training), F.instance_norm)
    )
    torch.testing.assert_close(found, expected)


def test_an_image_smaller_than_the_deepest_maps_pixel_trains():
    network = create_model("tinycd").train()
    output = network(torch.randn(1, 2, 10, 5, 7), labels=torch.zeros(1, 5, 7, dtype=torch.int64))
    assert output.logits.shape == (1, 2, 5, 7)
    assert output.loss.isfinite()
