"""CGNet: a coarse change map from the deepest features guides attention on the way up.

Han, Wu, Guo, Hu, Li, Chen, "Change guiding network: incorporating change prior to guide change detection in
remote sensing imagery", IEEE JSTARS 2023. Reproduces the benchmark's published network to float32 rounding,
without its closing sigmoid.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from .base import two_class_logits
from .change_detection import Features
from .change_guide import ChangeGuideConfig, ChangeGuideDetector, ConvNormReLU, resized


class CGNetConfig(ChangeGuideConfig):
    """CGNet's configuration.

    Attributes:
        encoder_widths: Channels of the five stages of VGG16.
        head_width: Channels of the coarse and of the final head.
    """

    model_type = "euromine_cgnet"
    head_width: int = 64


class CGNetForChangeDetection(ChangeGuideDetector):
    """CGNet; its auxiliary map is the coarse one. Not symmetric in the dates."""

    config_class = CGNetConfig
    channels_last_in_evaluation: ClassVar[bool] = True
    two_classes_only: ClassVar[bool] = True
    size_multiple: ClassVar[int] = 16
    reference_keys = (
        *ChangeGuideDetector.reference_keys,
        (r"^decoder\.0\.", "coarse.0."),
        (r"^decoder\.1\.", "coarse.1."),
        *((rf"^decoder_module{scale + 2}\.", f"decoder.{scale}.") for scale in range(3)),
        (r"^decoder_final\.0\.", "head.0."),
        (r"^decoder_final\.1\.", "head.1."),
        (r"\.conv\.", ".0."),
        (r"\.bn\.", ".1."),
    )
    reference_unused = (r"^up_layer[234]\.",)

    def __init__(self, config: CGNetConfig) -> None:
        super().__init__(config)
        widths, head_width = self.widths, config.head_width
        self.coarse = nn.Sequential(
            ConvNormReLU(widths[-1], head_width), nn.Conv2d(head_width, 1, 3, padding=1)
        )
        self.decoder = nn.ModuleList(ConvNormReLU(fine + coarse, fine) for fine, coarse in pairwise(widths))
        self.head = nn.Sequential(ConvNormReLU(widths[0], head_width), nn.Conv2d(head_width, 1, 1))
        self.post_init()

    def decode(self, features_1: Features, features_2: Features) -> tuple[Tensor, ...]:
        """Two years' maps -> change logits and the coarse map's, both (batch, 2, height, width)."""
        merged = self.merged(features_1, features_2)
        height, width = (2 * side for side in merged[0].shape[-2:])
        coarse = self.coarse(resized(merged[-1], merged[0].shape[-2:]))
        features = merged[-1]
        for guide, block, skip in reversed(list(zip(self.guides, self.decoder, merged[:-1], strict=True))):
            features = resized(guide(features, coarse), skip.shape[-2:])
            features = block(torch.cat((features, skip), dim=1))
        return tuple(
            two_class_logits(resized(change, (height, width))) for change in (self.head(features), coarse)
        )
