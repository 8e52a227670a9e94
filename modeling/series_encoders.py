"""Encoders of the series network: four maps of an image at 1/4, 1/8, 1/16 and 1/32, by name.

Xie et al., "SegFormer", NeurIPS 2021 (MiT); Liu et al., "A ConvNet for the 2020s", CVPR 2022 (ConvNeXt); He
et al., "Deep residual learning", CVPR 2016, with SSL4EO-S12's weights for Sentinel-2 (Wang et al., 2023).
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor, nn
from transformers import (
    ConvNextConfig,
    ConvNextModel,
    PreTrainedConfig,
    PreTrainedModel,
    SegformerConfig,
    SegformerModel,
)

from .pretrained import EncoderWeights, is_encoder
from .resnet import ResNet, resnet_weights
from .segformer import use_quick_layers

_MIT_FIELDS: dict[str, dict[str, Any]] = {
    "mit-b0": {"depths": [2, 2, 2, 2], "hidden_sizes": [32, 64, 160, 256]},
    "mit-b1": {"depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 320, 512]},
    "mit-b2": {"depths": [3, 4, 6, 3], "hidden_sizes": [64, 128, 320, 512]},
}
_CONVNEXT_FIELDS: dict[str, dict[str, Any]] = {
    "convnext-tiny": {"depths": [3, 3, 9, 3], "hidden_sizes": [96, 192, 384, 768]},
}
ENCODERS = (*_MIT_FIELDS, *_CONVNEXT_FIELDS, "resnet50")


class SeriesEncoder(nn.Module):
    """Base of the encoders.

    Attributes:
        network: The layers, under the names of the published weights.
        widths: Channels of the four maps, finest first.
        checkpoints: Hub repositories of the published weights.
    """

    network: nn.Module
    widths: tuple[int, ...]
    checkpoints: tuple[str, ...] = ()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width), sides multiples of 32 -> four maps, finest first."""
        raise NotImplementedError(f"{type(self).__name__} does not implement forward")


class TransformersEncoder(SeriesEncoder):
    """An encoder that is one of transformers' networks."""

    network: PreTrainedModel

    def reads(self, source: str) -> bool:
        """Whether a source is a checkpoint of transformers with this encoder's model type."""
        if is_encoder(source):
            return False
        try:
            stored, _ = PreTrainedConfig.get_config_dict(source)
        except OSError:
            return False  # loading it raises the error
        return stored.get("model_type") == self.network.config.model_type


class MixTransformer(TransformersEncoder):
    """MiT, SegFormer's encoder."""

    network: SegformerModel

    def __init__(self, name: str, config: SegformerConfig) -> None:
        super().__init__()
        self.network = SegformerModel(config)
        use_quick_layers(self.network)
        self.widths = tuple(config.hidden_sizes)
        self.checkpoints = (f"nvidia/{name}",)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> four maps, finest first."""
        maps = []
        for stage in self.network.stages:
            images = stage(images)
            maps.append(images)
        return tuple(maps)


class ConvNext(TransformersEncoder):
    """ConvNeXt, whose last normalisation is not used."""

    network: ConvNextModel

    def __init__(self, name: str, config: ConvNextConfig) -> None:
        super().__init__()
        self.network = ConvNextModel(config)
        self.widths = tuple(config.hidden_sizes or ())
        self.checkpoints = (f"facebook/{name}-224",)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> four maps, finest first."""
        maps = []
        images = self.network.embeddings(images)
        for stage in self.network.encoder.stages:
            images = stage(images)
            maps.append(images)
        return tuple(maps)


class ResNet50(SeriesEncoder):
    """ResNet-50, with torchvision's names."""

    network: ResNet

    def __init__(self, num_channels: int, width: int = 64) -> None:
        super().__init__()
        self.network = ResNet(num_channels, 50, width=width)
        self.widths = tuple(self.network.widths[1:])
        self.checkpoints = tuple(filter(None, (resnet_weights(self.network).repository,)))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> four maps, finest first."""
        return self.network(images)[1:]


def build_encoder(name: str, num_channels: int, own_fields: Mapping[str, Any]) -> SeriesEncoder:
    """An encoder with fresh weights.

    Args:
        name: One of `ENCODERS`.
        num_channels: Channels of the images.
        own_fields: Fields of its own configuration that differ from the published ones; for resnet50 `width`.

    Raises:
        ValueError: The name or a field is unknown.
    """
    if name in _MIT_FIELDS:
        values = _checked(_MIT_FIELDS[name] | dict(own_fields), SegformerConfig)
        return MixTransformer(name, SegformerConfig(num_channels=num_channels, **values))
    if name in _CONVNEXT_FIELDS:
        values = _checked(_CONVNEXT_FIELDS[name] | dict(own_fields), ConvNextConfig)
        return ConvNext(name, ConvNextConfig(num_channels=num_channels, **values))
    if name == "resnet50":
        if unknown := sorted(set(own_fields) - {"width"}):
            raise ValueError(f"encoder_fields: found {', '.join(unknown)}; expected width for resnet50.")
        return ResNet50(num_channels, **own_fields)
    raise ValueError(f"encoder: found {name!r}; expected one of {', '.join(ENCODERS)}.")


def encoder_weights(encoder: SeriesEncoder) -> dict[str, EncoderWeights]:
    """Published weights of an encoder that is not one of transformers', by its name in the network."""
    if isinstance(encoder, ResNet50):
        return {"encoder.network": resnet_weights(encoder.network)}
    return {}


def _checked(values: dict[str, Any], config_class: type[PreTrainedConfig]) -> dict[str, Any]:
    known = {each.name for each in fields(config_class)}
    if unknown := sorted(values.keys() - known):
        raise ValueError(
            f"encoder_fields: found {', '.join(unknown)}; expected fields of {config_class.__name__}."
        )
    return values
