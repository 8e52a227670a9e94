"""MSPSNet and HANet: the sides to which they pool. What they compute is tested by the parity files."""

import pytest
import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from euromine.modeling.auto import create_model

NAMES = ["mspsnet", "hanet"]


def small_network(name: str, **config):
    torch.manual_seed(0)
    return create_model(name, num_channels=2, widths=[4, 8, 8, 12], **config).eval()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_pooling_halves_the_side_unless_sides_are_given(name):
    images = torch.randn(1, 2, 2, 48, 40)
    halved, fixed = small_network(name), small_network(name, pooled_sides=[20, 9, 5])
    fixed.load_state_dict(halved.state_dict())
    sizes = [each.shape[-2:] for each in halved.encode(images[:, 0])]
    assert sizes == 2 * [(48, 40), (24, 20), (12, 10), (6, 5)]
    sizes = [each.shape[-2:] for each in fixed.encode(images[:, 0])]
    assert sizes == 2 * [(48, 40), (20, 20), (9, 9), (5, 5)]
    logits, others = halved(images).logits, fixed(images).logits
    assert logits.shape == others.shape == (1, 2, 48, 40)
    assert (logits - others).abs().max() > 1e-3 * logits.abs().max()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_sides_that_are_halves_give_what_halving_gives(name):
    images = torch.randn(2, 2, 2, 32, 32)
    halved, fixed = small_network(name), small_network(name, pooled_sides=[16, 8, 4])
    fixed.load_state_dict(halved.state_dict())
    torch.testing.assert_close(fixed(images).logits, halved(images).logits)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"pooled_sides": [16, 8]}, r"pooled_sides: found \(16, 8\); expected 3 sides"),
        ({"pooled_sides": [16, 8, 0]}, r"pooled_sides: found \(16, 8, 0\); expected 3 sides"),
        ({"widths": [4, 6, 8, 8]}, r"widths: found \(4, 6, 8, 8\); expected multiples of 4"),
    ],
)
def test_sides_and_widths_that_do_not_fit_are_refused(name, config, named):
    with pytest.raises(ValueError, match=named):
        create_model(name, **config)


class Convolutions(TorchFunctionMode):
    """Notes of each dilated convolution whether its maps and weights have their channels outermost."""

    def __init__(self):
        super().__init__()
        self.plain = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.conv2d and (kwargs or {}).get("dilation", 1) not in (1, (1, 1)):
            self.plain.append(args[0].is_contiguous() and args[1].is_contiguous())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", NAMES)
def test_onednn_gets_no_dilated_maps_beyond_which_it_reads(name):
    network = small_network(name).train()
    for parameter in network.parameters():
        if parameter.ndim == 4:  # as by --channels_last
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    images, labels = torch.randn(1, 2, 2, 32, 32), torch.zeros(1, 32, 32, dtype=torch.long)
    with Convolutions() as seen, torch.autocast("cpu", dtype=torch.bfloat16):
        network(images, labels=labels)
    assert len(seen.plain) >= 12
    assert all(seen.plain)
    with Convolutions() as seen:
        network(images, labels=labels)
    assert not any(seen.plain)
