"""SiamUNet-Conc: a Siamese U-Net that decodes both dates' features concatenated.

Daudt, Le Saux, Boulch, "Fully convolutional siamese networks for change detection", ICIP 2018.
Reproduces the benchmark's published network to float32 rounding, without its closing log-softmax; as there,
the bottleneck comes from the second date alone.
"""

from typing import ClassVar

from torch import Tensor

from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig
from .fc_siamese import REFERENCE_KEYS, FCDecoder, FCEncoder


class SiamUNetConcConfig(ChangeDetectionConfig):
    """SiamUNet-Conc's configuration.

    Attributes:
        widths: Channels of the four stages.
        dropout: Dropout of whole channels in each block.
    """

    model_type = "euromine_siamunet-conc"
    widths: tuple[int, ...] | list[int] = (16, 32, 64, 128)
    dropout: float = 0.2


class SiamUNetConcForChangeDetection(SiameseChangeDetector):
    """SiamUNet-Conc; not symmetric in the dates, because of its bottleneck."""

    config_class = SiamUNetConcConfig
    channels_last: ClassVar[bool] = True
    minimum_size: ClassVar[int] = 16
    reference_keys = REFERENCE_KEYS

    def __init__(self, config: SiamUNetConcConfig) -> None:
        super().__init__(config)
        self.encoder = FCEncoder(self.num_channels, config.widths, config.dropout)
        self.decoder = FCDecoder(self.num_labels, config.widths, config.dropout, skip_maps=2)
        self.post_init()

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> one map per stage, finest first, and the bottleneck."""
        return self.encoder(pixel_values)

    def decode(self, features_1: Features, features_2: Features) -> Tensor:
        """Two years' maps -> change logits (batch, 2, height, width)."""
        return self.decoder(features_2[-1], list(zip(features_1[:-1], features_2[:-1], strict=True)))
