"""U-TAE with one output a year: a U-Net over images whose skips are mixed over years by attention.

Garnot, Landrieu, "Panoptic segmentation of satellite image time series with convolutional temporal attention
networks", ICCV 2021, section 3.1; its attention: the same, "Lightweight temporal self-attention for
classifying satellite image time series", AALTD 2020. There, a learned query per head gives one map of a
series; here each year has a query of its own, and so a map. Written from the papers, as a baseline.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .series_model import Evidence, SeriesConfig, SeriesModel
from .temporal_chain import indifferent_transitions
from .temporal_layers import years_since_first

_GROUPS = 4
_DAYS = 365
# Base of the wavelengths of the positional encoding, in days.
_LONGEST_DAYS = 1000


class UTAEConfig(SeriesConfig):
    """Configuration of U-TAE.

    Attributes:
        encoder_widths: Channels of the encoder's scales, finest first; each has half the resolution of
            the one before.
        decoder_widths: Channels of the decoder's scales, finest first; the coarsest is the encoder's.
        model_width: Channels of the attention's values, all heads together.
        num_heads: Heads; each mixes its own group of channels at every scale.
        key_width: Channels of a head's queries and keys.
        attention_dropout: Dropout of attention weights.
        dropout: Dropout after the attention.
    """

    model_type = "euromine_utae"

    encoder_widths: tuple[int, ...] = (64, 64, 64, 128)
    decoder_widths: tuple[int, ...] = (32, 32, 64, 128)
    model_width: int = 256
    num_heads: int = 16
    key_width: int = 4
    attention_dropout: float = 0.1
    dropout: float = 0.2


def _conv(in_width: int, out_width: int, norm: nn.Module, stride: int = 1) -> nn.Sequential:
    """A convolution of 3 x 3, or of 4 x 4 with a stride, with reflected borders, a norm and a ReLU."""
    size = 3 if stride == 1 else 4
    convolution = nn.Conv2d(in_width, out_width, size, stride, padding=1, padding_mode="reflect")
    return nn.Sequential(convolution, norm, nn.ReLU())


class DownBlock(nn.Module):
    """Halves the resolution; two convolutions, the second residual."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.down = _conv(in_width, in_width, nn.GroupNorm(_GROUPS, in_width), stride=2)
        self.conv_1 = _conv(in_width, out_width, nn.GroupNorm(_GROUPS, out_width))
        self.conv_2 = _conv(out_width, out_width, nn.GroupNorm(_GROUPS, out_width))

    def forward(self, features: Tensor) -> Tensor:
        """(images, in_width, height, width) -> (images, out_width, height / 2, width / 2)."""
        features = self.conv_1(self.down(features))
        return features + self.conv_2(features)


class UpBlock(nn.Module):
    """Doubles the resolution, joins the skip, and convolves twice, the second time residual."""

    def __init__(self, in_width: int, out_width: int, skip_width: int) -> None:
        super().__init__()
        self.skip = nn.Sequential(nn.Conv2d(skip_width, skip_width, 1), nn.BatchNorm2d(skip_width), nn.ReLU())
        self.up = nn.Sequential(
            nn.ConvTranspose2d(in_width, out_width, 4, 2, padding=1), nn.BatchNorm2d(out_width), nn.ReLU()
        )
        self.conv_1 = _conv(out_width + skip_width, out_width, nn.BatchNorm2d(out_width))
        self.conv_2 = _conv(out_width, out_width, nn.BatchNorm2d(out_width))

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Coarse features and the finer scale's skip -> (images, out_width, 2 height, 2 width)."""
        features = self.conv_1(torch.cat([self.up(features), self.skip(skip)], dim=1))
        return features + self.conv_2(features)


