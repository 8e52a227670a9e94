"""The shared blocks, against PyTorch's own layers in a row."""

import pytest
import torch
from torch import nn

from euromine.modeling.auto import create_model
from euromine.modeling.layers import conv_norm, linear_of_pixels, map_to_tokens, tokens_to_map


def conv_and_norm(groups: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv = nn.Conv2d(6, 4, 3, stride=2, padding=1, groups=groups, bias=False)
    norm = nn.BatchNorm2d(4, eps=0.01)
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        tensor.uniform_(0.5, 2)
    return conv, norm


@pytest.mark.parametrize("groups", [1, 2])
def test_in_evaluation_one_convolution_does_the_work_of_both(groups):
    conv, norm = conv_and_norm(groups)
    norm.eval()
    features = torch.randn(2, 6, 9, 7, requires_grad=True)
    expected = norm(conv(features))
    assert torch.allclose(conv_norm(conv, norm, features), expected, atol=1e-5)
    of_both = [
        torch.autograd.grad(result.square().sum(), (features, conv.weight, norm.weight, norm.bias))
        for result in (expected, conv_norm(conv, norm, features))
    ]
    for plain, fused in zip(*of_both, strict=True):
        assert torch.allclose(fused, plain, rtol=1e-4, atol=1e-4)


def test_in_training_the_batch_norm_takes_the_statistics_of_the_batch():
    conv, norm = conv_and_norm()
    before = norm.running_mean.clone()
    result = conv_norm(conv, norm, torch.randn(3, 6, 8, 8))
    assert not torch.equal(norm.running_mean, before)
    mean = (result.mean((0, 2, 3)) - norm.bias) / norm.weight
    assert torch.allclose(mean, torch.zeros(4), atol=1e-5)


def test_a_linear_layer_on_pixels_is_that_layer():
    layer = nn.Linear(5, 7)
    pixels = torch.randn(2, 3, 4, 5)
    assert linear_of_pixels(layer, pixels).shape == (2, 3, 4, 7)
    assert torch.allclose(linear_of_pixels(layer, pixels), layer(pixels), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
def test_tokens_become_a_map_without_a_copy_its_channels_innermost(batch):
    tokens = torch.randn(batch, 3 * 5, 7)
    features = tokens_to_map(tokens, 3, 5)
    assert features.data_ptr() == tokens.data_ptr()
    assert features.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(features, tokens.transpose(1, 2).reshape(batch, 7, 3, 5))
    again = map_to_tokens(features)
    assert again.data_ptr() == tokens.data_ptr()
    assert torch.equal(again, tokens)


@pytest.mark.parametrize(
    ("name", "innermost", "training"),
    [
        ("fc-ef", True, False),
        ("siamunet-diff", True, False),
        ("siamunet-diff", True, True),
        ("fcnpp", False, False),
        ("resunet", True, False),
        ("resunet", False, True),
    ],
)
@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
@torch.no_grad()
def test_maps_keep_their_channels_innermost_where_a_network_says_so(name, innermost, training, size):
    network = create_model(name).train(training)
    assert innermost is (network.channels_last or (network.channels_last_in_evaluation and not training))
    seen: list[bool] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
            module.register_forward_pre_hook(
                lambda _, inputs: seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
            )
    network(torch.randn(1, 2, 10, *size))
    # Maps of one column or channel are both.
    assert seen[0] is innermost
    assert all(seen) is innermost
