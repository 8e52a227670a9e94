"""Layers that join the years of a series, with gaps and missing years: attention and convolutions."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Periods of the year embedding, in years: the shortest separates neighbouring years, the longest decades.
SHORTEST_PERIOD = 4.0
LONGEST_PERIOD = 128.0


@dataclass(frozen=True)
class NeighbouringYears:
    """For each year of each series, the nearest years with an image before and after it.

    Attributes:
        previous: (batch, years), int64: index of the last year with an image before this one, -1 for none.
        following: (batch, years), int64: index of the first one after it, -1 for none.
    """

    previous: Tensor
    following: Tensor

    @classmethod
    def of(cls, present: Tensor) -> "NeighbouringYears":
        """The neighbours of all years, given which have an image, (batch, years), bool."""
        count = present.shape[1]
        index = torch.arange(count, device=present.device)
        # (batch, year, other year): a maximum over the others is exported where a running one is not.
        before = present.unsqueeze(1) & (index[None, :, None] > index)
        after = present.unsqueeze(1) & (index[None, :, None] < index)
        previous = torch.where(before, index, -1).amax(dim=2)
        following = torch.where(after, index, count).amin(dim=2)
        return cls(previous, torch.where(following == count, -1, following))


@dataclass(frozen=True)
class ImagePacking:
    """Leaves missing years out of layers for single images, and so out of batch norms' statistics.

    A graph cannot do this, as the number of images depends on the data; zeros stand for missing images
    there.

    Attributes:
        index: Indices of the images that exist, among all; None if all do.
        shape: Numbers of series and years.
        blank: (series * years,), bool: images that a graph replaces by zeros.
    """

    index: Tensor | None
    shape: tuple[int, int]
    blank: Tensor | None = None

    @classmethod
    def of(cls, mask: Tensor | None, batch: int, count: int) -> "ImagePacking":
        """The packing of series of `count` years, given which years have an image, or None if all do."""
        if mask is None:
            return cls(None, (batch, count))
        if torch.compiler.is_compiling() or mask.device.type == "meta":
            return cls(None, (batch, count), ~mask.flatten())
        return cls(mask.flatten().nonzero().squeeze(1), (batch, count))

    def chosen(self, images: Tensor) -> Tensor:
        """All images -> those that exist."""
        if self.blank is not None:
            return images.masked_fill(self.blank[:, None, None, None], 0.0)
        return images if self.index is None else images.index_select(0, self.index)

    def packed(self, features: Tensor) -> Tensor:
        """(series, years, ...) -> (images that exist, ...)."""
        flat = features.flatten(0, 1)
        return flat if self.index is None else flat.index_select(0, self.index)

    def unpacked(self, features: Tensor) -> Tensor:
        """(images that exist, ...) -> (series, years, ...), zero where there is no image."""
        if self.index is not None:
            count = self.shape[0] * self.shape[1]
            features = features.new_zeros(count, *features.shape[1:]).index_copy(0, self.index, features)
        return features.unflatten(0, self.shape)


def years_at(features: Tensor, index: Tensor) -> Tensor:
    """Features of one chosen year for each year; zero where the index is -1.

    Args:
        features: (batch, years, channels, height, width).
        index: (batch, any number), int64.

    Returns:
        (batch, that number, channels, height, width).
    """
    batch, years = features.shape[:2]
    rows = torch.arange(batch, device=index.device)[:, None] * years + index.clamp(min=0)
    # Not features[index]: on a CPU with several threads its gradient is summed in a random order.
    chosen = features.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, tuple(index.shape))
    return torch.where((index >= 0)[..., None, None, None], chosen, 0.0)


def years_since_first(years: Tensor, mask: Tensor | None) -> Tensor:
    """Years relative to the first image's, so that years without images before it change nothing.

    Args:
        years: (batch, years), int64, ascending.
        mask: (batch, years), bool, False where a year has no image; None if all have one.

    Returns:
        The same shape; negative before the first image.
    """
    last = years.amax(dim=1, keepdim=True)
    return years - (years if mask is None else torch.where(mask, years, last)).amin(dim=1, keepdim=True)


def year_embedding(years: Tensor, width: int) -> Tensor:
    """Sines and cosines of years, with periods from 4 to 128 years (Vaswani et al., NeurIPS 2017).

    Args:
        years: (batch, years), numbers relative to any origin.
        width: Number of channels, even.

    Returns:
        (batch, years, width), float32.
    """
    count = width // 2
    exponents = torch.arange(count, device=years.device) / max(count - 1, 1)
    periods = SHORTEST_PERIOD * (LONGEST_PERIOD / SHORTEST_PERIOD) ** exponents
    angles = 2 * math.pi * years.float().unsqueeze(2) / periods
    return torch.cat([angles.sin(), angles.cos()], dim=2)


class TemporalBlock(nn.Module):
    """Attention over the years at each pixel and a feed-forward layer, both residual and zero at the start.

    Args:
        width: Channels.
        heads: Attention heads.

    Raises:
        ValueError: The width is odd or no multiple of the heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads or width % 2:
            raise ValueError(
                f"temporal_heads: found {heads} for {width} channels; expected a divisor of an even number."
            )
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width)
        self.query_and_key = nn.Linear(width, 2 * width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)

    @property
    def zero_layers(self) -> tuple[nn.Linear, ...]:
        """Layers that begin at zero."""
        return self.output, self.outer

    def forward(self, features: Tensor, years: Tensor, mask: Tensor | None) -> Tensor:
        """Let the years of each pixel see each other.

        Args:
            features: (batch, years, channels, height, width).
            years: (batch, years), relative to the first image's year.
            mask: (batch, years), bool, False where a year has no image and must not be seen.

        Returns:
            The same shape.
        """
        batch, _, width, rows, columns = features.shape
        tokens = features.permute(0, 3, 4, 1, 2).flatten(1, 2)  # batch, pixels, years, channels
        normed = self.norm_1(tokens)
        embedded = normed + year_embedding(years, width).unsqueeze(1).to(normed)
        query, key, value = (
            each.unflatten(3, (self.heads, -1)).transpose(2, 3).flatten(0, 1)
            for each in (*self.query_and_key(embedded).chunk(2, dim=3), self.value(normed))
        )
        seen = None
        if mask is not None:
            seen = mask[:, None, None, None].expand(-1, rows * columns, -1, -1, -1).flatten(0, 1)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        found = found.transpose(1, 2).flatten(2).unflatten(0, (batch, -1))
        tokens = tokens + self.output(found)
        tokens = tokens + self.outer(F.gelu(self.inner(self.norm_2(tokens))))
        return tokens.unflatten(1, (rows, columns)).permute(0, 3, 4, 1, 2).contiguous()


class TemporalConvolution(nn.Module):
    """A convolution over three neighbouring years with images, residual and zero at the start.

    Depthwise over the years, then over channels. A year without a neighbour sees zeros there.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Conv2d(3 * width, width, 1, groups=width)
        self.output = nn.Conv2d(width, width, 1)

    @property
    def zero_layers(self) -> tuple[nn.Conv2d, ...]:
        """Layers that begin at zero."""
        return (self.output,)

    def forward(self, features: Tensor, neighbours: NeighbouringYears) -> Tensor:
        """(batch, years, channels, height, width) -> the same shape."""
        around = [years_at(features, index) for index in (neighbours.previous, neighbours.following)]
        # Three years of a channel lie side by side, as a group of the convolution expects them.
        triples = torch.stack([around[0], features, around[1]], dim=3).flatten(0, 1).flatten(1, 2)
        joined = self.output(F.gelu(self.weight(triples)))
        return features + joined.unflatten(0, features.shape[:2])
