"""FC-EF: a U-Net over both dates as one image (early fusion).

Daudt, Le Saux, Boulch, "Fully convolutional siamese networks for change detection", ICIP 2018.
Reproduces the benchmark's published network to float32 rounding, without its closing log-softmax.
"""

from typing import ClassVar

import torch
from torch import Tensor

from .change_detection import ChangeDetector
from .configuration import ChangeDetectionConfig
from .fc_siamese import REFERENCE_KEYS, FCDecoder, FCEncoder


class FCEFConfig(ChangeDetectionConfig):
    """FC-EF's configuration.

    Attributes:
        widths: Channels of the four stages.
        dropout: Dropout of whole channels in each block.
    """

    model_type = "euromine_fc-ef"
    widths: tuple[int, ...] | list[int] = (16, 32, 64, 128)
    dropout: float = 0.2


class FCEFForChangeDetection(ChangeDetector):
    """FC-EF; its first convolution mixes the dates, so a series is compared pair by pair."""

    config_class = FCEFConfig
    channels_last: ClassVar[bool] = True
    minimum_size: ClassVar[int] = 16
    reference_keys = REFERENCE_KEYS

    def __init__(self, config: FCEFConfig) -> None:
        super().__init__(config)
        self.encoder = FCEncoder(2 * self.num_channels, config.widths, config.dropout)
        self.decoder = FCDecoder(self.num_labels, config.widths, config.dropout)
        self.post_init()

    def compare(self, image_1: Tensor, image_2: Tensor) -> Tensor:
        """Two dates, each (batch, channels, height, width) -> change logits (batch, 2, height, width)."""
        *skips, bottleneck = self.encoder(torch.cat((image_1, image_2), dim=1))
        return self.decoder(bottleneck, [(skip,) for skip in skips])
