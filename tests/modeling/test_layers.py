"""The shared blocks, against PyTorch's own layers in a row."""

import pytest
import torch
from torch import nn

from euromine.modeling.layers import conv_norm, linear_of_pixels


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
