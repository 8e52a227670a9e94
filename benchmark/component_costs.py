"""The cost of a training in a study of components, and how long its steps take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from transformers import PreTrainedModel

from euromine.modeling.component_segmenter import ComponentSegmenter
from euromine.training.arguments import SegmentationArguments, parse_arguments
from euromine.training.component_runs import make_component_model

from .component_jobs import ComponentJob, PlannedJob, StudyOptions
from .costs import PATCH_SIDE, network_costs
from .table_training import device, read_attempts

_STEPS = 3


@dataclass(frozen=True)
class RunCosts:
    """The cost of a training and its network, or of several together.

    Attributes:
        seconds: Wall-clock time of training and scoring.
        processor_seconds: Processor time of the same.
        parameters: Of the network.
        gmacs: Multiply-accumulate operations for one image of 160 x 160 pixels, in units of 1e9.
    """

    HEADER: ClassVar[tuple[str, ...]] = ("minutes", "processor minutes", "parameters", "GMACs")

    seconds: float
    processor_seconds: float
    parameters: int
    gmacs: float

    @property
    def cells(self) -> list[str]:
        """As cells of a table."""
        return [
            f"{self.seconds / 60:.1f}",
            f"{self.processor_seconds / 60:.1f}",
            f"{self.parameters / 1e6:.2f} M",
            f"{self.gmacs:.2f}",
        ]

    @classmethod
    def mean(cls, costs: Sequence[RunCosts]) -> RunCosts:
        """The mean of several seeds, whose networks are the same."""
        return cls(
            float(np.mean([each.seconds for each in costs])),
            float(np.mean([each.processor_seconds for each in costs])),
            costs[0].parameters,
            costs[0].gmacs,
        )

    @classmethod
    def sum(cls, costs: Sequence[RunCosts]) -> RunCosts:
        """The sum of several networks."""
        return cls(
            sum(each.seconds for each in costs),
            sum(each.processor_seconds for each in costs),
            sum(each.parameters for each in costs),
            sum(each.gmacs for each in costs),
        )


def run_costs(job: ComponentJob, options: StudyOptions, out: Path) -> RunCosts:
    """The cost of a finished training."""
    attempts = read_attempts(job.folder(out))
    network = network_costs(network_of(job, options).eval(), (PATCH_SIDE, PATCH_SIDE))
    return RunCosts(
        seconds=sum(attempt["seconds"] or 0.0 for attempt in attempts),
        processor_seconds=sum(attempt.get("processor_seconds") or 0.0 for attempt in attempts),
        parameters=network.parameters,
        gmacs=network.gmacs,
    )


def network_of(job: ComponentJob, options: StudyOptions) -> PreTrainedModel:
    """A fresh network of a job."""
    script, _ = parse_arguments(SegmentationArguments, PlannedJob(job, options).argv(Path()))
    groups = script.groups
    assert groups is not None
    return make_component_model(script, groups, from_checkpoint=True)


def step_seconds(job: ComponentJob, options: StudyOptions) -> float:
    """The shortest wall-clock time of a training step on this machine, over a few."""
    network = network_of(job, options).train()
    torch.nn.Module.to(network, device())
    optimizer = torch.optim.AdamW(network.parameters())
    side, bands = PATCH_SIDE, network.config.num_channels
    pixel_values = torch.randn(options.batch, bands, side, side, device=device())
    groups = (len(network.groups),) if isinstance(network, ComponentSegmenter) else ()
    labels = torch.zeros(options.batch, *groups, side, side, dtype=torch.int64, device=device())
    shortest = float("inf")
    for _ in range(_STEPS):
        start = time.perf_counter()
        optimizer.zero_grad()
        network(pixel_values, labels=labels).loss.backward()
        optimizer.step()
        # Reading a number waits for a GPU.
        float(next(network.parameters()).detach().sum())
        shortest = min(shortest, time.perf_counter() - start)
    return shortest
