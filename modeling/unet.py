"""U-Net: four steps down and four up, with skip connections at each scale.

Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015.
Reproduces the benchmark's published network to float32 rounding (tests/modeling/test_parity.py): padded
convolutions with batch norm, and bilinear upsampling instead of the paper's transposed convolutions.
"""

from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration import SegmentationConfig
from .layers import ConvNormActivation, join_skip
from .segmentation import Segmenter

# Number of scales in the published names: 1, 1/2, 1/4, 1/8, 1/16.
_SCALES = 5


class UNetConfig(SegmentationConfig):
    """U-Net's configuration.

    Attributes:
        widths: Channels of the five scales, finest first, as in the paper's figure. Bilinear upsampling keeps
            channels, so the coarsest scale has half of its number.

    Raises:
        ValueError: There are not five widths, or a width after the first is odd.
    """

    model_type = "euromine_unet"

    widths: tuple[int, ...] | list[int] = (64, 128, 256, 512, 1024)

    def __post_init__(self, **kwargs: Any) -> None:
        if len(self.widths) != _SCALES or any(width < 1 or width % 2 for width in self.widths[1:]):
            raise ValueError(
                f"widths: found {list(self.widths)}; expected {_SCALES} numbers, even from the second on."
            )
        super().__post_init__(**kwargs)


class DoubleConv(GradientCheckpointingLayer):
    """Two 3 x 3 convolutions, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, middle_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = ConvNormActivation(in_channels, middle_channels, bias=True)
        self.second = ConvNormActivation(middle_channels, out_channels, bias=True)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in, height, width) -> (batch, out, height, width)."""
        return self.second(self.first(features))


class UNetForSemanticSegmentation(Segmenter):
    """U-Net of five scales. Any side of at least 16 pixels works without padding."""

    config_class = UNetConfig
    channels_last_in_evaluation: ClassVar[bool] = True
    supports_gradient_checkpointing = True
    minimum_size: ClassVar[int] = 2 ** (_SCALES - 1)
    reference_keys = (
        (r"^inc\.", "encoder.0."),
        (r"^down(\d)\.maxpool_conv\.1\.", r"encoder.\1."),
        *((rf"^up{index + 1}\.conv\.", f"decoder.{index}.") for index in range(_SCALES - 1)),
        (r"^outc\.conv\.", "head."),
        (r"double_conv\.0\.", "first.conv."),
        (r"double_conv\.1\.", "first.norm."),
        (r"double_conv\.3\.", "second.conv."),
        (r"double_conv\.4\.", "second.norm."),
    )

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        *skips, coarsest = config.widths
        widths = (*skips, coarsest // 2)
        self.encoder = nn.ModuleList(
            DoubleConv(before, width, width) for before, width in pairwise((config.num_channels, *widths))
        )
        # Each block concatenates a skip with the map from below and outputs as many channels as the next
        # skip; the finest outputs its own number.
        self.decoder = nn.ModuleList()
        channels = widths[-1]
        for skip, left in zip(reversed(skips), [*reversed(skips[:-1]), skips[0]], strict=True):
            self.decoder.append(DoubleConv(skip + channels, (skip + channels) // 2, left))
            channels = left
        self.head = nn.Conv2d(channels, self.num_labels, 1)
        self.post_init()

    def segment(self, images: Tensor) -> Tensor:
        """Images (batch, channels, height, width) -> logits (batch, classes, height, width)."""
        features = self.encoder[0](images)
        skips = []
        for block in self.encoder[1:]:
            skips.append(features)
            features = block(F.max_pool2d(features, 2))
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            features = block(join_skip(features, skip))
        return self.head(features)
