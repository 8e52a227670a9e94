"""Parts of a network that are converted apart, as functions of tensors whose first dimension is the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from euromine.modeling.change_detection import ChangeDetector, ChangeMaps, Features, SiameseChangeDetector
from euromine.modeling.series_network import EuroMineSeries

from .engine_programs import Function


def architecture_name(config: PreTrainedConfig) -> str:
    """The name of a network in tables of measurements: its type and, where it has several, its encoder's.

    For instance "segformer", "euromine_series/mit-b0" and "upernet/swin".
    """
    encoder = getattr(config, "encoder", None)
    if not isinstance(encoder, str):
        encoder = getattr(getattr(config, "backbone_config", None), "model_type", None)
    return config.model_type if encoder is None else f"{config.model_type}/{encoder}"


def network_parts(network: PreTrainedModel) -> dict[str, Function]:
    """The parts of a network by name.

    "encode" and "decode" of a detector that encodes each year on its own, "compare" of another detector,
    "encode", "detail_0" and so on, "pyramid" and "evidence" of a network for series, whose layers between
    years stay with PyTorch, and "forward" of any other network. All take and give tensors; a detector's give
    its change logits alone.
    """
    if isinstance(network, EuroMineSeries):
        return _series_parts(network)
    if isinstance(network, SiameseChangeDetector):
        return {
            "encode": lambda images: listed_features(network.encode(images)),
            "decode": lambda *features: (_decoded(network, features),),
        }
    if isinstance(network, ChangeDetector):
        return {"compare": lambda first, second: (_main(network.compare(first, second)),)}
    return {"forward": lambda images: (cast("Any", network)(pixel_values=images).logits,)}


def _series_parts(network: EuroMineSeries) -> dict[str, Function]:
    """The layers of a network for series that see single years."""
    count = len(network.encoder.widths)
    decoder = network.decoder

    def scale(place: int) -> Function:
        return lambda images: (network.detail.scales[place](images),)

    return {
        "encode": lambda images: tuple(network.encoder(images)),
        **{detail_name(place): scale(place) for place in range(len(network.detail.scales))},
        "pyramid": lambda *maps: (decoder.pyramid(maps[:count], maps[count:]),),
        "evidence": lambda features, *details: (decoder.evidence(features, details),),
    }


def detail_name(place: int) -> str:
    """The name of a scale of the detail branch, from 0 at the images' own."""
    return f"detail_{place}"


def listed_features(features: Features) -> tuple[Tensor, ...]:
    """One year's features as a tuple."""
    return (features,) if isinstance(features, Tensor) else tuple(features)


def joined_features(features: Sequence[Tensor]) -> Features:
    """One year's features in the form that its encoder gives: a single tensor is no tuple there."""
    return features[0] if len(features) == 1 else tuple(features)


def _decoded(network: SiameseChangeDetector, features: Sequence[Tensor]) -> Tensor:
    half = len(features) // 2
    return network.decode_main(joined_features(features[:half]), joined_features(features[half:]))


def _main(maps: ChangeMaps) -> Tensor:
    return maps if isinstance(maps, Tensor) else maps[0]
