"""MSPSNet and HANet: the sides to which they pool. What they compute is tested by the parity files."""

import pytest
import torch

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
