"""ResNet as an encoder: any depth, dilated or cut short, under torchvision's names.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016; dilation and multi-grid: Chen,
Papandreou, Schroff, Adam, "Rethinking atrous convolution for semantic image segmentation", 2017,
arXiv:1706.05587; the stem of three convolutions: He et al., "Bag of tricks for image classification with
convolutional neural networks", CVPR 2019; squeeze and excitation: Hu, Shen, Sun, CVPR 2018.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils.hub import cached_file

from .base import MultispectralModel
from .configuration import KNOWN_BANDS
from .layers import BatchNorm2d
from .stem import STEM_RULES, check_stem_rule, inflate_stem

# Weights that go by a name of their own: the Hub repository and the file in it.
NAMED_WEIGHTS = {
    # Wang et al., "SSL4EO-S12", IEEE GRSM 2023: momentum contrast on all bands of Sentinel-2; CC BY 4.0.
    "ssl4eo-resnet50-moco": (
        "torchgeo/resnet50_sentinel2_all_moco",
        "resnet50_sentinel2_all_moco-df8b932e.pth",
    ),
}
# ImageNet's weights on the Hub: torchvision's own, and Gluon's for the deep stem, which come at two depths.
_PLAIN_WEIGHTS = "timm/resnet{depth}.tv_in1k"
_DEEP_WEIGHTS = {depth: f"timm/resnet{depth}s.gluon_in1k" for depth in (50, 101)}

# What an encoder of thirteen channels sees, in this order.
_SENTINEL_2 = KNOWN_BANDS[:13]


class SqueezeExcitation(nn.Module):
    """Weighs the channels by what the whole image holds; linear layers without bias."""

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
    """What both kinds of block share: the shortcut, the weighing of channels and the sum.

    Args:
        in_channels: Channels that come in.
        width: Channels inside; `expansion * width` go out.
        stride: Stride of the block's first 3 x 3 convolution and of the shortcut.
        dilation: Dilation of the block's 3 x 3 convolutions.
        squeeze_excitation: Whether the branch's channels are weighed before the sum.
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
        """What is added to the shortcut: (batch, in, height, width) -> (batch, out, height, width)."""
        raise NotImplementedError(f"{type(self).__name__} has no branch")

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


