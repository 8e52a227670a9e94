"""Base classes of the change detectors: encode a year once, decode any pair of years."""

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
from .offload import weights_in_place

# Change logits, alone or followed by the maps of deep supervision.
ChangeMaps = Tensor | tuple[Tensor, ...]
# One year's features; the first dimension of each tensor counts images.
Features = Tensor | tuple[Tensor, ...]

# Default number of pairs of a series decoded at once on an accelerator.
ACCELERATOR_CHUNK = 9


@dataclass
class ChangeDetectionOutput(ModelOutput):
    """Output of a change detector.

    Attributes:
        loss: Mean cross-entropy of the pixels that are not ignored, if labels were given.
        logits: (batch, 2, height, width): no change, change; no softmax.
        auxiliary_logits: Maps of deep supervision, each (batch, 2, height, width), if the network has any.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    auxiliary_logits: tuple[Tensor, ...] | None = None


def year_pairs(years: int) -> list[tuple[int, int]]:
    """All pairs of year indices, the earlier first, in the order of the benchmark: 45 for ten years."""
    return list(combinations(range(years), 2))


def check_pairs_of_years(pairs: Sequence[Sequence[int]], years: int) -> None:
    """Refuse pairs that do not hold two indices of `years` years, with a `ValueError`."""
    for pair in pairs:
        if len(pair) != 2 or not all(0 <= year < years for year in pair):
            raise ValueError(f"pairs: found {pair}; expected two indices below {years}, the number of years.")


class ChangeDetector(MultispectralModel):
    """A network that finds the change between two dates. Subclasses implement `compare`.

    Attributes:
        encodes_years: Whether each date is encoded independently of the other; if not, a series is compared
            pair by pair.
        cpu_chunk: Number of pairs of a series that a CPU decodes at once. One is usually best: a patch keeps
            the cores busy, and the maps of several spill the caches (benchmark/series_speed.py).
    """

    config_class = ChangeDetectionConfig
    encodes_years: ClassVar[bool] = False
    cpu_chunk: ClassVar[int] = 1

    def compare(self, image_1: Tensor, image_2: Tensor) -> ChangeMaps:
        """Two dates, each (batch, channels, height, width), already padded -> logits.

        Returns:
            Change logits (batch, 2, height, width), or a tuple of them and the auxiliary maps.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement compare")

    def compare_pairs(self, images: Tensor, first: Tensor, second: Tensor) -> ChangeMaps:
        """Pairs of images, by index -> logits.

        Args:
            images: (images, channels, height, width), already padded.
            first: (pairs,), int64: index of each pair's earlier image.
            second: (pairs,), int64: index of its later image.

        Returns:
            As `compare`, for these pairs.
        """
        # Not images[first]: on a CPU with several threads its gradient is summed in a random order.
        return self.compare(images.index_select(0, first), images.index_select(0, second))

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        pairs: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> ChangeDetectionOutput:
        """Find the change between two dates, or within pairs of many images.

        With `pairs`, logits, loss and gradients are those of a batch of these pairs, but a network that
        encodes years independently encodes each image only once. In training, batch norms of the encoder then
        compute their statistics over all images, each counted once; for a batch of pairs they do so over the
        first dates and over the second dates separately.

        Args:
            pixel_values: (batch, 2, channels, height, width), float, normalised; any height and width. With
                `pairs`: (images, channels, height, width), the years of any number of patches.
            labels: (batch or pairs, height, width), int64, 0 no change, 1 change, 255 ignored.
            pairs: (pairs, 2), int64: indices of two images each in `pixel_values`.
            num_items_in_batch: Number of labelled pixels in the whole batch of an optimiser step, where
                this is a part of it: the losses of all parts then add up to that of the batch.

        Returns:
            Logits (batch or pairs, 2, height, width), auxiliary logits if the network has them and, with
            labels, the mean cross-entropy over all pixels that are not ignored, plus the auxiliary maps' mean
            times `config.auxiliary_loss_weight`.

        Raises:
            ValueError: There are not two dates, the bands are of another number, or labels or pairs do not
                fit.
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
            check_labels(labels, (compared, *size), self.num_labels, self.ignore_index)
        if pairs is None:
            maps = self.compare(self.pad(pixel_values[:, 0]), self.pad(pixel_values[:, 1]))
        else:
            maps = self.compare_pairs(self.pad(pixel_values), pairs[:, 0], pairs[:, 1])
        logits, auxiliary = self._cropped(maps, size)
        loss = None if labels is None else self.loss(logits, auxiliary, labels, num_items_in_batch)
        return ChangeDetectionOutput(loss=loss, logits=logits, auxiliary_logits=auxiliary or None)

    def loss(
        self,
        logits: Tensor,
        auxiliary: tuple[Tensor, ...],
        labels: Tensor,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Cross-entropy of the main map and, weighted, of the auxiliary ones."""
        ignored = self.ignore_index
        loss = masked_cross_entropy(logits, labels, ignored, num_items_in_batch)
        if auxiliary and self.config.auxiliary_loss_weight:
            losses = [masked_cross_entropy(maps, labels, ignored, num_items_in_batch) for maps in auxiliary]
            loss = loss + self.config.auxiliary_loss_weight * torch.stack(losses).mean()
        return loss

    def predict_series(
        self,
        pixel_values: Tensor,
        pairs: Sequence[tuple[int, int]] | None = None,
        chunk: int | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Predict the change between any two years of a series.

        A network that encodes years independently encodes each year of `pairs` once. The result equals one
        call of the network per pair, to float rounding.

        Args:
            pixel_values: (batch, years, channels, height, width), float, normalised.
            pairs: Indices of the years to compare; default all, the earlier first (`year_pairs`).
            chunk: Number of pairs of each series to decode at once; memory grows with it. Default
                `cpu_chunk`, mostly 1, on a CPU and 9 elsewhere.
            transform: Applied to each chunk's logits (batch, pairs, 2, height, width) before the next is
                decoded, to keep less than the logits: `lambda logits: logits.argmax(2)`.

        Returns:
            Logits (batch, pairs, 2, height, width), or the transformed chunks, concatenated along dimension
            1.

        Raises:
            ValueError: The number of dimensions or bands does not fit, there are no pairs, or a pair does not
                hold two indices of years.
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
        check_pairs_of_years(pairs, years)
        if chunk is None:
            chunk = self.cpu_chunk if pixel_values.device.type == "cpu" else ACCELERATOR_CHUNK
        if chunk < 1:
            raise ValueError(f"chunk: found {chunk}; expected at least 1 pair at a time.")
        if pixel_values.device.type == "cpu":
            keep_freed_memory()
        asked = sorted({year for pair in pairs for year in pair})
        images = {year: self.pad(pixel_values[:, year]) for year in asked}
        results = []
        with weights_in_place(self):
            decode = self._pair_decoder(images, 2 * chunk)
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
        """Build a function from the pairs' first and second years to their maps, pairs outermost.

        Args:
            images: (batch, channels, height, width) by year, already padded.
            chunk: Maximum number of years to encode at once.
        """

        def decode(first: list[int], second: list[int]) -> ChangeMaps:
            return self.compare(*(_joined([images[year] for year in years]) for years in (first, second)))

        return decode

    def _cropped(self, maps: ChangeMaps, size: tuple[int, int]) -> tuple[Tensor, tuple[Tensor, ...]]:
        logits, *auxiliary = (maps,) if isinstance(maps, Tensor) else maps
        return logits[..., : size[0], : size[1]], tuple(each[..., : size[0], : size[1]] for each in auxiliary)


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate tensors along the batch; a single one is not copied."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _check_pairs(pairs: Tensor, images: Tensor) -> None:
    """Refuse pairs that do not fit the images; values are checked only on the CPU, as for labels.

    Raises:
        ValueError: Shape or type do not fit, there is no pair, or an index has no image.
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
    """A network whose encoder sees one date at a time. Subclasses implement `encode` and `decode`."""

    encodes_years: ClassVar[bool] = True

    def encode(self, pixel_values: Tensor) -> Features:
        """One date (batch, channels, height, width), already padded -> its features."""
        raise NotImplementedError(f"{type(self).__name__} does not implement encode")

    def decode(self, features_1: Features, features_2: Features) -> ChangeMaps:
        """Two dates' features -> change logits (batch, 2, height, width) and auxiliary maps, if any."""
        raise NotImplementedError(f"{type(self).__name__} does not implement decode")

    def compare(self, image_1: Tensor, image_2: Tensor) -> ChangeMaps:
        """Encode both dates and decode them.

        The dates are encoded one after the other, as in the published networks: in one batch, batch norms
        would compute their statistics over both in training.
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
        """Two dates' features -> the change logits of `decode`, (batch, 2, height, width).

        Networks override this to skip work that only the auxiliary maps need.
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
            # Views of each year's maps.
            shares = (each.unflatten(0, (len(part), -1)).unbind() for each in maps)
            features |= dict(zip(part, zip(*shares, strict=True), strict=True))

        def of_years(asked: list[int]) -> Features:
            maps = tuple(_joined(scale) for scale in zip(*(features[year] for year in asked), strict=True))
            return maps if is_tuple else maps[0]

        def decode(first: list[int], second: list[int]) -> ChangeMaps:
            return self.decode_main(of_years(first), of_years(second))

        return decode
