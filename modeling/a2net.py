"""A2Net: neighbouring scales of a light encoder, aggregated, compared and decoded with supervised attention.

Li, Tang, Zhang, Liu, Wang, "Lightweight remote sensing change detection with progressive feature aggregation
and supervised attention", IEEE TGRS 2023, figure 2. Reproduces the benchmark's published network to float32
rounding, without its closing sigmoids.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import init_convolutions, two_class_logits
from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig
from .layers import BatchNorm2d
from .mobilenetv2 import TAPS, MobileNetV2, mobilenetv2_weights
from .pretrained import EncoderWeights, PretrainedEncoderModel


class A2NetConfig(ChangeDetectionConfig):
    """A2Net's configuration.

    Attributes:
        neighbour_width: Channels of each neighbouring scale before they are concatenated.
        width: Channels of each scale after the aggregation.
        main_map: Index of the main map among the four, 0 the finest. The benchmark scores the finest; its
            published code names the coarsest, 3. The others are auxiliary.
    """

    model_type = "euromine_a2net"
    neighbour_width: int = 32
    width: int = 64
    main_map: int = 0


def _conv(channels: int, width: int, kernel_size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size, padding=kernel_size // 2),
        BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


def _doubled(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2, mode="bilinear")


class NeighbourAggregation(nn.Module):
    """Fuses one scale with the next finer and the next coarser one, with a shortcut."""

    def __init__(self, finer: int | None, own: int, coarser: int | None, config: A2NetConfig) -> None:
        super().__init__()
        narrow, width = config.neighbour_width, config.width
        self.finer = None if finer is None else nn.Sequential(nn.MaxPool2d(2), *_conv(finer, narrow))
        self.own = _conv(own, narrow)
        self.coarser = None if coarser is None else _conv(coarser, narrow)
        joined = narrow * sum(each is not None for each in (finer, own, coarser))
        self.fuse = nn.Sequential(
            *_conv(joined, width), nn.Conv2d(width, width, 3, padding=1), BatchNorm2d(width)
        )
        self.identity = nn.Conv2d(own, width, 1)

    def forward(self, finer: Tensor | None, own: Tensor, coarser: Tensor | None) -> Tensor:
        """Maps of twice, once and half the side -> (batch, width, height, width), the second's side."""
        joined = [self.own(own)]
        if self.finer is not None:
            joined.insert(0, self.finer(finer))
        if self.coarser is not None:
            joined.append(_doubled(self.coarser(coarser)))
        return F.relu(self.fuse(torch.cat(joined, dim=1)) + self.identity(own))


class TemporalFusion(nn.Module):
    """Convolutions of dilation 7, 5, 3 and 1 in sequence over the dates' absolute difference."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=rate, dilation=rate), BatchNorm2d(width))
            for rate in (7, 5, 3, 1)
        )
        self.pointwise = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two dates' maps, each (batch, width, h, w) -> the same shape."""
        difference = features = abs(first - second)
        for dilated, pointwise in zip(self.dilated, self.pointwise, strict=True):
            features = F.relu(pointwise(difference) + dilated(features))
        return features


class SupervisedAttention(nn.Module):
    """Weights a scale's features by its own change map and the map's complement."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classify = nn.Conv2d(width, 1, 1)
        self.context = _conv(2, width, kernel_size=1)
        self.refine = _conv(width, width)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, width, h, w) -> the same shape, and the change map's logits (batch, 1, h, w)."""
        change = self.classify(features)
        share = change.sigmoid()
        context = self.context(torch.cat((share, 1 - share), dim=1))
        return self.refine(features * context), change


class A2NetForChangeDetection(PretrainedEncoderModel, SiameseChangeDetector):
    """A2Net; symmetric in the dates. Its auxiliary maps are those of the coarser scales."""

    config_class = A2NetConfig
    two_classes_only: ClassVar[bool] = True
    channels_last: ClassVar[bool] = True
    size_multiple: ClassVar[int] = 32
    # The published scales are numbered by their power of two: 2 is the finest.
    reference_keys = (
        *(
            (rf"^swa\.conv_scale{scale + 2}_c{scale + 2 + offset}\.", f"aggregation.{scale}.{name}.")
            for scale in range(4)
            for offset, name in ((-1, "finer"), (0, "own"), (1, "coarser"))
        ),
        *((rf"^swa\.conv_aggregation_s{scale + 2}\.", f"aggregation.{scale}.") for scale in range(4)),
        (r"\.conv_fuse\.", ".fuse."),
        (r"\.conv_identity\.", ".identity."),
        *((rf"^tfm\.tffm_x{scale + 2}\.", f"fusion.{scale}.") for scale in range(4)),
        (r"\.conv_branch1\.", ".dilated.0."),
        *((rf"\.conv_branch{branch + 1}_f\.", f".dilated.{branch}.") for branch in (1, 2, 3)),
        *((rf"\.conv_branch{branch + 2}\.", f".pointwise.{branch}.") for branch in range(4)),
        *((rf"^decoder\.sam_p{scale + 2}\.", f"attention.{scale - 1}.") for scale in (1, 2, 3)),
        (r"^(attention\.\d)\.cls\.", r"\1.classify."),
        (r"\.conv_context\.", ".context."),
        (r"^(attention\.\d)\.conv2\.", r"\1.refine."),
        *((rf"^decoder\.conv_p{scale + 2}\.", f"decoder.{scale}.") for scale in (0, 1, 2)),
        (r"^decoder\.cls\.", "head."),
    )
    reference_unused = (r"^backbone\.(features\.18|classifier)\.",)

    def __init__(self, config: A2NetConfig) -> None:
        super().__init__(config)
        self.backbone = MobileNetV2(self.num_channels)
        widths = [None, *TAPS.values(), None]
        self.aggregation = nn.ModuleList(
            NeighbourAggregation(finer, own, coarser, config)
            for finer, own, coarser in zip(widths, widths[1:], widths[2:], strict=False)
            if own is not None
        )
        scales, width = len(TAPS), config.width
        self.fusion = nn.ModuleList(TemporalFusion(width) for _ in range(scales))
        self.attention = nn.ModuleList(SupervisedAttention(width) for _ in range(scales - 1))
        self.decoder = nn.ModuleList(_conv(width, width) for _ in range(scales - 1))
        self.head = nn.Conv2d(width, 1, 1)
        self.post_init()

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """MobileNetV2's weights."""
        return {"backbone": mobilenetv2_weights()}

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_convolutions(module, (self.backbone,))

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> aggregated maps at 1/4 to 1/32, finest first."""
        maps = [None, *self.backbone(pixel_values), None]
        return tuple(aggregate(*maps[scale : scale + 3]) for scale, aggregate in enumerate(self.aggregation))

    def decode(self, features_1: Features, features_2: Features) -> tuple[Tensor, ...]:
        """Two years' maps -> the main map's change logits, then the auxiliary ones, finest first."""
        *finer, features = (
            fusion(first, second)
            for fusion, first, second in zip(self.fusion, features_1, features_2, strict=True)
        )
        changes = []
        for attend, conv, skip in reversed(list(zip(self.attention, self.decoder, finer, strict=True))):
            features, change = attend(features)
            changes.append(change)
            features = conv(_doubled(features) + skip)
        changes.append(self.head(features))
        changes.reverse()
        size = tuple(4 * side for side in features.shape[-2:])
        maps = [two_class_logits(F.interpolate(change, size=size, mode="bilinear")) for change in changes]
        return (maps.pop(self.config.main_map), *maps)
