"""Our networks against the published ones: the same numbers in, the same numbers out.

A new network needs no line here: what `list_models` names and parity/ holds is compared.
"""

import importlib.util
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.initialization import no_init_weights

from euromine.modeling.auto import CHANGE_DETECTORS, SEGMENTERS, list_models
from euromine.modeling.base import MultispectralModel
from euromine.modeling.conversion import convert_reference

PARITY = Path(__file__).parent / "parity"
FULL_PARITY = Path(__file__).parents[2].parent / "shared" / "parity"

FACTS = {path.stem: json.loads(path.read_text()) for path in sorted(PARITY.glob("*.json"))}
NAMES = [name for name in list_models() if name in FACTS]
# Grouped by network: its weights are drawn once for all its tests.
each_network = pytest.mark.parametrize("name", NAMES, scope="module")

# What the configuration must say for a probe that is not the benchmark's own network.
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("snunet", "author_in3_64_fanin"): {"ecam_max_pooling": True},
}


# Settings in which the authors' code differs from the benchmark's, and the published outputs whose sum is the
# main one with them. Fixed sides of the pooling are those to which the measured networks pool.
SWITCHES: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("a2net", "in3_64_fanin", {"main_map": 3}, ["aux_predictions.2"]),
    ("dminet", "in3_64_fanin", {"prediction": "authors"}, ["aux_predictions.0", "aux_predictions.1"]),
    (
        "icifnet",
        "in3_64_fanin",
        {"prediction": "authors"},
        ["main_predictions", "aux_predictions.0", "aux_predictions.1"],
    ),
    ("hanet", "in3_64pool_fanin", {"pooled_sides": (32, 16, 8)}, ["main_predictions"]),
    ("mspsnet", "in3_64pool_fanin", {"pooled_sides": (32, 16, 8)}, ["main_predictions"]),
]


def model_class(name: str) -> type[MultispectralModel]:
    return {**SEGMENTERS, **CHANGE_DETECTORS}[name]


@lru_cache(maxsize=1)
def built(name: str, bands: int, settings: tuple[tuple[str, Any], ...] = ()) -> MultispectralModel:
    """A network to be filled, with its auxiliary maps where it has any."""
    config = dict(settings)
    if name in CHANGE_DETECTORS:
        config["auxiliary_loss_weight"] = 1.0
    # What is filled next need not be drawn first.
    with no_init_weights():
        return model_class(name)(model_class(name).config_class(num_channels=bands, **config)).eval()


def filled(published, tag: str, settings: dict[str, Any] | None = None) -> MultispectralModel:
    """Our network with the numbers that the probe `tag` puts into the published one."""
    if settings is None:
        settings = SETTINGS[published.name, tag] if tag.startswith("author") else {}
    network = built(published.name, published.facts["probes"][tag]["bands"], tuple(settings.items()))
    network.load_state_dict(convert_reference(type(network), published.state_dict(tag)), strict=True)
    return network


def ended(logits: Tensor, end: str, channels: int) -> Tensor:
    """Our two-class logits as the published network ends."""
    if end == "log-softmax":
        return logits.log_softmax(1)
    if end == "sigmoid":
        return logits.softmax(1)[:, 1:]
    return logits if channels == 2 else logits[:, 1:] - logits[:, :1]


def distances(published, tag: str, pixel_values: Tensor, network: MultispectralModel) -> dict[str, float]:
    """For each of the probe's outputs the largest distance to ours, in units of what is tolerated."""
    with torch.no_grad():
        output = network(pixel_values)
    auxiliary = getattr(output, "auxiliary_logits", None) or ()
    ours = {"main_predictions": output.logits, "aux_predictions": auxiliary[0] if auxiliary else None}
    ours |= {f"aux_predictions.{index}": logits for index, logits in enumerate(auxiliary)}
    found = {}
    for name, expected in published.facts["probes"][tag]["outputs"].items():
        logits = ours[name]
        assert logits is not None, f"{published.name} gives no {name}"
        values = ended(logits, expected["end"], expected["channels"])
        values = values[..., :: expected["thinned"], :: expected["thinned"]].flatten()[:: expected["step"]]
        reference = torch.from_numpy(published.outputs[f"{tag}/{name}"])
        assert values.shape == reference.shape
        found[name] = ((values - reference).abs().max() / expected["tolerance"]).item()
    return found


