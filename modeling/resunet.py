"""ResUNet: a Siamese U-Net of pre-activation residual blocks that decodes the dates' absolute difference.

Zhang, Liu, Wang, "Road extraction by deep residual U-Net", IEEE GRSL 2018, made Siamese by the benchmark.
Reproduces the benchmark's published network to float32 rounding; as there, the bottleneck comes from the
first date alone.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig


class ResUNetConfig(ChangeDetectionConfig):
    """ResUNet's configuration.

    Attributes:
        widths: Channels of the four scales and of the bottleneck.
    """

    model_type = "euromine_resunet"
    widths: tuple[int, ...] | list[int] = (32, 64, 128, 256, 512)


class InputBlock(nn.Module):
    """The first residual block, without a norm before its first convolution."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.skip = nn.Conv2d(channels, width, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, width, height, width)."""
        return self.residual(images) + self.skip(images)


class ResidualBlock(nn.Module):
    """Twice batch norm, ReLU and 3 x 3 convolution, with a shortcut of 3 x 3 convolution and batch norm."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, width, 3, stride=stride, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.skip = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=stride, padding=1),
            nn.BatchNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, width, height / stride, width / stride)."""
        return self.residual(features) + self.skip(features)


class UpBlock(nn.Module):
    """Doubles the side, concatenates the skip and convolves."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.block = ResidualBlock(channels + width, width)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """(batch, channels, h, w) and (batch, width, 2h, 2w) -> (batch, width, 2h, 2w)."""
        return self.block(torch.cat((self.up(features), skip), dim=1))


class ResUNetForChangeDetection(SiameseChangeDetector):
    """ResUNet; not symmetric in the dates, because of its bottleneck."""

    config_class = ResUNetConfig
    channels_last_in_evaluation: ClassVar[bool] = True
    size_multiple: ClassVar[int] = 16
    reference_keys = (
        (r"^input_layer\.", "input_block.residual."),
        (r"^input_skip\.0\.", "input_block.skip."),
        *((rf"^residual_conv_{scale + 1}\.", f"encoder.{scale}.") for scale in range(3)),
        (r"^bridge\.", "encoder.3."),
        *((rf"^upsample_{scale + 1}\.upsample\.", f"decoder.{scale}.up.") for scale in range(4)),
        *((rf"^up_residual_conv{scale + 1}\.", f"decoder.{scale}.block.") for scale in range(4)),
        (r"^up_residual_conv5\.", "head.0."),
        (r"^output_layer\.0\.", "head.1."),
        (r"\.conv_block\.", ".residual."),
        (r"\.conv_skip\.", ".skip."),
    )

    def __init__(self, config: ResUNetConfig) -> None:
        super().__init__(config)
        widths = list(config.widths)
        self.input_block = InputBlock(self.num_channels, widths[0])
        steps = list(pairwise(widths))
        self.encoder = nn.ModuleList(ResidualBlock(fine, coarse, stride=2) for fine, coarse in steps)
        self.decoder = nn.ModuleList(UpBlock(coarse, fine) for fine, coarse in reversed(steps))
        self.head = nn.Sequential(
            ResidualBlock(widths[0], widths[0]), ResidualBlock(widths[0], self.num_labels)
        )
        self.post_init()

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> one map per scale, finest first; the last is the bottleneck."""
        features = [self.input_block(pixel_values)]
        for block in self.encoder:
            features.append(block(features[-1]))
        return tuple(features)

    def decode(self, features_1: Features, features_2: Features) -> Tensor:
        """Two years' maps -> change logits (batch, 2, height, width)."""
        *finer, bottleneck = features_1
        features = bottleneck
        for block, first, second in zip(
            self.decoder, reversed(finer), reversed(features_2[:-1]), strict=True
        ):
            features = block(features, abs(first - second))
        return self.head(features)
