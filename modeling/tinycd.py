"""TinyCD: shallow EfficientNet features of both dates, mixed per channel, and pixel-wise attention.

Codegoni, Lombardi, Ferrari, "TINYCD: a (not so) deep learning model for change detection", 2022,
arXiv:2207.13159. Reproduces the benchmark's published network to float32 rounding
(tests/modeling/test_parity.py).
"""

from itertools import pairwise
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import init_convolutions, two_class_logits
from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig
from .efficientnet import TORCHVISION_KEYS, EfficientNetEncoder, efficientnet_weights
from .layers import is_plain
from .pretrained import EncoderWeights, PretrainedEncoderModel


class TinyCDConfig(ChangeDetectionConfig):
    """TinyCD's configuration.

    Attributes:
        decoder_widths: Channels after each of the three upsamplings.
        stochastic_depth_rate: Rate of the last block of a full encoder of seven stages. The stages in use
            reach 0.058 with the published 0.2.
    """

    model_type = "euromine_tinycd"

    decoder_widths: tuple[int, ...] | list[int] = (64, 64, 32)
    stochastic_depth_rate: float = 0.2


class InstanceNorm(nn.Module):
    """Instance norm without weights, several times as fast as PyTorch's for channels-last maps on a CPU."""

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape; each channel of mean 0 and variance 1."""
        # PyTorch's norms lose precision if the mean is far from zero, so it is subtracted first; a constant
        # has no gradient here.
        centred = features - features.detach().mean((2, 3), keepdim=True)
        if self.training and features.device.type == "cpu":
            # Image by image, by a batch norm: a third of the time of the group norm's backward pass.
            return torch.cat([F.batch_norm(image, None, None, training=True) for image in centred.split(1)])
        return F.group_norm(centred, features.shape[1])


class ConvPReLUNorm(nn.Module):
    """A convolution, a PReLU and an instance norm without weights, in this order."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, groups=groups)
        self.activation = nn.PReLU()
        self.norm = InstanceNorm()

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, out_channels, height, width)."""
        return self.norm(self.activation(self.conv(features)))


class MixingBlock(nn.Module):
    """Mixes two dates' maps, each channel only with the same channel of the other date.

    The convolution is a sum over the dates, so each date can be convolved on its own.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = ConvPReLUNorm(2 * channels, channels, 3, groups=channels)

    def convolved(self, features: Tensor, date: int) -> Tensor:
        """The map (batch, channels, height, width) of date 0 or 1 -> its summand of the same shape."""
        conv = self.mix.conv
        if not is_plain(conv):
            # The layer's response to zeros, its bias, counts with the first date.
            both = torch.stack((features, features), dim=2)
            both[:, :, 1 - date] = 0
            summand = conv(both.flatten(1, 2))
            return summand if date == 0 else summand - conv(torch.zeros_like(both).flatten(1, 2))
        # Depthwise convolutions are fastest on a CPU in channels-last layout, which later layers keep.
        return F.conv2d(
            features.contiguous(memory_format=torch.channels_last),
            conv.weight[:, date : date + 1],
            conv.bias if date == 0 else None,
            padding=1,
            groups=len(conv.weight),
        )

    def forward(self, convolved_1: Tensor, convolved_2: Tensor) -> Tensor:
        """Both dates' summands (batch, channels, height, width) -> one map of the same shape."""
        return self.mix.norm(self.mix.activation(convolved_1 + convolved_2))


class PixelwiseMLP(nn.Module):
    """Linear layers per pixel.

    Args:
        widths: Channels before, between and after the layers.
        activates_last: Whether a PReLU follows the last layer, too.
    """

    def __init__(self, widths: tuple[int, ...], activates_last: bool = True) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(before, after, 1) for before, after in pairwise(widths))
        self.activations = nn.ModuleList(nn.PReLU() for _ in self.layers)
        if not activates_last:
            self.activations[-1] = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(batch, widths[0], height, width) -> (batch, widths[-1], height, width)."""
        for layer, activation in zip(self.layers, self.activations, strict=True):
            features = activation(layer(features))
        return features


class AttentionMask(nn.Module):
    """Mix and attention mask block: two dates' maps -> one weight per pixel."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.mixing = MixingBlock(channels)
        self.mlp = PixelwiseMLP((channels, *widths, 1))

    def forward(self, convolved_1: Tensor, convolved_2: Tensor) -> Tensor:
        """Two dates' summands (batch, channels, height, width) -> weights (batch, 1, height, width)."""
        return self.mlp(self.mixing(convolved_1, convolved_2))


