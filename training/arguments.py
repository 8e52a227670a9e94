"""What `train_seg.py` and `train_cd.py` are told: their own arguments beside transformers' TrainingArguments.

Values come, each overruling those before, from transformers, from the recipe, from a configuration file
(JSON or YAML) and from the command line.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, TypeVar

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments

from euromine.modeling.auto import CHANGE_DETECTION, SEGMENTATION, list_models

from .recipes import BEST_METRIC, COMMON, recipe_defaults

SCRIPTS = {SEGMENTATION: "train_seg.py", CHANGE_DETECTION: "train_cd.py"}


def _argument(default: Any, help_text: str, **options: Any) -> Any:
    return field(default=default, metadata={"help": help_text, **options})


@dataclass
class ScriptArguments:
    """What both scripts are told.

    Attributes:
        dataset: A folder that `euromine build` wrote, or a Hub repository.
        dataset_revision: Branch, tag or commit of the Hub repository.
        architecture: The network's name, one of `list_models(task)`.
        bands: Names of the bands to use; default all ten.
        pretrained: Start from the benchmark's checkpoint (no value) or from this repository or folder.
        stem_init: How a first layer for red, green and blue becomes one for the bands.
        config_overrides: Other fields of the network's configuration, as a JSON object.
        statistics: What images are normalised with: the training sites' of the dataset itself, or one of the
            presets; default the dataset's where it brings them, else corrected.
        recipe: The defaults of all training arguments (`recipes.py`).
        years: Only these years, in training and in every score.
        augmentation: Flip and turn training patches, both dates alike.
        max_train_samples: At most so many rows to train on, drawn once with the seed.
        max_eval_samples: At most so many patches of each split to score on, spread over its sites.
        protocol: What is trained and scored on. "corrected": the dataset's training sites as they are, pixels
            counted in the patch that owns them, sites averaged. "paper": as published, so the normalisation
            of the paper, the official list's training sites (one of them twice, one missing), and the pixels
            of whole patches pooled, those of overlaps more than once and padding too.
        average: How sites are averaged in the scores, "site" or "pooled"; default what the protocol does.
        resume: Continue what `output_dir` holds. Without it, a run that is there is an error.
        restart: Forget what `output_dir` holds and begin anew.

    Raises:
        ValueError: Something is missing, of another kind, or contradicts itself.
    """

    task: ClassVar[str]

    dataset: str = _argument("", "Folder that `euromine build` wrote, or Hub repository. Required.")
    dataset_revision: str | None = _argument(None, "Branch, tag or commit of the Hub repository.")
    architecture: str = _argument("", "Name of the network. Required.")
    bands: list[str] | None = _argument(  # noqa: RUF009 - it gives what dataclasses.field gives
        None, "Bands to use, such as B04 B03 B02; default all ten."
    )
    pretrained: str | None = _argument(
        None,
        "Start from the benchmark's checkpoint, or from the one given.",
        nargs="?",
        const="true",
    )
    stem_init: Literal["semantic", "cyclic", "random"] = _argument(
        "semantic", "How a three-band first layer becomes one for the bands."
    )
    config_overrides: dict[str, Any] | str | None = _argument(  # noqa: RUF009 - as above
        None, "JSON object of other configuration fields of the network."
    )
    statistics: Literal["dataset", "corrected", "paper"] | None = _argument(
        None, "Normalisation; default the dataset's own where it brings them, else corrected."
    )
    recipe: Literal["default", "paper"] = _argument("default", "Defaults of the training arguments.")
    years: list[int] | None = _argument(None, "Only these years.")  # noqa: RUF009 - as above
    augmentation: bool = _argument(True, "Flip and turn training patches.")
    max_train_samples: int | None = _argument(None, "Train on at most so many rows.")
    max_eval_samples: int | None = _argument(None, "Score on at most so many patches of each split.")
    protocol: Literal["corrected", "paper"] = _argument(
        "corrected", "What is trained and scored on: owned pixels and corrected lists, or as published."
    )
    average: Literal["site", "pooled"] | None = _argument(
        None, "How sites are averaged in the scores; default what the protocol does."
    )
    resume: bool = _argument(True, "Continue what output_dir holds.")
    restart: bool = _argument(False, "Forget what output_dir holds and begin anew.")

    def __post_init__(self) -> None:
        for name in ("dataset", "architecture"):
            if not getattr(self, name):
                raise ValueError(f"--{name} is missing")
        _check_architecture(self.architecture, self.task)
        if self.bands is not None:
            self.bands = [band for part in self.bands for band in str(part).split(",") if band]
        for name in ("max_train_samples", "max_eval_samples"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"--{name} is {number}, at least 1 was expected")
        if self.protocol == "paper":
            if self.average == "site" or self.statistics not in (None, "paper"):
                given = "average site" if self.average == "site" else f"statistics {self.statistics}"
                raise ValueError(
                    f"--{given} contradicts --protocol paper, which pools pixels and normalises as published"
                )
            self.statistics = "paper"
        self.model_config  # noqa: B018 - refuses what is no JSON object before anything is read

    @property
    def model_config(self) -> dict[str, Any]:
        """Other fields of the network's configuration."""
        given = self.config_overrides or {}
        try:
            fields = json.loads(given) if isinstance(given, str) else given
        except json.JSONDecodeError as error:
            raise ValueError(f"--config_overrides is {given!r}, which is no JSON: {error}") from None
        if not isinstance(fields, dict):
            raise ValueError(f"--config_overrides is {given!r}, a JSON object of fields was expected")
        return fields

    @property
    def counts_whole_patches(self) -> bool:
        """Whether scores count all pixels of a patch instead of those that it owns."""
        return self.protocol == "paper"

    @property
    def averaging(self) -> str:
        """How sites are averaged in the scores: "site" or "pooled"."""
        return self.average or ("pooled" if self.protocol == "paper" else "site")

    @property
    def checkpoint_to_start_from(self) -> bool | str:
        """What `create_model` takes as `pretrained`."""
        named = {"true": True, "false": False, "": False}
        return False if self.pretrained is None else named.get(str(self.pretrained).lower(), self.pretrained)


