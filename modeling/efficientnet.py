"""EfficientNet: mobile inverted bottlenecks with squeeze and excitation, as an encoder.

Tan, Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019.
"""

import math

from torch import Tensor, nn

from .layers import ConvNormActivation, StochasticDepth
from .pretrained import EncoderWeights

# Stages of B0, from which the other variants are scaled:
# (expansion, kernel size, stride, input width, output width, blocks).
_B0_STAGES = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)
# Width and depth of each variant (the paper's compound scaling). B5 to B7, which no network here uses, would
# need another epsilon in their batch norms.
_SCALES = {"b0": (1.0, 1.0), "b1": (1.0, 1.1), "b2": (1.1, 1.2), "b3": (1.2, 1.4), "b4": (1.4, 1.8)}

# Hub repositories with ImageNet weights, for the variants in use.
_REPOSITORIES = {"b4": "timm/efficientnet_b4.ra2_in1k"}

# torchvision's names to those of `EfficientNetEncoder`. The first stage's blocks do not expand, which shifts
# the numbers of their layers.
TORCHVISION_KEYS: tuple[tuple[str, str], ...] = (
    (r"features\.0\.0\.", "stem.conv."),
    (r"features\.0\.1\.", "stem.norm."),
    (r"features\.1\.(\d+)\.block\.0\.0\.", r"stages.0.\1.depthwise.conv."),
    (r"features\.1\.(\d+)\.block\.0\.1\.", r"stages.0.\1.depthwise.norm."),
    (r"features\.1\.(\d+)\.block\.1\.fc1\.", r"stages.0.\1.excitation.reduce."),
    (r"features\.1\.(\d+)\.block\.1\.fc2\.", r"stages.0.\1.excitation.expand."),
    (r"features\.1\.(\d+)\.block\.2\.0\.", r"stages.0.\1.project.conv."),
    (r"features\.1\.(\d+)\.block\.2\.1\.", r"stages.0.\1.project.norm."),
    *(
        (rf"features\.{stage + 1}\.(\d+)\.block\.{theirs}\.", rf"stages.{stage}.\1.{ours}.")
        for stage in range(1, len(_B0_STAGES))
        for theirs, ours in (
            (r"0\.0", "expand.conv"),
            (r"0\.1", "expand.norm"),
            (r"1\.0", "depthwise.conv"),
            (r"1\.1", "depthwise.norm"),
            (r"2\.fc1", "excitation.reduce"),
            (r"2\.fc2", "excitation.expand"),
            (r"3\.0", "project.conv"),
            (r"3\.1", "project.norm"),
        )
    ),
)
# timm's names likewise; a block's norms are numbered in the order of its convolutions.
TIMM_KEYS: tuple[tuple[str, str], ...] = (
    (r"^conv_stem\.", "stem.conv."),
    (r"^bn1\.", "stem.norm."),
    (r"^blocks\.(\d+)\.(\d+)\.se\.conv_(reduce|expand)\.", r"stages.\1.\2.excitation.\3."),
    *(
        (rf"^blocks\.0\.(\d+)\.{theirs}\.", rf"stages.0.\1.{ours}.")
        for theirs, ours in (
            ("conv_dw", "depthwise.conv"),
            ("bn1", "depthwise.norm"),
            ("conv_pw", "project.conv"),
            ("bn2", "project.norm"),
        )
    ),
    *(
        (rf"^blocks\.(\d+)\.(\d+)\.{theirs}\.", rf"stages.\1.\2.{ours}.")
        for theirs, ours in (
            ("conv_pw", "expand.conv"),
            ("bn1", "expand.norm"),
            ("conv_dw", "depthwise.conv"),
            ("bn2", "depthwise.norm"),
            ("conv_pwl", "project.conv"),
            ("bn3", "project.norm"),
        )
    ),
)
# Layers after the last stage, torchvision's and timm's.
_HEAD_KEYS = (r"^features\.8\.", r"^classifier\.", r"^conv_head\.", r"^bn2\.")


