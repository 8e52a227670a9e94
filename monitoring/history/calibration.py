"""The calibration of a footprint mapper: `calibration.json` beside its weights.

Smoothing needs the switch rates of the labels that a model was trained on; intervals of areas need its errors
at sites that it has not seen. Checkpoints hold neither. `euromine calibrate` computes both once
(`calibration_counts`), so that later users of the model need no dataset.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from euromine.support.errors import ArgumentError, RecordError
from euromine.support.records import read_record, write_record

from .area_estimation import CHANGE_CLASSES, FOOTPRINT_CLASSES, Confusion
from .switch_rates import SwitchRates
from .transition_errors import TransitionCounts

Transitions = Mapping[str, Mapping[int, TransitionCounts]]

CALIBRATION_NAME = "calibration.json"
_FORMAT: Final = "euromine-calibration"
_VERSION: Final = 1


@dataclass(frozen=True, eq=False)
class Calibration:
    """Switch rates and errors of a footprint mapper.

    Attributes:
        rates: The switch rates of the training labels.
        footprints: Errors on footprints by method of smoothing, all years together.
        changes: Errors on changes by method of smoothing and interval in years.
        components: Errors on components by group; empty for other models and datasets.
        component_transitions: Errors on transitions between them, by group and interval in years.
        smoothed_components: As `components`, of maps that are smoothed over the years.
        smoothed_transitions: As `component_transitions`, of the same.
        threshold: The probability above which pixels were mapped as mine, except by Viterbi.
        dataset: The name of the dataset.
        split: The split whose sites the errors were counted at.
        simulated: Whether the dataset is simulated.
        digest: The network's `model_digest`, which shows whether a calibration belongs to it.
    """

    rates: SwitchRates
    footprints: Mapping[str, Confusion]
    changes: Mapping[str, Mapping[int, Confusion]]
    threshold: float
    dataset: str
    split: str
    simulated: bool
    digest: str
    components: Mapping[str, Confusion] = field(default_factory=dict)
    component_transitions: Transitions = field(default_factory=dict)
    smoothed_components: Mapping[str, Confusion] = field(default_factory=dict)
    smoothed_transitions: Transitions = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the calibration, at once.

        Args:
            path: The file, or an existing folder for `calibration.json`.

        Returns:
            The file.

        Raises:
            OSError: The file cannot be written.
        """
        target = _file(path)
        record = _CalibrationRecord(
            format=_FORMAT,
            version=_VERSION,
            dataset=self.dataset,
            simulated=self.simulated,
            digest=self.digest,
            split=self.split,
            threshold=self.threshold,
            rates=self.rates,
            footprints={method: _ConfusionRecord.of(found) for method, found in self.footprints.items()},
            changes={
                method: {str(interval): _ConfusionRecord.of(found) for interval, found in by_interval.items()}
                for method, by_interval in self.changes.items()
            },
            components=_group_records(self.components),
            component_transitions=_transition_records(self.component_transitions),
            smoothed_components=_group_records(self.smoothed_components),
            smoothed_transitions=_transition_records(self.smoothed_transitions),
        )
        write_record(target, record)
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read a calibration that `save` wrote.

        Args:
            path: The file, or the folder of its `calibration.json`.

        Raises:
            RecordError: The file holds no calibration.
            OSError: The file cannot be read; `FileNotFoundError` where there is none.
        """
        source = _file(path)
        if not source.exists():
            raise FileNotFoundError(f"{source}: there is no calibration. `euromine calibrate` writes one.")
        try:
            record = read_record(_CalibrationRecord, source, advice=_ADVICE)
            return cls(
                rates=record.rates,
                footprints={
                    method: found.confusion(FOOTPRINT_CLASSES) for method, found in record.footprints.items()
                },
                changes={
                    method: {
                        _interval(interval): found.confusion(CHANGE_CLASSES)
                        for interval, found in by_interval.items()
                    }
                    for method, by_interval in record.changes.items()
                },
                components=_groups(record.components),
                component_transitions=_transitions(record.component_transitions),
                smoothed_components=_groups(record.smoothed_components),
                smoothed_transitions=_transitions(record.smoothed_transitions),
                threshold=record.threshold,
                dataset=record.dataset,
                split=record.split,
                simulated=record.simulated,
                digest=record.digest,
            )
        except ArgumentError as error:
            raise RecordError(f"{source}: {error} {_ADVICE}") from None


_ADVICE = "Run `euromine calibrate` again."


def is_calibration(path: Path) -> bool:
    """Whether a file is a calibration, of any model and version."""
    try:
        return read_record(_Header, path).format == _FORMAT
    except (RecordError, OSError):
        return False


@dataclass(frozen=True)
class _Header:
    """The field by which a calibration is recognised."""

    format: str


@dataclass(frozen=True)
class _ConfusionRecord:
    """A `Confusion` in the file."""

    sites: list[str]
    counts: list[list[list[int]]]

    @classmethod
    def of(cls, confusion: Confusion) -> _ConfusionRecord:
        return cls(list(confusion.sites), confusion.counts.tolist())

    def confusion(self, classes: tuple[str, ...]) -> Confusion:
        """Counts of the given classes.

        Raises:
            ArgumentError: The counts do not fit the sites and classes.
        """
        try:
            counts: Any = np.array(self.counts, dtype=np.int64)
        except (ValueError, OverflowError):  # rows of several lengths, numbers beyond 64 bits
            raise ArgumentError(
                "counts: found rows of several lengths, or too large numbers; expected "
                f"{len(classes)} x {len(classes)} pixel counts for each site."
            ) from None
        return Confusion(classes, tuple(self.sites), counts)


@dataclass(frozen=True)
class _GroupRecord(_ConfusionRecord):
    """A `Confusion` of components in the file, with its classes."""

    classes: list[str]

    @classmethod
    def of_group(cls, confusion: Confusion) -> _GroupRecord:
        return cls(list(confusion.sites), confusion.counts.tolist(), list(confusion.classes))


@dataclass(frozen=True)
class _TransitionRecord:
    """`TransitionCounts` in the file, where most of the counts are 0 and left out."""

    classes: list[str]
    sites: list[str]
    entries: list[list[int]]

    @classmethod
    def of(cls, counts: TransitionCounts) -> _TransitionRecord:
        return cls(list(counts.classes), list(counts.sites), counts.entries.tolist())

    def counts(self) -> TransitionCounts:
        """The counts.

        Raises:
            ArgumentError: They do not fit the sites and classes.
        """
        try:
            entries: Any = np.array(self.entries, dtype=np.int64)
        except (ValueError, OverflowError):  # rows of several lengths, numbers beyond 64 bits
            raise ArgumentError(
                "transitions: found rows of several lengths, or too large numbers; expected four in each."
            ) from None
        return TransitionCounts(tuple(self.classes), tuple(self.sites), entries)


@dataclass(frozen=True)
class _CalibrationRecord:
    """The content of the file."""

    format: Literal["euromine-calibration"]
    version: Literal[1]
    dataset: str
    simulated: bool
    digest: str
    split: str
    threshold: float
    rates: SwitchRates
    footprints: dict[str, _ConfusionRecord]
    changes: dict[str, dict[str, _ConfusionRecord]]
    components: dict[str, _GroupRecord] = field(default_factory=dict)
    component_transitions: dict[str, dict[str, _TransitionRecord]] = field(default_factory=dict)
    smoothed_components: dict[str, _GroupRecord] = field(default_factory=dict)
    smoothed_transitions: dict[str, dict[str, _TransitionRecord]] = field(default_factory=dict)


def _group_records(errors: Mapping[str, Confusion]) -> dict[str, _GroupRecord]:
    return {group: _GroupRecord.of_group(found) for group, found in errors.items()}


def _groups(records: Mapping[str, _GroupRecord]) -> dict[str, Confusion]:
    return {group: found.confusion(tuple(found.classes)) for group, found in records.items()}


def _transition_records(errors: Transitions) -> dict[str, dict[str, _TransitionRecord]]:
    return {
        group: {str(interval): _TransitionRecord.of(found) for interval, found in by_interval.items()}
        for group, by_interval in errors.items()
    }


def _transitions(records: Mapping[str, Mapping[str, _TransitionRecord]]) -> Transitions:
    return {
        group: {_interval(interval): found.counts() for interval, found in by_interval.items()}
        for group, by_interval in records.items()
    }


def _file(path: str | os.PathLike[str]) -> Path:
    is_checkpoint = Path(path).is_dir() and Path(path).name != CALIBRATION_NAME
    return Path(path) / CALIBRATION_NAME if is_checkpoint else Path(path)


def _interval(key: str) -> int:
    if not key.isdecimal():
        raise ArgumentError(f"changes: found the interval {key!r}; expected a number of years.")
    return int(key)