@dataclass
class SegmentationArguments(ScriptArguments):
    """What `train_seg.py` is told: `ScriptArguments`."""

    task: ClassVar[str] = SEGMENTATION


@dataclass
class ChangeDetectionArguments(ScriptArguments):
    """What `train_cd.py` is told: `ScriptArguments`, and which pairs of years it trains on.

    Attributes:
        training: "pairs": a sample is a pair of years. "series": a sample is a patch, whose years are encoded
            once for all pairs of it; `per_device_train_batch_size` and `max_train_samples` count patches.
        pairs_per_patch: "all" pairs of each patch in every epoch, or so many, drawn anew for each epoch.
        interval_sampling: How they are drawn: every pair alike ("uniform"), every interval of years alike
            ("balanced"), or in inverse proportion to the interval ("inverse"), so that most are short.
    """

    task: ClassVar[str] = CHANGE_DETECTION

    training: Literal["pairs", "series"] = _argument(
        "pairs", "What a sample is: a pair of years, or a patch with several pairs, each year encoded once."
    )
    pairs_per_patch: str = _argument("all", "All pairs of years, or so many for each patch and epoch.")
    interval_sampling: Literal["uniform", "balanced", "inverse"] = _argument(
        "uniform", "How pairs are drawn: each pair alike, each interval alike, or short ones more often."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.number_of_pairs is None and self.interval_sampling != "uniform":
            raise ValueError(
                f"--interval_sampling {self.interval_sampling} draws pairs, so --pairs_per_patch has to say "
                "how many; all was found"
            )

    @property
    def number_of_pairs(self) -> int | None:
        """How many pairs are drawn for each patch and epoch; None for all."""
        if self.pairs_per_patch == "all":
            return None
        try:
            number = int(self.pairs_per_patch)
        except ValueError:
            number = 0
        if number < 1:
            raise ValueError(f"--pairs_per_patch is {self.pairs_per_patch!r}, all or a number was expected")
        return number


Arguments = TypeVar("Arguments", bound=ScriptArguments)


def parse_arguments(
    arguments_class: type[Arguments], argv: Sequence[str] | None = None
) -> tuple[Arguments, TrainingArguments]:
    """The arguments of a script.

    Args:
        arguments_class: The script's own arguments.
        argv: The command line; default `sys.argv`. `--config FILE`, or a FILE ending in .json, .yaml or .yml
            in the first place, names a configuration file.

    Raises:
        ValueError: An argument is unknown, missing or of another kind; the nearest ones are named.
        OSError: The configuration file cannot be read.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and not argv[0].startswith("-") and Path(argv[0]).suffix in (".json", ".yaml", ".yml"):
        argv = ["--config", *argv]
    given = _given_values(arguments_class, argv)
    from_file = _read_config(_parser(arguments_class), given.pop("config", None))
    chosen = {**from_file, **given}
    _check_architecture(str(chosen.get("architecture", "")), arguments_class.task)
    parser = _parser(arguments_class)
    parser.set_defaults(**_defaults(arguments_class.task, chosen))
    parser.set_defaults(**from_file)
    script, training, _ = parser.parse_args_into_dataclasses(argv, look_for_args_file=False)
    if training.hub_token:
        # Everything that talks to the Hub finds it here; in the arguments it would be saved and uploaded.
        os.environ["HF_TOKEN"] = training.hub_token
        training.hub_token = None
    return script, training


def _defaults(task: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """All defaults that are ours, given what a person chose."""
    use_cpu = str(chosen.get("use_cpu", False)).lower() == "true"
    recipe = recipe_defaults(
        str(chosen.get("recipe", "default")),
        task,
        str(chosen.get("architecture", "")),
        pretrained=str(chosen.get("pretrained", "false")).lower() != "false",
        bf16=not use_cpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        processes=1 if "per_device_train_batch_size" in chosen else int(os.environ.get("WORLD_SIZE", "1")),
    )
    if chosen.get("training") == "series":
        recipe["per_device_train_batch_size"] = _patches_of_a_batch(
            str(chosen.get("pairs_per_patch", "all")), recipe["per_device_train_batch_size"]
        )
    evaluation = str(chosen.get("eval_strategy", "epoch"))
    saving = evaluation if evaluation != "no" else "epoch"
    selects = evaluation != "no" and str(chosen.get("save_strategy", saving)) != "no"
    return {
        **COMMON,
        **recipe,
        "output_dir": str(Path("runs") / str(chosen.get("architecture", ""))),
        # Pinned memory is for a copy to a GPU; without one torch warns at every epoch.
        "dataloader_pin_memory": not use_cpu and torch.cuda.is_available(),
        "eval_strategy": evaluation,
        "save_strategy": saving,
        **({"save_steps": float(chosen["eval_steps"])} if "eval_steps" in chosen else {}),
        "load_best_model_at_end": selects,
        "metric_for_best_model": BEST_METRIC[task],
    }


def _patches_of_a_batch(pairs_per_patch: str, pairs_of_a_batch: int) -> int:
    """How many patches have about as many pairs as a batch of pairs: one, where all pairs are wanted."""
    number = int(pairs_per_patch) if pairs_per_patch.isdecimal() else pairs_of_a_batch
    return max(1, pairs_of_a_batch // max(1, number))


class _Absent:
    """The value of an argument that nobody gave."""


_ABSENT = _Absent()


def _given_values(arguments_class: type[ScriptArguments], argv: Sequence[str]) -> dict[str, Any]:
    """The values that stand on the command line."""
    parser = _parser(arguments_class)
    parser.set_defaults(**dict.fromkeys(_destinations(parser), _ABSENT))
    namespace, unknown = parser.parse_known_args(argv)
    if unknown:
        _refuse(unknown[0], [option for action in parser._actions for option in action.option_strings])
    return {name: value for name, value in vars(namespace).items() if value is not _ABSENT}


def _read_config(parser: argparse.ArgumentParser, path: str | None) -> dict[str, Any]:
    """The values of a configuration file."""
    if path is None:
        return {}
    text = Path(path).read_text(encoding="utf-8")
    try:
        # YAML takes all JSON, tabs aside.
        values = json.loads(text) if Path(path).suffix == ".json" else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no arguments, lines like `architecture: segformer-b0` were expected")
    destinations = _destinations(parser)
    for name, value in values.items():
        if name not in destinations:
            _refuse(name, destinations, path)
        choices = destinations[name].choices
        if choices is not None and value is not None and value not in choices:
            raise ValueError(f"{path}: {name} is {value!r}, one of {', '.join(map(str, choices))} expected")
    return values


def _refuse(name: str, known: Sequence[str] | Mapping[str, Any], where: str = "the command line") -> NoReturn:
    nearest = get_close_matches(name, list(known), n=2, cutoff=0.6)
    hint = f", did you mean {' or '.join(nearest)}?" if nearest else ""
    raise ValueError(f"{where}: there is no argument {name}{hint}")


def _destinations(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {action.dest: action for action in parser._actions if action.dest != "help"}


def _check_architecture(name: str, task: str) -> None:
    """Refuse a network of the other task; one of none is left to `create_model`, which names the nearest."""
    if not name or name in (names := list_models(task)):
        return
    other = CHANGE_DETECTION if task == SEGMENTATION else SEGMENTATION
    if name in list_models(other):
        kind = "finds changes" if other == CHANGE_DETECTION else "maps footprints"
        raise ValueError(f"{name} {kind}: train it with {SCRIPTS[other]}")
    nearest = get_close_matches(name.lower(), names, n=3, cutoff=0.4)
    hint = f"the nearest are {', '.join(nearest)}" if nearest else f"there are {', '.join(names)}"
    raise ValueError(f"unknown architecture {name!r}: {hint}")


class _Parser(HfArgumentParser):
    """Answers mistakes with a sentence instead of pages of usage."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found."""
        raise ValueError(message)


def _parser(arguments_class: type[ScriptArguments]) -> _Parser:
    dataclasses: list[Any] = [arguments_class, TrainingArguments]
    parser = _Parser(
        dataclasses,
        prog=SCRIPTS[arguments_class.task],
        description=(arguments_class.__doc__ or "").splitlines()[0],
        allow_abbrev=False,
    )
    parser.add_argument("--config", help="JSON or YAML file with arguments.")
    return parser
