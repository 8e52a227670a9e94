"""ResNet as an encoder: any depth, dilation and number of stages, with torchvision's names.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016; dilation and multi-grid: Chen,
Papandreou, Schroff, Adam, "Rethinking atrous convolution for semantic image segmentation", 2017,
arXiv:1706.05587; the stem of three convolutions: He et al., "Bag of tricks for image classification with
convolutional neural networks", CVPR 2019; squeeze and excitation: Hu, Shen, Sun, CVPR 2018.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from .layers import BatchNorm2d
from .pretrained import EncoderWeights, PretrainedEncoderModel

# ImageNet weights on the Hub: torchvision's, and Gluon's for the deep stem, at two depths.
_PLAIN_WEIGHTS = "timm/resnet{depth}.tv_in1k"
_DEEP_WEIGHTS = {depth: f"timm/resnet{depth}s.gluon_in1k" for depth in (50, 101)}


class SqueezeExcitation(nn.Module):
    """Weights the channels by the means over the image, with linear layers without bias."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        reduced = max(channels // reduction, 1)
        self.fc = nn.Sequential(
            nn.Linear(channels, reduced, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(reduced, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape."""
        weights: Tensor = self.fc(features.mean((2, 3)))
        return features * weights[:, :, None, None]


class ResidualBlock(GradientCheckpointingLayer):
    """Base of both kinds of block: the shortcut, the weighting of channels and the sum.

    Args:
        in_channels: Input channels.
        width: Inner channels; there are `expansion * width` output channels.
        stride: Stride of the block's first 3 x 3 convolution and of the shortcut.
        dilation: Dilation of the block's 3 x 3 convolutions.
        squeeze_excitation: Whether to weight the branch's channels before the sum.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        dilation: int = 1,
        squeeze_excitation: bool = False,
    ) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.se = SqueezeExcitation(out_channels) if squeeze_excitation else None
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), BatchNorm2d(out_channels)
            )

    def branch(self, features: Tensor) -> Tensor:
        """The residual: (batch, in, height, width) -> (batch, out, height / stride, width / stride)."""
        raise NotImplementedError(f"{type(self).__name__} does not implement branch")

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in, height, width) -> (batch, out, height / stride, width / stride)."""
        branch = self.branch(features)
        if self.se is not None:
            branch = self.se(branch)
        shortcut = features if self.downsample is None else self.downsample(features)
        return F.relu(branch.add_(shortcut), inplace=True)


class BasicBlock(ResidualBlock):
    """Two 3 x 3 convolutions: ResNet-18 and -34."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        dilation: int = 1,
        squeeze_excitation: bool = False,
    ) -> None:
        super().__init__(in_channels, width, stride, dilation, squeeze_excitation)
        self.conv1 = _conv3x3(in_channels, width, stride, dilation)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, 1, dilation)
        self.bn2 = BatchNorm2d(width)

    def branch(self, features: Tensor) -> Tensor:
        """(batch, in, height, width) -> (batch, out, height / stride, width / stride)."""
        features = F.relu(self.bn1(self.conv1(features)), inplace=True)
        return self.bn2(self.conv2(features))


class Bottleneck(ResidualBlock):
    """1 x 1, 3 x 3, 1 x 1, the stride in the middle: ResNet-50 and -101."""

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        dilation: int = 1,
        squeeze_excitation: bool = False,
    ) -> None:
        super().__init__(in_channels, width, stride, dilation, squeeze_excitation)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride, dilation)
        self.bn2 = BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = BatchNorm2d(width * self.expansion)

    def branch(self, features: Tensor) -> Tensor:
        """(batch, in, height, width) -> (batch, out, height / stride, width / stride)."""
        features = F.relu(self.bn1(self.conv1(features)), inplace=True)
        features = F.relu(self.bn2(self.conv2(features)), inplace=True)
        return self.bn3(self.conv3(features))


def _conv3x3(in_channels: int, out_channels: int, stride: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels, out_channels, 3, stride=stride, padding=dilation, dilation=dilation, bias=False
    )