@each_network
def test_the_outputs_are_the_published_ones(name, published_network):
    published = published_network(name)
    found = {
        (tag, output): distance
        for tag in published.facts["probes"]
        for output, distance in distances(
            published, tag, published.pixel_values(tag), filled(published, tag)
        ).items()
    }
    # Not by the largest, which would pass over what is no number.
    assert all(distance <= 1 for distance in found.values()), found


@pytest.mark.parametrize(("name", "tag", "settings", "summands"), SWITCHES)
@torch.no_grad()
def test_a_switch_to_the_authors_prediction_gives_what_they_publish(
    name, tag, settings, summands, published_network
):
    published = published_network(name)
    network = filled(published, tag, settings)
    logits = network(published.pixel_values(tag)).logits
    facts = [published.facts["probes"][tag]["outputs"][summand] for summand in summands]
    assert len(summands) == 1 or all(each["end"] == "logits" for each in facts)
    values = ended(logits, facts[0]["end"], facts[0]["channels"])
    values = values[..., :: facts[0]["thinned"], :: facts[0]["thinned"]].flatten()[:: facts[0]["step"]]
    expected = sum(torch.from_numpy(published.outputs[f"{tag}/{summand}"]) for summand in summands)
    assert (values - expected).abs().max() <= sum(each["tolerance"] for each in facts)
    # The decoder of a series gives the same main map.
    together = network.predict_series(published.pixel_values(tag))[:, 0]
    torch.testing.assert_close(together, logits, rtol=1e-4, atol=1e-5 * logits.abs().max().item())


@each_network
def test_a_hundredth_more_in_any_part_of_the_network_is_noticed(name, published_network):
    published = published_network(name)
    tag = max(published.facts["probes"], key=lambda tag: (tag.endswith("fanin"), tag.startswith("in3_64")))
    network = filled(published, tag)
    pixel_values = published.pixel_values(tag)
    for part, module in network.named_children():
        parameters = list(module.parameters())
        if not parameters:
            continue
        kept = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            for parameter in parameters:
                parameter.mul_(1.01)
        found = distances(published, tag, pixel_values, network)
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)
        assert any(distance > 1 for distance in found.values()), part


@each_network
def test_what_is_left_out_of_a_published_network_is_what_reaches_no_output(name, published_network):
    tensors = published_network(name).tensors(3)
    patterns = model_class(name).reference_unused
    left_out = {tensor.key for tensor in tensors if any(re.search(rule, tensor.key) for rule in patterns)}
    unused = {tensor.key for tensor in tensors if tensor.is_unused}
    assert {tensor.key for tensor in tensors if tensor.is_parameter} & left_out == unused
    # A buffer is left out with the parameters beside it, or it is a constant.
    unused_modules = {key.rpartition(".")[0] for key in unused}
    for tensor in tensors:
        if tensor.key in left_out and not tensor.is_parameter:
            assert tensor.key.rpartition(".")[0] in unused_modules or tensor.rule == "untouched"


@pytest.mark.parametrize("bands", [3, 10])
@each_network
def test_the_parameters_are_as_many_as_the_published_less_the_unused(name, bands, published_network):
    published = published_network(name)
    parameters = [tensor for tensor in published.tensors(bands) if tensor.is_parameter]
    elements = {tensor.key: torch.Size(tensor.shape).numel() for tensor in parameters}
    assert sum(elements.values()) == published.facts["parameters"][str(bands)]
    unused = sum(elements[tensor.key] for tensor in parameters if tensor.is_unused)
    with torch.device("meta"):
        network = model_class(name)(model_class(name).config_class(num_channels=bands))
    assert network.num_parameters() == sum(elements.values()) - unused


def test_every_change_detector_was_measured():
    assert set(CHANGE_DETECTORS) <= {name for name in FACTS if FACTS[name]["task"] == "change-detection"}


def test_the_copies_are_what_the_tool_makes_of_the_full_files(tmp_path):
    if not FULL_PARITY.is_dir():
        pytest.skip(f"needs the full parity files in {FULL_PARITY}")
    specification = importlib.util.spec_from_file_location("compact", PARITY / "compact.py")
    assert specification is not None
    assert specification.loader is not None
    compact = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(compact)
    compact.write_copies(FULL_PARITY, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.json")) == sorted(f"{name}.json" for name in FACTS)
    for name, facts in FACTS.items():
        assert json.loads((tmp_path / f"{name}.json").read_text()) == facts
        with np.load(PARITY / f"{name}.npz") as kept, np.load(tmp_path / f"{name}.npz") as made:
            assert sorted(kept) == sorted(made)
            for key in kept:
                np.testing.assert_array_equal(kept[key], made[key])
