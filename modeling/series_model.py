"""Base of the networks that map all years of a place at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor
from transformers.utils.generic import ModelOutput

from .change_detection import check_pairs_of_years, year_pairs
from .configuration import MultispectralConfig
from .losses import check_labels
from .pretrained import EncoderWeights, PretrainedEncoderModel
from .series_losses import LossWeights, series_loss
from .temporal_chain import ChainPosterior, most_likely_path


class SeriesConfig(MultispectralConfig):
    """Base of the series networks' configurations: background 0, mine 1; weights of the loss.

    Attributes:
        cross_entropy_weight: Weight of the cross-entropy of each year's marginal.
        dice_weight: Weight of the soft Dice loss of the marginals.
        likelihood_weight: Weight of the chain's negative log-likelihood of the labelled path, a year.
        pair_weight: Weight of the cross-entropy of the changes between all pairs of years.
        pair_dice_weight: Weight of the soft Dice loss of the changes between all pairs.
        pair_decay: Exponent by which the pairs' weight decreases with their interval; all pairs of an
            interval together weigh interval^-pair_decay.
        edge_weight: Weight of pixels beside a footprint's edge, where labels are least certain; below 1
            the likelihood leaves them out.
    """

    cross_entropy_weight: float = 1.0
    dice_weight: float = 1.0
    likelihood_weight: float = 0.1
    pair_weight: float = 1.0
    pair_dice_weight: float = 1.0
    pair_decay: float = 0.5
    edge_weight: float = 0.5

    keys_to_ignore_at_inference: ClassVar[list[str]] = ["change_logits"]

    _class_names = ("background", "mine")


@dataclass
class SeriesOutput(ModelOutput):
    """Output of the series network.

    Attributes:
        loss: The weighted sum of the losses, if labels were given.
        logits: (batch, years, 2, height, width), float32: logarithms of the probability of background and
            mine in each year.
        change_logits: (batch, pairs, 2, height, width), float32: the same of no change and change, if pairs
            were given.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    change_logits: Tensor | None = None


@dataclass(frozen=True)
class Evidence:
    """The chain of a series, in float32.

    Attributes:
        potentials: (batch, years, 2, height, width): logarithms of each year's weight of each state.
        transitions: (batch, years - 1, 2, 2, height, width): logarithms of transition probabilities.
    """

    potentials: Tensor
    transitions: Tensor

    @classmethod
    def of(cls, mine: Tensor, transitions: Tensor, mask: Tensor | None) -> "Evidence":
        """The chain of each year's logit of mine, (batch, years, height, width).

        Args:
            mine: Of any type; not read where `mask` is False.
            transitions: As in the attribute.
            mask: (batch, years), bool, False where a year has no image; None if all have one.
        """
        logits = mine.float()
        if mask is not None:
            logits = torch.where(mask[..., None, None], logits, 0.0)
        return cls(torch.stack([torch.zeros_like(logits), logits], dim=2), transitions)