class TemporalAttentionEncoder(nn.Module):
    """L-TAE in which every year asks: values are the normalised input itself, a group of channels a head."""

    def __init__(self, width: int, config: UTAEConfig) -> None:
        super().__init__()
        self.heads, self.model_width = config.num_heads, config.model_width
        self.norm_in = nn.GroupNorm(config.num_heads, width)
        self.widen = nn.Linear(width, config.model_width)
        self.query = nn.Linear(config.model_width, config.num_heads * config.key_width)
        self.key = nn.Linear(config.model_width, config.num_heads * config.key_width)
        self.attention_dropout = nn.Dropout(config.attention_dropout)
        self.narrow = nn.Linear(config.model_width, width)
        self.norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(config.dropout)
        self.norm_out = nn.GroupNorm(config.num_heads, width)

    def forward(self, features: Tensor, years: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mix the years of each pixel.

        Args:
            features: (batch, years, width, height, width).
            years: (batch, years), int64.
            mask: (batch, years), bool, False where a year has no image.

        Returns:
            The mixed features, of the same shape, and attention weights (batch, heads, year that asks, year,
            height, width).
        """
        batch, count = features.shape[:2]
        normed = self.norm_in(features.flatten(0, 1)).unflatten(0, (batch, count))
        tokens = self.widen(normed.permute(0, 3, 4, 1, 2))  # batch, height, width, years, channels
        tokens = tokens + self._positions(years)[:, None, None].to(tokens)
        query, key, value = (
            each.unflatten(4, (self.heads, -1)).transpose(3, 4)
            for each in (self.query(tokens), self.key(tokens), tokens)
        )
        scores = query @ key.transpose(4, 5) / query.shape[5] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, None, None], -torch.inf)
        weights = self.attention_dropout(scores.softmax(dim=5))
        mixed = self.narrow((weights @ value).transpose(3, 4).flatten(4))
        mixed = mixed.permute(0, 3, 4, 1, 2).flatten(0, 1)
        mixed = self.norm_out(self.dropout(F.relu(self.norm(mixed))))
        return mixed.unflatten(0, (batch, count)), weights.permute(0, 3, 4, 5, 1, 2)

    def _positions(self, years: Tensor) -> Tensor:
        """Sines and cosines of days, alike for each head, (batch, years, model_width)."""
        width = self.model_width // self.heads
        channel = torch.arange(width, device=years.device)
        wavelengths = _LONGEST_DAYS ** (2 * (channel // 2) / width)
        angles = (years * _DAYS).float().unsqueeze(2) / wavelengths
        encoded = torch.where(channel % 2 == 0, angles.sin(), angles.cos())
        return encoded.repeat(1, 1, self.heads)


class UTAE(SeriesModel):
    """U-TAE with one map a year; its changes are differences of the maps, years taken as independent."""

    config_class = UTAEConfig
    # Three halvings of the encoder; reflected borders need two pixels at the coarsest scale.
    size_multiple: ClassVar[int] = 8
    minimum_size: ClassVar[int] = 16

    def __init__(self, config: UTAEConfig) -> None:
        super().__init__(config)
        widths, decoder_widths = list(config.encoder_widths), list(config.decoder_widths)
        _check_widths(widths, decoder_widths, config)
        finest = widths[0]
        self.stem = nn.Sequential(
            _conv(self.num_channels, finest, nn.GroupNorm(_GROUPS, finest)),
            _conv(finest, finest, nn.GroupNorm(_GROUPS, finest)),
        )
        self.down = nn.ModuleList(map(DownBlock, widths, widths[1:]))
        self.temporal_encoder = TemporalAttentionEncoder(widths[-1], config)
        self.up = nn.ModuleList(map(UpBlock, decoder_widths[:0:-1], decoder_widths[-2::-1], widths[-2::-1]))
        last = decoder_widths[0]
        self.last = _conv(last, last, nn.BatchNorm2d(last))
        self.mine = nn.Conv2d(last, 1, 3, padding=1, padding_mode="reflect")
        self.post_init()

    def evidence(self, pixel_values: Tensor, years: Tensor, mask: Tensor | None) -> Evidence:
        """Each year's evidence, as of `SeriesModel`; the chain takes years as independent."""
        batch, count, _, height, width = pixel_values.shape
        images = self.pad(pixel_values.flatten(0, 1))
        if mask is not None:
            images = images.masked_fill(~mask.flatten()[:, None, None, None], 0.0)
        skips = [self.stem(images)]
        for block in self.down:
            skips.append(block(skips[-1]))
        coarsest = skips.pop().unflatten(0, (batch, count))
        mixed, weights = self.temporal_encoder(coarsest, years_since_first(years, mask), mask)
        features = mixed.flatten(0, 1)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            features = block(features, _mixed_by(weights, skip.unflatten(0, (batch, count))))
        mine = self.mine(self.last(features)).squeeze(1).unflatten(0, (batch, count))[..., :height, :width]
        return Evidence.of(mine, indifferent_transitions((batch, count - 1, height, width), mine), mask)


def _mixed_by(weights: Tensor, skip: Tensor) -> Tensor:
    """Mix a scale's years by the attention of the coarsest, each head its own group of channels.

    Args:
        weights: (batch, heads, year that asks, year, h, w).
        skip: (batch, years, channels, height, width).

    Returns:
        (batch * years, channels, height, width).
    """
    batch, heads, count = weights.shape[:3]
    size = (skip.shape[3], skip.shape[4])
    resized = F.interpolate(weights.flatten(0, 2), size=size, mode="bilinear", align_corners=False)
    groups = skip.unflatten(2, (heads, -1))
    mixed = torch.einsum("bgqthw,btgchw->bqgchw", resized.unflatten(0, (batch, heads, count)), groups)
    return mixed.flatten(2, 3).flatten(0, 1)


def _check_widths(widths: Sequence[int], decoder_widths: Sequence[int], config: UTAEConfig) -> None:
    """Refuse widths that no group of channels fits."""
    if len(widths) != len(decoder_widths) or widths[-1] != decoder_widths[-1]:
        raise ValueError(
            f"decoder_widths: found {list(decoder_widths)} for encoder_widths {list(widths)}; expected as "
            "many, the last the same."
        )
    if uneven := [width for width in (*widths, config.model_width) if width % config.num_heads or width % 4]:
        raise ValueError(
            f"num_heads: found {config.num_heads} for {uneven[0]} channels; expected a divisor of all "
            "encoder_widths and of model_width."
        )
