"""Base of CGNet and HCGMNet: VGG16 features of both dates, and attention guided by a first change map."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from .base import init_convolutions
from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig
from .pretrained import EncoderWeights, PretrainedEncoderModel
from .vgg import VGG16, vgg16_weights


class ChangeGuideConfig(ChangeDetectionConfig):
    """Base of both networks' configurations.

    Attributes:
        encoder_widths: Channels of the five stages of VGG16.
    """

    encoder_widths: tuple[int, ...] | list[int] = (64, 128, 256, 512, 512)


class ConvNormReLU(nn.Sequential):
    """A 3 x 3 convolution without bias, batch norm and ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )


def resized(features: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Resize features (batch, channels, h, w) bilinearly, corners aligned."""
    return F.interpolate(features, size=size, mode="bilinear", align_corners=True)


class ChangeGuide(nn.Module):
    """Self-attention over all positions, whose inputs a first change map amplifies up to twofold.

    Its weight `gamma` starts at zero. The attention is (h w) x (h w).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(width, width // 8, 1)
        self.key = nn.Conv2d(width, width // 8, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor, change: Tensor) -> Tensor:
        """Features (batch, width, h, w) and change logits (batch, 1, H, W) -> the features' shape."""
        guide = 1 + torch.sigmoid(resized(change, features.shape[-2:]))
        query, key, value = (
            (layer(features) * guide).flatten(2).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        # One head, which exporters require; the published attention is not scaled by the width.
        found = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None], scale=1.0)
        return self.gamma * found.mT.reshape(features.shape) + features


class ChangeGuideDetector(PretrainedEncoderModel, SiameseChangeDetector):
    """Base of both networks: VGG16 encodes a date, convolutions merge the dates at four scales."""

    # The published networks divide torchvision's features into five slices.
    reference_keys: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^(inc|down[1-4])\.(\d+)\.", r"encoder.features.\2."),
        *((rf"^conv_reduce_{scale + 1}\.", f"merges.{scale}.") for scale in range(4)),
        *((rf"^cgm_{scale + 2}\.", f"guides.{scale}.") for scale in range(3)),
        (r"\.(query|key|value)_conv\.", r".\1."),
    )

    def __init__(self, config: ChangeGuideConfig) -> None:
        super().__init__(config)
        self.encoder = VGG16(self.num_channels, config.encoder_widths)
        # The finest stage is not decoded.
        self.widths = config.encoder_widths[1:]
        self.merges = nn.ModuleList(ConvNormReLU(2 * width, width) for width in self.widths)
        self.guides = nn.ModuleList(ChangeGuide(width) for width in self.widths[1:])

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """VGG16's weights."""
        return {"encoder": vgg16_weights()}

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_convolutions(module, (self.encoder,), zero_bias=True)
        if isinstance(module, ChangeGuide):
            init.zeros_(module.gamma)

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> maps at 1/2, 1/4, 1/8 and 1/16, finest first."""
        return self.encoder(pixel_values)[1:]

    def merged(self, features_1: Features, features_2: Features) -> list[Tensor]:
        """Merge both dates' maps at each scale, finest first; the second date precedes the first."""
        return [
            merge(torch.cat((second, first), dim=1))
            for merge, first, second in zip(self.merges, features_1, features_2, strict=True)
        ]
