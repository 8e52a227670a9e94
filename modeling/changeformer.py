"""ChangeFormer: a pyramid transformer encodes each date, convolutions compare and fuse the scales.

Bandara, Patel, "A transformer-based siamese network for change detection", IGARSS 2022, figure 1. Reproduces
the benchmark's published network (version 6) to float32 rounding; its maps at the coarser scales, which its
loss does not use, are left out.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig
from .layers import PooledBatchNorm2d
from .pyramid_transformer import PyramidTransformer, init_pyramid_weights


class ChangeFormerConfig(ChangeDetectionConfig):
    """ChangeFormer's configuration.

    Attributes:
        widths: Channels of the four stages.
        depths: Transformer blocks of each.
        num_heads: Attention heads of each.
        reductions: Reduction of the attention's keys and values in each.
        decoder_width: Channels of the decoder.
        dropout: Dropout after linear layers.
        attention_dropout: Dropout of attention weights.
        drop_path: Stochastic depth of the last block.
    """

    model_type = "euromine_changeformer"
    widths: tuple[int, ...] | list[int] = (64, 128, 320, 512)
    depths: tuple[int, ...] | list[int] = (3, 3, 4, 3)
    num_heads: tuple[int, ...] | list[int] = (1, 2, 4, 8)
    reductions: tuple[int, ...] | list[int] = (8, 4, 2, 1)
    decoder_width: int = 256
    dropout: float = 0.1
    attention_dropout: float = 0.1
    drop_path: float = 0.1


class DifferenceConvs(nn.Sequential):
    """Features of the difference between two dates, which are concatenated."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.ReLU(),
            # An image of the smallest side has a single value at 1/32.
            PooledBatchNorm2d(width),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
        )


class UpBlock(nn.Module):
    """Doubles the side and adds a tenth of a convolved refinement."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, width, h, w) -> (batch, width, 2h, 2w)."""
        features = self.up(features)
        return 0.1 * self.conv2(F.relu(self.conv1(features))) + features


class ChangeFormerForChangeDetection(SiameseChangeDetector):
    """ChangeFormer; not symmetric in the dates, which are concatenated in order."""

    config_class = ChangeFormerConfig
    supports_gradient_checkpointing = True
    # The finest attention reduces its keys and values to 1/32.
    size_multiple: ClassVar[int] = 32
    reference_keys = (
        (r"^Tenc_x2\.", "encoder."),
        (r"\.dwconv\.dwconv\.", ".dwconv."),
        *((rf"^TDec_x2\.linear_c{scale + 1}\.proj\.", f"project.{scale}.") for scale in range(4)),
        *((rf"^TDec_x2\.diff_c{scale + 1}\.", f"difference.{scale}.") for scale in range(4)),
        (r"^TDec_x2\.linear_fuse\.", "fuse."),
        (r"^TDec_x2\.convd2x\.conv2d\.", "up.0.up."),
        (r"^TDec_x2\.dense_2x\.0\.(conv\d)\.conv2d\.", r"up.0.\1."),
        (r"^TDec_x2\.convd1x\.conv2d\.", "up.1.up."),
        (r"^TDec_x2\.dense_1x\.0\.(conv\d)\.conv2d\.", r"up.1.\1."),
        (r"^TDec_x2\.change_probability\.conv2d\.", "head."),
    )
    reference_unused = (r"^TDec_x2\.make_pred_c\d\.",)

    def __init__(self, config: ChangeFormerConfig) -> None:
        super().__init__(config)
        width = config.decoder_width
        stages = len(config.widths)
        self.encoder = PyramidTransformer(
            self.num_channels,
            widths=config.widths,
            depths=config.depths,
            num_heads=config.num_heads,
            reductions=config.reductions,
            feed_forward_ratios=(4,) * stages,
            kernel_sizes=(7,) * stages,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            drop_path=config.drop_path,
        )
        self.project = nn.ModuleList(nn.Linear(channels, width) for channels in config.widths)
        self.difference = nn.ModuleList(DifferenceConvs(width) for _ in range(stages))
        self.fuse = nn.Sequential(nn.Conv2d(stages * width, width, 1), nn.BatchNorm2d(width))
        self.up = nn.Sequential(UpBlock(width), UpBlock(width))
        self.head = nn.Conv2d(width, self.num_labels, 3, padding=1)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_pyramid_weights(self.encoder, module)

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> maps at 1/4 to 1/32 of the decoder's width, finest first."""
        maps = self.encoder(pixel_values)
        return tuple(
            linear(each.movedim(1, -1)).movedim(-1, 1).contiguous()
            for linear, each in zip(self.project, maps, strict=True)
        )

    def decode(self, features_1: Features, features_2: Features) -> Tensor:
        """Two years' maps -> change logits (batch, 2, height, width)."""
        size = features_1[0].shape[-2:]
        changes: list[Tensor] = []
        for scale in reversed(range(len(features_1))):
            change = self.difference[scale](torch.cat((features_1[scale], features_2[scale]), dim=1))
            if changes:
                change = change + F.interpolate(changes[-1], scale_factor=2, mode="bilinear")
            changes.append(change)
        joined = torch.cat([F.interpolate(each, size=size, mode="bilinear") for each in changes], dim=1)
        return self.head(self.up(self.fuse(joined)))
