"""Parameters outside a training step, on which DistributedDataParallel fails unless it is told of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from euromine.modeling import BANDS, create_model, list_models

SMALL: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("small_networks.json").read_text())
WITH_AUXILIARY_LAYERS = {"dminet", "icifnet"}


def left_out(network: PreTrainedModel, years: int = 2, groups: int = 0) -> set[str]:
    """The trained parameters that one backward pass of two images, or of two series, does not reach."""
    shape: tuple[int, ...] = ()
    if network.config.model_type in ("euromine_series", "euromine_utae"):
        shape = (years,)
    is_detector = hasattr(network, "compare")
    images = torch.randn(2, *((2,) if is_detector else shape), len(BANDS), 32, 32)
    labels = torch.randint(0, 2, (2, *((groups,) if groups else shape), 32, 32))
    network.zero_grad()
    network(pixel_values=images, labels=labels).loss.backward()
    return {name for name, each in network.named_parameters() if each.requires_grad and each.grad is None}


# Of other networks, test_networks.py trains every parameter.
@pytest.mark.parametrize("name", list_models("change-detection"))
def test_a_detector_knows_whether_a_step_leaves_parameters_out(name: str) -> None:
    network = create_model(name, **SMALL.get(name, {})).train()
    assert bool(left_out(network)) == network.may_leave_parameters_out == (name in WITH_AUXILIARY_LAYERS)


def test_the_rates_of_a_series_network_take_no_part_in_single_years() -> None:
    network = create_model("euromine-series-b0", **SMALL["euromine-series-b0"]).train()
    assert not left_out(network)
    assert {each.partition(".")[0] for each in left_out(network, years=1)} == {"rate_head"}
    assert network.may_leave_parameters_out


@pytest.mark.parametrize("name", ["utae", "segformer-b0"])
def test_other_networks_use_every_parameter(name: str) -> None:
    network = create_model(name, **SMALL[name]).train()
    assert not left_out(network, years=1)
    assert not network.may_leave_parameters_out


@pytest.mark.parametrize("name", sorted(WITH_AUXILIARY_LAYERS))
def test_auxiliary_maps_in_the_loss_use_every_parameter(name: str) -> None:
    network = create_model(name, auxiliary_loss_weight=0.4, **SMALL[name]).train()
    assert not left_out(network)
    assert not network.may_leave_parameters_out


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_components_use_every_parameter(weight: float) -> None:
    groups = {"features": ["open_pit", "waste_dump"], "water": ["water_body"]}
    mapper = "upernet-convnext-base"
    network = create_model(mapper, label_groups=groups, auxiliary_loss_weight=weight, **SMALL[mapper]).train()
    assert not left_out(network, groups=2)
    assert not network.may_leave_parameters_out


def test_a_series_network_without_a_chain_uses_every_parameter() -> None:
    network = create_model("euromine-series-b0", chain=False, **SMALL["euromine-series-b0"]).train()
    assert not left_out(network, years=1)
    assert not network.may_leave_parameters_out
