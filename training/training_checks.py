"""Refuse, before anything is read, TrainingArguments that these scripts neither train nor score with."""

import math
from typing import Any, cast

import torch
from transformers import TrainingArguments, get_scheduler
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from euromine.support.errors import ArgumentError, as_user_error, one_line

from .evaluation import HEADLINES

# Arguments of transformers that would change what is scored, or that these scripts cannot train with: the
# value that they must have, and why.
_SETTLED: dict[str, tuple[Any, str]] = {
    "label_smoothing_factor": (0.0, "The loss leaves out unknown pixels, which smoothing does not"),
    "bf16_full_eval": (False, "Scores are computed with the weights as they were trained; use --bf16"),
    "fp16_full_eval": (False, "Scores are computed with the weights as they were trained; use --fp16"),
    "prediction_loss_only": (False, "Models are scored by their maps"),
    "batch_eval_metrics": (True, "Scores are counted batch by batch"),
    "remove_unused_columns": (False, "The collator takes all columns"),
    "greater_is_better": (True, "A greater score is the better one"),
}

# The least value of arguments that transformers takes unchecked, and that end a run later in an error of a
# library, or train something else than was asked for.
_LEAST: dict[str, float] = {
    "learning_rate": 0,
    "weight_decay": 0,
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "dataloader_num_workers": 0,
    "num_train_epochs": 0,
    "seed": 0,
}


def check_training(task: str, training: TrainingArguments) -> None:
    """Refuse what these scripts do not train or score with, before anything is read.

    Raises:
        ArgumentError: An argument would change the scores or end the training in its first step.
    """
    for name, (expected, reason) in _SETTLED.items():
        if (found := getattr(training, name)) != expected:
            raise ArgumentError(f"--{name}: found {found}; expected {expected}. {reason}.")
    for name, least in _LEAST.items():
        if not least <= (number := getattr(training, name)) < math.inf:
            raise ArgumentError(f"--{name}: found {number}; expected a number of at least {least}.")
    if training.max_steps < 1 and training.max_steps != -1:  # transformers' own "no limit"
        raise ArgumentError(f"--max_steps: found {training.max_steps}; expected at least 1.")
    metric = training.metric_for_best_model
    scores = [name for headlines in HEADLINES[task].values() for name in headlines.values()]
    if training.load_best_model_at_end and str(metric).removeprefix("eval_") not in scores:
        raise ArgumentError(
            f"--metric_for_best_model: found {metric}; expected a validation score: {', '.join(scores)}."
        )
    for name in ("adam_beta1", "adam_beta2"):
        if not 0 <= (number := getattr(training, name)) < 1:
            raise ArgumentError(f"--{name}: found {number}; expected a number of at least 0 and below 1.")
    if training.optim_args and not all(part.count("=") == 1 for part in training.optim_args.split(",")):
        raise ArgumentError(
            f"--optim_args: found {training.optim_args!r}; expected name=value, or several separated "
            "by commas."
        )
    with as_user_error("--report_to"):
        get_reporting_integration_callbacks(training.report_to)
    _check_schedule(training)


def _check_schedule(training: TrainingArguments) -> None:
    """Make the learning rate's schedule once, as a wrong argument of it is a `TypeError` of a library."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=training.learning_rate)
    kind = training.lr_scheduler_type
    options = cast("dict[str, Any] | None", training.lr_scheduler_kwargs)  # parsed by TrainingArguments
    try:
        get_scheduler(kind, optimizer, 1, 2, dict(options or {}))
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"--lr_scheduler_kwargs: found {options or 'none'} for --lr_scheduler_type "
            f"{getattr(kind, 'value', kind)}; expected arguments that it takes ({one_line(error)})."
        ) from error
