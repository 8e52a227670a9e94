"""Loss of the series network: marginals, the chain's likelihood, and changes between all pairs of years."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .change_detection import year_pairs
from .temporal_chain import ChainPosterior


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; `SeriesConfig` explains each.

    Attributes:
        cross_entropy: Cross-entropy of each year's marginal.
        dice: Soft Dice loss of the marginals.
        likelihood: Negative log-likelihood of the labelled path, a year.
        pair: Cross-entropy of the changes between all pairs.
        pair_dice: Soft Dice loss of the changes between all pairs.
        pair_decay: Exponent by which a pair's weight decreases with its interval.
        edge: Weight of pixels beside a footprint's edge.
    """

    cross_entropy: float
    dice: float
    likelihood: float
    pair: float
    pair_dice: float
    pair_decay: float
    edge: float

    @classmethod
    def of(cls, config: Any) -> "LossWeights":
        """The weights in a network's configuration, whose fields end in `_weight`."""
        return cls(
            cross_entropy=config.cross_entropy_weight,
            dice=config.dice_weight,
            likelihood=config.likelihood_weight,
            pair=config.pair_weight,
            pair_dice=config.pair_dice_weight,
            pair_decay=config.pair_decay,
            edge=config.edge_weight,
        )

    @property
    def asks_for_pairs(self) -> bool:
        """Whether a term needs the changes between all pairs."""
        return bool(self.pair or self.pair_dice)


def footprint_edges(labels: Tensor, ignore_index: int) -> Tensor:
    """Pixels with both classes among themselves and their eight neighbours.

    Args:
        labels: (..., height, width), int64.
        ignore_index: The label of pixels that are neither.

    Returns:
        The same shape, bool; False for ignored pixels.
    """
    rows = labels.flatten(0, -3).unsqueeze(1)
    near = [F.max_pool2d((rows == state).float(), 3, stride=1, padding=1) > 0 for state in (0, 1)]
    return ((near[0] & near[1]).squeeze(1) & (rows.squeeze(1) != ignore_index)).view(labels.shape)


def weighted_cross_entropy(log_probabilities: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean cross-entropy of each map; 0 where the weights are.

    Args:
        log_probabilities: (batch, maps, 2, height, width).
        labels: (batch, maps, height, width), int64; 0 or 1 where the weight is not 0.
        weights: (batch, maps, height, width).

    Returns:
        (maps,), each over the whole batch.
    """
    chosen = torch.where(labels == 1, log_probabilities[:, :, 1], log_probabilities[:, :, 0])
    totals = weights.sum(dim=(0, 2, 3))
    return -(chosen * weights).sum(dim=(0, 2, 3)) / totals.clamp(min=torch.finfo(totals.dtype).tiny)


def soft_dice_loss(log_probabilities: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """One minus the soft Dice coefficient of mine over the batch, smoothed by one pixel.

    Milletari, Navab, Ahmadi, "V-Net", 3DV 2016, without squares in the denominator.

    Args:
        log_probabilities: (batch, years, 2, height, width).
        labels: (batch, years, height, width), int64.
        valid: The same shape, bool: pixels that count.
    """
    return weighted_dice_loss(log_probabilities, labels, valid.to(log_probabilities))


def weighted_dice_loss(log_probabilities: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """As `soft_dice_loss`, each pixel counting by its weight.

    Args:
        log_probabilities: (batch, maps, 2, height, width).
        labels: (batch, maps, height, width), int64; not read where the weight is 0.
        weights: (batch, maps, height, width).
    """
    counted = weights > 0
    found = torch.where(counted, log_probabilities[:, :, 1].exp() * weights, 0.0)
    truth = (labels == 1).to(weights) * weights
    overlap = (found * (labels == 1)).sum()
    return 1 - (2 * overlap + 1) / (found.sum() + truth.sum() + 1)


def pair_weights(years: Tensor, decay: float) -> Tensor:
    """Weights of all pairs of years, so that all pairs of one interval together weigh interval^-decay.

    Args:
        years: (batch, years), int64, ascending.
        decay: 0 weighs all intervals equally; larger numbers favour short ones.

    Returns:
        (batch, pairs), float32, in the order of `year_pairs`; each series' sum is the sum over its intervals.
    """
    first, second = zip(*year_pairs(years.shape[1]), strict=True)
    intervals = years[:, list(second)] - years[:, list(first)]
    count = (intervals.unsqueeze(1) == intervals.unsqueeze(2)).sum(dim=2)
    return intervals.float().pow(-decay) / count


def series_loss(
    weights: LossWeights,
    posterior: ChainPosterior,
    logits: Tensor,
    change_logits: Tensor | None,
    labels: Tensor,
    years: Tensor,
    ignore_index: int,
) -> Tensor:
    """The weighted sum of all terms; 0, with a gradient, if all labels are ignored.

    Args:
        weights: Weights of the terms.
        posterior: The chain of each pixel.
        logits: Log marginals, (batch, years, 2, height, width).
        change_logits: Log probabilities of change between all pairs, in the order of `year_pairs`; None
            leaves that term out.
        labels: (batch, years, height, width), int64.
        years: (batch, years), int64.
        ignore_index: The label that is ignored.
    """
    valid = labels != ignore_index
    certainty = valid.to(logits)
    edges = footprint_edges(labels, ignore_index)
    certainty = torch.where(edges, weights.edge * certainty, certainty)
    total = logits.new_zeros(()) + 0 * logits.sum()
    if weights.cross_entropy:
        by_year = weighted_cross_entropy(logits, labels, certainty)
        counted = certainty.sum(dim=(0, 2, 3))
        total = total + weights.cross_entropy * _mean(by_year, counted)
    if weights.dice:
        total = total + weights.dice * soft_dice_loss(logits, labels, valid)
    if weights.likelihood:
        certain = torch.where(edges, ignore_index, labels) if weights.edge < 1 else labels
        likelihood = posterior.log_likelihood(certain, ignore_index)
        total = total - weights.likelihood * likelihood.sum() / (certain != ignore_index).sum().clamp(min=1)
    if weights.asks_for_pairs and change_logits is not None:
        total = total + _pair_loss(weights, change_logits, labels, certainty, years)
    return total


def _pair_loss(
    weights: LossWeights, change_logits: Tensor, labels: Tensor, certainty: Tensor, years: Tensor
) -> Tensor:
    first, second = (list(index) for index in zip(*year_pairs(labels.shape[1]), strict=True))
    changed = (labels[:, first] != labels[:, second]).long()
    certain = certainty[:, first] * certainty[:, second]
    of_pairs = pair_weights(years, weights.pair_decay)
    weight = certain * of_pairs[..., None, None]
    total = change_logits.new_zeros(())
    if weights.pair:
        by_pair = weighted_cross_entropy(change_logits, changed, weight)
        seen = certain.sum(dim=(0, 2, 3)) > 0
        total = total + weights.pair * _mean(by_pair, torch.where(seen, of_pairs.mean(dim=0), 0.0))
    if weights.pair_dice:
        total = total + weights.pair_dice * weighted_dice_loss(change_logits, changed, weight)
    return total


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean; 0 where all weights are 0."""
    return (values * weights).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
