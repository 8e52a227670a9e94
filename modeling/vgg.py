"""VGG16 with batch norm, with outputs for the change-guide networks.

Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from .pretrained import EncoderWeights

# Convolutions of the five stages.
DEPTHS = (2, 2, 3, 3, 3)


class VGG16(nn.Module):
    """The five stages, with a max pooling before all but the first.

    Layers are numbered as in torchvision (`features.0` to `features.41`), so that its weights load. The last
    stage ends with its batch norm, without a ReLU, as in the change-guide networks.
    """

    def __init__(self, num_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.taps: list[int] = []
        channels = num_channels
        for depth, width in zip(DEPTHS, widths, strict=True):
            if self.taps:
                self.features.append(nn.MaxPool2d(2))
            for _ in range(depth):
                self.features.append(nn.Conv2d(channels, width, 3, padding=1))
                self.features.append(nn.BatchNorm2d(width))
                self.features.append(nn.ReLU(inplace=True))
                channels = width
            self.taps.append(len(self.features) - 1)
        del self.features[-1]
        self.taps[-1] -= 1

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> the stages' maps at 1, 1/2, 1/4, 1/8 and 1/16, finest first."""
        maps = []
        for index, layer in enumerate(self.features):
            images = layer(images)
            if index in self.taps:
                maps.append(images)
        return tuple(maps)


def vgg16_weights() -> EncoderWeights:
    """Weights for VGG16 with batch norm: torchvision's or timm's, which have the same names."""
    return EncoderWeights(
        name="VGG16 with batch norm",
        stem="features.0.weight",
        # The batch norm's mean; without batch norm, this layer is a ReLU.
        spellings={"features.1.running_mean": ()},
        repository="timm/vgg16_bn.tv_in1k",
        left_out=(r"^classifier\.", r"^pre_logits\.", r"^head\."),
        near_misses={"features.0.weight": "found a VGG16 without batch norm; expected one with batch norm."},
    )
