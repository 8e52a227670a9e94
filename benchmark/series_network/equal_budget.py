"""Training of any competitor on the same crops of the same series, in the same order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, get_scheduler

from euromine.modeling.change_detection import ChangeDetector, year_pairs
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.series_losses import soft_dice_loss
from euromine.modeling.series_model import SeriesModel
from euromine.training.collation import IGNORED, augmented
from euromine.training.recipes import recipe_defaults

from .site_series import SiteSeries

Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Budget:
    """The size of a training, equal for all competitors.

    Attributes:
        steps: Optimiser steps.
        series: Series in a batch; each year of them is an image that is seen.
        crop: Side of the crops in pixels.
        pairs: Pairs of a series that a change detector is trained on; each image is encoded once.
        bf16: Whether steps run under autocast to bfloat16.
    """

    steps: int
    series: int
    crop: int
    pairs: int
    bf16: bool = False

    @property
    def images(self) -> int:
        """Images seen, of ten years a series."""
        return self.steps * self.series * 10


@dataclass(frozen=True)
class CurvePoint:
    """A point of a learning curve.

    Attributes:
        step: Steps so far.
        loss: Mean training loss since the point before.
        score: OF1 of the validation sites; of changes for a change detector.
    """

    step: int
    loss: float
    score: float


def train_network(
    network: PreTrainedModel,
    sites: SiteSeries,
    processor: EuroMineImageProcessor,
    budget: Budget,
    learning_rate: float,
    seed: int,
    validate: Callable[[PreTrainedModel], float],
    validations: int = 4,
) -> tuple[list[CurvePoint], float]:
    """Train a network by our recipe, which differs between competitors in the learning rate alone.

    Args:
        network: Trained in place.
        sites: The training sites.
        processor: Their image processor.
        budget: The size.
        learning_rate: The highest.
        seed: Seed of crops, turns and dropout.
        validate: The score of a network in evaluation mode.
        validations: Number of points of the learning curve.

    Returns:
        The learning curve, and the processor time of the steps in seconds.
    """
    recipe = recipe_defaults("default", "segmentation", "", pretrained=False, bf16=False)
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=recipe["weight_decay"])
    schedule = get_scheduler(
        recipe["lr_scheduler_type"],
        optimizer,
        num_warmup_steps=round(recipe["warmup_steps"] * budget.steps),
        num_training_steps=budget.steps,
        scheduler_specific_kwargs=recipe["lr_scheduler_kwargs"],
    )
    curve, losses, seconds = [], [], 0.0
    stops = {round(budget.steps * (place + 1) / validations) for place in range(validations)}
    network.train()
    for step in range(budget.steps):
        started = time.process_time()
        batch = draw_batch(sites, budget, seed, step)
        torch.manual_seed(seed * 1_000_003 + step)
        with torch.autocast("cpu", torch.bfloat16, enabled=budget.bf16):
            loss = loss_of(network, processor, batch, budget, np.random.default_rng([seed, step, 1]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe["max_grad_norm"])
        optimizer.step()
        schedule.step()
        seconds += time.process_time() - started
        losses.append(float(loss.detach()))
        if step + 1 in stops:
            network.eval()
            curve.append(CurvePoint(step + 1, float(np.mean(losses)), validate(network)))
            network.train()
            losses = []
    network.eval()
    return curve, seconds


def draw_batch(sites: SiteSeries, budget: Budget, seed: int, step: int) -> Batch:
    """Random crops of random series, a function of the seed and the step alone.

    Returns:
        Digital numbers (series, years, 10, crop, crop) int16, labels (series, years, crop, crop) uint8, years
        (series, years) int64.
    """
    rng = np.random.default_rng([seed, step])
    images, labels, years = [], [], []
    height, width = sites.labels.shape[-2:]
    side = min(budget.crop, height, width)
    for place in rng.choice(len(sites), budget.series, replace=budget.series > len(sites)):
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        box = (..., slice(top, top + side), slice(left, left + side))
        images.append(sites.images[place][box])
        labels.append(sites.labels[place][box])
        years.append(sites.years[place])
    return tuple(torch.from_numpy(np.stack(part)) for part in (images, labels, years))  # type: ignore[return-value]


def loss_of(
    network: PreTrainedModel,
    processor: EuroMineImageProcessor,
    batch: Batch,
    budget: Budget,
    rng: np.random.Generator,
) -> Tensor:
    """The loss on a batch of series, in each network's way to look at them.

    Networks for series have their own loss. All others get cross-entropy and soft Dice, too, as cross-entropy
    alone learns rare changes late.
    """
    images, labels, years = batch
    images, labels = augmented(images, labels)
    pixel_values: Tensor = processor(images).pixel_values
    targets = labels.to(torch.int64)
    if isinstance(network, SeriesModel):
        loss: Tensor = network(pixel_values=pixel_values, labels=targets, years=years).loss
        return loss
    if isinstance(network, ChangeDetector):
        pairs = drawn_pairs(years, budget.pairs, rng)
        flat = targets.flatten(0, 1)
        targets = (flat[pairs[:, 0]] != flat[pairs[:, 1]]).long()
        found = network(pixel_values=pixel_values.flatten(0, 1), labels=targets, pairs=pairs)
    else:
        targets = targets.flatten(0, 1)
        found = network(pixel_values=pixel_values.flatten(0, 1), labels=targets)
    logits = functional.interpolate(found.logits.float(), size=targets.shape[-2:], mode="bilinear")
    dice = soft_dice_loss(logits.log_softmax(1)[:, None], targets[:, None], (targets != IGNORED)[:, None])
    return found.loss + dice


def drawn_pairs(years: Tensor, number: int, rng: np.random.Generator) -> Tensor:
    """Pairs of each series, every interval as likely as any other, as indices of all images of a batch.

    Args:
        years: (series, years), int64.
        number: Pairs a series, at most.
        rng: Draws them.

    Returns:
        (pairs, 2), int64.
    """
    count = years.shape[1]
    every = np.array(year_pairs(count))
    drawn = []
    for place, calendar in enumerate(years.numpy()):
        intervals = calendar[every[:, 1]] - calendar[every[:, 0]]
        weights = 1 / np.bincount(intervals)[intervals]
        chosen = rng.choice(len(every), min(number, len(every)), replace=False, p=weights / weights.sum())
        drawn.append(every[np.sort(chosen)] + place * count)
    return torch.from_numpy(np.concatenate(drawn))
