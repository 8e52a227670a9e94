"""How fresh weights are drawn, against what the published implementations draw; measured, tensor by tensor.

The laws below were read off the published code of each network, not off ours.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn

from euromine.modeling.auto import CHANGE_DETECTORS, SEGMENTERS, create_model
from euromine.modeling.segmentation import Segmenter

SMALL = json.loads(Path(__file__).with_name("small_networks.json").read_text())
NAMES = [
    *(name for name, network in SEGMENTERS.items() if issubclass(network, Segmenter)),
    *CHANGE_DETECTORS,
]

# What a PyTorch layer starts with, left alone: uniform within 1 / sqrt(fan-in), biases too.
PYTORCH = "pytorch"
# Normal of variance 2 over the values that one value goes to, or over those that it comes from.
FAN_OUT, FAN_IN = "fan-out", "fan-in"
# As FAN_OUT, but counting the outputs of a group alone (PVTv2, ChangeFormer).
GROUPED_FAN_OUT = "grouped fan-out"
ZEROS, ONES, IDENTITY = "zeros", "ones", "identity"

# (pattern of parameters, law), the first that fits; a number is the deviation of a normal distribution. What
# no pattern fits starts as PyTorch's layers do.
WITH_RESNET = ((r"^backbone\..*weight$", FAN_OUT),)
PYRAMID = (
    (r"\.(q|kv|proj|fc1|fc2)\.weight$", 0.02),
    (r"\.(sr|dwconv)\.weight$|patch_embed\d\.proj\.weight$", GROUPED_FAN_OUT),
    (r"bias$", ZEROS),
)
LAWS: dict[str, tuple[tuple[str, Any], ...]] = {
    "a2net": WITH_RESNET,
    # The film's first convolutions see each frame alone.
    "afcf3d": ((r"\.(before|after)\.weight$", ZEROS), (r"\.same\.weight$", IDENTITY), *WITH_RESNET),
    "bit": (*WITH_RESNET, (r"^token_positions$", 1.0)),
    "cgnet": ((r"^encoder\..*weight$", FAN_OUT), (r"^encoder\..*bias$|gamma$", ZEROS)),
    "changeformer": (
        (r"^encoder\.patch_embed\d\.proj\.weight$", GROUPED_FAN_OUT),
        *((rf"^encoder\..*{pattern}", law) for pattern, law in PYRAMID),
    ),
    "deeplabv3plus-resnet101": ((r"^(encoder|pyramid\.branches)\..*weight$", FAN_IN),),
    "dminet": (*WITH_RESNET, (r"gamma$", ZEROS), (r"weight$", FAN_IN)),
    "dtcdscn": (
        (r"\.se\.|^decoder\.\d\.up\.|^head\.0\.", PYTORCH),
        (r"^cascade\..*bias$", ZEROS),
        (r"weight$", FAN_OUT),
    ),
    "hanet": ((r"gamma$", ZEROS), (r"weight$", FAN_OUT)),
    "hcgmnet": ((r"^encoder\..*weight$", FAN_OUT), (r"^encoder\..*bias$|gamma$", ZEROS)),
    "icifnet": (
        (r"^resnet\..*weight$", FAN_OUT),
        (r"^transformer\.patch_embed\d\.proj\.weight$", GROUPED_FAN_OUT),
        *((rf"^transformer\..*{pattern}", law) for pattern, law in PYRAMID),
        # The published code passes over the second date's, and over linear layers.
        (r"^branches\.1\.(cross|up)\.|\.qkv\.|\.attention\.proj\.", PYTORCH),
        (r"^(branches|heads)\..*weight$", FAN_IN),
    ),
    "mspsnet": ((r"gamma$", ZEROS), (r"weight$", FAN_OUT)),
    "rdpnet": (
        (r"^detail_weight$", 1.0),
        (r"(mean_weight|var_weight)$|norm\d?\.weight$|narrow\.1\.weight$", ONES),
        (r"norm\d?\.bias$|narrow\.1\.bias$", ZEROS),
    ),
    "snunet": ((r"^ups\.", PYTORCH), (r"weight$", FAN_OUT)),
    "sqnet": ((r"\.up\.|^head\.", PYTORCH), (r"weight$", FAN_IN)),
    "tfi-gr": WITH_RESNET,
    "tinycd": ((r"^encoder\..*weight$", FAN_OUT), (r"^encoder\..*bias$", ZEROS)),
}


def law_of(name: str, key: str, module: nn.Module) -> Any:
    parameter = key.rpartition(".")[2]
    if isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm):
        return ONES if parameter == "weight" else ZEROS
    if isinstance(module, nn.PReLU):
        return "quarter"
    fitting = (law for pattern, law in LAWS.get(name, ()) if re.search(pattern, key))
    return next((law for law in fitting if parameter != "bias" or law in (ZEROS, PYTORCH)), PYTORCH)


def check_normal(key: str, values: Tensor, deviation: float) -> None:
    """Mean and deviation within five standard errors, and tails that no uniform distribution has."""
    count = values.numel()
    if count < 100:
        return
    assert values.mean().abs() < 5 * deviation / math.sqrt(count), key
    assert abs(values.std() / deviation - 1) < 5 / math.sqrt(2 * count), key
    if count >= 2000:
        assert values.abs().max() > 2.5 * deviation, key


def check_uniform(key: str, values: Tensor, bound: float) -> None:
    count = values.numel()
    assert values.abs().max() <= bound * (1 + 1e-6), key
    if count < 100:
        return
    deviation = bound / math.sqrt(3)
    assert values.mean().abs() < 5 * deviation / math.sqrt(count), key
    assert abs(values.std() / deviation - 1) < 5 / math.sqrt(count), key


def check_start(name: str, network: nn.Module) -> None:
    """Every parameter of a network against its law."""
    for path, module in network.named_modules():
        for parameter, values in module.named_parameters(recurse=False):
            key = f"{path}.{parameter}".removeprefix(".")
            values = values.detach()
            law = law_of(name, key, module)
            if law in (ZEROS, ONES, "quarter"):
                assert values.eq({ZEROS: 0, ONES: 1, "quarter": 0.25}[law]).all(), key
            elif law == IDENTITY:
                assert torch.equal(values[:, :, 0, 0], torch.eye(len(values))), key
            elif law == PYTORCH:
                check_uniform(key, values, 1 / math.sqrt(module.weight[0].numel()))
            elif law == FAN_IN:
                check_normal(key, values, math.sqrt(2 / values[0].numel()))
            elif law in (FAN_OUT, GROUPED_FAN_OUT):
                outputs = len(values) * math.prod(values.shape[2:])
                groups = module.groups if law == GROUPED_FAN_OUT else 1
                check_normal(key, values, math.sqrt(2 * groups / outputs))
            else:
                check_normal(key, values, law)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_starts_as_the_published_one_and_so_does_what_a_checkpoint_lacks(name, tmp_path):
    torch.manual_seed(0)
    fresh = create_model(name)
    check_start(name, fresh)
    buffers = dict(fresh.named_buffers())
    expected = {"running_mean": 0, "running_var": 0 if name == "rdpnet" else 1, "num_batches_tracked": 0}
    for key, buffer in buffers.items():
        assert buffer.eq(expected[key.rpartition(".")[2]]).all(), key
    # A checkpoint of a single tensor: the others are built where there is no memory, and drawn afterwards.
    first, kept = next(iter(fresh.state_dict().items()))
    fresh.config.save_pretrained(tmp_path)
    save_file({first: torch.full_like(kept, 7.0)}, tmp_path / "model.safetensors", {"format": "pt"})
    loaded = type(fresh).from_pretrained(tmp_path)
    assert loaded.state_dict()[first].eq(7).all()
    loaded.state_dict()[first].copy_(kept)
    check_start(name, loaded)
    for key, buffer in loaded.named_buffers():
        assert torch.equal(buffer, buffers[key]), key


@pytest.mark.parametrize("law", [FAN_IN, FAN_OUT, GROUPED_FAN_OUT, 0.02, ZEROS])
def test_another_law_would_be_noticed(law, monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 128, 3))
    check_start("unet", network)
    monkeypatch.setitem(LAWS, "unet", ((r"weight$", law),))
    with pytest.raises(AssertionError, match=r"0\.weight"):
        check_start("unet", network)


def test_mask2former_starts_as_transformers_own() -> None:
    torch.manual_seed(0)
    network = create_model("mask2former-swin-base", **SMALL["mask2former-swin-base"])
    torch.manual_seed(0)
    own = transformers.Mask2FormerForUniversalSegmentation(network.config.of_transformers())
    tensors = network.mask2former.state_dict()
    for key, expected in own.state_dict().items():
        assert torch.equal(tensors[key], expected), key
