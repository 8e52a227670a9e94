"""Encoder and decoder of the three fully convolutional networks of Daudt et al.

Daudt, Le Saux, Boulch, "Fully convolutional siamese networks for change detection", ICIP 2018, figure 1.
Stages and layers are numbered as in the paper, but from 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Convolutions per encoder stage; the decoder mirrors them.
DEPTHS = (2, 2, 3, 3)


class ConvBlock(nn.Module):
    """3 x 3 convolution, batch norm, ReLU, dropout of whole channels."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, dropout: float) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in, height, width) -> (batch, out, height, width)."""
        return self.dropout(F.relu(self.norm(self.conv(features)), inplace=True))


class FCEncoder(nn.Module):
    """Four stages of convolutions, each followed by a max pooling."""

    def __init__(self, num_channels: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        channels = num_channels
        for depth, width in zip(DEPTHS, widths, strict=True):
            stage = nn.Sequential()
            for _ in range(depth):
                stage.append(ConvBlock(nn.Conv2d(channels, width, 3, padding=1), dropout))
                channels = width
            self.stages.append(stage)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images -> the four stages' maps before pooling, finest first, then the pooled bottleneck."""
        features = []
        for stage in self.stages:
            images = stage(images)
            features.append(images)
            images = F.max_pool2d(images, 2)
        return (*features, images)


class DecoderStage(nn.Module):
    """Doubles the side, concatenates the skips and reduces the channels to the next stage's."""

    def __init__(self, width: int, skip: int, out: int, depth: int, dropout: float, last: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(width, width, 3, stride=2, padding=1, output_padding=1)
        self.blocks = nn.Sequential()
        channels = [width + skip] + [width] * (depth - 1) + [out]
        for index in range(depth):
            conv = nn.ConvTranspose2d(channels[index], channels[index + 1], 3, padding=1)
            ends = last and index == depth - 1
            self.blocks.append(conv if ends else ConvBlock(conv, dropout))

    def forward(self, features: Tensor, *skips: Tensor) -> Tensor:
        """Features of half the side, and skips in order of concatenation -> features of the skips' side."""
        features = self.up(features)
        height, width = skips[0].shape[-2:]
        missing = (0, width - features.shape[-1], 0, height - features.shape[-2])
        if any(missing):
            # Pooling drops the last row or column of an odd side.
            features = F.pad(features, missing, mode="replicate")
        return self.blocks(torch.cat((features, *skips), dim=1))


class FCDecoder(nn.Module):
    """Four stages up, the coarsest first; the last convolution gives the logits.

    `skip_maps` is the number of maps per skip: one for FC-EF and SiamUNet-Diff, two for SiamUNet-Conc.
    """

    def __init__(self, num_labels: int, widths: Sequence[int], dropout: float, skip_maps: int = 1) -> None:
        super().__init__()
        outs = (num_labels, *widths[:-1])
        self.stages = nn.ModuleList(
            DecoderStage(width, skip_maps * width, out, depth, dropout, last=index == 0)
            for index, (width, out, depth) in enumerate(zip(widths, outs, DEPTHS, strict=True))
        )

    def forward(self, bottleneck: Tensor, skips: Sequence[tuple[Tensor, ...]]) -> Tensor:
        """The bottleneck and each stage's skips, finest first -> logits (batch, labels, height, width)."""
        features = bottleneck
        for stage, skip in zip(reversed(self.stages), reversed(skips), strict=True):
            features = stage(features, *skip)
        return features


# Published names: conv11 ... conv43, bn11 ..., upconv4 ... upconv1, conv43d ... conv11d, bn43d ...
_NAMES = {"conv": "conv", "bn": "norm"}
REFERENCE_KEYS = (
    # The last convolution has no batch norm.
    (r"^conv11d\.", "decoder.stages.0.blocks.1."),
    *(
        rule
        for stage, depth in enumerate(DEPTHS)
        for rule in (
            (rf"^upconv{stage + 1}\.", f"decoder.stages.{stage}.up."),
            *(
                (rf"^{theirs}{stage + 1}{layer + 1}\.", f"encoder.stages.{stage}.{layer}.{ours}.")
                for layer in range(depth)
                for theirs, ours in _NAMES.items()
            ),
            *(
                # The decoder numbers its layers downwards.
                (
                    rf"^{theirs}{stage + 1}{layer + 1}d\.",
                    f"decoder.stages.{stage}.blocks.{depth - 1 - layer}.{ours}.",
                )
                for layer in range(depth)
                for theirs, ours in _NAMES.items()
            ),
        )
    ),
)
