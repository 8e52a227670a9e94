"""Other functions in place of a network's parts: an engine's, or ones that record their inputs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import SemanticSegmenterOutput

from euromine.modeling.change_detection import Features
from euromine.modeling.series_decoder import DetailBranch
from euromine.modeling.series_network import EuroMineSeries

from .engine_programs import Function
from .network_parts import detail_name, joined_features, listed_features, network_parts

Inputs = tuple[Tensor, ...]


def replace_parts(model: PreTrainedModel, network: PreTrainedModel, parts: Mapping[str, Function]) -> None:
    """Let `model`, a shallow copy of `network`, call these functions in place of `network_parts`."""

    def forward(pixel_values: Tensor) -> SemanticSegmenterOutput:
        return SemanticSegmenterOutput(logits=parts["forward"](pixel_values)[0])

    def compare(image_1: Tensor, image_2: Tensor) -> Tensor:
        return parts["compare"](image_1, image_2)[0]

    def encode(images: Tensor) -> Features:
        return joined_features(parts["encode"](images))

    def decode(first: Features, second: Features) -> Tensor:
        return parts["decode"](*listed_features(first), *listed_features(second))[0]

    replaced: dict[str, Any] = {"forward": forward}
    if "pyramid" in parts:
        assert isinstance(network, EuroMineSeries)
        replaced = {
            "encoder": _in_own_type(parts["encode"]),
            "detail": _detail_branch(network, parts),
            "decoder": _SeriesDecoder(parts),
        }
    elif "encode" in parts:
        replaced = {"encode": encode, "decode": decode, "decode_main": decode}
    elif "compare" in parts:
        replaced = {"compare": compare}
    for name, function in replaced.items():
        object.__setattr__(model, name, function)


def _detail_branch(network: EuroMineSeries, parts: Mapping[str, Function]) -> DetailBranch:
    """The detail branch of a network for series with its convolutions on an engine."""

    def scale(place: int) -> Callable[[Tensor], Tensor]:
        part = _in_own_type(parts[detail_name(place)])
        return lambda images: part(images)[0]

    branch = copy.copy(network.detail)
    object.__setattr__(branch, "scales", [scale(place) for place in range(len(network.detail.scales))])
    return branch


class _SeriesDecoder:
    """The decoder of a network for series on an engine; its maps have the type of the inputs."""

    def __init__(self, parts: Mapping[str, Function]) -> None:
        self._pyramid, self._evidence = (_in_own_type(parts[name]) for name in ("pyramid", "evidence"))

    def pyramid(self, maps: Sequence[Tensor], details: Sequence[Tensor]) -> Tensor:
        """As of `SeriesDecoder`."""
        return self._pyramid(*maps, *details)[0]

    def evidence(self, features: Tensor, details: Sequence[Tensor]) -> Tensor:
        """As of `SeriesDecoder`."""
        return self._evidence(features, *details)[0]


def _in_own_type(part: Function) -> Function:
    """A part whose outputs have the type of its inputs, for the layers between years in PyTorch."""
    return lambda *inputs: tuple(each.to(inputs[0].dtype) for each in part(*inputs))


def recording_network(network: PreTrainedModel) -> tuple[PreTrainedModel, dict[str, list[Inputs]]]:
    """A network that records the inputs of its parts, image by image, and the record by part.

    Its weights are those of `network`, not copied.
    """
    recorded: dict[str, list[Inputs]] = {}

    def recording(name: str, function: Function) -> Function:
        inputs = recorded.setdefault(name, [])

        def run(*given: Tensor) -> tuple[Tensor, ...]:
            items = zip(*(each.split(1) for each in given), strict=True)
            inputs.extend(tuple(each.clone() for each in item) for item in items)
            return function(*given)

        return run

    model = copy.copy(network)
    parts = {name: recording(name, function) for name, function in network_parts(network).items()}
    replace_parts(model, network, parts)
    return model, recorded
