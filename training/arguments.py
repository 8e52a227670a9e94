"""The options of `train_seg.py` and `train_cd.py`: their own beside transformers' TrainingArguments.

Later sources override earlier ones: transformers' defaults, the recipe, a configuration file (JSON or YAML),
the command line.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, TypeVar

import torch
import yaml
from torch import nn
from transformers import HfArgumentParser, TrainingArguments

from euromine.modeling.auto import list_models
from euromine.modeling.tasks import CHANGE_DETECTION, SEGMENTATION, SERIES
from euromine.support.errors import ArgumentError, as_user_error, one_line
from euromine.support.near_names import nearest_names

from .component_options import ComponentOptions, check_component_options
from .recipes import BEST_COMPONENT_METRIC, BEST_METRIC, COMMON, recipe_defaults, series_recipe
from .training_checks import check_training

SCRIPTS = {SEGMENTATION: "train_seg.py", CHANGE_DETECTION: "train_cd.py"}


def _argument(default: Any, help_text: str, **options: Any) -> Any:
    return field(default=default, metadata={"help": help_text, **options})


@dataclass
class ScriptArguments:
    """The options of both scripts.

    Attributes:
        dataset: A folder that `euromine build` wrote, or a Hub repository.
        dataset_revision: Branch, tag or commit of the Hub repository.
        architecture: Name of the network, one of `list_models(task)` or `list_models("series")`.
        bands: Names of the bands to use; default all ten.
        pretrained: Start from the benchmark's checkpoint (no value) or from this repository or folder.
        stem_init: How a pretrained RGB first layer is extended to the bands.
        config_overrides: Other fields of the network's configuration, as a JSON object.
        statistics: Normalisation of the images: statistics of the dataset's own training sites, or a preset;
            default the dataset's where it has them, else corrected.
        recipe: Defaults of the training arguments (`recipes.py`).
        years: Train and score on these years only.
        channels_last: Keep the channels of weights and maps innermost; results differ by rounding.
        augmentation: Flip and rotate training patches, both dates alike.
        max_train_samples: Largest number of training rows, drawn once with the seed.
        max_eval_samples: Largest number of scored patches per split, spread over its sites.
        protocol: How the network is trained and scored. "corrected": on the dataset's own training sites,
            with pixels counted in the patch that owns them and scores averaged over sites. "paper": as
            published, so with the paper's normalisation, the official list of training sites (one of them
            twice, one missing) and the pixels of whole patches pooled, overlaps repeatedly and padding too.
        average: How scores are averaged, "site" or "pooled"; default that of the protocol.
        resume: Resume the run in `output_dir`. Without it, a run there is an error.
        restart: Delete the run in `output_dir` and begin anew.

    Raises:
        ArgumentError: An option is missing, has an invalid value, or contradicts another.
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
        "Start from the benchmark's checkpoint, or from this repository or folder.",
        nargs="?",
        const="true",
    )
    stem_init: Literal["semantic", "cyclic", "random"] = _argument(
        "semantic", "How a pretrained RGB first layer is extended to the bands."
    )
    config_overrides: dict[str, Any] | str | None = _argument(  # noqa: RUF009 - as above
        None, "Other fields of the network's configuration, as a JSON object."
    )
    statistics: Literal["dataset", "corrected", "paper"] | None = _argument(
        None, "Normalisation; default the dataset's own statistics where it has them, else corrected."
    )
    recipe: Literal["default", "paper"] = _argument("default", "Defaults of the training arguments.")
    years: list[int] | None = _argument(None, "Train and score on these years only.")  # noqa: RUF009 - as above
    channels_last: bool = _argument(
        False, "Keep the channels of weights and maps innermost: faster for some networks, most with --bf16."
    )
    augmentation: bool = _argument(True, "Flip and rotate training patches.")
    max_train_samples: int | None = _argument(None, "Largest number of training rows.")
    max_eval_samples: int | None = _argument(None, "Largest number of scored patches per split.")
    protocol: Literal["corrected", "paper"] = _argument(
        "corrected", "Train and score on owned pixels and corrected site lists, or as published."
    )
    average: Literal["site", "pooled"] | None = _argument(
        None, "How scores are averaged over sites; default that of the protocol."
    )
    resume: bool = _argument(True, "Resume the run in output_dir.")
    restart: bool = _argument(False, "Delete the run in output_dir and begin anew.")

    def __post_init__(self) -> None:
        for name in ("dataset", "architecture"):
            if not getattr(self, name):
                raise ArgumentError(f"--{name}: found no value; expected one, as it is required.")
        _check_architecture(self.architecture, self.task)
        if self.bands is not None:
            self.bands = [band for part in self.bands for band in str(part).split(",") if band]
        for name in ("max_train_samples", "max_eval_samples"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ArgumentError(f"--{name}: found {number}; expected at least 1.")
        if self.protocol == "paper":
            if self.average == "site" or self.statistics not in (None, "paper"):
                option = "average" if self.average == "site" else "statistics"
                expected = "pooled" if option == "average" else "paper"
                raise ArgumentError(
                    f"--{option}: found {getattr(self, option)} with --protocol paper; expected {expected}. "
                    "That protocol pools pixels and normalises as published."
                )
            self.statistics = "paper"
        self.model_config  # noqa: B018 - a value that is not JSON is refused before anything is read

    @property
    def model_config(self) -> dict[str, Any]:
        """Other fields of the network's configuration."""
        given = self.config_overrides or {}
        try:
            fields = json.loads(given) if isinstance(given, str) else given
        except json.JSONDecodeError as error:
            raise ArgumentError(
                f"--config_overrides: found {given!r}, which is not JSON ({error}); expected a JSON object."
            ) from None
        if not isinstance(fields, dict):
            raise ArgumentError(f"--config_overrides: found {given!r}; expected a JSON object of fields.")
        return fields

    @property
    def sees_series(self) -> bool:
        """Whether the network sees all years of a patch at once; a sample is then a patch."""
        return self.architecture in list_models(SERIES)

    @property
    def counts_whole_patches(self) -> bool:
        """Whether scores count all pixels of a patch instead of those that it owns."""
        return self.protocol == "paper"

    @property
    def averaging(self) -> str:
        """How scores are averaged over sites: "site" or "pooled"."""
        return self.average or ("pooled" if self.protocol == "paper" else "site")

    def lay_out(self, model: nn.Module) -> None:
        """Order the dimensions of a network's weights in memory."""
        if self.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs

    @property
    def checkpoint_to_start_from(self) -> bool | str:
        """The argument `pretrained` of `create_model`."""
        named = {"true": True, "false": False, "": False}
        return False if self.pretrained is None else named.get(str(self.pretrained).lower(), self.pretrained)


@dataclass
class SegmentationArguments(ComponentOptions, ScriptArguments):
    """The options of `train_seg.py`: `ScriptArguments`, and those for the components of mines."""

    task: ClassVar[str] = SEGMENTATION

    def __post_init__(self) -> None:
        super().__post_init__()
        check_component_options(self, self.bands, self.protocol, self.sees_series, self.architecture)


@dataclass
class ChangeDetectionArguments(ScriptArguments):
    """The options of `train_cd.py`: `ScriptArguments`, and the pairs of years that it trains on.

    Attributes:
        training: "pairs": a sample is a pair of years. "series": a sample is a patch, whose years are encoded
            once for all of its pairs; `per_device_train_batch_size` and `max_train_samples` count patches.
        pairs_per_patch: "all" pairs of each patch in every epoch, or a number of pairs, drawn anew for each
            epoch.
        interval_sampling: How pairs are drawn: with equal probability ("uniform"), equally often for every
            interval of years ("balanced"), or in inverse proportion to the interval ("inverse"), so that
            most are short.
    """

    task: ClassVar[str] = CHANGE_DETECTION

    training: Literal["pairs", "series"] = _argument(
        "pairs", "A sample is a pair of years, or a patch with several pairs, each year encoded once."
    )
    pairs_per_patch: str = _argument("all", "All pairs of years, or a number per patch and epoch.")
    interval_sampling: Literal["uniform", "balanced", "inverse"] = _argument(
        "uniform", "Draw all pairs equally often, all intervals equally often, or short intervals more often."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.number_of_pairs is None and self.interval_sampling != "uniform":
            raise ArgumentError(
                f"--interval_sampling: found {self.interval_sampling} with --pairs_per_patch all; expected a "
                "number of pairs to draw. Set --pairs_per_patch."
            )
        if self.sees_series and (self.training == "series" or self.number_of_pairs is not None):
            option = "training" if self.training == "series" else "pairs_per_patch"
            raise ArgumentError(
                f"--{option}: found {getattr(self, option)} with {self.architecture}; expected no such "
                "option, as this network learns from all pairs of a patch at once."
            )

    @property
    def number_of_pairs(self) -> int | None:
        """Number of pairs drawn per patch and epoch; None for all."""
        if self.pairs_per_patch == "all":
            return None
        number = int(self.pairs_per_patch) if str(self.pairs_per_patch).isdecimal() else 0
        if number < 1:
            raise ArgumentError(
                f"--pairs_per_patch: found {self.pairs_per_patch!r}; expected all or a number of at least 1."
            )
        return number


Arguments = TypeVar("Arguments", bound=ScriptArguments)


def parse_arguments(
    arguments_class: type[Arguments], argv: Sequence[str] | None = None
) -> tuple[Arguments, TrainingArguments]:
    """Parse the command line of a script.

    Args:
        arguments_class: The script's own options.
        argv: The command line; default `sys.argv`. `--config FILE`, or a first argument that ends in .json,
            .yaml or .yml, names a configuration file.

    Returns:
        The script's own arguments, and transformers'. `use_token` takes the token out of these.

    Raises:
        ArgumentError: An option is unknown, missing or invalid; the message names similar options.
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
    if chosen.get("deepspeed") and find_spec("deepspeed") is None:
        raise ArgumentError(
            f"--deepspeed: found {chosen['deepspeed']!r}, but no library deepspeed; expected it to be "
            "installed. accelerate_configs/fsdp2.yaml divides weights without it."
        )
    try:
        # transformers checks its arguments when it builds them.
        with as_user_error("TrainingArguments"):
            script, training, _ = parser.parse_args_into_dataclasses(argv, look_for_args_file=False)
    except (ImportError, TypeError) as error:  # a missing library, or fields of a JSON object
        raise ArgumentError(
            f"TrainingArguments: found a value that transformers cannot use ({one_line(error).rstrip('.')}); "
            "expected those that --help describes."
        ) from error
    check_training(script.task, training, script.groups if isinstance(script, ComponentOptions) else None)
    return script, training


def _defaults(task: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Our own defaults, given the values that the user chose."""
    use_cpu = str(chosen.get("use_cpu", False)).lower() == "true"
    recipe = recipe_defaults(
        str(chosen.get("recipe", "default")),
        task,
        str(chosen.get("architecture", "")),
        pretrained=str(chosen.get("pretrained", "false")).lower() != "false",
        bf16=not use_cpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        processes=1 if "per_device_train_batch_size" in chosen else int(os.environ.get("WORLD_SIZE", "1")),
    )
    if chosen.get("architecture") in list_models(SERIES):
        recipe |= series_recipe(recipe["per_device_train_batch_size"])
    elif chosen.get("training") == "series":
        recipe["per_device_train_batch_size"] = _patches_of_a_batch(
            str(chosen.get("pairs_per_patch", "all")), recipe["per_device_train_batch_size"]
        )
    if str(chosen.get("lr_scheduler_type", recipe["lr_scheduler_type"])) != recipe["lr_scheduler_type"]:
        # They belong to the recipe's own schedule.
        del recipe["lr_scheduler_kwargs"]
    if str(chosen.get("fp16", False)).lower() == "true":
        recipe["bf16"] = False
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
        "metric_for_best_model": BEST_COMPONENT_METRIC if chosen.get("label_groups") else BEST_METRIC[task],
    }


def _patches_of_a_batch(pairs_per_patch: str, pairs_of_a_batch: int) -> int:
    """Patches with about as many pairs as a batch of pairs; one where all pairs are used."""
    number = int(pairs_per_patch) if pairs_per_patch.isdecimal() else pairs_of_a_batch
    return max(1, pairs_of_a_batch // max(1, number))


class _Absent:
    """The value of an option that was not given."""


_ABSENT = _Absent()


def _given_values(arguments_class: type[ScriptArguments], argv: Sequence[str]) -> dict[str, Any]:
    """The values given on the command line."""
    parser = _parser(arguments_class)
    if not {"-h", "--help"}.isdisjoint(argv):
        parser.parse_args(["--help"])  # while the parser has the defaults that it shows
    parser.set_defaults(**dict.fromkeys(_destinations(parser), _ABSENT))
    namespace, unknown = parser.parse_known_args(argv)
    if unknown:
        _refuse(unknown[0], [option for action in parser._actions for option in action.option_strings])
    return {name: value for name, value in vars(namespace).items() if value is not _ABSENT}


def _read_config(parser: argparse.ArgumentParser, path: str | None) -> dict[str, Any]:
    """The values of a configuration file."""
    if path is None:
        return {}
    try:
        text = Path(path).read_text(encoding="utf-8")
        # YAML takes all JSON, tabs aside.
        values = json.loads(text) if Path(path).suffix == ".json" else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        kind = "JSON" if Path(path).suffix == ".json" else "YAML"
        raise ArgumentError(
            f"{path}: found text that is not {kind} ({one_line(error)}); expected options and their values."
        ) from None
    if not isinstance(values, dict):
        raise ArgumentError(f"{path}: found no options; expected lines such as `architecture: segformer-b0`.")
    destinations = _destinations(parser)
    for name, value in values.items():
        if name not in destinations:
            _refuse(name, destinations, path)
        choices = destinations[name].choices
        if choices is not None and value is not None and value not in choices:
            raise ArgumentError(
                f"{path}: found {value!r} for {name}; expected one of {', '.join(map(str, choices))}."
            )
    return values


def _refuse(name: str, known: Sequence[str] | Mapping[str, Any], where: str = "command line") -> NoReturn:
    nearest = nearest_names(name, known, 2)
    expected = " or ".join(nearest) if nearest else "one of the options that --help lists"
    raise ArgumentError(f"{where}: found the unknown option {name}; expected {expected}.")


def _destinations(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {action.dest: action for action in parser._actions if action.dest != "help"}


def _check_architecture(name: str, task: str) -> None:
    """Refuse an unknown network, or one of the other task."""
    if not name or name in (names := [*list_models(task), *list_models(SERIES)]):
        return
    other = CHANGE_DETECTION if task == SEGMENTATION else SEGMENTATION
    if name in list_models(other):
        kinds = {CHANGE_DETECTION: "a change detector", SEGMENTATION: "a footprint mapper"}
        raise ArgumentError(
            f"--architecture: found {name}, {kinds[other]}; expected {kinds[task]}. Train it with "
            f"{SCRIPTS[other]}."
        )
    nearest = nearest_names(name.lower(), names)
    raise ArgumentError(f"--architecture: found {name!r}; expected {' or '.join(nearest or names)}.")


class _Parser(HfArgumentParser):
    """Raises mistakes as errors of one line instead of printing pages of usage."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found."""
        raise ArgumentError(f"{message.removeprefix('argument ')}.")


def _parser(arguments_class: type[ScriptArguments]) -> _Parser:
    dataclasses: list[Any] = [arguments_class, TrainingArguments]
    parser = _Parser(
        dataclasses,
        prog=SCRIPTS[arguments_class.task],
        description=(arguments_class.__doc__ or "").splitlines()[0],
        allow_abbrev=False,
    )
    parser.add_argument("--config", help="JSON or YAML file with arguments.")
    for action in parser._actions:
        if action.option_strings and action.option_strings[0] == f"--no_{action.dest}":
            # HfArgumentParser repeats the help of the option that this one turns off, with another default.
            action.help, action.default = f"Turn --{action.dest} off.", argparse.SUPPRESS
    return parser
