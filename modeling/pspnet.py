"""PSPNet: a dilated ResNet with pyramid pooling over four grids.

Zhao, Shi, Qi, Wang, Jia, "Pyramid scene parsing network", CVPR 2017. Reproduces the benchmark's
published network to float32 rounding (tests/modeling/test_parity.py); as there, without the auxiliary head.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .configuration import SegmentationConfig
from .layers import ConvNormActivation
from .resnet import ResNet, ResNetModel
from .segmentation import Segmenter


class PSPNetConfig(SegmentationConfig):
    """PSPNet's configuration.

    Attributes:
        depth: Layers of the ResNet: 101 as published, or 18, 34 or 50.
        width: Channels of the ResNet's first stage, 64 as published.
        deep_stem: Three 3 x 3 convolutions, as published, instead of torchvision's one of 7 x 7.
        pool_sizes: Cells per side of each pooling grid.
        hidden_size: Channels before the classifier.
        dropout: Dropout of whole channels before the classifier.

    Raises:
        ValueError: There is no grid, or one has no cells.
    """

    model_type = "euromine_pspnet"

    depth: int = 101
    width: int = 64
    deep_stem: bool = True
    pool_sizes: tuple[int, ...] | list[int] = (6, 3, 2, 1)
    hidden_size: int = 512
    dropout: float = 0.1

    def __post_init__(self, **kwargs: Any) -> None:
        if not self.pool_sizes or min(self.pool_sizes) < 1:
            raise ValueError(
                f"pool_sizes: found {list(self.pool_sizes)}; expected at least one grid of at least 1 cell."
            )
        super().__post_init__(**kwargs)


class PyramidPooling(nn.Module):
    """Concatenates a map with its means over grids of cells, convolved and upsampled."""

    def __init__(self, channels: int, pool_sizes: Sequence[int]) -> None:
        super().__init__()
        self.pool_sizes = tuple(pool_sizes)
        self.branches = nn.ModuleList(
            ConvNormActivation(channels, channels // len(self.pool_sizes), 1) for _ in self.pool_sizes
        )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> about twice the channels at the same size."""
        size = (features.shape[-2], features.shape[-1])
        maps = [features]
        for cells, branch in zip(self.pool_sizes, self.branches, strict=True):
            # Cells of whole pixels, as published: if they do not tile the map, there is one more per side or
            # the last rows belong to none. A map smaller than the grid has cells of one pixel.
            cell = (max(size[0] // cells, 1), max(size[1] // cells, 1))
            means = branch(F.avg_pool2d(features, cell, stride=cell))
            maps.append(F.interpolate(means, size=size, mode="bilinear", align_corners=True))
        return torch.cat(maps, dim=1)


class PSPNetForSemanticSegmentation(ResNetModel, Segmenter):
    """PSPNet with features at 1/8 of the side. Any side works without padding."""

    config_class = PSPNetConfig
    supports_gradient_checkpointing = True
    reference_keys = (
        (r"^convbnrelu1_1\.cbr_unit\.0\.", "encoder.conv1.0."),
        (r"^convbnrelu1_1\.cbr_unit\.1\.", "encoder.conv1.1."),
        (r"^convbnrelu1_2\.cbr_unit\.0\.", "encoder.conv1.3."),
        (r"^convbnrelu1_2\.cbr_unit\.1\.", "encoder.conv1.4."),
        (r"^convbnrelu1_3\.cbr_unit\.0\.", "encoder.conv1.6."),
        (r"^convbnrelu1_3\.cbr_unit\.1\.", "encoder.bn1."),
        *((rf"^res_block{stage + 1}\.layers\.", f"encoder.layer{stage}.") for stage in (1, 2, 3, 4)),
        (r"\.cbr?(\d)\.cbr?_unit\.0\.", r".conv\1."),
        (r"\.cbr?(\d)\.cbr?_unit\.1\.", r".bn\1."),
        (r"\.conv4\.", ".downsample.0."),
        (r"\.bn4\.", ".downsample.1."),
        (r"^pyramid_pooling\.path_module_list\.", "pooling.branches."),
        (r"^cbr_final\.", "merge."),
        (r"\.cbr_unit\.0\.", ".conv."),
        (r"\.cbr_unit\.1\.", ".norm."),
        (r"^classification\.", "head."),
    )

    def __init__(self, config: PSPNetConfig) -> None:
        super().__init__(config)
        self.encoder = ResNet(
            config.num_channels,
            config.depth,
            strides=(1, 2, 1, 1),
            dilations=(1, 1, 2, 4),
            width=config.width,
            deep_stem=config.deep_stem,
        )
        channels = self.encoder.widths[-1]
        self.pooling = PyramidPooling(channels, config.pool_sizes)
        pooled = channels // len(config.pool_sizes) * len(config.pool_sizes)
        self.merge = ConvNormActivation(channels + pooled, config.hidden_size)
        self.dropout = nn.Dropout2d(config.dropout)
        self.head = nn.Conv2d(config.hidden_size, self.num_labels, 1)
        self.post_init()

    def segment(self, images: Tensor) -> Tensor:
        """Images (batch, channels, height, width) -> logits (batch, classes, height, width)."""
        features = self.encoder(images)[-1]
        logits = self.head(self.dropout(self.merge(self.pooling(features))))
        return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=True)