# Kind and numbers of blocks in the four stages.
DEPTHS: dict[int, tuple[type[ResidualBlock], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


class ResNet(nn.Module):
    """The convolutions of a ResNet. Tensors have torchvision's names (timm's, with the deep stem).

    Args:
        num_channels: Channels of the images.
        depth: 18, 34, 50 or 101.
        strides: Stride of each stage, one stage per entry. The stem and its pooling reduce to 1/4 before.
        dilations: Dilation of each stage's 3 x 3 convolutions, including the first block's; one per stage.
        multi_grid: Dilation factors of the last stage's blocks; the last factor applies to all further
            blocks.
        width: Channels of the stem and inside the first stage, 64 in all published ResNets.
        deep_stem: Whether the stem is three 3 x 3 convolutions to 2 x `width` instead of one of 7 x 7 to
            `width`.
        squeeze_excitation: Whether each block weights its channels.

    Attributes:
        widths: Channels of each map that `forward` returns.
        depth: The depth.
        deep_stem: Whether the stem is deep.

    Raises:
        ValueError: The depth is unknown, strides and dilations differ in number, or `multi_grid` is empty.
    """

    def __init__(
        self,
        num_channels: int,
        depth: int = 50,
        *,
        strides: Sequence[int] = (1, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1),
        multi_grid: Sequence[int] = (1,),
        width: int = 64,
        deep_stem: bool = False,
        squeeze_excitation: bool = False,
    ) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise ValueError(f"depth: found {depth}; expected one of {', '.join(map(str, DEPTHS))} layers.")
        self.depth = depth
        self.deep_stem = deep_stem
        block, all_blocks = DEPTHS[depth]
        if not 1 <= len(strides) <= len(all_blocks) or len(dilations) != len(strides):
            raise ValueError(
                f"strides and dilations: found {list(strides)} and {list(dilations)}; "
                f"expected one of each for 1 to {len(all_blocks)} stages."
            )
        if not multi_grid:
            raise ValueError("multi_grid: found no factor; expected at least one.")
        channels = 2 * width if deep_stem else width
        self.conv1 = _deep_stem(num_channels, width) if deep_stem else _plain_stem(num_channels, width)
        self.bn1 = BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.widths = [channels]
        last = len(strides) - 1
        for stage, (stride, dilation, blocks) in enumerate(zip(strides, dilations, all_blocks, strict=False)):
            layer = nn.Sequential()
            for index in range(blocks):
                factor = multi_grid[min(index, len(multi_grid) - 1)] if stage == last else 1
                layer.append(
                    block(
                        channels,
                        width * 2**stage,
                        stride if index == 0 else 1,
                        dilation * factor,
                        squeeze_excitation,
                    )
                )
                channels = width * 2**stage * block.expansion
            self.add_module(f"layer{stage + 1}", layer)
            self.widths.append(channels)

    def stem(self, images: Tensor) -> Tensor:
        """Images (batch, channels, height, width) -> the map before the pooling, at 1/2."""
        return F.relu(self.bn1(self.conv1(images)), inplace=True)

    def stages(self, features: Tensor) -> tuple[Tensor, ...]:
        """The pooled map of the stem, at 1/4 -> the map of each stage."""
        maps = []
        for stage in range(1, len(self.widths)):
            features = getattr(self, f"layer{stage}")(features)
            maps.append(features)
        return tuple(maps)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (batch, channels, height, width) -> the stem's map at 1/2, then each stage's."""
        features = self.stem(images)
        return (features, *self.stages(self.maxpool(features)))


def _plain_stem(num_channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(num_channels, width, 7, stride=2, padding=3, bias=False)


def _deep_stem(num_channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        _conv3x3(num_channels, width, 2, 1),
        BatchNorm2d(width),
        nn.ReLU(inplace=True),
        _conv3x3(width, width, 1, 1),
        BatchNorm2d(width),
        nn.ReLU(inplace=True),
        _conv3x3(width, 2 * width, 1, 1),
    )


def resnet_weights(encoder: ResNet) -> EncoderWeights:
    """Weights for a ResNet of this depth: torchvision's, timm's or torchgeo's.

    They do not include squeeze and excitation, which stays fresh.
    """
    plain, deep = "conv1.weight", "conv1.0.weight"
    stem, other = (deep, plain) if encoder.deep_stem else (plain, deep)
    found, expected = ("one", "three") if encoder.deep_stem else ("three", "one")
    later = range(len(encoder.widths), len(DEPTHS[18][1]) + 1)
    repository = _DEEP_WEIGHTS.get(encoder.depth) if encoder.deep_stem else _PLAIN_WEIGHTS
    return EncoderWeights(
        name=f"ResNet-{encoder.depth}",
        stem=stem,
        spellings={stem: ()},
        repository=repository and repository.format(depth=encoder.depth),
        left_out=(r"^fc\.", *(rf"^layer{stage}\." for stage in later)),
        fresh=(r"\.se\.",),
        near_misses={
            other: f"found a stem of {found} convolution(s); expected {expected} as in this network. "
            f"Build the network with deep_stem={not encoder.deep_stem}."
        },
    )


class ResNetModel(PretrainedEncoderModel):
    """Base of footprint mappers with a ResNet encoder, which can load its published weights."""

    encoder: ResNet

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """The ResNet's weights."""
        return {"encoder": resnet_weights(self.encoder)}
