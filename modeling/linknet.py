"""LinkNet: a ResNet-18 whose scales are added to the decoder's.

Chaurasia, Culurciello, "LinkNet: exploiting encoder representations for efficient semantic segmentation",
VCIP 2017. Reproduces the benchmark's published network to float32 rounding (tests/modeling/test_parity.py).
"""

from typing import ClassVar

from torch import Tensor, nn

from .configuration import SegmentationConfig
from .layers import BatchNorm2d, ConvNormActivation
from .resnet import ResNet, ResNetModel
from .segmentation import Segmenter


class LinkNetConfig(SegmentationConfig):
    """LinkNet's configuration.

    Attributes:
        depth: Layers of the ResNet: 18 as published, or 34, 50 or 101.
        width: Channels of the ResNet's stem, 64 as published.
    """

    model_type = "euromine_linknet"

    depth: int = 18
    width: int = 64


class TransposedConvNormReLU(nn.Sequential):
    """A transposed 3 x 3 convolution that multiplies the side by its stride, batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, bias: bool = False) -> None:
        super().__init__(
            nn.ConvTranspose2d(
                in_channels, out_channels, 3, stride=stride, padding=1, output_padding=stride - 1, bias=bias
            ),
            BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class DecoderBlock(nn.Sequential):
    """Reduces the channels to a quarter, upsamples by the stride and widens to the next scale's."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        reduced = in_channels // 4
        super().__init__(
            ConvNormActivation(in_channels, reduced, 1),
            TransposedConvNormReLU(reduced, reduced, stride),
            ConvNormActivation(reduced, out_channels, 1),
        )


class LinkNetForSemanticSegmentation(ResNetModel, Segmenter):
    """LinkNet on a ResNet of any depth."""

    config_class = LinkNetConfig
    channels_last_in_evaluation: ClassVar[bool] = True
    supports_gradient_checkpointing = True
    size_multiple: ClassVar[int] = 32
    reference_keys = (
        (r"^(conv1|bn1)\.", r"encoder.\1."),
        (r"^encoder(\d)\.block1\.", r"encoder.layer\1.0."),
        (r"^encoder(\d)\.block2\.", r"encoder.layer\1.1."),
        *((rf"^decoder{4 - index}\.", f"decoder.{index}.") for index in range(4)),
        (r"^(decoder\.\d)\.conv1\.0\.", r"\1.0.conv."),
        (r"^(decoder\.\d)\.conv1\.1\.", r"\1.0.norm."),
        (r"^(decoder\.\d)\.tp_conv\.", r"\1.1."),
        (r"^(decoder\.\d)\.conv2\.0\.", r"\1.2.conv."),
        (r"^(decoder\.\d)\.conv2\.1\.", r"\1.2.norm."),
        (r"^tp_conv1\.", "head.0."),
        (r"^conv2\.0\.", "head.1.conv."),
        (r"^conv2\.1\.", "head.1.norm."),
        (r"^tp_conv2\.", "head.2."),
    )

    def __init__(self, config: LinkNetConfig) -> None:
        super().__init__(config)
        self.encoder = ResNet(config.num_channels, config.depth, width=config.width)
        stem, *widths = self.encoder.widths
        # The last block stays at 1/4, where the pooled stem is.
        self.decoder = nn.ModuleList(
            DecoderBlock(coarse, fine, stride)
            for coarse, fine, stride in zip(
                reversed(widths), (*reversed(widths[:-1]), stem), (2, 2, 2, 1), strict=True
            )
        )
        self.head = nn.Sequential(
            TransposedConvNormReLU(stem, stem // 2, 2, bias=True),
            ConvNormActivation(stem // 2, stem // 2, bias=True),
            nn.ConvTranspose2d(stem // 2, self.num_labels, 2, stride=2),
        )
        self.post_init()

    def segment(self, images: Tensor) -> Tensor:
        """Images (batch, channels, height, width) -> logits (batch, classes, height, width)."""
        pooled = self.encoder.maxpool(self.encoder.stem(images))
        *skips, features = (pooled, *self.encoder.stages(pooled))
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            # Not in place: the backward pass needs the result of the block's last ReLU.
            features = block(features) + skip
        return self.head(features)
