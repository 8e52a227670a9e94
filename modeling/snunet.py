"""SNUNet: a nested Siamese U-Net with channel attention over its four full-size maps (ECAM).

Fang, Li, Shao, Li, "SNUNet-CD: a densely connected siamese network for change detection of VHR images",
IEEE GRSL 2022, figures 1 and 3. Reproduces the benchmark's published network to float32 rounding; with
`ecam_max_pooling=True`, the authors' own.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig


class SNUNetConfig(ChangeDetectionConfig):
    """SNUNet's configuration.

    Attributes:
        widths: Channels of the five scales.
        ecam_reductions: Reductions of the two channel attentions, over the maps' sum and over their
            concatenation.
        ecam_max_pooling: Whether the attentions pool by average and by maximum, as the authors' do. False
            pools by average twice, as in the benchmark.
    """

    model_type = "euromine_snunet"
    widths: tuple[int, ...] | list[int] = (32, 64, 128, 256, 512)
    ecam_reductions: tuple[int, int] | list[int] = (4, 16)
    ecam_max_pooling: bool = False


class ResidualConvs(nn.Module):
    """Two 3 x 3 convolutions with batch norm; the second's output is added to the first's."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, width, height, width)."""
        features = self.conv1(features)
        residual = self.norm2(self.conv2(F.relu(self.norm1(features))))
        return F.relu(residual + features)


class ChannelAttention(nn.Module):
    """A weight between 0 and 1 for each channel, from pooled channels."""

    def __init__(self, channels: int, reduction: int, max_pooling: bool) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.excite = nn.Conv2d(channels // reduction, channels, 1, bias=False)
        self.max_pooling = max_pooling

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels, 1, 1)."""
        weights = self._weights(features.mean((2, 3), keepdim=True))
        other = self._weights(features.amax((2, 3), keepdim=True)) if self.max_pooling else weights
        return torch.sigmoid(weights + other)

    def _weights(self, pooled: Tensor) -> Tensor:
        return self.excite(F.relu(self.squeeze(pooled)))


class SNUNetForChangeDetection(SiameseChangeDetector):
    """SNUNet; not symmetric in the dates: only the second date's features are upsampled."""

    config_class = SNUNetConfig
    channels_last: ClassVar[bool] = True
    size_multiple: ClassVar[int] = 16
    reference_keys = (
        (r"^conv(\d)_0\.", r"encoder.\1."),
        (r"^conv(\d)_(\d)\.", r"nodes.\1_\2."),
        (r"^Up(\d)_(\d)\.up\.", r"ups.\1_\2."),
        (r"^ca1\.", "attention_of_sum."),
        (r"^ca\.", "attention."),
        (r"\.fc1\.", ".squeeze."),
        (r"\.fc2\.", ".excite."),
        (r"\.bn(\d)\.", r".norm\1."),
        (r"^conv_final\.", "head."),
    )

    def __init__(self, config: SNUNetConfig) -> None:
        super().__init__(config)
        widths = list(config.widths)
        self.scales = len(widths)
        self.encoder = nn.ModuleList(
            ResidualConvs(*channels) for channels in zip([self.num_channels, *widths], widths, strict=False)
        )
        # Node i_j of the paper's figure: scale i, j-th in its row. Its inputs are both dates' maps, its row's
        # previous nodes and the upsampled node of the row below.
        self.nodes = nn.ModuleDict()
        self.ups = nn.ModuleDict()
        for scale, width in enumerate(widths[:-1]):
            for step in range(1, self.scales - scale):
                coarse = widths[scale + 1]
                self.nodes[f"{scale}_{step}"] = ResidualConvs((step + 1) * width + coarse, width)
                self.ups[f"{scale + 1}_{step - 1}"] = nn.ConvTranspose2d(coarse, coarse, 2, stride=2)
        of_sum, of_all = config.ecam_reductions
        maps = self.scales - 1
        self.attention_of_sum = ChannelAttention(widths[0], of_sum, config.ecam_max_pooling)
        self.attention = ChannelAttention(maps * widths[0], of_all, config.ecam_max_pooling)
        self.head = nn.Conv2d(maps * widths[0], self.num_labels, 1)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> one map per scale, finest first."""
        return self._encoded(pixel_values, self.scales)

    def compare(self, image_1: Tensor, image_2: Tensor) -> Tensor:
        """As `encode` and `decode`, without the first date's coarsest map, which no node uses."""
        return self.decode(self._encoded(image_1, self.scales - 1), self.encode(image_2))

    def decode(self, features_1: Features, features_2: Features) -> Tensor:
        """Two years' maps, the first's with or without the coarsest -> change logits (batch, 2, h, w)."""
        finer = self.scales - 1
        rows = [[first, second] for first, second in zip(features_1[:finer], features_2[:finer], strict=True)]
        for diagonal in range(1, self.scales):
            # The nodes of one diagonal, finest first: each needs the last node of its row and of the next.
            for scale in range(self.scales - diagonal):
                coarse = rows[scale + 1][diagonal] if scale + 1 < finer else features_2[finer]
                below = self.ups[f"{scale + 1}_{diagonal - 1}"](coarse)
                node = self.nodes[f"{scale}_{diagonal}"]
                rows[scale].append(node(torch.cat((*rows[scale], below), dim=1)))
        maps = rows[0][2:]
        together = torch.cat(maps, dim=1)
        of_sum = self.attention_of_sum(torch.stack(maps).sum(0))
        weighed = self.attention(together) * (together + of_sum.repeat(1, len(maps), 1, 1))
        return self.head(weighed)

    def _encoded(self, pixel_values: Tensor, scales: int) -> tuple[Tensor, ...]:
        features = [self.encoder[0](pixel_values)]
        for block in list(self.encoder)[1:scales]:
            features.append(block(F.max_pool2d(features[-1], 2)))
        return tuple(features)