class UpBlock(nn.Module):
    """Doubles the side, weights each pixel by the skip's mask, then convolves depthwise and pointwise."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.spatial = ConvPReLUNorm(in_channels, in_channels, 3, groups=in_channels)
        self.pointwise = ConvPReLUNorm(in_channels, out_channels, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Features and a mask of twice their side -> features at the mask's side."""
        return self.pointwise(self.spatial(self.upsample(features) * mask))


class TinyCDForChangeDetection(PretrainedEncoderModel, SiameseChangeDetector):
    """TinyCD, 0.29 million parameters.

    Not symmetric in the dates, which have separate weights in the mixing convolutions.
    """

    config_class = TinyCDConfig
    two_classes_only: ClassVar[bool] = True
    channels_last: ClassVar[bool] = True
    size_multiple = 8
    # At 8 pixels the deepest map is a single pixel, for which an instance norm is undefined.
    minimum_size = 16

    reference_keys = (
        (r"^_backbone\.", "encoder.features."),
        *TORCHVISION_KEYS,
        (r"^_mixing_mask\.2\._convmix\.", "mixing._convmix."),
        (r"^_mixing_mask\.1\.", "attention_masks.2."),
        (r"^_mixing_mask\.0\.", "attention_masks.1."),
        (r"^_first_mix\.", "attention_masks.0."),
        (r"\._mixing\._convmix\.", ".mixing._convmix."),
        (r"_convmix\.0\.", "mix.conv."),
        (r"_convmix\.1\.", "mix.activation."),
        (r"^_up\.(\d)\._convolution\.0\.", r"up_blocks.\1.spatial.conv."),
        (r"^_up\.(\d)\._convolution\.1\.", r"up_blocks.\1.spatial.activation."),
        (r"^_up\.(\d)\._convolution\.3\.", r"up_blocks.\1.pointwise.conv."),
        (r"^_up\.(\d)\._convolution\.4\.", r"up_blocks.\1.pointwise.activation."),
        (r"^_classify\.", "classifier."),
        (r"\._linear\.", ".mlp."),
        (r"\._linears\.(\d)\.0\.", r".layers.\1."),
        (r"\._linears\.(\d)\.1\.", r".activations.\1."),
    )

    def __init__(self, config: TinyCDConfig) -> None:
        super().__init__(config)
        self.encoder = EfficientNetEncoder(
            self.num_channels, "b4", stages=3, stochastic_depth_rate=config.stochastic_depth_rate
        )
        *skip_widths, deepest = self.encoder.widths
        self.attention_masks = nn.ModuleList(
            [
                AttentionMask(self.num_channels, (10, 5)),
                *(AttentionMask(width, (width // 2, width // 4)) for width in skip_widths),
            ]
        )
        self.mixing = MixingBlock(deepest)
        widths = (deepest, *config.decoder_widths)
        self.up_blocks = nn.ModuleList(UpBlock(before, after) for before, after in pairwise(widths))
        self.classifier = PixelwiseMLP((widths[-1], 16, 8, 1), activates_last=False)
        self.post_init()

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """EfficientNet-B4's weights; the authors start from torchvision's."""
        return {"encoder": efficientnet_weights(self.encoder)}

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise the encoder's convolutions as torchvision does, the rest as PyTorch does."""
        super()._init_weights(module)
        init_convolutions(module, (self.encoder,), zero_bias=True)

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> maps at 1, 1/2, 1/4, 1/8 as a first date, then as a second."""
        maps = (pixel_values, *self.encoder(pixel_values))
        return (*self._of_date(maps, 0), *self._of_date(maps, 1))

    def compare(self, image_1: Tensor, image_2: Tensor) -> Tensor:
        """As `encode` and `decode`, without each image's maps as the other date."""
        return self.decode(
            *(
                self._of_date((image, *self.encoder(image)), date)
                for date, image in enumerate((image_1, image_2))
            )
        )

    def decode(self, features_1: Features, features_2: Features) -> Tensor:
        """The first year's first and the second's last four maps -> logits (batch, 2, height, width)."""
        scales = len(self.attention_masks) + 1
        *skips_1, deepest_1 = features_1[:scales]
        *skips_2, deepest_2 = features_2[-scales:]
        masks = [
            attention_mask(skip_1, skip_2)
            for attention_mask, skip_1, skip_2 in zip(self.attention_masks, skips_1, skips_2, strict=True)
        ]
        features = self.mixing(deepest_1, deepest_2)
        for up_block, mask in zip(self.up_blocks, reversed(masks), strict=True):
            features = up_block(features, mask)
        return two_class_logits(self.classifier(features))

    def _of_date(self, maps: tuple[Tensor, ...], date: int) -> tuple[Tensor, ...]:
        mixing = [cast("AttentionMask", each).mixing for each in self.attention_masks]
        return tuple(
            block.convolved(features, date)
            for block, features in zip([*mixing, self.mixing], maps, strict=True)
        )
