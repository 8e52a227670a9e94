"""Decoder of the series network: evidence for a mine in each year, and rates of change between years.

The feature pyramid follows Lin et al., "Feature pyramid networks for object detection", CVPR 2017.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import ConvNormActivation
from .temporal_layers import ImagePacking, TemporalMixing, YearMixing, image_by_image

# Scales finer than the encoder's finest map: the image's own and its half.
FINE_SCALES = 2
_FINEST_STRIDE = 4


class DetailBranch(nn.Module):
    """Convolutions of the images at their own scale and at each half of the one before.

    They see what the encoder's patches of 4 x 4 pixels average, and learn from few images, as a U-Net does.

    Args:
        num_channels: Channels of the images.
        widths: Channels of each scale, finest first.
        joins_years: Whether years see each other at each scale.
    """

    def __init__(self, num_channels: int, widths: Sequence[int], joins_years: bool) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Sequential(
                ConvNormActivation(given, width, stride=2 if place else 1), ConvNormActivation(width, width)
            )
            for place, (given, width) in enumerate(pairwise((num_channels, *widths)))
        )
        self.mixing = nn.ModuleList(TemporalMixing(width) for width in widths if joins_years)

    def forward(self, images: Tensor, packed: ImagePacking, mixing: YearMixing) -> list[Tensor]:
        """Images that exist, (images, channels, height, width) -> their maps, finest first."""
        maps = []
        for place, scale in enumerate(self.scales):
            images = image_by_image(self, scale, images)
            if self.mixing:
                images = packed.packed(self.mixing[place](packed.unpacked(images), mixing))
            maps.append(images)
        return maps


class SeriesDecoder(nn.Module):
    """A feature pyramid to a quarter of the scale, and refinements at a half and at the image's own.

    Args:
        widths: Channels of the encoder's maps, finest first.
        detail_widths: Channels of the detail branch, from the image's own scale on: the first two are for
            refinements, all others join the encoder's maps of the same scale. None decodes at a quarter.
        width: Channels of the pyramid.
        dropout: Dropout of the pyramid's channels.

    Raises:
        ValueError: The detail branch has more scales than the encoder.
    """

    def __init__(
        self, widths: Sequence[int], detail_widths: Sequence[int], width: int, dropout: float
    ) -> None:
        super().__init__()
        fine, coarse = tuple(detail_widths[:FINE_SCALES]), tuple(detail_widths[FINE_SCALES:])
        if len(coarse) > len(widths):
            most = len(widths) + FINE_SCALES
            raise ValueError(f"detail_widths: found {len(detail_widths)} scales; expected at most {most}.")
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in widths)
        self.detail_lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in coarse)
        self.joining = nn.ModuleList(ConvNormActivation(width, width) for _ in widths[1:])
        self.smoothing = ConvNormActivation(width, width)
        self.dropout = nn.Dropout2d(dropout)
        self.narrowing = nn.ModuleList(
            nn.Conv2d(coarser, finer, 1) for finer, coarser in pairwise((*fine, width))
        )
        self.refinement = nn.ModuleList(
            nn.Sequential(ConvNormActivation(2 * each, each), ConvNormActivation(each, each)) for each in fine
        )
        self.mine = nn.Conv2d((*fine, width)[0], 1, 1)

    def pyramid(self, maps: Sequence[Tensor], details: Sequence[Tensor]) -> Tensor:
        """Maps of the encoder and of the branch from a quarter on, finest first -> (images, width, h, w)."""
        own = [lateral(features) for lateral, features in zip(self.lateral, maps, strict=True)]
        for place, (lateral, features) in enumerate(zip(self.detail_lateral, details, strict=True)):
            own[place] = own[place] + lateral(features)
        joined = own.pop()
        for joining in self.joining:
            joined = joined + joining(joined)
            finer = own.pop()
            joined = finer + _resized(joined, finer.shape[-2:])
        return self.dropout(self.smoothing(joined))

    def evidence(self, features: Tensor, details: Sequence[Tensor]) -> Tensor:
        """The pyramid's map and the branch's up to a half -> logits of mine of the images' size."""
        return image_by_image(self, self._refined, features, *details)

    def _refined(self, features: Tensor, *details: Tensor) -> Tensor:
        fine = list(zip(self.narrowing, self.refinement, details, strict=True))
        for narrowing, refinement, detail in reversed(fine):
            coarse = _resized(narrowing(features), detail.shape[-2:])
            features = refinement(torch.cat([detail, coarse], dim=1))
        logits = self.mine(features)
        if not fine:
            logits = _resized(logits, [_FINEST_STRIDE * side for side in logits.shape[-2:]])
        return logits.squeeze(1)


class RateHead(nn.Module):
    """Annual rates of gain and loss from the features of two neighbouring years."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.joint = nn.Conv2d(2 * width, width, 1)
        self.rates = nn.Conv2d(width, 2, 1)

    def forward(self, earlier: Tensor, later: Tensor, size: tuple[int, int]) -> Tensor:
        """(batch, steps, width, h, w) each -> logits of gain and loss, (batch, steps, 2, *size)."""
        features = torch.cat([earlier.flatten(0, 1), later.flatten(0, 1)], dim=1)
        logits = self.rates(F.gelu(self.joint(features)))
        return _resized(logits, size).unflatten(0, earlier.shape[:2])


def _resized(features: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(features.shape[-2:]) == tuple(size):
        return features
    return F.interpolate(features, size=tuple(size), mode="bilinear", align_corners=False)
