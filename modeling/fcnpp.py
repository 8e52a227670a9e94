"""FCN-PP: a U-Net of dilated convolutions with a pyramid pooling bottleneck, over both dates as one image.

Lei, Zhang, Lv, Li, Liu, Nandi, "Landslide inventory mapping from bitemporal images using deep
convolutional neural networks", IEEE GRSL 2019. Reproduces the benchmark's published network to float32
rounding, without its closing sigmoid.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import two_class_logits
from .change_detection import ChangeDetector
from .configuration import ChangeDetectionConfig
from .layers import PooledBatchNorm2d


class FCNPPConfig(ChangeDetectionConfig):
    """FCN-PP's configuration.

    Attributes:
        widths: Channels of the four scales.
        dilations: Dilations of the pyramid's separable convolutions.
        dropout: Dropout of whole channels after the pyramid.
    """

    model_type = "euromine_fcnpp"
    widths: tuple[int, ...] | list[int] = (64, 128, 256, 512)
    dilations: tuple[int, ...] | list[int] = (6, 12, 18)
    dropout: float = 0.1


class DilatedBlock(nn.Sequential):
    """Three 3 x 3 convolutions of dilation 1, 2 and 3, each with batch norm and ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        for dilation in (1, 2, 3):
            self.append(nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation))
            self.append(nn.BatchNorm2d(width))
            self.append(nn.ReLU(inplace=True))
            channels = width


def _pointwise(channels: int, width: int, norm: type[nn.BatchNorm2d] = nn.BatchNorm2d) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), norm(width), nn.ReLU(inplace=True))


def _separable(width: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, groups=width, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        *_pointwise(width, width),
    )


class PyramidPooling(nn.Module):
    """Merges the image's mean, a pointwise and dilated separable convolutions."""

    def __init__(self, width: int, dilations: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.pooled = _pointwise(width, width, PooledBatchNorm2d)
        self.branches = nn.ModuleList(
            [_pointwise(width, width), *(_separable(width, dilation) for dilation in dilations)]
        )
        self.merge = _pointwise((2 + len(dilations)) * width, width)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, width, height, width) -> the same shape."""
        pooled = self.pooled(features.mean((2, 3), keepdim=True)).expand_as(features)
        branches = [branch(features) for branch in self.branches]
        return self.dropout(self.merge(torch.cat((pooled, *branches), dim=1)))


class UpBlock(nn.Module):
    """Doubles the side bilinearly, fits it to the skip, concatenates both and convolves."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.convs = DilatedBlock(channels, width)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Features of any side and a skip -> features of the skip's side."""
        features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)
        height, width = (s - f for s, f in zip(skip.shape[-2:], features.shape[-2:], strict=True))
        # The pyramid already has its skip's side, but the first block doubles it all the same: negative
        # padding then crops to the centre.
        features = F.pad(features, (width // 2, width - width // 2, height // 2, height - height // 2))
        return self.convs(torch.cat((skip, features), dim=1))


class FCNPPForChangeDetection(ChangeDetector):
    """FCN-PP; its first convolution mixes the dates, so a series is compared pair by pair."""

    config_class = FCNPPConfig
    two_classes_only: ClassVar[bool] = True
    minimum_size: ClassVar[int] = 16
    reference_keys = (
        (r"^inc\.double_conv\.", "encoder.0."),
        *((rf"^down{scale}\.maxpool_conv\.1\.double_conv\.", f"encoder.{scale}.") for scale in (1, 2, 3)),
        (r"^aspp\.image_pooling\.conv\.", "pyramid.pooled.0."),
        (r"^aspp\.image_pooling\.bn\.", "pyramid.pooled.1."),
        (r"^aspp\.aspp0\.conv\.", "pyramid.branches.0.0."),
        (r"^aspp\.aspp0\.bn\.", "pyramid.branches.0.1."),
        *(
            (rf"^aspp\.aspp{branch}\.block\.{theirs}\.", f"pyramid.branches.{branch}.{ours}.")
            for branch in (1, 2, 3)
            for theirs, ours in (("depthwise", 0), ("bn_depth", 1), ("pointwise", 3), ("bn_point", 4))
        ),
        (r"^aspp\.conv\.", "pyramid.merge.0."),
        (r"^aspp\.bn\.", "pyramid.merge.1."),
        *((rf"^up{scale + 1}\.conv\.double_conv\.", f"decoder.{scale}.convs.") for scale in range(4)),
        (r"^outc\.conv\.", "head."),
    )

    def __init__(self, config: FCNPPConfig) -> None:
        super().__init__(config)
        widths = list(config.widths)
        self.encoder = nn.ModuleList(
            DilatedBlock(*channels) for channels in pairwise([2 * self.num_channels, *widths])
        )
        self.pyramid = PyramidPooling(widths[-1], tuple(config.dilations), config.dropout)
        outs = [*reversed(widths[:-1]), widths[0]]
        self.decoder = nn.ModuleList(
            UpBlock(2 * width, out) for width, out in zip(reversed(widths), outs, strict=True)
        )
        self.head = nn.Conv2d(widths[0], 1, 1)
        self.post_init()

    def compare(self, image_1: Tensor, image_2: Tensor) -> Tensor:
        """Two dates, each (batch, channels, height, width) -> change logits (batch, 2, height, width)."""
        features = torch.cat((image_1, image_2), dim=1)
        skips: list[Tensor] = []
        for block in self.encoder:
            features = block(F.max_pool2d(features, 2) if skips else features)
            skips.append(features)
        features = self.pyramid(features)
        for up, skip in zip(self.decoder, reversed(skips), strict=True):
            features = up(features, skip)
        return two_class_logits(self.head(features))
