"""The trainings and scorings of the comparison: their order, their expected time, and running one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from euromine.benchmark.hardware import device_name
from euromine.benchmark.results import scores_of
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.support.files import write_json
from euromine.support.records import read_values, write_record

from .competitors import COMPETITORS, VITERBI, Competitor
from .equal_budget import draw_batch, loss_of, train_network
from .evidence_records import (
    NETWORK_FOLDER,
    SPEED_FILE,
    TRAINING_FILE,
    Settings,
    TrainingRecord,
    is_scored,
    read_training,
    write_scores,
)
from .scored_maps import count_maps, fitted_rates, maps_of_series
from .site_series import CLEAN, LABEL_NOISE, SiteSeries, processor_of, under_condition

_RECORDED = ("euromine", "torch", "transformers")


@dataclass(frozen=True)
class Job:
    """A training and the conditions that it is scored under.

    Attributes:
        competitor: Name of the competitor.
        seed: The seed.
        trained_under: The condition of the training and validation sites.
        conditions: The conditions of the test sites; none for a trial of a learning rate.
        learning_rate: Of a trial, a training of the first seed; otherwise the best of the trials.
    """

    competitor: str
    seed: int
    trained_under: str = CLEAN
    conditions: tuple[str, ...] = ()
    learning_rate: float | None = None

    @property
    def name(self) -> str:
        """The name of its folder."""
        if self.learning_rate is not None:
            return f"trial_{self.competitor}_{self.learning_rate:g}"
        return f"{self.competitor}_{self.trained_under}_seed{self.seed}"

    @property
    def is_chosen_trial(self) -> bool:
        """Whether it is the best of the trials, if there are any, and not a training of its own."""
        return self.learning_rate is None and self.seed == 0 and self.trained_under == CLEAN

    def folder(self, out: Path) -> Path:
        """Its folder."""
        return out / "runs" / self.name

    def missing(self, out: Path) -> tuple[str, ...]:
        """Conditions that it has not been scored under."""
        return tuple(each for each in self.conditions if not is_scored(self.folder(out), each))

    def is_trained(self, out: Path) -> bool:
        """Whether its network is there."""
        return (self.folder(out) / TRAINING_FILE).is_file()

    def is_done(self, out: Path) -> bool:
        """Whether nothing of it is missing."""
        return self.is_trained(out) and not self.missing(out)


def make_jobs(
    competitors: Sequence[str],
    seeds: int,
    learning_rates: Sequence[float],
    robust: Sequence[str],
    tested_under: Sequence[str],
    trained_under: Sequence[str],
) -> list[Job]:
    """All jobs: each network's trials and first seed, then the other conditions, then further seeds.

    Args:
        competitors: Names.
        seeds: Number of seeds.
        learning_rates: To choose from; a single one needs no trial.
        robust: Competitors that are compared under other conditions, with the first seed.
        tested_under: Conditions of test sites alone.
        trained_under: Conditions of training and test sites.
    """
    tested = tuple(each for each in tested_under if each != LABEL_NOISE)
    first = [
        job
        for name in competitors
        for job in (
            *(Job(name, 0, learning_rate=rate) for rate in learning_rates if len(learning_rates) > 1),
            Job(name, 0, conditions=(CLEAN, *(tested if name in robust else ()))),
        )
    ]
    others = [
        Job(name, 0, condition, (condition,))
        for condition in trained_under
        for name in competitors
        if name in robust
    ]
    further = [Job(name, seed, conditions=(CLEAN,)) for seed in range(1, seeds) for name in competitors]
    return [*first, *others, *further]


@dataclass
class Workplace:
    """The data of a run and its folder.

    Attributes:
        out: The folder.
        settings: Its settings.
        splits: The sites by split, as simulated.
    """

    out: Path
    settings: Settings
    splits: Mapping[str, SiteSeries]
    _disturbed: dict[tuple[str, str], SiteSeries] = field(default_factory=dict)

    def sites(self, split: str, condition: str) -> SiteSeries:
        """The sites of a split under a condition."""
        if condition == CLEAN:
            return self.splits[split]
        if (split, condition) not in self._disturbed:
            self._disturbed = {
                (split, condition): under_condition(self.splits[split], condition, split == "train")
            }
        return self._disturbed[split, condition]


@dataclass(frozen=True)
class Speed:
    """The processor time of a competitor, in seconds.

    Attributes:
        step: Of an optimiser step.
        series: Of mapping a series of whole patches.
    """

    step: float
    series: float


def measure_speed(place: Workplace, competitor: Competitor) -> Speed:
    """Time a step and a series, after one step that is not counted."""
    network, budget = competitor.create(), place.settings.budget
    train = place.splits["train"]
    processor = EuroMineImageProcessor()
    batch = draw_batch(train, budget, 0, 0)
    started = 0.0
    for _ in range(2):
        started = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=budget.bf16):
            loss = loss_of(network, processor, batch, budget, np.random.default_rng(0))
        loss.backward()
    step, started = time.process_time() - started, time.process_time()
    kinds = tuple(kind for kind in competitor.maps if kind != VITERBI)
    maps_of_series(
        competitor, network.eval(), processor, train.images[0], train.years[0].tolist(), None, kinds
    )
    return Speed(step, time.process_time() - started)


def known_speeds(place: Workplace, names: Iterable[str]) -> dict[str, Speed]:
    """The speeds of competitors, measured once in a folder."""
    path = place.out / SPEED_FILE
    speeds: dict[str, Speed] = read_values(dict[str, Speed], path) if path.is_file() else {}
    for name in names:
        if name not in speeds:
            speeds[name] = measure_speed(place, COMPETITORS[name])
            write_json(path, {known: asdict(speed) for known, speed in speeds.items()})
    return speeds


def expected_seconds(job: Job, out: Path, settings: Settings, speed: Speed, validations: int) -> float:
    """The processor time that a job still needs."""
    scored = len(job.missing(out)) * settings.test_sites * speed.series
    if job.conditions and VITERBI in COMPETITORS[job.competitor].maps:
        scored += settings.validation_sites * speed.series
    if job.is_trained(out):
        return scored
    if job.is_chosen_trial and len(settings.learning_rates) > 1:
        return scored
    return (
        settings.budget.steps * speed.step + validations * settings.validation_sites * speed.series + scored
    )


def run_job(place: Workplace, job: Job, validations: int) -> None:
    """Train what is not trained, and score what is not scored."""
    competitor, folder = COMPETITORS[job.competitor], job.folder(place.out)
    if not job.is_trained(place.out):
        _train(place, job, competitor, validations)
    if not job.missing(place.out):
        return
    train, validation = (place.sites(split, job.trained_under) for split in ("train", "validation"))
    processor = processor_of(train)
    network = _loaded(competitor, folder / NETWORK_FOLDER)
    rates = fitted_rates(network, processor, train, validation) if VITERBI in competitor.maps else None
    for condition in job.missing(place.out):
        tallies = count_maps(competitor, network, processor, place.sites("test", condition), rates)
        write_scores(
            folder,
            condition,
            {kind: tally.counts() for kind, tally in tallies.items()},
            {kind: float(np.median(tally.seconds)) for kind, tally in tallies.items()},
        )


def _train(place: Workplace, job: Job, competitor: Competitor, validations: int) -> None:
    settings, folder = place.settings, job.folder(place.out)
    rate = job.learning_rate or best_learning_rate(place.out, job.competitor, settings.learning_rates)
    trial = replace(job, learning_rate=rate, conditions=())
    if job.is_chosen_trial and trial.is_trained(place.out):
        shutil.copytree(trial.folder(place.out) / NETWORK_FOLDER, folder / NETWORK_FOLDER, dirs_exist_ok=True)
        write_record(folder / TRAINING_FILE, read_training(trial.folder(place.out)))
        return
    train, validation = (place.sites(split, job.trained_under) for split in ("train", "validation"))
    processor = processor_of(train)
    torch.manual_seed(job.seed)
    network = competitor.create()

    def validate(network: PreTrainedModel) -> float:
        return validation_score(competitor, network, processor, validation)

    curve, seconds = train_network(
        network, train, processor, settings.budget, rate, job.seed, validate, validations
    )
    folder.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(folder / NETWORK_FOLDER)
    versions = {name: version(name) for name in _RECORDED}
    device = device_name(torch.device("cpu"))
    record = TrainingRecord(
        job.competitor, job.seed, job.trained_under, rate, curve, seconds, device, versions
    )
    write_record(folder / TRAINING_FILE, record)


def _loaded(competitor: Competitor, folder: Path) -> PreTrainedModel:
    network: PreTrainedModel = type(competitor.create()).from_pretrained(folder)
    return network.eval()


def validation_score(
    competitor: Competitor, network: PreTrainedModel, processor: EuroMineImageProcessor, sites: SiteSeries
) -> float:
    """OF1 of the footprints by year, or of the changes of a change detector."""
    (tally,) = count_maps(competitor, network, processor, sites, kinds=competitor.maps[:1]).values()
    metric, score = ("interval_f1", "of1_pooled") if competitor.maps_changes_only else ("annual_f1", "of1")
    found = float(scores_of(tally.counts()[metric], metric, "site")[score])
    return found if found == found else 0.0


def best_learning_rate(out: Path, competitor: str, rates: Sequence[float]) -> float:
    """The rate whose trial scored best; the first of equals."""
    if len(rates) == 1:
        return rates[0]
    trials = [Job(competitor, 0, learning_rate=rate).folder(out) for rate in rates]
    scores = [read_training(folder).curve[-1].score for folder in trials]
    return rates[int(np.argmax(scores))]


def waiting(jobs: Sequence[Job], out: Path) -> Iterator[Job]:
    """Jobs of which something is missing."""
    return (job for job in jobs if not job.is_done(out))
