"""Layers that join the years of a series, with gaps and missing years: attention, neighbours and means."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Periods of the year embedding, in years: the shortest separates neighbouring years, the longest decades.
SHORTEST_PERIOD = 4.0
LONGEST_PERIOD = 128.0
# Parts of an image's height that years are mixed in, where no gradients are needed.
_STRIPS = 16


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
class YearMixing:
    """Weights by which each year of a series sees the years with images, for several kinds of sight.

    Attributes:
        weights: For each of `KINDS`, (batch, years, other years), float32; each row sums to 1, or to 0 where
            there is nothing to see.
    """

    weights: tuple[Tensor, ...]

    KINDS: ClassVar[tuple[str, ...]] = ("itself", "before", "after", "earlier", "later", "all")

    @classmethod
    def of(cls, present: Tensor, neighbours: NeighbouringYears) -> "YearMixing":
        """The weights, given which years have an image, (batch, years), bool.

        `before` and `after` are the nearest images; `earlier`, `later` and `all` are means of images.
        """
        index = torch.arange(present.shape[1], device=present.device)
        seen = present.unsqueeze(1).expand(-1, present.shape[1], -1)
        rows = (
            (index == index[:, None]).expand_as(seen),
            index == neighbours.previous.unsqueeze(2),
            index == neighbours.following.unsqueeze(2),
            seen & (index < index[:, None]),
            seen & (index > index[:, None]),
            seen,
        )
        return cls(tuple(each / each.sum(dim=2, keepdim=True).clamp(min=1) for each in rows))

    def joined(self, kind: int, features: Tensor) -> Tensor:
        """Features (batch, years, channels, height, width) as each year sees them, of the same shape."""
        # Years alone are joined, so maps are read in the order in which they lie.
        lying = features.permute(0, 1, 3, 4, 2) if has_innermost_channels(features) else features
        flat = lying.flatten(2)
        seen = torch.bmm(self.weights[kind].to(flat), flat).view(lying.shape)
        return seen if lying is features else seen.permute(0, 1, 4, 2, 3)


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
        return images if self.index is None else _selected(images, self.index)

    def packed(self, features: Tensor) -> Tensor:
        """(series, years, ...) -> (images that exist, ...)."""
        flat = features.flatten(0, 1)
        return flat if self.index is None else _selected(flat, self.index)

    def unpacked(self, features: Tensor) -> Tensor:
        """(images that exist, ...) -> (series, years, ...), zero where there is no image."""
        if (index := self.index) is not None:
            count = self.shape[0] * self.shape[1]
            features = _lying_as(
                features,
                lambda lying: lying.new_zeros(count, *lying.shape[1:]).index_copy(0, index, lying),
            )
        return features.unflatten(0, self.shape)


def has_innermost_channels(maps: Tensor) -> bool:
    """Whether maps (..., channels, height, width) of a CPU keep their channels innermost."""
    return maps.device.type == "cpu" and maps.ndim > 3 and maps.stride(-3) == 1


def _lying_as(maps: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
    """A function of the first dimension of maps (images, ...) whose result lies in memory as they do."""
    if has_innermost_channels(maps):
        return run(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return run(maps)


def _selected(maps: Tensor, index: Tensor) -> Tensor:
    """Images of maps (images, ...) by index, which lie in memory as the maps do."""
    return _lying_as(maps, lambda lying: lying.index_select(0, index))


def image_by_image(layers: nn.Module, run: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """Run layers that see single images on one image after the other where that saves memory.

    At an image's own resolution, a series of ten years otherwise takes twice the memory. With gradients, all
    maps are kept anyway, and batch norms in training need all images at once.

    Args:
        layers: The layers; their mode decides.
        run: Calls them.
        maps: Their inputs, (images, ...) each.
    """
    together = layers.training or torch.is_grad_enabled() or torch.compiler.is_compiling()
    if together or maps[0].shape[0] < 2:
        return run(*maps)
    return torch.cat([run(*images) for images in zip(*(each.split(1) for each in maps), strict=True)])


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
    chosen = _selected(features.flatten(0, 1), rows.flatten()).unflatten(0, tuple(index.shape))
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
        maps = tokens.unflatten(1, (rows, columns))
        if has_innermost_channels(features):
            return maps.permute(0, 3, 1, 2, 4).contiguous().permute(0, 1, 4, 2, 3)
        return maps.permute(0, 3, 4, 1, 2).contiguous()


class TemporalMixing(nn.Module):
    """Adds to each year's features those of the other years, pixel by pixel; zero at the start.

    A convolution of 1 x 1 for each kind of `YearMixing`: the year itself, the image before, the image after,
    and the means of all earlier, all later and all images.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kinds = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in YearMixing.KINDS)

    @property
    def zero_layers(self) -> tuple[nn.Module, ...]:
        """Layers that begin at zero."""
        return tuple(self.kinds)

    def forward(self, features: Tensor, mixing: YearMixing) -> Tensor:
        """(batch, years, channels, height, width) -> the same shape."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._joined(features, mixing)
        # Pixels are independent of each other, so a few rows at a time take next to no memory.
        found, rows = torch.empty_like(features), max(1, features.shape[3] // _STRIPS)
        for stripe, result in zip(features.split(rows, dim=3), found.split(rows, dim=3), strict=True):
            # A few rows of a map have gaps between them, for which convolutions are slow.
            dense = _lying_as(stripe.flatten(0, 1), torch.Tensor.contiguous).unflatten(0, stripe.shape[:2])
            result.copy_(self._joined(dense, mixing))
        return found

    def _joined(self, features: Tensor, mixing: YearMixing) -> Tensor:
        images, joined = features.flatten(0, 1), features
        # Kind by kind, as all at once would take six times the memory.
        for place, convolution in enumerate(self.kinds):
            part = convolution(images).unflatten(0, features.shape[:2])
            joined = joined + mixing.joined(place, part)
        return joined
