"""Layers that something waits for, or that stand in for others, are called: adapters, hooks, quantisation."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from euromine.modeling.auto import CHANGE_DETECTORS, SEGMENTERS, create_model
from euromine.modeling.layers import is_plain

# Settings that make the largest networks small; their layers are of the same kinds, in the same order.
SMALL = json.loads(Path(__file__).with_name("small_networks.json").read_text())


class Adapted(nn.Module):
    """A layer with a trainable addition, as low-rank adaptation makes one; all else is the layer's."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = layer
        self.scale = nn.Parameter(torch.ones(()))

    def __getattr__(self, name: str) -> object:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base_layer"), name)

    def forward(self, values: Tensor) -> Tensor:
        return self.scale * self.base_layer(values)


def images_for(name: str) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, *((2,) if name in CHANGE_DETECTORS else ()), 10, 64, 64)


@pytest.mark.parametrize("name", sorted([*CHANGE_DETECTORS, *SEGMENTERS, "segformer-b0"]))
def test_every_layer_with_a_hook_is_called_and_computes_the_same(name):
    torch.manual_seed(0)
    network, images = create_model(name, **SMALL.get(name, {})).eval(), images_for(name)
    called: set[str] = set()
    with torch.no_grad():
        expected = network(images).logits
        layers = {
            each: layer for each, layer in network.named_modules() if type(layer) in (nn.Linear, nn.Conv2d)
        }
        for each, layer in layers.items():
            layer.register_forward_hook(lambda *_, each=each: called.add(each))
        found = network(images).logits
    unused = tuple(type(network).unused)
    assert {each for each in layers if not each.startswith(unused)} - called == set()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["bit", "hanet", "mspsnet", "segformer-b0", "tinycd"])
def test_adapted_layers_learn(name):
    torch.manual_seed(0)
    network = create_model(name, **SMALL.get(name, {}))
    replaced = [each for each, layer in network.named_modules() if type(layer) in (nn.Linear, nn.Conv2d)]
    for each in replaced:
        parent, _, last = each.rpartition(".")
        setattr(network.get_submodule(parent), last, Adapted(network.get_submodule(each)))
    labels = torch.randint(0, 2, (2, 64, 64))
    network(images_for(name), labels=labels).loss.backward()
    assert [each for each in replaced if network.get_submodule(each).scale.grad is None] == []


def test_hooks_patched_calls_and_other_classes_are_not_plain():
    assert is_plain(nn.Linear(2, 2), nn.Conv2d(2, 2, 1))
    hooked, patched = nn.Linear(2, 2), nn.Linear(2, 2)
    hooked.register_forward_pre_hook(lambda *_: None)
    patched.forward = lambda values: values
    parametrized = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    for layer in (hooked, patched, parametrized, Adapted(nn.Linear(2, 2))):
        assert not is_plain(nn.Linear(2, 2), layer)


@pytest.mark.parametrize(("is_rounded", "tolerance"), [(False, 1e-5), (True, 0.02)])
def test_bit_gives_the_same_logits_with_and_without_gradients(is_rounded, tolerance):
    torch.manual_seed(0)
    network, images = create_model("bit").eval(), images_for("bit")
    with torch.autocast("cpu", torch.bfloat16, enabled=is_rounded):
        expected = network(images).logits.detach().float()
        with torch.no_grad():
            found = network(images).logits.float()
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * expected.abs().max().item())
