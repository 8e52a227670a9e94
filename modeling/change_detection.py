"""The base classes of the change detectors: encode a year once, decode any pair of years."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor
from transformers.utils.generic import ModelOutput

from .base import MultispectralModel
from .configuration import ChangeDetectionConfig
from .heap import keep_freed_memory
from .losses import check_labels, masked_cross_entropy

# What a decoder gives: the change logits alone, or with the maps of deep supervision behind them.
ChangeMaps = Tensor | tuple[Tensor, ...]
# One year's features: a tensor or a tuple of tensors, the images first in each.
Features = Tensor | tuple[Tensor, ...]

# How many pairs of a series an accelerator decodes at once unless a number is asked for.
ACCELERATOR_CHUNK = 9


@dataclass
class ChangeDetectionOutput(ModelOutput):
    """What a change detector gives.

    Attributes:
        loss: Mean cross-entropy of the pixels that are not ignored, where labels were given.
        logits: (batch, 2, height, width): no change, change. Raw, no softmax.
        auxiliary_logits: Maps of deep supervision, each (batch, 2, height, width), where the network has any.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    auxiliary_logits: tuple[Tensor, ...] | None = None


def year_pairs(years: int) -> list[tuple[int, int]]:
    """All pairs of `years` years, the earlier first, in the order of the benchmark: 45 for ten years."""
    return list(combinations(range(years), 2))


