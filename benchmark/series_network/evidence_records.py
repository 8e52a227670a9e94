"""The files of the comparison: settings of a folder, one training, and its scores under one condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from euromine.benchmark.results import read_counts
from euromine.metrics.counts import CountTable
from euromine.support.errors import ArgumentError
from euromine.support.files import write_bytes
from euromine.support.records import read_record, write_record
from euromine.training.run_results import packed_counts

from .equal_budget import Budget, CurvePoint

SETTINGS_FILE, SPEED_FILE = "settings.json", "speed.json"
TRAINING_FILE, NETWORK_FOLDER = "training.json", "network"
_ADVICE = "Remove it to repeat this part."


@dataclass(frozen=True)
class Settings:
    """The properties that all results of a folder share.

    Attributes:
        sites: Number of simulated sites.
        side: Their side in pixels.
        years: Number of years.
        simulation: Version of the simulator.
        validation_sites: Sites that learning curves and learning rates are scored on.
        test_sites: Sites that are scored.
        budget: The size of a training.
        learning_rates: Those to choose from.
    """

    sites: int
    side: int
    years: int
    simulation: int
    validation_sites: int
    test_sites: int
    budget: Budget
    learning_rates: list[float]


@dataclass(frozen=True)
class TrainingRecord:
    """A finished training.

    Attributes:
        competitor: Its name.
        seed: Seed of weights, crops and dropout.
        condition: The condition of the training sites.
        learning_rate: The highest.
        curve: The learning curve.
        seconds: Processor time of the steps.
        device: Name of the processor.
        versions: Versions of the libraries.
    """

    competitor: str
    seed: int
    condition: str
    learning_rate: float
    curve: list[CurvePoint]
    seconds: float
    device: str
    versions: dict[str, str]


@dataclass(frozen=True)
class ScoreRecord:
    """The scores of a training under one condition; the counts lie beside it.

    Attributes:
        seconds: Median processor time of a series, by kind of maps.
    """

    seconds: dict[str, float]


def claim_folder(out: Path, settings: Settings) -> None:
    """Write the settings to a folder, or check that it has the same.

    Raises:
        ArgumentError: Its results have other settings.
        RecordError: Its settings are damaged.
    """
    path = out / SETTINGS_FILE
    if not path.exists():
        write_record(path, settings)
        return
    before, now = (_flat(asdict(each)) for each in (read_record(Settings, path), settings))
    changed = [
        f"{name} {before.get(name)} instead of {value}"
        for name, value in now.items()
        if before.get(name) != value
    ]
    if changed:
        raise ArgumentError(
            f"{path}: found results with {', '.join(changed)}; expected the same settings. Give another "
            "--out to keep both."
        )


def _flat(settings: Mapping[str, object]) -> dict[str, object]:
    budget = settings["budget"]
    assert isinstance(budget, dict)
    return {**{name: value for name, value in settings.items() if name != "budget"}, **budget}


def write_scores(
    folder: Path, condition: str, counts: Mapping[str, Mapping[str, CountTable]], seconds: Mapping[str, float]
) -> None:
    """Write the counts of each kind of maps, and last the record that shows they are complete."""
    for kind, tables in counts.items():
        write_bytes(folder / f"{condition}.{kind}.npz", packed_counts(tables))
    write_record(folder / f"{condition}.json", ScoreRecord(dict(seconds)))


def is_scored(folder: Path, condition: str) -> bool:
    """Whether a training has been scored under a condition."""
    return (folder / f"{condition}.json").is_file()


def read_scores(folder: Path, condition: str) -> tuple[ScoreRecord, dict[str, dict[str, CountTable]]]:
    """The record and the counts, by kind of maps and metric.

    Raises:
        RecordError: The record is damaged.
        OSError: A file cannot be read.
    """
    record = read_record(ScoreRecord, folder / f"{condition}.json", advice=_ADVICE)
    return record, {kind: read_counts(folder / f"{condition}.{kind}.npz") for kind in record.seconds}


def read_training(folder: Path) -> TrainingRecord:
    """The record of a finished training.

    Raises:
        RecordError: It is damaged.
        OSError: It cannot be read.
    """
    return read_record(TrainingRecord, folder / TRAINING_FILE, advice=_ADVICE)
