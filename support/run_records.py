"""The records of a training run: `run.json`, its arguments, and `metrics.json`, its results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .processing_levels import DataLevel
from .records import json_field

RUN_FILE = "run.json"
RESULTS_FILE = "metrics.json"


@dataclass(frozen=True)
class RunRecord:
    """`run.json`: all that the weights and scores of a run depend on.

    Attributes:
        task: "segmentation" or "change-detection".
        data: Digest of the rows that are trained and scored on.
        arguments: The script's and transformers' arguments that have an effect, by name.
        level: The processing level of the images, None if unknown.
        files: Names of the run's own files in its folder, which it may replace; empty in records of earlier
            versions.
    """

    task: str
    data: str
    arguments: dict[str, Any]
    level: DataLevel | None = None
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The network of a finished run.

    Attributes:
        repository: The Hub repository that it is published to, if any.
        folder: The run's folder; None once published.
        class_name: The network's class.
        parameters: Number of its parameters.
    """

    repository: str | None
    folder: str | None
    class_name: str = json_field("class")
    parameters: int


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """How a network was trained.

    Attributes:
        steps: Optimiser steps.
        epochs: Passes over the training rows.
        best_step: Step of the checkpoint that the validation split selected; None where nothing was selected.
        selected_by: The score that selected it.
        batch_size: Samples in an optimiser step, over all processes.
        precision: "float32", "bfloat16" or "float16".
        arguments: As in `RunRecord`.
    """

    steps: int
    epochs: float
    best_step: int | None
    selected_by: str | None
    batch_size: int
    precision: str
    arguments: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What a network was trained and scored on, and how pixels were counted.

    Attributes:
        dataset: The Hub repository or folder.
        dataset_revision: Commit of the repository; None for a folder.
        simulated: Whether the data are simulated.
        digest: Digest of the rows that were trained and scored on.
        sites: Names of the sites, by split.
        years: The years that were used; None for all.
        bands: The bands that the network takes, in order.
        statistics: Name of the normalisation: "dataset", "corrected" or "paper".
        recipe: Name of the training recipe.
        augmentation: Whether training samples were flipped and turned.
        protocol: "corrected" or "paper".
        average: How sites were averaged: "site" or "pooled".
        pretrained: The checkpoints that training started from, separated by a comma and a space; None for
            fresh weights.
        training: Of a change detector, what a sample is: "pairs" or "series".
        pairs_per_patch: Of a change detector, "all" or the number of pairs drawn per patch and epoch.
        interval_sampling: Of a change detector, how they were drawn.
        level: The processing level of the images, None if unknown.
        label_groups: Classes of each group of components that the network maps, in order; None for
            footprints.
        where: Values of the facts by which sites were chosen; None for all sites.
    """

    dataset: str
    dataset_revision: str | None
    simulated: bool
    digest: str
    sites: dict[str, list[str]]
    years: list[int] | None
    bands: list[str]
    statistics: str
    recipe: str
    augmentation: bool
    protocol: str
    average: str
    pretrained: str | None
    training: str | None = None
    pairs_per_patch: str | int | None = None
    interval_sampling: str | None = None
    level: DataLevel | None = None
    label_groups: dict[str, list[str]] | None = None
    where: dict[str, list[str]] | None = None


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """`metrics.json`: the results of a finished run, and how they came about.

    Attributes:
        task: "segmentation" or "change-detection".
        architecture: Name of the network.
        model: The network.
        scores: Headline scores, by split and name; null where a score is undefined.
        confidence: 95 % intervals [low, high] over sites, by split and score.
        details: All scores of each metric, by split and metric.
        training: How the network was trained.
        protocol: What it was trained and scored on.
        versions: Versions of the libraries.
        hardware: The device that it was trained on.
        history: Trainer's logs of losses and of validation scores.
        timing: Times and speeds of the evaluations, by step: on a CPU, the only difference between a resumed
            run and an uninterrupted one in the same folder.
    """

    task: str
    architecture: str
    model: ModelFacts
    scores: dict[str, dict[str, float | None]]
    confidence: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    details: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    training: TrainingFacts
    protocol: Protocol
    versions: dict[str, str]
    hardware: str
    history: list[dict[str, Any]] = field(default_factory=list)
    timing: list[dict[str, Any]] = field(default_factory=list)

    @property
    def scored_split(self) -> str | None:
        """The split that reports show: the test split, else the validation split, if there is one."""
        return next((name for name in ("test", "validation") if name in self.scores), None)