class SqueezeExcitation(nn.Module):
    """Weights the channels by the means over the image. Hu, Shen, Sun, CVPR 2018."""

    def __init__(self, channels: int, reduced_channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, reduced_channels, 1)
        self.expand = nn.Conv2d(reduced_channels, channels, 1)
        self.activation = nn.SiLU()

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape."""
        squeezed = features.mean((2, 3), keepdim=True)
        return features * self.expand(self.activation(self.reduce(squeezed))).sigmoid()


class InvertedBottleneck(nn.Module):
    """Expansion, depthwise convolution, channel weighting, projection, and a residual if shapes agree."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        expansion: int,
        stochastic_depth_rate: float,
    ) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expand = (
            ConvNormActivation(in_channels, width, 1, activation=nn.SiLU) if expansion > 1 else nn.Identity()
        )
        self.depthwise = ConvNormActivation(
            width, width, kernel_size, stride, groups=width, activation=nn.SiLU
        )
        self.excitation = SqueezeExcitation(width, max(1, in_channels // 4))
        self.project = ConvNormActivation(width, out_channels, 1, activation=None)
        self.is_residual = stride == 1 and in_channels == out_channels
        self.stochastic_depth = StochasticDepth(stochastic_depth_rate)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, out_channels, height / stride, width / stride)."""
        branch = self.project(self.excitation(self.depthwise(self.expand(features))))
        return features + self.stochastic_depth(branch) if self.is_residual else branch


class EfficientNetEncoder(nn.Module):
    """The first stages of an EfficientNet.

    Args:
        num_channels: Input channels.
        variant: "b0" to "b4".
        stages: Number of stages to build, of seven, which end at 1/2, 1/4, 1/8, 1/16, 1/16, 1/32 and 1/32 of
            the input.
        stochastic_depth_rate: Rate of the last block of all seven stages, built or not; rates grow linearly
            from 0.

    Attributes:
        widths: Channels of each stage's map.
        variant: The variant.
    """

    def __init__(
        self,
        num_channels: int,
        variant: str = "b4",
        stages: int = len(_B0_STAGES),
        stochastic_depth_rate: float = 0.2,
    ) -> None:
        super().__init__()
        if variant not in _SCALES:
            raise ValueError(f"variant: found {variant!r}; expected one of {', '.join(_SCALES)}.")
        if not 1 <= stages <= len(_B0_STAGES):
            raise ValueError(f"stages: found {stages}; expected 1 to {len(_B0_STAGES)}.")
        self.variant = variant
        width_scale, depth_scale = _SCALES[variant]
        depths = [math.ceil(blocks * depth_scale) for *_, blocks in _B0_STAGES]

        self.stem = ConvNormActivation(
            num_channels, _scaled_width(_B0_STAGES[0][3], width_scale), 3, stride=2, activation=nn.SiLU
        )
        self.stages = nn.ModuleList()
        self.widths: list[int] = []
        blocks_before = 0
        for (expansion, kernel_size, stride, in_width, out_width, _), depth in zip(
            _B0_STAGES[:stages], depths, strict=False
        ):
            in_channels = _scaled_width(in_width, width_scale)
            out_channels = _scaled_width(out_width, width_scale)
            self.stages.append(
                nn.Sequential(
                    *(
                        InvertedBottleneck(
                            in_channels if index == 0 else out_channels,
                            out_channels,
                            kernel_size,
                            stride if index == 0 else 1,
                            expansion,
                            stochastic_depth_rate * (blocks_before + index) / sum(depths),
                        )
                        for index in range(depth)
                    )
                )
            )
            self.widths.append(out_channels)
            blocks_before += depth

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (batch, channels, height, width) -> one map per stage, finest first."""
        features = self.stem(images)
        maps = []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return tuple(maps)


def efficientnet_weights(encoder: EfficientNetEncoder) -> EncoderWeights:
    """Weights for an EfficientNet of this variant: torchvision's or timm's.

    Use timm's `efficientnet_b4`, which pads symmetrically. `tf_efficientnet_b4`, which pads as TensorFlow
    does, has the same names but gives other results.
    """
    later = (rf"^stages\.{stage}\." for stage in range(len(encoder.stages), len(_B0_STAGES)))
    return EncoderWeights(
        name=f"EfficientNet-{encoder.variant.upper()}",
        stem="stem.conv.weight",
        spellings={"conv_stem.weight": TIMM_KEYS, "features.0.0.weight": TORCHVISION_KEYS},
        repository=_REPOSITORIES.get(encoder.variant),
        left_out=(*_HEAD_KEYS, *later),
    )


def _scaled_width(width: int, scale: float) -> int:
    """The nearest multiple of 8, but at most a tenth less than the scaled width."""
    scaled = width * scale
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded
