import math

import pytest
import torch

from euromine.modeling.conversion import rename_key
from euromine.modeling.efficientnet import (
    TORCHVISION_KEYS,
    EfficientNetEncoder,
    InvertedBottleneck,
    initialize_efficientnet,
)
from euromine.modeling.layers import StochasticDepth

# Channels and blocks of the stages as torchvision 0.28 and timm 1.0 build them.
TABLE = {
    "b0": ((16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
    "b1": ((16, 24, 40, 80, 112, 192, 320), (2, 3, 3, 4, 4, 5, 2)),
    "b2": ((16, 24, 48, 88, 120, 208, 352), (2, 3, 3, 4, 4, 5, 2)),
    "b3": ((24, 32, 48, 96, 136, 232, 384), (2, 3, 3, 5, 5, 6, 2)),
    "b4": ((24, 32, 56, 112, 160, 272, 448), (2, 4, 4, 6, 6, 8, 2)),
}
# Tan and Le's Table 2 in full, as torchvision's model cards count them.
PUBLISHED_PARAMETERS = {"b0": 5288548, "b1": 7794184, "b2": 9109994, "b3": 12233232, "b4": 19341616}


@pytest.mark.parametrize("variant", TABLE)
def test_every_variant_has_the_widths_depths_and_parameters_of_the_published_ones(variant):
    with torch.device("meta"):
        encoder = EfficientNetEncoder(3, variant)
    widths, depths = TABLE[variant]
    assert tuple(encoder.widths) == widths
    assert tuple(len(stage) for stage in encoder.stages) == depths
    # The published network goes on with a convolution to four times the width, a norm and a linear layer.
    last = 4 * widths[-1]
    head = widths[-1] * last + 2 * last + last * 1000 + 1000
    assert sum(each.numel() for each in encoder.parameters()) + head == PUBLISHED_PARAMETERS[variant]


@torch.no_grad()
def test_the_maps_of_the_stages_halve_where_the_published_ones_do():
    maps = EfficientNetEncoder(4, "b0").eval()(torch.randn(1, 4, 64, 96))
    assert [tuple(each.shape[2:]) for each in maps] == [
        (64 // scale, 96 // scale) for scale in (2, 4, 8, 16, 16, 32, 32)
    ]
    cut_short = EfficientNetEncoder(4, "b0", stages=3).eval()
    assert len(cut_short(torch.randn(1, 4, 64, 96))) == 3


@pytest.mark.parametrize(("arguments", "named"), [({"variant": "b9"}, "b9"), ({"stages": 8}, "stages is 8")])
def test_a_network_that_there_is_not_is_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        EfficientNetEncoder(3, **arguments)


def torchvision_keys(depths: tuple[int, ...]) -> list[str]:
    """The names of an EfficientNet's tensors in torchvision, written out from its structure."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

    def conv_norm(prefix: str) -> list[str]:
        return [f"{prefix}.0.weight", *(f"{prefix}.1.{name}" for name in norm)]

    keys = conv_norm("features.0")
    for stage, depth in enumerate(depths, start=1):
        for block in range(depth):
            prefix = f"features.{stage}.{block}.block"
            steps = ["expand", "depthwise", "excitation", "project"][stage == 1 :]
            for index, step in enumerate(steps):
                if step == "excitation":
                    keys += [f"{prefix}.{index}.{fc}.{what}" for fc in ("fc1", "fc2") for what in norm[:2]]
                else:
                    keys += conv_norm(f"{prefix}.{index}")
    return keys


def test_torchvisions_names_become_ours_one_to_one_and_in_order():
    with torch.device("meta"):
        encoder = EfficientNetEncoder(3, "b4")
    renamed = [rename_key(key, TORCHVISION_KEYS) for key in torchvision_keys(TABLE["b4"][1])]
    assert renamed == list(encoder.state_dict())


def test_stochastic_depth_grows_evenly_over_the_blocks_of_the_whole_network():
    encoder = EfficientNetEncoder(3, "b4", stages=3, stochastic_depth_rate=0.2)
    blocks = [module for module in encoder.modules() if isinstance(module, InvertedBottleneck)]
    # Two, four and four of the 32 blocks of a B4.
    assert [block.stochastic_depth.rate for block in blocks] == pytest.approx(
        [0.2 * index / 32 for index in range(10)]
    )
    assert [block.is_residual for block in blocks] == [
        False, True, False, True, True, True, False, True, True, True,
    ]  # fmt: skip


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop = StochasticDepth(0.3)
    branch = torch.ones(20_000, 2, 1, 2)
    kept = drop(branch)
    assert set(kept.flatten().tolist()) == {0.0, torch.tensor(1 / 0.7).item()}
    assert torch.equal(kept, kept[:, :1, :, :1].expand_as(kept))
    # Five standard deviations of a mean of 20,000 draws.
    assert (kept[:, 0, 0, 0] == 0).float().mean().item() == pytest.approx(0.3, abs=0.0163)
    assert torch.equal(drop.eval()(branch), branch)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_drops_all_or_less_than_nothing_is_refused(rate):
    with pytest.raises(ValueError, match=str(rate)):
        StochasticDepth(rate)


def test_the_convolutions_start_with_what_goes_out_as_torchvisions_do():
    torch.manual_seed(0)
    encoder = EfficientNetEncoder(10, "b4", stages=3)
    initialize_efficientnet(encoder)
    for name, weight in encoder.named_parameters():
        if weight.ndim == 4:
            out_channels, _, height, width = weight.shape
            expected = math.sqrt(2 / (out_channels * height * width))
            # The standard error of a standard deviation of n draws is about 1 / sqrt(2 n) of it.
            assert weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * weight.numel())), name
        elif "excitation" in name:
            assert not weight.any()
