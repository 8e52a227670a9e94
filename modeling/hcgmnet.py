"""HCGMNet: fuses all scales into a first change map, which guides attention before a second fusion.

Han, Wu, Du, "HCGMNet: a hierarchical change guiding map network for change detection", IGARSS 2023.
Reproduces the benchmark's published network to float32 rounding, without its closing sigmoids.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from .base import two_class_logits
from .change_detection import Features
from .change_guide import ChangeGuideConfig, ChangeGuideDetector, ConvNormReLU, resized


class HCGMNetConfig(ChangeGuideConfig):
    """HCGMNet's configuration.

    Attributes:
        encoder_widths: Channels of the five stages of VGG16.
        head_widths: Channels of the three convolutions that fuse the scales.
    """

    model_type = "euromine_hcgmnet"
    head_widths: tuple[int, ...] | list[int] = (512, 256, 64)


class Fusion(nn.Sequential):
    """Concatenates all scales at the finest one's size and convolves them to a change map of one channel."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__(
            *(ConvNormReLU(*each) for each in pairwise((channels, *widths))),
            nn.Conv2d(widths[-1], 1, 3, padding=1),
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """The scales' maps, finest first -> (batch, 1, height, width) of the finest."""
        size = features[0].shape[-2:]
        return super().forward(torch.cat([resized(each, size) for each in features], dim=1))


class HCGMNetForChangeDetection(ChangeGuideDetector):
    """HCGMNet; its auxiliary map is the first one. Not symmetric in the dates."""

    config_class = HCGMNetConfig
    two_classes_only: ClassVar[bool] = True
    minimum_size: ClassVar[int] = 16
    reference_keys = (
        *ChangeGuideDetector.reference_keys,
        *((rf"^up_layer{scale + 2}\.", f"refine.{scale}.") for scale in range(3)),
        (r"^deocde\.", "first."),
        (r"^deocde_final\.", "head."),
        (r"\.conv\.", ".0."),
        (r"\.bn\.", ".1."),
    )

    def __init__(self, config: HCGMNetConfig) -> None:
        super().__init__(config)
        channels, head_widths = sum(self.widths), tuple(config.head_widths)
        self.refine = nn.ModuleList(ConvNormReLU(width, width) for width in self.widths[1:])
        self.first = Fusion(channels, head_widths)
        self.head = Fusion(channels, head_widths)
        self.post_init()

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> maps at 1/2, 1/4, 1/8 and 1/16, finest first."""
        # Doubling the finest map does not restore an odd side, so an empty view passes on the images' size.
        return (*super().encode(pixel_values), pixel_values[:, :0])

    def decode(self, features_1: Features, features_2: Features) -> tuple[Tensor, ...]:
        """Two years' maps -> change logits and the first map's, both (batch, 2, height, width)."""
        finest, *coarser = self.merged(features_1[:-1], features_2[:-1])
        refined = [refine(each) for refine, each in zip(self.refine, coarser, strict=True)]
        first = self.first([finest, *refined])
        guided = [guide(each, first) for guide, each in zip(self.guides, refined, strict=True)]
        final = self.head([finest, *guided])
        size = features_1[-1].shape[-2:]
        return two_class_logits(resized(final, size)), two_class_logits(resized(first, size))
