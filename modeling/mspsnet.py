"""MSPSNet: parallel dilated convolutions over both dates, weighed by channel self-attention.

Guo, Zhang, Zhu, Zhong, Zhang, "Deep multiscale siamese network with parallel convolutional structure and
self-attention for change detection", IEEE TGRS 2022. Equal to the published benchmark's network to float32
rounding; its pooling targets, fixed for one size there, follow the input's size here (a half, a quarter and
an eighth).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from .base import init_convolutions
from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig


class MSPSNetConfig(ChangeDetectionConfig):
    """Settings of MSPSNet.

    Attributes:
        widths: Channels of the four scales.
        attention_width: Channels between which the self-attention weighs.
        head_width: Channels of the merged scales.
    """

    model_type = "euromine_mspsnet"
    widths: tuple[int, ...] | list[int] = (40, 80, 160, 320)
    attention_width: int = 32
    head_width: int = 80


class EncoderBlock(nn.Module):
    """A 3 x 3 and a 1 x 1 convolution with batch norm; the second adds to what the first one gave."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, width, height, width)."""
        features = self.conv1(features)
        residual = self.norm2(self.conv2(F.relu(self.norm1(features))))
        return F.relu(residual + features)


class ParallelConvs(nn.Module):
    """Four grouped convolutions of dilation 1 to 4 over both dates' channels, merged by a pointwise one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(2 * width, width, 3, padding=rate, dilation=rate, groups=width // 2)
            for rate in (1, 2, 3, 4)
        )
        self.merge = nn.Conv2d(4 * width, width, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two dates' maps, each (batch, width, h, w) -> (batch, width, h, w)."""
        both = torch.cat((first, second), dim=1)
        return self.merge(torch.cat([branch(both) for branch in self.branches], dim=1))


class ChannelSelfAttention(nn.Module):
    """Each channel becomes, on top of itself, a mean of all, weighed by how little they resemble it.

    Fu et al., "Dual attention network for scene segmentation", CVPR 2019, section 3.3; the share `gamma`
    of that mean starts at zero.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape."""
        flat = features.flatten(2)
        energy = flat @ flat.transpose(1, 2)
        attention = (energy.amax(-1, keepdim=True) - energy).softmax(-1)
        return self.gamma * (attention @ flat).view_as(features) + features


class AttentionBlock(nn.Sequential):
    """Channel self-attention between a narrowing and a widening convolution."""

    def __init__(self, width: int, attention_width: int) -> None:
        super().__init__(
            nn.Conv2d(width, attention_width, 3, padding=1),
            nn.BatchNorm2d(attention_width),
            nn.PReLU(),
            ChannelSelfAttention(),
            nn.Conv2d(attention_width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.PReLU(),
        )


class MSPSNetForChangeDetection(SiameseChangeDetector):
    """MSPSNet; not symmetric in the dates, whose channels are grouped in order."""

    config_class = MSPSNetConfig
    size_multiple: ClassVar[int] = 8
    reference_keys: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^conv0_0\.", "stem."),
        *((rf"^conv{block}\.", f"encoder.{scale}.") for scale, block in enumerate((0, 2, 4, 5))),
        (r"\.bn(\d)\.", r".norm\1."),
        *(
            (rf"^conv6_{scale + 1}_{branch + 1}\.", f"parallel.{scale}.branches.{branch}.")
            for scale in range(4)
            for branch in range(4)
        ),
        *((rf"^conv{scale + 1}_1\.", f"parallel.{scale}.merge.") for scale in range(4)),
        *((rf"^cam_attention_{scale + 1}\.attn\.", f"attention.{scale}.") for scale in range(4)),
        (r"^conv6\.", "head.0."),
        (r"^conv7\.", "head.1."),
    )
    reference_unused: ClassVar[tuple[str, ...]] = (r"^c[1-4]_conv\.",)

    def __init__(self, config: MSPSNetConfig) -> None:
        super().__init__(config)
        widths = list(config.widths)
        self.stem = nn.Conv2d(self.num_channels, widths[0], 5, padding=2)
        self.encoder = nn.ModuleList(
            EncoderBlock(*channels) for channels in zip([widths[0], *widths], widths, strict=False)
        )
        self.parallel = nn.ModuleList(ParallelConvs(width) for width in widths)
        self.attention = nn.ModuleList(AttentionBlock(width, config.attention_width) for width in widths)
        self.head = nn.Sequential(
            nn.Conv2d(sum(widths), config.head_width, 1),
            nn.Conv2d(config.head_width, self.num_labels, 3, padding=1, bias=False),
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_convolutions(module, (self,))
        if isinstance(module, ChannelSelfAttention):
            init.zeros_(module.gamma)

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> one map per scale, finest first."""
        features = [self.encoder[0](self.stem(pixel_values))]
        for block in list(self.encoder)[1:]:
            features.append(block(F.avg_pool2d(features[-1], 2)))
        return tuple(features)

    def decode(self, features_1: Features, features_2: Features) -> Tensor:
        """Two years' maps -> change logits (batch, 2, height, width)."""
        merged: Tensor | None = None
        for scale in reversed(range(len(features_1))):
            change = self.attend(scale, self.parallel[scale](features_1[scale], features_2[scale]))
            if merged is None:
                merged = change
            else:
                merged = F.interpolate(merged, scale_factor=2, mode="bilinear", align_corners=False)
                merged = torch.cat((change, merged), dim=1)
        return self.head(merged)

    def attend(self, scale: int, change: Tensor) -> Tensor:
        """A scale's merged convolutions, weighed by attention; the same shape."""
        return self.attention[scale](change)
