"""The trainings behind the studies of components: which sites, bands and groups, with which seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from euromine.dataset_script.label_groups import LabelGroups
from euromine.dataset_script.reading import read_dataset
from euromine.modeling.bands import BANDS, RADAR_BANDS
from euromine.modeling.tasks import SEGMENTATION
from euromine.support.errors import ArgumentError, DatasetError

STUDIES = ("bands", "types", "materials", "heads")
"""Names of the studies."""

BAND_SETS: dict[str, tuple[str, ...]] = {
    "RGB": ("B04", "B03", "B02"),
    "RGB+NIR": ("B04", "B03", "B02", "B08"),
    "MSI": BANDS,
    "MSI+SAR": (*BANDS, *RADAR_BANDS),
    "RGB+NIR+SAR": ("B04", "B03", "B02", "B08", *RADAR_BANDS),
}
"""MineCam's five sets of bands; MSI is EuroMineNet's ten, the paper has twelve."""

BASE = "MSI"
"""The bands of the other studies."""

FACT_OF_STUDY = {"types": "mine_type", "materials": "material"}
"""The fact by which a study divides the sites."""


@dataclass(frozen=True)
class StudyOptions:
    """Options shared by all trainings of the studies.

    Attributes:
        dataset: Folder that `euromine build` wrote, or Hub repository.
        architecture: Name of the footprint mapper.
        label_groups: A file of label groups, or "preset".
        steps: Optimiser steps of a training.
        batch: Patches in a step.
        seeds: Number of seeds, from 0.
        given: Other arguments of `train_seg.py`.
    """

    dataset: str
    architecture: str
    label_groups: str
    steps: int
    batch: int
    seeds: int
    given: Mapping[str, str]


@dataclass(frozen=True)
class ComponentJob:
    """A network to train.

    Attributes:
        bands: A key of `BAND_SETS`.
        seed: Seed of the training.
        where: Fact and value of the sites that it is trained on; None for all sites.
        group: The one group that it maps; None for all, with a head for each.
    """

    bands: str
    seed: int
    where: tuple[str, str] | None = None
    group: str | None = None

    @property
    def task(self) -> str:
        """The task of its script."""
        return SEGMENTATION

    @property
    def name(self) -> str:
        """The name of its folder."""
        sites = "all" if self.where is None else f"{self.where[0]}={self.where[1]}"
        return f"{self.bands}_{sites}_{self.group or 'heads'}_seed{self.seed}"

    def folder(self, out: Path) -> Path:
        """The folder of its training."""
        return out / "runs" / self.name

    def arguments(self, options: StudyOptions) -> dict[str, str]:
        """The arguments of `train_seg.py` that differ from its defaults, without the output folder."""
        arguments = {
            "dataset": options.dataset,
            "architecture": options.architecture,
            "label_groups": options.label_groups,
            "bands": ",".join(BAND_SETS[self.bands]),
            "max_steps": str(options.steps),
            "per_device_train_batch_size": str(options.batch),
            # The last checkpoint is scored, so that nothing depends on a choice among epochs.
            "eval_strategy": "no",
            "save_steps": str(max(1, options.steps // 4)),
            "save_strategy": "steps",
            "seed": str(self.seed),
            **options.given,
        }
        if self.where is not None:
            arguments["where"] = "=".join(self.where)
        if self.group is not None:
            arguments["group"] = self.group
        return arguments


@dataclass(frozen=True)
class PlannedJob:
    """A job with its arguments, as `table_training.train` starts it."""

    job: ComponentJob
    options: StudyOptions

    @property
    def task(self) -> str:
        """The task of its script."""
        return self.job.task

    def argv(self, out: Path) -> list[str]:
        """The command line of its script."""
        arguments = {**self.job.arguments(self.options), "output_dir": str(self.job.folder(out))}
        return [part for name, value in arguments.items() for part in (f"--{name}", *value.split("\0"))]


@dataclass(frozen=True)
class SiteFactsOfSplits:
    """The facts of a dataset's sites with components.

    Attributes:
        facts: Split -> site -> fact -> value.
    """

    facts: Mapping[str, Mapping[str, Mapping[str, str | None]]]

    def sites(self, split: str, where: tuple[str, str] | None = None) -> list[str]:
        """The sites of a split, or those with a fact."""
        found = self.facts.get(split, {})
        return sorted(site for site, facts in found.items() if where is None or facts[where[0]] == where[1])

    def values(self, fact: str) -> list[str]:
        """The values of a fact that training and test sites have."""
        there = [{facts[fact] for facts in self.facts.get(split, {}).values()} for split in ("train", "test")]
        return sorted(value for value in there[0] & there[1] if value is not None)


def read_site_facts_of_splits(source: str) -> SiteFactsOfSplits:
    """The facts of a dataset's sites with components.

    Raises:
        DatasetError: The dataset has no components in the training or the test split.
        OSError: There is no such dataset.
    """
    rows: Any = read_dataset(source, "components", columns=("site", "mine_type", "material"))
    facts: dict[str, dict[str, dict[str, str | None]]] = {}
    for split in rows:
        columns = rows[split].with_format(None)
        for site, mine_type, material in zip(
            columns["site"], columns["mine_type"], columns["material"], strict=True
        ):
            facts.setdefault(split, {})[site] = {"mine_type": mine_type, "material": material}
    for split in ("train", "test"):
        if not facts.get(split):
            raise DatasetError(f"{source}: found no components in the split {split}; expected some.")
    return SiteFactsOfSplits(facts)


def jobs_of(
    studies: Sequence[str], groups: LabelGroups, facts: SiteFactsOfSplits, seeds: int
) -> list[ComponentJob]:
    """The trainings of some studies, each once, seed by seed: the tables are complete after the first seed.

    Args:
        studies: Some of `STUDIES`.
        groups: The label groups.
        facts: Of the dataset's sites.
        seeds: Number of seeds.

    Raises:
        ArgumentError: No fact divides the sites.
    """
    jobs: dict[ComponentJob, None] = {}
    for seed in range(seeds):
        for study in studies:
            jobs |= dict.fromkeys(_jobs_of(study, groups, facts, seed))
    return list(jobs)


def _jobs_of(study: str, groups: LabelGroups, facts: SiteFactsOfSplits, seed: int) -> list[ComponentJob]:
    whole = ComponentJob(BASE, seed)
    if study == "bands":
        return [ComponentJob(bands, seed) for bands in BAND_SETS]
    if study == "heads":
        return [whole, *(ComponentJob(BASE, seed, group=name) for name in groups.names)]
    fact = FACT_OF_STUDY[study]
    values = facts.values(fact)
    if not values:
        raise ArgumentError(
            f"--study: found {study}, but no {fact} that both training and test sites have; expected "
            "site.json beside the images of the archive."
        )
    return [whole, *(ComponentJob(BASE, seed, where=(fact, value)) for value in values)]
