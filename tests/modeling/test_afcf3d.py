"""AFCF3D's convolutions over frames: a batch of one by another kernel, with the same results."""

import pytest
import torch
from torch.nn import functional as F

from euromine.modeling.afcf3d import FilmConv

# Kernels, strides and paddings of the network.
LAYERS = (
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (4, 3, 3), "stride": (2, 1, 1), "padding": (0, 1, 1)},
    {"kernel_size": (1, 3, 3), "stride": (1, 2, 2), "padding": (0, 1, 1)},
)


@pytest.mark.parametrize("settings", LAYERS)
@pytest.mark.parametrize("batch", [1, 2])
def test_convolutions_and_gradients_are_those_in_float64(settings, batch, monkeypatch):
    calls = []
    quick = torch.mkldnn_convolution
    monkeypatch.setattr(torch, "mkldnn_convolution", lambda *given: calls.append(1) or quick(*given))
    torch.manual_seed(0)
    layer = FilmConv(4, 6, **settings)
    film = torch.randn(batch, 4, 4, 7, 9, requires_grad=True)
    found = layer(film)
    assert calls == ([1] if batch == 1 and torch.backends.mkldnn.is_available() else [])
    given = [each.detach().double().requires_grad_() for each in (film, layer.weight, layer.bias)]
    expected = F.conv3d(*given, stride=layer.stride, padding=layer.padding)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    found.square().sum().backward()
    expected.square().sum().backward()
    for ours, theirs in zip((film, layer.weight, layer.bias), given, strict=True):
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-4)


def test_a_batch_of_one_under_autocast_has_its_type():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert FilmConv(4, 6, kernel_size=3)(torch.randn(1, 4, 3, 5, 5)).dtype == torch.bfloat16


def leave_nan() -> None:
    """Free memory of many sizes in which every number is NaN."""
    for _ in range(6):
        _ = [torch.full((2**size,), torch.nan) for size in range(10, 21)]


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("kernel_size", [3, (3, 1, 1)])
def test_gradients_in_bfloat16_hold_no_memory_that_was_never_written(kernel_size, autocast):
    torch.manual_seed(0)
    padding = 1 if kernel_size == 3 else (1, 0, 0)
    layer = FilmConv(8, 16, kernel_size, padding=padding).to(torch.float32 if autocast else torch.bfloat16)
    film = torch.randn(2, 8, 2, 6, 6).bfloat16()
    weight = layer.weight.detach().bfloat16().double().requires_grad_()
    F.conv3d(film.double(), weight, padding=padding).sum().backward()
    for _ in range(5):
        layer.zero_grad()
        leave_nan()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            found = layer(film)
        leave_nan()
        found.sum().backward()
        torch.testing.assert_close(layer.weight.grad.double(), weight.grad, rtol=0.02, atol=0.1)
