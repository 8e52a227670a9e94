"""TFI-GR: the dates' features interact at four scales and are refined twice under guidance from all scales.

Li, Tang, Wang, Li, Liu, "Remote sensing change detection via temporal feature interaction and guided
refinement", IEEE TGRS 2022. Reproduces the benchmark's published network to float32 rounding; as there, one
convolution serves all levels of the decoder.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import init_convolutions
from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig
from .layers import BatchNorm2d
from .pretrained import EncoderWeights, PretrainedEncoderModel
from .resnet import ResNet, resnet_weights


class TFIGRConfig(ChangeDetectionConfig):
    """TFI-GR's configuration.

    Attributes:
        depth: Layers of the ResNet.
        width: Channels to which each scale is narrowed.
    """

    model_type = "euromine_tfi-gr"
    depth: int = 18
    width: int = 64


def _conv(channels: int, width: int, kernel_size: int = 3, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size, padding=kernel_size // 2, bias=bias),
        BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


class TemporalInteraction(nn.Module):
    """Amplifies both dates of one scale by their difference, fuses them and adds the difference (TFIM)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.difference = _conv(channels, channels)
        self.enhance_1 = _conv(channels, channels)
        self.enhance_2 = _conv(channels, channels)
        self.fuse = _conv(2 * channels, channels)
        self.narrow = _conv(channels, width, kernel_size=1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two dates' maps, each (batch, channels, h, w) -> (batch, width, h, w)."""
        difference = self.difference(abs(first - second))
        first = self.enhance_1(first * difference + first)
        second = self.enhance_2(second * difference + second)
        return self.narrow(difference + self.fuse(torch.cat((first, second), dim=1)))


class ChannelAttention(nn.Module):
    """A weight between 0 and 1 for each channel, from its mean and its maximum."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.excite = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels, 1, 1)."""
        pooled = features.mean((2, 3), keepdim=True), features.amax((2, 3), keepdim=True)
        mean, maximum = (self.excite(F.relu(self.squeeze(each))) for each in pooled)
        return torch.sigmoid(mean + maximum)


class ChangeInformation(nn.Module):
    """Concatenates all scales at the finest size, weights and narrows them, and pools back to each (CIEM)."""

    def __init__(self, width: int, scales: int) -> None:
        super().__init__()
        self.attention = ChannelAttention(scales * width)
        self.narrow = _conv(scales * width, width, bias=False)
        self.pools = nn.ModuleList(
            nn.Sequential(nn.AvgPool2d(2**scale), nn.Conv2d(width, width, 3, padding=1, bias=False))
            for scale in range(1, scales)
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """The scales' maps, finest first -> maps of the same shapes."""
        size = features[0].shape[-2:]
        together = torch.cat([_resized(each, size) for each in reversed(features)], dim=1)
        finest = self.narrow(self.attention(together) * together)
        return [finest, *(pool(finest) for pool in self.pools)]


class GuidedRefinement(nn.Module):
    """Adds guidance to each scale and convolves (GRM)."""

    def __init__(self, width: int, scales: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_conv(width, width) for _ in range(scales))

    def forward(self, changes: list[Tensor], guides: list[Tensor]) -> list[Tensor]:
        """The scales' maps and their guides -> maps of the same shapes."""
        return [conv(change + guide) for conv, change, guide in zip(self.convs, changes, guides, strict=True)]


def _resized(features: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    return F.interpolate(features, size=size, mode="bilinear", align_corners=True)


class TFIGRForChangeDetection(PretrainedEncoderModel, SiameseChangeDetector):
    """TFI-GR; not symmetric in the dates, which are fused in order."""

    config_class = TFIGRConfig
    supports_gradient_checkpointing = True
    size_multiple: ClassVar[int] = 32
    # The published scales are numbered by the ResNet's stages: 2 is the finest.
    reference_keys = (
        *((rf"^TFIM{scale + 2}\.", f"interactions.{scale}.") for scale in range(4)),
        (r"\.conv_sub\.", ".difference."),
        (r"\.conv_diff_enh(\d)\.", r".enhance_\1."),
        (r"\.conv_cat\.", ".fuse."),
        (r"\.conv_dr\.", ".narrow."),
        *((rf"^CIEM{step + 1}\.", f"information.{step}.") for step in range(2)),
        (r"\.ca\.fc1\.", ".attention.squeeze."),
        (r"\.ca\.fc2\.", ".attention.excite."),
        *((rf"\.conv_pool{scale + 1}\.", f".pools.{scale}.") for scale in range(3)),
        *(
            (rf"^GRM{step + 1}\.conv_d{scale + 2}\.", f"guidance.{step}.convs.{scale}.")
            for step in range(2)
            for scale in range(4)
        ),
        (r"^decoder\.conv_sum1\.", "decoder."),
        (r"^decoder\.cls\.", "head."),
    )
    reference_unused = (r"^backbone\.fc\.", r"^decoder\.conv_sum[23]\.")

    def __init__(self, config: TFIGRConfig) -> None:
        super().__init__(config)
        self.backbone = ResNet(self.num_channels, config.depth)
        widths, width = self.backbone.widths[1:], config.width
        self.interactions = nn.ModuleList(TemporalInteraction(channels, width) for channels in widths)
        self.information = nn.ModuleList(ChangeInformation(width, len(widths)) for _ in range(2))
        self.guidance = nn.ModuleList(GuidedRefinement(width, len(widths)) for _ in range(2))
        self.decoder = _conv(width, width)
        self.head = nn.Conv2d(width, self.num_labels, 1, bias=False)
        self.post_init()

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """The ResNet's weights."""
        return {"backbone": resnet_weights(self.backbone)}

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_convolutions(module, (self.backbone,))

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> the ResNet's maps at 1/4 to 1/32, finest first."""
        return self.backbone(pixel_values)[1:]

    def decode(self, features_1: Features, features_2: Features) -> Tensor:
        """Two years' maps -> change logits (batch, 2, height, width)."""
        changes = [
            interaction(first, second)
            for interaction, first, second in zip(self.interactions, features_1, features_2, strict=True)
        ]
        for information, guidance in zip(self.information, self.guidance, strict=True):
            changes = guidance(changes, information(changes))
        *finer, change = changes
        for skip in reversed(finer):
            change = self.decoder(_resized(change, skip.shape[-2:]) + skip)
        height, width = (4 * side for side in change.shape[-2:])
        return _resized(self.head(change), (height, width))