class ChangeDetector(MultispectralModel):
    """A network that finds the change between two dates. A subclass gives `compare`.

    `encodes_years` says whether a date is encoded without a look at the other one; where it is not, a
    series is compared pair by pair. `cpu_chunk` is how many pairs of a series a CPU decodes at once: as a
    rule one patch keeps its cores busy, and the maps of more spill its caches (benchmark/series.py).
    """

    config_class = ChangeDetectionConfig
    encodes_years: ClassVar[bool] = False
    cpu_chunk: ClassVar[int] = 1

    def compare(self, image_1: Tensor, image_2: Tensor) -> ChangeMaps:
        """Two dates, each (batch, channels, height, width) of a side that the network takes -> logits.

        Returns:
            Change logits (batch, 2, height, width), or a tuple of them and the auxiliary maps.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it compares two dates")

    def compare_pairs(self, images: Tensor, first: Tensor, second: Tensor) -> ChangeMaps:
        """Pairs of images, by their numbers -> logits.

        Args:
            images: (images, channels, height, width) of a side that the network takes.
            first: (pairs,), int64: the number of each pair's earlier image.
            second: (pairs,), int64: the number of its later one.

        Returns:
            What `compare` gives for these pairs.
        """
        # Not images[first]: on a CPU with several threads its gradient is summed in an order of chance.
        return self.compare(images.index_select(0, first), images.index_select(0, second))

    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, pairs: Tensor | None = None
    ) -> ChangeDetectionOutput:
        """Find the change between two dates, or within some pairs of many images.

        With `pairs`, logits and loss are those of a batch of these pairs, and so are the gradients, but a
        network that encodes years alone sees each image once, in how many pairs it may be. In training, batch
        norms of the encoder then take their statistics over all images together, each counted once; a batch
        of pairs takes them over the first dates and over the second dates apart.

        Args:
            pixel_values: (batch, 2, channels, height, width), float, normalised; any height and width. With
                `pairs`: (images, channels, height, width), the years of any number of patches.
            labels: (batch or pairs, height, width), int64, 0 no change, 1 change, 255 ignored.
            pairs: (pairs, 2), int64: the numbers of two images each, as they stand in `pixel_values`.

        Returns:
            Logits (batch or pairs, 2, height, width), auxiliary logits where the network has them and, with
            labels, the mean cross-entropy over all pixels that are not ignored, to which
            `config.auxiliary_loss_weight` adds the auxiliary maps' mean.

        Raises:
            ValueError: Not two dates, another number of bands, or labels or pairs that do not fit.
        """
        if pairs is not None:
            _check_pairs(pairs, pixel_values)
        elif pixel_values.ndim != 5 or pixel_values.shape[1] != 2:
            raise ValueError(
                f"pixel_values: found the shape {tuple(pixel_values.shape)}; expected two dates, "
                "(batch, 2, channels, height, width)."
            )
        self.check_channels(pixel_values.shape[-3])
        size = (pixel_values.shape[-2], pixel_values.shape[-1])
        if labels is not None:
            compared = len(pixel_values) if pairs is None else len(pairs)
            check_labels(labels, (compared, *size), self.num_labels, self.config.semantic_loss_ignore_index)
        if pairs is None:
            maps = self.compare(self.pad(pixel_values[:, 0]), self.pad(pixel_values[:, 1]))
        else:
            maps = self.compare_pairs(self.pad(pixel_values), pairs[:, 0], pairs[:, 1])
        logits, auxiliary = self._cropped(maps, size)
        loss = None if labels is None else self.loss(logits, auxiliary, labels)
        return ChangeDetectionOutput(loss=loss, logits=logits, auxiliary_logits=auxiliary or None)

    def loss(self, logits: Tensor, auxiliary: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        """Cross-entropy of the main map and, weighted, of the auxiliary ones."""
        ignored = self.config.semantic_loss_ignore_index
        loss = masked_cross_entropy(logits, labels, ignored)
        if auxiliary and self.config.auxiliary_loss_weight:
            losses = [masked_cross_entropy(maps, labels, ignored) for maps in auxiliary]
            loss = loss + self.config.auxiliary_loss_weight * torch.stack(losses).mean()
        return loss

    def predict_series(
        self,
        pixel_values: Tensor,
        pairs: Sequence[tuple[int, int]] | None = None,
        chunk: int | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """The change between any two years of a series.

        A network that encodes years alone sees each year once, however many pairs ask for it, and years that
        no pair asks for not at all. The result equals a call of the network for each pair, to float rounding.

        Args:
            pixel_values: (batch, years, channels, height, width), float, normalised.
            pairs: Which years to compare, as indices; default all, the earlier first (`year_pairs`).
            chunk: How many pairs are decoded at once, of each series of the batch: the memory it takes grows
                with it. Default `cpu_chunk`, 1 for most, on a CPU and 9 elsewhere.
            transform: Applied to each chunk's logits (batch, pairs, 2, height, width) before the next is
                decoded, to keep less than logits: `lambda logits: logits.argmax(2)`.

        Returns:
            Logits (batch, pairs, 2, height, width), or what `transform` makes of them, along dimension 1.

        Raises:
            ValueError: Another number of dimensions or bands, no pairs, or a pair that is no pair of years.
        """
        if pixel_values.ndim != 5:
            raise ValueError(
                f"pixel_values: found the shape {tuple(pixel_values.shape)}; "
                "expected (batch, years, channels, height, width)."
            )
        batch, years, channels, height, width = pixel_values.shape
        self.check_channels(channels)
        pairs = year_pairs(years) if pairs is None else list(pairs)
        if not pairs:
            raise ValueError(f"pairs: found none in a series of {years} years; expected at least one pair.")
        for pair in pairs:
            if len(pair) != 2 or not all(0 <= year < years for year in pair):
                raise ValueError(
                    f"pairs: found {pair}; expected two indices below {years}, the number of years."
                )
        if chunk is None:
            chunk = self.cpu_chunk if pixel_values.device.type == "cpu" else ACCELERATOR_CHUNK
        if chunk < 1:
            raise ValueError(f"chunk: found {chunk}; expected at least 1 pair at a time.")
        if pixel_values.device.type == "cpu":
            keep_freed_memory()
        asked = sorted({year for pair in pairs for year in pair})
        images = {year: self.pad(pixel_values[:, year]) for year in asked}
        decode = self._pair_decoder(images, 2 * chunk)
        results = []
        for start in range(0, len(pairs), chunk):
            part = pairs[start : start + chunk]
            maps = decode([first for first, _ in part], [second for _, second in part])
            logits, _ = self._cropped(maps, (height, width))
            logits = logits.unflatten(0, (len(part), batch)).transpose(0, 1)
            results.append(logits if transform is None else transform(logits))
        return torch.cat(results, dim=1)

    def _pair_decoder(
        self, images: dict[int, Tensor], chunk: int
    ) -> Callable[[list[int], list[int]], ChangeMaps]:
        """A function from the pairs' first and second years to their maps, the pairs outermost.

        Args:
            images: (batch, channels, height, width) by year, of a side that the network takes.
            chunk: How many years may be encoded at once.
        """

        def decode(first: list[int], second: list[int]) -> ChangeMaps:
            return self.compare(*(_joined([images[year] for year in years]) for years in (first, second)))

        return decode

    def _cropped(self, maps: ChangeMaps, size: tuple[int, int]) -> tuple[Tensor, tuple[Tensor, ...]]:
        logits, *auxiliary = (maps,) if isinstance(maps, Tensor) else maps
        return logits[..., : size[0], : size[1]], tuple(each[..., : size[0], : size[1]] for each in auxiliary)


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors one after the other in the batch; a single one is not copied."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _check_pairs(pairs: Tensor, images: Tensor) -> None:
    """Refuse what are no images or no pairs of them; numbers are looked at where labels would be.

    Raises:
        ValueError: Another number of dimensions, another type, no pair, or a number without an image.
    """
    if images.ndim != 4:
        raise ValueError(
            f"pixel_values: found the shape {tuple(images.shape)}; "
            "expected (images, channels, height, width) beside pairs."
        )
    if pairs.dtype != torch.int64:
        raise ValueError(f"pairs: found {pairs.dtype}; expected torch.int64.")
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise ValueError(f"pairs: found the shape {tuple(pairs.shape)}; expected (pairs, 2).")
    if pairs.device.type != "cpu" or torch.compiler.is_compiling():
        return
    if pairs.min() < 0 or pairs.max() >= len(images):
        found = sorted(set(pairs.flatten().tolist()) - set(range(len(images))))
        raise ValueError(f"pairs: found {found[:5]}; expected indices of images, 0 to {len(images) - 1}.")


class SiameseChangeDetector(ChangeDetector):
    """A network whose encoder sees one date at a time. A subclass gives `encode` and `decode`."""

    encodes_years: ClassVar[bool] = True

    def encode(self, pixel_values: Tensor) -> Features:
        """One date (batch, channels, height, width) of a side that the network takes -> its features."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it encodes a date")

    def decode(self, features_1: Features, features_2: Features) -> ChangeMaps:
        """Two dates' features -> change logits (batch, 2, height, width), and auxiliary maps if any."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it decodes two dates")

    def compare(self, image_1: Tensor, image_2: Tensor) -> ChangeMaps:
        """Encode both dates and decode them.

        The dates are encoded one after the other, as the published networks do: in one batch, training
        would take a batch norm's statistics over both.
        """
        return self.decode(self.encode(image_1), self.encode(image_2))

    def compare_pairs(self, images: Tensor, first: Tensor, second: Tensor) -> ChangeMaps:
        """Encode each image once and decode the pairs."""
        features = self.encode(images)

        def chosen(numbers: Tensor) -> Features:
            if isinstance(features, Tensor):
                return features.index_select(0, numbers)
            return tuple(feature.index_select(0, numbers) for feature in features)

        return self.decode(chosen(first), chosen(second))

    def decode_main(self, features_1: Features, features_2: Features) -> Tensor:
        """Two dates' features -> change logits (batch, 2, height, width), those of `decode`.

        A network whose auxiliary maps take work that its logits do not need leaves that work out here.
        """
        maps = self.decode(features_1, features_2)
        return maps if isinstance(maps, Tensor) else maps[0]

    def _pair_decoder(
        self, images: dict[int, Tensor], chunk: int
    ) -> Callable[[list[int], list[int]], ChangeMaps]:
        features: dict[int, tuple[Tensor, ...]] = {}
        years = list(images)
        is_tuple = False
        for start in range(0, len(years), chunk):
            part = years[start : start + chunk]
            encoded = self.encode(_joined([images[year] for year in part]))
            is_tuple = not isinstance(encoded, Tensor)
            maps = (encoded,) if isinstance(encoded, Tensor) else encoded
            # Of each map a year's share, which is no copy.
            shares = (each.unflatten(0, (len(part), -1)).unbind() for each in maps)
            features |= dict(zip(part, zip(*shares, strict=True), strict=True))

        def of_years(asked: list[int]) -> Features:
            maps = tuple(_joined(scale) for scale in zip(*(features[year] for year in asked), strict=True))
            return maps if is_tuple else maps[0]

        def decode(first: list[int], second: list[int]) -> ChangeMaps:
            return self.decode_main(of_years(first), of_years(second))

        return decode
