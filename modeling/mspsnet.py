"""MSPSNet: parallel dilated convolutions over both dates, weighted by channel self-attention.

Guo, Zhang, Zhu, Zhong, Zhang, "Deep multiscale siamese network with parallel convolutional structure and
self-attention for change detection", IEEE TGRS 2022. Reproduces the benchmark's published network to float32
rounding. Linear operations are moved forward: no group of the parallel convolutions sees both dates, and the
head's first convolution is pointwise.
"""

from collections.abc import Iterable
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from .base import init_convolutions, learns_in_bfloat16
from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig
from .layers import is_plain

# Of the parallel convolutions.
DILATIONS = (1, 2, 3, 4)


class MSPSNetConfig(ChangeDetectionConfig):
    """MSPSNet's configuration.

    Attributes:
        widths: Channels of the four scales.
        attention_width: Channels of the self-attention.
        head_width: Channels of the merged scales.
        pooled_sides: Sides of the three coarser scales in pixels. None, the default, halves the image's side
            three times. The published networks pool to fixed sides and so accept images of one side only:
            (112, 56, 28) in the benchmark's code, for 224, and (128, 64, 32) in the authors', for 256. Here,
            fixed sides work for any image, and a coarser map is resized to the finer one's side.
    """

    model_type = "euromine_mspsnet"
    widths: tuple[int, ...] | list[int] = (40, 80, 160, 320)
    attention_width: int = 32
    head_width: int = 80
    pooled_sides: tuple[int, ...] | list[int] | None = None

    def __post_init__(self, **kwargs: object) -> None:
        if any(width < 4 or width % 4 for width in self.widths):
            raise ValueError(f"widths: found {tuple(self.widths)}; expected multiples of 4.")
        sides = self.pooled_sides
        if sides is not None and (len(sides) != len(self.widths) - 1 or any(side < 1 for side in sides)):
            raise ValueError(
                f"pooled_sides: found {tuple(sides)}; expected {len(self.widths) - 1} sides of at least 1 "
                "pixel, or None."
            )
        super().__post_init__(**kwargs)


class EncoderBlock(nn.Module):
    """A 3 x 3 and a 1 x 1 convolution with batch norm; the second's output is added to the first's."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, width, height, width)."""
        features = self.conv1(features)
        residual = self.norm2(self.conv2(F.relu(self.norm1(features))))
        return F.relu(residual + features)


