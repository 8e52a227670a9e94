"""Decoder of the series network: evidence for a mine in each year, and rates of change between years.

The feature pyramid follows Lin et al., "Feature pyramid networks for object detection", CVPR 2017.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import ConvNormActivation


class SeriesDecoder(nn.Module):
    """A feature pyramid to a quarter of the scale, and a refinement at the image's own.

    Args:
        widths: Channels of the encoder's maps, finest first.
        num_channels: Channels of the images.
        width: Channels of the pyramid.
        detail: Channels at the image's own resolution; 0 for no refinement.
        dropout: Dropout of the pyramid's channels.
    """

    def __init__(
        self, widths: Sequence[int], num_channels: int, width: int, detail: int, dropout: float
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in widths)
        self.smoothing = ConvNormActivation(width, width)
        self.dropout = nn.Dropout2d(dropout)
        if detail:
            self.detail = ConvNormActivation(num_channels, detail)
            self.narrowing = nn.Conv2d(width, detail, 1)
            self.refinement = ConvNormActivation(2 * detail, detail)
        self.mine = nn.Conv2d(detail or width, 1, 1)

    def pyramid(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps, each (images, channels, h, w), finest first -> (images, width, h, w) of the finest."""
        joined: Tensor | None = None
        for lateral, features in zip(reversed(self.lateral), reversed(maps), strict=True):
            own = lateral(features)
            joined = own if joined is None else own + _resized(joined, own.shape[-2:])
        return self.dropout(self.smoothing(joined))

    def evidence(self, images: Tensor, features: Tensor) -> Tensor:
        """Padded images and the pyramid's map -> logits of mine, (images, height, width)."""
        if hasattr(self, "detail"):
            coarse = _resized(self.narrowing(features), images.shape[-2:])
            features = self.refinement(torch.cat([self.detail(images), coarse], dim=1))
        return _resized(self.mine(features), images.shape[-2:]).squeeze(1)


class RateHead(nn.Module):
    """Annual rates of gain and loss from the features of two neighbouring years."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.joint = nn.Conv2d(2 * width, width, 1)
        self.rates = nn.Conv2d(width, 2, 1)

    def forward(self, earlier: Tensor, later: Tensor, size: tuple[int, int]) -> Tensor:
        """(batch, steps, width, h, w) each -> logits of gain and loss, (batch, steps, 2, *size)."""
        features = torch.cat([earlier, later], dim=2).flatten(0, 1)
        logits = self.rates(F.gelu(self.joint(features)))
        return _resized(logits, size).unflatten(0, earlier.shape[:2])


def _resized(features: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(features.shape[-2:]) == tuple(size):
        return features
    return F.interpolate(features, size=tuple(size), mode="bilinear", align_corners=False)