# The blocks of the four stages.
DEPTHS: dict[int, tuple[type[ResidualBlock], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


class ResNet(nn.Module):
    """The convolutions of a ResNet. Its tensors are called as torchvision's (timm's, with the deep stem).

    Args:
        num_channels: Channels of the images.
        depth: 18, 34, 50 or 101.
        strides: Stride of each stage; as many stages are built as there are strides. The stem and its pooling
            have come down to 1/4 before.
        dilations: Dilation of each stage's 3 x 3 convolutions, the first block's included; one a stage.
        multi_grid: Factors of the dilation of the last stage's blocks, in turn; the last factor serves
            the blocks beyond.
        width: Channels of the stem and inside the first stage, 64 in all published ResNets.
        deep_stem: Three 3 x 3 convolutions to 2 x `width` instead of one of 7 x 7 to `width`.
        squeeze_excitation: Whether each block weighs its channels.

    Attributes:
        widths: Channels of each map that `forward` gives.
        depth: As given.
        deep_stem: As given.

    Raises:
        ValueError: There is no such depth, not one dilation a stage, or no factor of the multi-grid.
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
            raise ValueError(
                f"depth is {depth}, a ResNet of {', '.join(map(str, DEPTHS))} layers was expected"
            )
        self.depth = depth
        self.deep_stem = deep_stem
        block, all_blocks = DEPTHS[depth]
        if not 1 <= len(strides) <= len(all_blocks) or len(dilations) != len(strides):
            raise ValueError(
                f"strides are {list(strides)} and dilations {list(dilations)}, "
                f"one of each for 1 to {len(all_blocks)} stages was expected"
            )
        if not multi_grid:
            raise ValueError("multi_grid is empty, at least one factor was expected")
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


def load_torchvision_state_dict(
    trunk: ResNet,
    state_dict: Mapping[str, Tensor],
    bands: Sequence[str],
    stem_init: str | None,
    source: str = "the checkpoint",
) -> None:
    """Give a trunk the weights of torchvision's, timm's or torchgeo's ResNet of its depth.

    The last layer and the stages that the trunk does without are left out. A first layer for red, green and
    blue is inflated; of one for Sentinel-2's thirteen bands those of `bands` are taken as they are.

    Args:
        trunk: Built for `bands`.
        state_dict: The tensors under torchvision's names.
        bands: Names of the trunk's input channels.
        stem_init: "semantic", "cyclic" or "random" (`stem.py`; the trunk's own first layer stays) for weights
            of three channels.
        source: Where the tensors come from, for what is raised.

    Raises:
        ValueError: The tensors are of another ResNet, or the first layer does not fit `bands`.
    """
    check_stem_rule(stem_init)
    expected = trunk.state_dict()
    plain, deep = "conv1.weight", "conv1.0.weight"
    stem = deep if trunk.deep_stem else plain
    if stem not in state_dict and (plain in state_dict or deep in state_dict):
        found, expected_stem = ("one", "three") if trunk.deep_stem else ("three", "one")
        raise ValueError(
            f"{source} has a stem of {found} convolution(s), this network was built with {expected_stem}: "
            f"deep_stem={not trunk.deep_stem} was expected"
        )
    # Old checkpoints lack the batch norms' counters, which reach no output.
    tensors = {key: value for key, value in expected.items() if key.endswith("num_batches_tracked")}
    unused = ("fc.", *(f"layer{stage}." for stage in range(len(trunk.widths), len(DEPTHS[18][1]) + 1)))
    tensors |= {key: value for key, value in state_dict.items() if not key.startswith(unused)}
    if stem in tensors:
        tensors[stem] = _fitted_stem(tensors[stem], expected[stem], bands, stem_init, source)
    misfits = sorted(
        key
        for key in expected.keys() | tensors.keys()
        if key not in expected or key not in tensors or expected[key].shape != tensors[key].shape
    )
    if misfits:
        raise ValueError(
            f"{source} is no ResNet-{trunk.depth} as this network's encoder: "
            f"{len(misfits)} tensors are missing, unknown or of another shape "
            f"({', '.join(misfits[:3])}{', ...' if len(misfits) > 3 else ''})"
        )
    trunk.load_state_dict(tensors)


def _fitted_stem(
    weight: Tensor, fresh: Tensor, bands: Sequence[str], stem_init: str | None, source: str
) -> Tensor:
    if weight.ndim == 4 and weight.shape[1] == len(_SENTINEL_2):
        if unknown := [band for band in bands if band not in _SENTINEL_2]:
            raise ValueError(
                f"{source} sees Sentinel-2's thirteen bands, {', '.join(unknown)} not among them"
            )
        return weight[:, [_SENTINEL_2.index(band) for band in bands]]
    if stem_init is None:
        raise ValueError(
            f"{source} does not see these bands, and stem_init is None: "
            f"one of {', '.join(STEM_RULES)} was expected"
        )
    return fresh if stem_init == "random" else inflate_stem(weight, bands, stem_init)


def is_encoder(source: str) -> bool:
    """Whether a source holds an encoder's weights alone, and no checkpoint of transformers.

    Args:
        source: A name of `NAMED_WEIGHTS`, a file, a folder or a Hub repository.
    """
    if source in NAMED_WEIGHTS or Path(source).is_file():
        return True
    try:
        stored, _ = PreTrainedConfig.get_config_dict(source)
    except OSError:
        # No checkpoint of any kind: whoever reads it as one of transformers says so.
        return False
    # timm's configurations name an architecture, transformers' a model type.
    return "model_type" not in stored


def read_encoder(source: str) -> dict[str, Tensor]:
    """The tensors of an encoder's weights.

    Args:
        source: A name of `NAMED_WEIGHTS`, a .safetensors file, a file of `torch.save` with tensors alone, or
            a folder or a Hub repository with model.safetensors.

    Raises:
        OSError: There is no such file, or it cannot be read.
        ValueError: It holds something else than tensors by name.
    """
    try:
        if source in NAMED_WEIGHTS:
            path = hf_hub_download(*NAMED_WEIGHTS[source])
        elif Path(source).is_file():
            path = source
        else:
            path = str(cached_file(source, "model.safetensors"))
    except OSError as error:
        raise OSError(
            f"{source} is neither a file with weights nor a repository that can be reached"
        ) from error
    try:
        if path.endswith(".safetensors"):
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{source} cannot be read: a file of tensors alone was expected") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(each, Tensor) for each in tensors.values()):
        raise ValueError(f"{source} holds something else than tensors by name, a state dict was expected")
    return dict(tensors)


class ResNetModel(MultispectralModel):
    """What networks with a ResNet as their encoder share: they may start from its weights alone."""

    encoder: ResNet

    @property
    def checkpoint(self) -> str | None:  # type: ignore[override]  # the base's is one for the whole class
        """The Hub repository with ImageNet's weights for the encoder, where there is one."""
        depth = self.encoder.depth
        return _DEEP_WEIGHTS.get(depth) if self.encoder.deep_stem else _PLAIN_WEIGHTS.format(depth=depth)

    def load_pretrained(self, source: str, stem_init: str | None) -> None:
        """Start from a checkpoint of this network, or from weights for its encoder alone.

        Args:
            source: A Hub repository, a local folder or file, or a name of `NAMED_WEIGHTS`.
            stem_init: How a first layer for red, green and blue becomes one for the network's bands.

        Raises:
            ValueError: The weights do not fit.
            OSError: There are none, or they cannot be read.
        """
        if not is_encoder(source):
            super().load_pretrained(source, stem_init)
            return
        load_torchvision_state_dict(self.encoder, read_encoder(source), self.config.bands, stem_init, source)
        self.config.stem_init = stem_init