class ParallelConvs(nn.Module):
    """Four grouped convolutions of dilation 1 to 4 over both dates' channels, merged by a pointwise one.

    A group holds four channels of one date, so the output is the sum of the dates' contributions.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(2 * width, width, 3, padding=rate, dilation=rate, groups=width // 2)
            for rate in DILATIONS
        )
        self.merge = nn.Conv2d(4 * width, width, 1)

    def forward(self, features: Tensor, date: int) -> Tensor:
        """The maps (batch, width, h, w) of date 0 or 1 -> its summand (batch, width, h, w)."""
        if not is_plain(*self.branches, self.merge):
            return self._of_both(features, date)
        convolved = []
        # Of dilated convolutions with few channels that lie innermost, oneDNN then reads beyond the maps,
        # which may end the process (CPUs with AVX-512 BF16).
        plainly = learns_in_bfloat16(features)
        features = features.contiguous() if plainly else features
        for rate, branch in zip(DILATIONS, cast("Iterable[nn.Conv2d]", self.branches), strict=True):
            weight, bias = (each.chunk(2)[date] for each in (branch.weight, cast("Tensor", branch.bias)))
            groups = branch.groups // 2
            weight = weight.contiguous() if plainly else weight
            convolved.append(F.conv2d(features, weight, bias, padding=rate, dilation=rate, groups=groups))
        # Each branch returns the first date's channels, then the second's.
        weights = self.merge.weight.chunk(2 * len(self.branches), dim=1)[date::2]
        added = self.merge.bias if date == 0 else None
        return F.conv2d(torch.cat(convolved, dim=1), torch.cat(weights, dim=1), added)

    def _of_both(self, features: Tensor, date: int) -> Tensor:
        """The same, with a call of each layer and zeros in place of the other date; slower.

        Every layer is linear. Its response to zeros is subtracted from the second date's summand.
        """
        nothing = torch.zeros_like(features)
        dates = torch.cat((features, nothing) if date == 0 else (nothing, features), dim=1)
        summand = self.merge(torch.cat([branch(dates) for branch in self.branches], dim=1))
        if date == 0:
            return summand
        both = torch.zeros_like(dates)
        return summand - self.merge(torch.cat([branch(both) for branch in self.branches], dim=1))


class ChannelSelfAttention(nn.Module):
    """Adds to each channel a mean of all channels, weighted by dissimilarity.

    Fu et al., "Dual attention network for scene segmentation", CVPR 2019, section 3.3. The weight `gamma` of
    that mean starts at zero.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape."""
        flat = features.flatten(2)
        energy = flat @ flat.transpose(1, 2)
        attention = (energy.amax(-1, keepdim=True) - energy).softmax(-1)
        return self.gamma * (attention @ flat).view_as(features) + features


class AttentionBlock(nn.Sequential):
    """Channel self-attention between a narrowing and a widening convolution."""

    def __init__(self, width: int, attention_width: int) -> None:
        super().__init__(
            nn.Conv2d(width, attention_width, 3, padding=1),
            nn.BatchNorm2d(attention_width),
            nn.PReLU(),
            ChannelSelfAttention(),
            nn.Conv2d(attention_width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.PReLU(),
        )


class MSPSNetForChangeDetection(SiameseChangeDetector):
    """MSPSNet; not symmetric in the dates, whose channels are grouped in order."""

    config_class = MSPSNetConfig
    channels_last: ClassVar[bool] = True
    size_multiple: ClassVar[int] = 8
    reference_keys: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^conv0_0\.", "stem."),
        *((rf"^conv{block}\.", f"encoder.{scale}.") for scale, block in enumerate((0, 2, 4, 5))),
        (r"\.bn(\d)\.", r".norm\1."),
        *(
            (rf"^conv6_{scale + 1}_{branch + 1}\.", f"parallel.{scale}.branches.{branch}.")
            for scale in range(4)
            for branch in range(4)
        ),
        *((rf"^conv{scale + 1}_1\.", f"parallel.{scale}.merge.") for scale in range(4)),
        *((rf"^cam_attention_{scale + 1}\.attn\.", f"attention.{scale}.") for scale in range(4)),
        (r"^conv6\.", "head.0."),
        (r"^conv7\.", "head.1."),
    )
    reference_unused: ClassVar[tuple[str, ...]] = (r"^c[1-4]_conv\.",)

    def __init__(self, config: MSPSNetConfig) -> None:
        super().__init__(config)
        widths = list(config.widths)
        self.stem = nn.Conv2d(self.num_channels, widths[0], 5, padding=2)
        self.encoder = nn.ModuleList(
            EncoderBlock(*channels) for channels in zip([widths[0], *widths], widths, strict=False)
        )
        self.parallel = nn.ModuleList(ParallelConvs(width) for width in widths)
        self.attention = nn.ModuleList(AttentionBlock(width, config.attention_width) for width in widths)
        self.head = nn.Sequential(
            nn.Conv2d(sum(widths), config.head_width, 1),
            nn.Conv2d(config.head_width, self.num_labels, 3, padding=1, bias=False),
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_convolutions(module, (self,))
        if isinstance(module, ChannelSelfAttention):
            init.zeros_(module.gamma)

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> maps as a first date, finest scale first, then as a second."""
        features = self._scales(pixel_values)
        return (*self._of_date(features, 0), *self._of_date(features, 1))

    def compare(self, image_1: Tensor, image_2: Tensor) -> Tensor:
        """As `encode` and `decode`, without each image's maps as the other date."""
        return self.decode(
            *(self._of_date(self._scales(image), date) for date, image in enumerate((image_1, image_2)))
        )

    def decode(self, features_1: Features, features_2: Features) -> Tensor:
        """The first year's first and the second's last maps -> change logits (batch, 2, height, width)."""
        scales = len(self.parallel)
        narrow, classify = cast("nn.Conv2d", self.head[0]), self.head[1]
        # The narrowing convolution is pointwise and linear, so it may precede the resizing.
        moved = is_plain(narrow)
        weights = narrow.weight.split(list(self.config.widths), dim=1) if moved else ()
        merged: Tensor | None = None
        for scale in reversed(range(scales)):
            change = self.attend(scale, features_1[:scales][scale] + features_2[-scales:][scale])
            if not moved:
                merged = change if merged is None else _joined_at(change, merged)
                continue
            narrowed = F.conv2d(change, weights[scale], narrow.bias if scale == 0 else None)
            if merged is not None:
                size = narrowed.shape[-2:]
                narrowed = narrowed + F.interpolate(merged, size, mode="bilinear", align_corners=False)
            merged = narrowed
        return classify(merged if moved else narrow(merged))

    def attend(self, scale: int, change: Tensor) -> Tensor:
        """Apply attention to a scale's merged convolutions; the same shape."""
        return self.attention[scale](change)

    def _scales(self, pixel_values: Tensor) -> list[Tensor]:
        features = [self.encoder[0](self.stem(pixel_values))]
        for scale, block in enumerate(list(self.encoder)[1:]):
            if self.config.pooled_sides is None:
                pooled = F.avg_pool2d(features[-1], 2)
            else:
                pooled = F.adaptive_avg_pool2d(features[-1], self.config.pooled_sides[scale])
            features.append(block(pooled))
        return features

    def _of_date(self, features: list[Tensor], date: int) -> tuple[Tensor, ...]:
        return tuple(conv(each, date) for conv, each in zip(self.parallel, features, strict=True))


def _joined_at(fine: Tensor, coarse: Tensor) -> Tensor:
    """The finer map's channels, then the coarser one's at its size."""
    return torch.cat(
        (fine, F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)), dim=1
    )
