"""MobileNetV2's inverted residuals, with outputs at four scales.

Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018,
table 2. Tensors have torchvision's names, so that its weights load.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from .layers import BatchNorm2d
from .pretrained import EncoderWeights

# Expansion, channels, repeats and first stride of each stage, table 2.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# Layers whose maps `forward` returns, at 1/4, 1/8, 1/16 and 1/32, and their channels.
TAPS = {3: 24, 6: 32, 13: 96, 17: 320}


def _timm_rules() -> Iterator[tuple[str, str]]:
    """Rules for timm's names; timm numbers blocks within their stage and names layers by function."""
    yield r"^conv_stem\.", "features.0.0."
    yield r"^bn1\.", "features.0.1."
    layers_of = {
        # The first block does not expand.
        1: (("conv_dw", "0.0"), ("bn1", "0.1"), ("conv_pw", "1"), ("bn2", "2")),
        6: (
            ("conv_pwl", "2"),
            ("conv_pw", "0.0"),
            ("bn1", "0.1"),
            ("conv_dw", "1.0"),
            ("bn2", "1.1"),
            ("bn3", "3"),
        ),
    }
    index = 1
    for stage, (expansion, _, repeats, _) in enumerate(STAGES):
        for block in range(repeats):
            for theirs, ours in layers_of[expansion]:
                yield rf"^blocks\.{stage}\.{block}\.{theirs}\.", f"features.{index}.conv.{ours}."
            index += 1


TIMM_KEYS = tuple(_timm_rules())


def _conv(channels: int, width: int, kernel_size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            channels, width, kernel_size, stride=stride, padding=kernel_size // 2, groups=groups, bias=False
        ),
        BatchNorm2d(width),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection without activation, and a residual if shapes agree."""

    def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.residual = stride == 1 and channels == width
        self.conv = nn.Sequential()
        if expansion > 1:
            self.conv.append(_conv(channels, inner, 1))
        self.conv.append(_conv(inner, inner, 3, stride, groups=inner))
        self.conv.append(nn.Conv2d(inner, width, 1, bias=False))
        self.conv.append(BatchNorm2d(width))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, width, height / stride, width / stride)."""
        return features + self.conv(features) if self.residual else self.conv(features)


class MobileNetV2(nn.Module):
    """The convolutions of MobileNetV2 without the last pointwise one."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(_conv(num_channels, 32, 3, stride=2))
        channels = 32
        for expansion, width, repeats, stride in STAGES:
            for index in range(repeats):
                self.features.append(
                    InvertedResidual(channels, width, stride if index == 0 else 1, expansion)
                )
                channels = width

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> maps at 1/4, 1/8, 1/16 and 1/32, finest first."""
        maps = []
        for index, layer in enumerate(self.features):
            images = layer(images)
            if index in TAPS:
                maps.append(images)
        return tuple(maps)


def mobilenetv2_weights() -> EncoderWeights:
    """Weights for MobileNetV2: torchvision's or timm's."""
    return EncoderWeights(
        name="MobileNetV2",
        stem="features.0.0.weight",
        spellings={"features.0.0.weight": (), "conv_stem.weight": TIMM_KEYS},
        repository="timm/mobilenetv2_100.ra_in1k",
        left_out=(r"^features\.18\.", r"^conv_head\.", r"^bn2\.", r"^classifier\."),
    )
