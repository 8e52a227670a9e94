"""The trainings that make up Tables 4 to 6: which network, which seed, with which arguments."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from euromine.modeling.auto import list_models
from euromine.modeling.tasks import CHANGE_DETECTION, SEGMENTATION
from euromine.support.errors import ArgumentError, DataError
from euromine.training.arguments import ChangeDetectionArguments, ScriptArguments, SegmentationArguments

from .published import published_table
from .results import run_name
from .table_rows import LAYOUTS

SCRIPTS: dict[str, tuple[str, type[ScriptArguments]]] = {
    SEGMENTATION: ("euromine.train_seg", SegmentationArguments),
    CHANGE_DETECTION: ("euromine.train_cd", ChangeDetectionArguments),
}
RECIPES = {"corrected": "default", "paper": "paper"}
_LOCATION = ("dataset", "dataset_revision")
# The benchmark itself passes these to the scripts.
_OWN = (*_LOCATION, "architecture", "protocol", "seed", "output_dir", "resume", "restart")


@dataclass(frozen=True)
class Job:
    """A network to train with one seed.

    Attributes:
        task: "segmentation" or "change-detection".
        architecture: Name of the network.
        seed: Seed of the training.
        arguments: Arguments of the train script, without the output folder.
    """

    task: str
    architecture: str
    seed: int
    arguments: dict[str, str]

    @property
    def name(self) -> str:
        """The stem of its files' names."""
        return run_name(self.task, self.architecture, self.seed)

    def folder(self, out: Path) -> Path:
        """The folder of its training: checkpoints, model card, log."""
        return out / "runs" / self.task / self.architecture / f"seed-{self.seed}"

    def argv(self, out: Path) -> list[str]:
        """The command line of its script."""
        arguments = {**self.arguments, "output_dir": str(self.folder(out))}
        return [part for name, value in arguments.items() for part in (f"--{name}", *words_of(value))]

    @property
    def lasting_arguments(self) -> dict[str, str]:
        """The arguments without the location of the data, which may change between runs."""
        return {name: value for name, value in self.arguments.items() if name not in _LOCATION}

    @property
    def given(self) -> dict[str, str]:
        """The arguments that the user gave, as text."""
        own = (*_OWN, "recipe")
        return {name: plain(value) for name, value in self.lasting_arguments.items() if name not in own}


def words_of(value: str) -> list[str]:
    """An argument's value as words of a command line: a list was joined by NUL characters."""
    return value.split("\0")


def plain(value: str | None) -> str:
    """An argument's value in an error message; None stands for the default."""
    return "unset" if value is None else " ".join(words_of(value))


def given_arguments(words: Sequence[str]) -> dict[str, str]:
    """Arguments for the train scripts, by name.

    Args:
        words: What the benchmark's own parser left of the command line.

    Raises:
        ArgumentError: A word is not an argument, or is one that the benchmark itself passes.
    """
    given: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            given.pop(name, None)  # the last one applies, and more words may follow
            given[name] = [value] if equals else []
        elif given:
            given[next(reversed(given))].append(word)
        else:
            raise ArgumentError(f"{word}: found a word without an option; expected --NAME VALUE.")
    return _checked({name: "\0".join(values) if values else "true" for name, values in given.items()}, "--")


def _checked(given: Mapping[str, Any], prefix: str) -> dict[str, str]:
    """Values as text. An error message puts the prefix before an argument's name."""
    if taken := [name for name in given if name in _OWN]:
        raise ArgumentError(
            f"{prefix}{taken[0]}: found an argument that the benchmark passes to the scripts itself; "
            "expected another one."
        )
    return {
        name: "\0".join(map(str, value)) if isinstance(value, list) else _text(value)
        for name, value in given.items()
    }


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def read_settings(path: Path | None) -> dict[str, dict[str, str]]:
    """Arguments by task or network, from a YAML or JSON file; none without a file.

    Raises:
        DataError: The file is damaged, or names something else than tasks and networks.
        ArgumentError: It sets an argument that the benchmark itself passes.
        OSError: It cannot be read.
    """
    if path is None:
        return {}
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(
            f"{path}: found text that is not YAML ({error}); expected lines such as "
            "`unet: {max_steps: 2000}`."
        ) from None
    if not isinstance(settings, dict) or not all(isinstance(value, dict) for value in settings.values()):
        raise DataError(f"{path}: found no settings; expected lines such as `unet: {{max_steps: 2000}}`.")
    known = {*SCRIPTS, *list_models(SEGMENTATION), *list_models(CHANGE_DETECTION)}
    if unknown := [str(name) for name in settings if name not in known]:
        raise DataError(f"{path}: found settings of {unknown[0]}; expected the name of a task or network.")
    return {name: _checked(values, f"{path}: ") for name, values in settings.items()}


def make_jobs(
    options: argparse.Namespace, settings: Mapping[str, Mapping[str, str]], given: Mapping[str, str]
) -> list[Job]:
    """The trainings, seed by seed, so that the tables are complete after the first seed.

    Args:
        options: Parsed command line.
        settings: Arguments by task or network.
        given: Arguments for all networks.

    Raises:
        ArgumentError: A network does not exist, or belongs to none of the tasks.
    """
    tasks = {LAYOUTS[task].task for task in options.tasks}
    wanted = options.architectures
    known = [*list_models(SEGMENTATION), *list_models(CHANGE_DETECTION)]
    for name in wanted or ():
        if name not in known:
            raise ArgumentError(f"--architectures: found {name!r}; expected one of {', '.join(known)}.")
        if not any(name in list_models(task) for task in tasks):
            raise ArgumentError(
                f"--architectures: found {name}; expected networks of the tasks {', '.join(options.tasks)}."
            )
    jobs = []
    for seed in range(options.seeds):
        for task in (SEGMENTATION, CHANGE_DETECTION):
            number = 4 if task == SEGMENTATION else 5
            names = wanted or published_table(number)
            for name in list_models(task) if task in tasks else ():
                if name in names:
                    arguments = {
                        "dataset": options.dataset,
                        "architecture": name,
                        "protocol": options.protocol,
                        "seed": str(seed),
                        "recipe": RECIPES[options.protocol],
                        **settings.get(task, {}),
                        **settings.get(name, {}),
                        **given,
                    }
                    if options.dataset_revision:
                        arguments["dataset_revision"] = options.dataset_revision
                    jobs.append(Job(task, name, seed, arguments))
    if not jobs:
        raise ArgumentError(
            f"--tasks: found no network to train for {', '.join(options.tasks)}; expected at least one."
        )
    return jobs
