import math

import pytest
import torch
from safetensors.torch import save_file
from transformers.initialization import no_init_weights

from euromine.modeling.auto import create_model
from euromine.modeling.base import init_convolutions
from euromine.modeling.conversion import rename_key
from euromine.modeling.efficientnet import (
    TIMM_KEYS,
    TORCHVISION_KEYS,
    EfficientNetEncoder,
    InvertedBottleneck,
    efficientnet_weights,
)
from euromine.modeling.layers import StochasticDepth
from euromine.modeling.pretrained import load_encoder

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


@pytest.mark.parametrize(
    ("arguments", "named"), [({"variant": "b9"}, "b9"), ({"stages": 8}, "stages: found 8")]
)
def test_a_network_that_there_is_not_is_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        EfficientNetEncoder(3, **arguments)


NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def torchvision_keys(depths: tuple[int, ...]) -> list[str]:
    """The names of an EfficientNet's stages in torchvision, written out from its structure."""

    def conv_norm(prefix: str) -> list[str]:
        return [f"{prefix}.0.weight", *(f"{prefix}.1.{name}" for name in NORM)]

    keys = conv_norm("features.0")
    for stage, depth in enumerate(depths, start=1):
        for block in range(depth):
            prefix = f"features.{stage}.{block}.block"
            steps = ["expand", "depthwise", "excitation", "project"][stage == 1 :]
            for index, step in enumerate(steps):
                if step == "excitation":
                    keys += [f"{prefix}.{index}.{fc}.{what}" for fc in ("fc1", "fc2") for what in NORM[:2]]
                else:
                    keys += conv_norm(f"{prefix}.{index}")
    return keys


def timm_keys(depths: tuple[int, ...]) -> list[str]:
    """The same in timm, whose norms are counted and whose projection is called linear."""

    def conv_norm(conv: str, norm: str) -> list[str]:
        return [f"{conv}.weight", *(f"{norm}.{name}" for name in NORM)]

    keys = conv_norm("conv_stem", "bn1")
    for stage, depth in enumerate(depths):
        for block in range(depth):
            prefix = f"blocks.{stage}.{block}"
            convs = ["conv_dw", "conv_pw"] if stage == 0 else ["conv_pw", "conv_dw", "conv_pwl"]
            for index, conv in enumerate(convs, start=1):
                keys += conv_norm(f"{prefix}.{conv}", f"{prefix}.bn{index}")
                if conv == "conv_dw":
                    keys += [
                        f"{prefix}.se.conv_{what}.{name}"
                        for what in ("reduce", "expand")
                        for name in NORM[:2]
                    ]
    return keys


FORMATS = {
    "torchvision": (torchvision_keys, TORCHVISION_KEYS, ("features.8.0.weight", "classifier.1.bias")),
    "timm": (timm_keys, TIMM_KEYS, ("conv_head.weight", "bn2.running_var", "classifier.weight")),
}


@pytest.mark.parametrize("origin", FORMATS)
def test_others_names_become_ours_one_to_one_and_in_order(origin):
    keys, rules, _ = FORMATS[origin]
    with torch.device("meta"):
        encoder = EfficientNetEncoder(3, "b4")
    assert [rename_key(key, rules) for key in keys(TABLE["b4"][1])] == list(encoder.state_dict())


def others_checkpoint(origin: str) -> dict[str, torch.Tensor]:
    """A whole B4 for red, green and blue under others' names, of which an encoder takes the first stages."""
    torch.manual_seed(1)
    with no_init_weights():
        tensors = EfficientNetEncoder(3, "b4").state_dict()
    keys, _, head = FORMATS[origin]
    values = [
        torch.randn(each.shape) if each.is_floating_point() else torch.tensor(7) for each in tensors.values()
    ]
    named = dict(zip(keys(TABLE["b4"][1]), values, strict=True))
    return {**named, **{key: torch.zeros(2) for key in head}}


@pytest.mark.parametrize("origin", FORMATS)
def test_tinycd_starts_from_anybodys_b4_with_the_colours_where_they_belong(origin, tmp_path):
    checkpoint = others_checkpoint(origin)
    save_file(checkpoint, tmp_path / "b4.safetensors")
    network = create_model(
        "tinycd", bands=("B02", "B11", "B04", "B03"), pretrained=tmp_path / "b4.safetensors"
    )
    first, *_ = checkpoint.values()
    red, green, blue = first.unbind(1)
    expected = 0.75 * torch.stack([blue, first.mean(1), red, green], dim=1)
    torch.testing.assert_close(network.encoder.stem.conv.weight, expected)
    # The project's order of a block is the order of both formats' files.
    ours = list(network.encoder.state_dict().values())[1:]
    theirs = list(checkpoint.values())[1 : len(ours) + 1]
    assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


def test_a_random_first_layer_stays_the_networks_own():
    torch.manual_seed(0)
    encoder = EfficientNetEncoder(2, "b4", stages=3)
    before = encoder.stem.conv.weight.clone()
    load_encoder(encoder, efficientnet_weights(encoder), others_checkpoint("timm"), ("B04", "B03"), "random")
    assert torch.equal(encoder.stem.conv.weight, before)


def test_a_checkpoint_without_counters_is_taken():
    tensors = {key: value for key, value in others_checkpoint("torchvision").items() if value.ndim}
    encoder = EfficientNetEncoder(3, "b4", stages=2)
    load_encoder(encoder, efficientnet_weights(encoder), tensors, ("B04", "B03", "B02"), "semantic")


@pytest.mark.parametrize(
    ("change", "stem_init", "named"),
    [
        (
            lambda tensors: tensors.pop("blocks.1.2.bn3.bias"),
            "semantic",
            r"1 tensors .*stages.1.2.project.norm.b",
        ),
        (lambda tensors: tensors.update({"neck.weight": torch.zeros(1)}), "semantic", r"\(neck.weight\)"),
        (
            lambda tensors: tensors.update({"conv_stem.weight": torch.zeros(48, 5, 3, 3)}),
            "semantic",
            "3, height",
        ),
        (lambda tensors: None, None, "file.pth: found weights for other bands, with stem_init None"),
        (lambda tensors: None, "copied", "copied"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, stem_init, named):
    tensors = others_checkpoint("timm")
    change(tensors)
    encoder = EfficientNetEncoder(2, "b4", stages=3)
    with pytest.raises(ValueError, match=named):
        load_encoder(encoder, efficientnet_weights(encoder), tensors, ("B04", "B03"), stem_init, "file.pth")


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
    other = torch.nn.Conv2d(10, 48, 3)
    before = other.weight.clone()
    for module in (*encoder.modules(), other):
        init_convolutions(module, (encoder,), zero_bias=True)
    assert torch.equal(other.weight, before)
    for name, weight in encoder.named_parameters():
        if weight.ndim == 4:
            out_channels, _, height, width = weight.shape
            expected = math.sqrt(2 / (out_channels * height * width))
            # The standard error of a standard deviation of n draws is about 1 / sqrt(2 n) of it.
            assert weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * weight.numel())), name
        elif "excitation" in name:
            assert not weight.any()