class SeriesModel(PretrainedEncoderModel):
    """A network that sees a whole series. Subclasses implement `evidence`.

    The footprints of all years and the changes between any of them come from one chain per pixel
    (`temporal_chain.py`).
    """

    config_class = SeriesConfig
    two_classes_only: ClassVar[bool] = True

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """Published weights of each encoder; none by default."""
        return {}

    def evidence(self, pixel_values: Tensor, years: Tensor, mask: Tensor | None) -> Evidence:
        """The chain of a series, at the images' own size.

        Args:
            pixel_values: (batch, years, channels, height, width), float, normalised.
            years: (batch, years), int64, ascending.
            mask: (batch, years), bool, False where a year has no image; None if all have one.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement evidence")

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        years: Tensor | None = None,
        mask: Tensor | None = None,
        pairs: Sequence[tuple[int, int]] | None = None,
    ) -> SeriesOutput:
        """Map every year of a series and, for any pairs of years, the change between them.

        Args:
            pixel_values: (batch, years, channels, height, width), float, normalised; any number of years, any
                height and width.
            labels: (batch, years, height, width), int64, 0 background, 1 mine, 255 ignored.
            years: (batch, years), int64, ascending; default consecutive years.
            mask: (batch, years), bool, False where a year has no image; its pixel values are not read.
                Between two images the chain fills such a year in; before the first and after the last, both
                states are equally likely.
            pairs: Indices of the years to compare.

        Returns:
            Logits by year, change logits of `pairs` and, with labels, the loss.

        Raises:
            ValueError: Shapes or types do not fit, years are not ascending, a series has no image, or a pair
                does not hold two indices of years.
        """
        years = self._checked_years(pixel_values, years, mask)
        batch, count, _, height, width = pixel_values.shape
        if labels is not None:
            check_labels(labels, (batch, count, height, width), self.num_labels, self.ignore_index)
        asked = None if pairs is None else _checked_pairs(pairs, count)
        evidence = self.evidence(pixel_values, years, mask)
        posterior = ChainPosterior.of(evidence.potentials, evidence.transitions)
        logits = posterior.log_marginals()
        changes = None if asked is None else posterior.log_change_probabilities(asked)
        loss = None if labels is None else self._loss(posterior, logits, labels, years, mask)
        return SeriesOutput(loss=loss, logits=logits, change_logits=changes)

    def predict_footprints(
        self, pixel_values: Tensor, years: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Predict the footprint of every year as the chain's most likely path.

        Changes between its maps are exactly their differences, in any pair of years.

        Args:
            pixel_values: As in `forward`.
            years: As in `forward`.
            mask: As in `forward`.

        Returns:
            (batch, years, height, width), int64.

        Raises:
            ValueError: As in `forward`.
        """
        evidence = self.evidence(pixel_values, self._checked_years(pixel_values, years, mask), mask)
        return most_likely_path(evidence.potentials, evidence.transitions)

    def predict_series(
        self,
        pixel_values: Tensor,
        pairs: Sequence[tuple[int, int]] | None = None,
        chunk: int | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
        years: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Predict the change between any two years of a series, as a change detector does.

        Args:
            pixel_values: (batch, years, channels, height, width), float, normalised.
            pairs: Indices of the years to compare; default all, the earlier first (`year_pairs`).
            chunk: Number of pairs to compare at once; default all.
            transform: Applied to each chunk's logits, to keep less than the logits.
            years: As in `forward`.
            mask: As in `forward`.

        Returns:
            Logits (batch, pairs, 2, height, width), or the transformed chunks, concatenated along dimension
            1.

        Raises:
            ValueError: As in `forward`, or there are no pairs.
        """
        years = self._checked_years(pixel_values, years, mask)
        asked = _checked_pairs(year_pairs(pixel_values.shape[1]) if pairs is None else pairs, years.shape[1])
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk: found {chunk}; expected at least 1 pair at a time.")
        evidence = self.evidence(pixel_values, years, mask)
        posterior = ChainPosterior.of(evidence.potentials, evidence.transitions)
        step = len(asked) if chunk is None else chunk
        results = []
        for start in range(0, len(asked), step):
            logits = posterior.log_change_probabilities(asked[start : start + step])
            results.append(logits if transform is None else transform(logits))
        return torch.cat(results, dim=1)

    def _loss(
        self, posterior: ChainPosterior, logits: Tensor, labels: Tensor, years: Tensor, mask: Tensor | None
    ) -> Tensor:
        ignored = self.ignore_index
        if mask is not None:
            labels = labels.masked_fill(~mask[..., None, None], ignored)
        weights = LossWeights.of(self.config)
        every = year_pairs(labels.shape[1])
        changes = posterior.log_change_probabilities(every) if every and weights.asks_for_pairs else None
        return series_loss(weights, posterior, logits, changes, labels, years, ignored)

    def _checked_years(self, pixel_values: Tensor, years: Tensor | None, mask: Tensor | None) -> Tensor:
        """Years of each series; values are checked only on the CPU and outside of graphs, as for labels."""
        if pixel_values.ndim != 5 or not pixel_values.shape[1]:
            raise ValueError(
                f"pixel_values: found the shape {tuple(pixel_values.shape)}; "
                "expected (batch, years, channels, height, width)."
            )
        self.check_channels(pixel_values.shape[2])
        shape = (pixel_values.shape[0], pixel_values.shape[1])
        for name, given in (("years", years), ("mask", mask)):
            if not isinstance(given, Tensor | None):
                raise ValueError(f"{name}: found a {type(given).__name__}; expected a tensor {shape}.")
            if given is not None and tuple(given.shape) != shape:
                raise ValueError(f"{name}: found the shape {tuple(given.shape)}; expected {shape}.")
        if mask is not None and mask.dtype != torch.bool:
            raise ValueError(f"mask: found {mask.dtype}; expected torch.bool.")
        is_readable = pixel_values.device.type == "cpu" and not torch.compiler.is_compiling()
        if mask is not None and is_readable and not mask.any(dim=1).all():
            raise ValueError("mask: found a series without an image; expected at least one.")
        if years is None:
            return torch.arange(shape[1], device=pixel_values.device).expand(shape)
        if years.dtype != torch.int64:
            raise ValueError(f"years: found {years.dtype}; expected torch.int64.")
        for row in years.tolist() if is_readable else ():
            if any(later <= earlier for earlier, later in pairwise(row)):
                raise ValueError(f"years: found {row}; expected each later than the one before.")
        return years


def _checked_pairs(pairs: Sequence[tuple[int, int]], years: int) -> list[tuple[int, int]]:
    """Pairs of indices of years; `ValueError` where there are none or one does not fit."""
    if not len(pairs):
        raise ValueError(f"pairs: found {list(pairs)}; expected at least one pair of two indices.")
    check_pairs_of_years(pairs, years)
    return [(int(first), int(second)) for first, second in pairs]
