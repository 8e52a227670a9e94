"""DTCDSCN: a squeeze-and-excitation ResNet encodes each date; attention decodes their differences.

Liu, Pang, Zhan, Zhang, Yang, "Building change detection for remote sensing images using a dual-task
constrained deep siamese convolutional network model", IEEE GRSL 2021. Reproduces the benchmark's
published network to float32 rounding; as there, the two segmentation decoders of the paper are left out.
"""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from .base import init_convolutions
from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig
from .layers import BatchNorm2d
from .pretrained import EncoderWeights, PretrainedEncoderModel
from .resnet import ResNet, resnet_weights


class DTCDSCNConfig(ChangeDetectionConfig):
    """DTCDSCN's configuration.

    Attributes:
        depth: Layers of the ResNet.
        head_width: Channels of the head.
    """

    model_type = "euromine_dtcdscn"
    depth: int = 34
    head_width: int = 32


class DilatedCascade(nn.Module):
    """Four convolutions of dilation 1, 2, 4 and 8, in sequence, all added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=rate, dilation=rate) for rate in (1, 2, 4, 8)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, width, height, width) -> the same shape."""
        total = features
        for conv in self.convs:
            features = F.relu(conv(features))
            total = total + features
        return total


class ChannelAndSpatialAttention(nn.Module):
    """The features weighted by channel, plus the features weighted by pixel (scSE)."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        self.channel = nn.Sequential(
            nn.Conv2d(width, width // reduction, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(width // reduction, width, 1, bias=False),
        )
        self.pixel = nn.Conv2d(width, 1, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, width, height, width) -> the same shape."""
        channel = self.channel(features.mean((2, 3), keepdim=True)).sigmoid()
        return features * channel + features * self.pixel(features).sigmoid()


class UpBlock(nn.Module):
    """Narrows, weights, doubles the side and widens again."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        inner = channels // 4
        self.narrow = nn.Sequential(nn.Conv2d(channels, inner, 1), BatchNorm2d(inner), nn.ReLU(inplace=True))
        self.attention = ChannelAndSpatialAttention(inner)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(inner, inner, 3, stride=2, padding=1, output_padding=1),
            BatchNorm2d(inner),
            nn.ReLU(inplace=True),
        )
        self.widen = nn.Sequential(nn.Conv2d(inner, width, 1), BatchNorm2d(width), nn.ReLU(inplace=True))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, h, w) -> (batch, width, 2h, 2w)."""
        features = self.narrow(features)
        return self.widen(self.up(self.attention(features) + features))


class DTCDSCNForChangeDetection(PretrainedEncoderModel, SiameseChangeDetector):
    """DTCDSCN; not symmetric in the dates, whose difference is signed."""

    config_class = DTCDSCNConfig
    supports_gradient_checkpointing = True
    size_multiple: ClassVar[int] = 32
    reference_keys = (
        (r"^firstconv\.", "backbone.conv1."),
        (r"^firstbn\.", "backbone.bn1."),
        (r"^encoder(\d)\.", r"backbone.layer\1."),
        *((rf"^dblock_master\.dilate{index + 1}\.", f"cascade.convs.{index}.") for index in range(4)),
        # The published decoders are numbered by their input's stage.
        *((rf"^decoder{4 - index}_master\.", f"decoder.{index}.") for index in range(4)),
        *(
            rule
            for number, part in ((1, "narrow"), (2, "up"), (3, "widen"))
            for rule in (
                (rf"^(decoder\.\d)\.(?:de)?conv{number}\.", rf"\1.{part}.0."),
                (rf"^(decoder\.\d)\.norm{number}\.", rf"\1.{part}.1."),
            )
        ),
        (r"\.scse\.channel_excitation\.", ".attention.channel."),
        (r"\.scse\.spatial_se\.0\.", ".attention.pixel."),
        (r"^finaldeconv1_master\.", "head.0."),
        (r"^finalconv2_master\.", "head.2."),
        (r"^finalconv3_master\.", "head.4."),
    )
    reference_unused = (r"^dblock\.", r"^decoder[1-4]\.", r"^final(deconv1|conv2|conv3)\.")

    def __init__(self, config: DTCDSCNConfig) -> None:
        super().__init__(config)
        self.backbone = ResNet(self.num_channels, config.depth, squeeze_excitation=True)
        widths, head_width = self.backbone.widths[1:], config.head_width
        self.cascade = DilatedCascade(widths[-1])
        outs = [*reversed(widths[:-1]), widths[0]]
        self.decoder = nn.ModuleList(
            UpBlock(width, out) for width, out in zip(reversed(widths), outs, strict=True)
        )
        self.head = nn.Sequential(
            nn.ConvTranspose2d(widths[0], head_width, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(head_width, head_width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(head_width, self.num_labels, 3, padding=1),
        )
        self.post_init()

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """The ResNet's weights; its squeeze and excitation is not among them and stays fresh."""
        return {"backbone": resnet_weights(self.backbone)}

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_convolutions(module, (self,))
        init_convolutions(module, (self.cascade,), zero_bias=True)

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> the ResNet's maps at 1/4 to 1/32, finest first."""
        return self.backbone(pixel_values)[1:]

    def decode(self, features_1: Features, features_2: Features) -> Tensor:
        """Two years' maps -> change logits (batch, 2, height, width)."""
        *finer, coarsest = (first - second for first, second in zip(features_1, features_2, strict=True))
        features = self.cascade(coarsest)
        for block, skip in zip(self.decoder, [*reversed(finer), None], strict=True):
            features = block(features)
            if skip is not None:
                features = features + skip
        return self.head(features)
