"""DeepLabV3+: a dilated ResNet-101, atrous spatial pyramid pooling, and a decoder with features at 1/4.

Chen, Zhu, Papandreou, Schroff, Adam, "Encoder-decoder with atrous separable convolution for semantic image
segmentation", ECCV 2018. Reproduces the benchmark's published network to float32 rounding
(tests/modeling/test_parity.py); as there, the image pooling has no batch norm.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import init_convolutions
from .configuration import SegmentationConfig
from .layers import ConvNormActivation
from .resnet import ResNet, ResNetModel
from .segmentation import Segmenter


class DeepLabV3PlusConfig(SegmentationConfig):
    """DeepLabV3+'s configuration.

    Attributes:
        depth: Layers of the ResNet: 101 as published, or 18, 34 or 50.
        width: Channels of the ResNet's stem, 64 as published.
        multi_grid: Dilation factors of the last stage's blocks.
        atrous_rates: Dilations of the pyramid's 3 x 3 convolutions.
        hidden_size: Channels of each branch of the pyramid and of the decoder.
        low_level_size: Channels of the encoder's map at 1/4 in the decoder.
    """

    model_type = "euromine_deeplabv3plus-resnet101"

    depth: int = 101
    width: int = 64
    multi_grid: tuple[int, ...] | list[int] = (1, 2, 4)
    atrous_rates: tuple[int, ...] | list[int] = (6, 12, 18)
    hidden_size: int = 256
    low_level_size: int = 48


class AtrousSpatialPyramidPooling(nn.Module):
    """Merges pointwise features, features at several dilations and the image's mean."""

    def __init__(self, in_channels: int, out_channels: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNormActivation(in_channels, out_channels, 1),
                *(ConvNormActivation(in_channels, out_channels, dilation=rate) for rate in rates),
            ]
        )
        self.image = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.merge = ConvNormActivation((2 + len(rates)) * out_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in, height, width) -> (batch, out, height, width)."""
        maps = [branch(features) for branch in self.branches]
        image = F.relu(self.image(features.mean((2, 3), keepdim=True)), inplace=True)
        return self.merge(torch.cat([*maps, image.expand_as(maps[0])], dim=1))


class Decoder(nn.Module):
    """Refines the upsampled pyramid's map with the reduced encoder's map at 1/4."""

    def __init__(self, channels: int, low_level_channels: int, low_level_size: int) -> None:
        super().__init__()
        self.low_level = ConvNormActivation(low_level_channels, low_level_size, 1)
        self.refine = nn.Sequential(
            ConvNormActivation(channels + low_level_size, channels), ConvNormActivation(channels, channels)
        )

    def forward(self, features: Tensor, low_level: Tensor) -> Tensor:
        """Two maps -> (batch, channels, height, width) at the side of `low_level`."""
        features = F.interpolate(features, size=low_level.shape[-2:], mode="bilinear", align_corners=True)
        return self.refine(torch.cat([features, self.low_level(low_level)], dim=1))


class DeepLabV3PlusForSemanticSegmentation(ResNetModel, Segmenter):
    """DeepLabV3+ with encoder features at 1/16 of the side. Any side works without padding."""

    config_class = DeepLabV3PlusConfig
    supports_gradient_checkpointing = True
    reference_keys = (
        (r"^resnet_features\.", "encoder."),
        *((rf"^aspp{branch + 1}\.", f"pyramid.branches.{branch}.") for branch in range(4)),
        (r"\.atrous_convolution\.", ".conv."),
        (r"^(pyramid\..*)\.bn\.", r"\1.norm."),
        (r"^global_avg_pool\.1\.", "pyramid.image."),
        (r"^conv1\.", "pyramid.merge.conv."),
        (r"^bn1\.", "pyramid.merge.norm."),
        (r"^conv2\.", "decoder.low_level.conv."),
        (r"^bn2\.", "decoder.low_level.norm."),
        (r"^last_conv\.0\.", "decoder.refine.0.conv."),
        (r"^last_conv\.1\.", "decoder.refine.0.norm."),
        (r"^last_conv\.3\.", "decoder.refine.1.conv."),
        (r"^last_conv\.4\.", "decoder.refine.1.norm."),
        (r"^last_conv\.6\.", "head."),
    )

    def __init__(self, config: DeepLabV3PlusConfig) -> None:
        super().__init__(config)
        self.encoder = ResNet(
            config.num_channels,
            config.depth,
            strides=(1, 2, 2, 1),
            dilations=(1, 1, 1, 2),
            multi_grid=config.multi_grid,
            width=config.width,
        )
        _, quarter, *_, coarsest = self.encoder.widths
        hidden = config.hidden_size
        self.pyramid = AtrousSpatialPyramidPooling(coarsest, hidden, config.atrous_rates)
        self.decoder = Decoder(hidden, quarter, config.low_level_size)
        self.head = nn.Conv2d(hidden, self.num_labels, 1)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Draw the encoder's and the pyramid's convolutions from N(0, 2 / fan-in), the rest as PyTorch does.

        The benchmark's code derives from an implementation that does so; there, too, the convolution of the
        image's mean and those after the pyramid keep PyTorch's initialisation.
        """
        super()._init_weights(module)
        init_convolutions(module, (self.encoder, self.pyramid.branches), "fan_in")

    def segment(self, images: Tensor) -> Tensor:
        """Images (batch, channels, height, width) -> logits (batch, classes, height, width)."""
        _, quarter, *_, coarsest = self.encoder(images)
        logits = self.head(self.decoder(self.pyramid(coarsest), quarter))
        return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=True)
