"""Refuse, before anything is read, TrainingArguments that these scripts neither train nor score with."""

import math
from copy import copy
from typing import Any, cast

import torch
from accelerate.utils import DynamoBackend
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainingArguments, get_scheduler
from transformers.integrations.integration_utils import get_reporting_integration_callbacks
from transformers.training_args import ParallelMode

from euromine.dataset_script.label_groups import LabelGroups
from euromine.support.errors import ArgumentError, as_user_error, one_line

from .component_scores import component_headlines
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
    "neftune_noise_alpha": (None, "These networks embed no tokens"),
    "use_liger_kernel": (False, "Its kernels are those of language models"),
    "greater_is_better": (True, "A greater score is the better one"),
}

# Least values of arguments that transformers does not check. Below them, a run would fail later in a library,
# or train something other than the user asked for.
_LEAST: dict[str, float] = {
    "learning_rate": 0,
    "weight_decay": 0,
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "max_grad_norm": 0,
    "dataloader_num_workers": 0,
    "num_train_epochs": 0,
    "seed": 0,
}


def check_training(task: str, training: TrainingArguments, groups: LabelGroups | None = None) -> None:
    """Refuse what these scripts do not train or score with, before anything is read.

    Args:
        task: "segmentation" or "change-detection".
        training: transformers' arguments.
        groups: The groups of a network that maps components.

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
    named = HEADLINES[task] if groups is None else component_headlines(groups)
    scores = [name for headlines in named.values() for name in headlines.values()]
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
    if training.fsdp and training.parallel_mode != ParallelMode.DISTRIBUTED:
        raise ArgumentError(
            "--fsdp: found one process; expected several, among which weights are divided. Start them with "
            "`accelerate launch --config_file accelerate_configs/fsdp2.yaml`."
        )
    _check_compilation(training)
    _check_optimizer(training)
    _check_schedule(training)
    options: Any = _checkpointing(training, "_kwargs")
    if options and options.get("use_reentrant"):
        raise ArgumentError(
            "--gradient_checkpointing_kwargs: found use_reentrant true; expected false, as layers that see "
            "the images would not learn."
        )


def check_network(model: PreTrainedModel, training: TrainingArguments) -> None:
    """Refuse arguments that a network does not support, before its training begins.

    Raises:
        ArgumentError: Gradient checkpointing is asked for, and the network has no layers for it.
    """
    layers = any(hasattr(module, "gradient_checkpointing") for module in model.modules())
    if _checkpointing(training) and not (model.supports_gradient_checkpointing and layers):
        raise ArgumentError(
            f"--gradient_checkpointing: found {type(model).__name__}, which has no layers for it; expected a "
            "network with a ResNet or transformer encoder. Use smaller batches and gradient accumulation."
        )


def check_layout(model: nn.Module, divides_weights: bool) -> None:
    """Refuse channels that lie innermost where FSDP divides the weights, which it cannot.

    Raises:
        ArgumentError: It does.
    """
    if divides_weights and not all(each.is_contiguous() for each in model.parameters()):
        raise ArgumentError(
            "--channels_last: found FSDP, which cannot divide such weights; expected another of them. Leave "
            "--channels_last out, or train with copies of the weights (accelerate_configs/multi_gpu.yaml)."
        )


def _checkpointing(training: TrainingArguments, part: str = "") -> Any:
    """An argument of gradient checkpointing, named activation checkpointing in newer transformers."""
    given = getattr(training, f"activation_checkpointing{part}", None)
    return given if given is not None else getattr(training, f"gradient_checkpointing{part}", None)


def _check_compilation(training: TrainingArguments) -> None:
    """Refuse a compiler or a mode of it that PyTorch does not know."""
    backend, mode = training.torch_compile_backend, training.torch_compile_mode
    backends = [each.value.lower() for each in DynamoBackend]
    if training.torch_compile and backend is not None and backend.lower() not in backends:
        raise ArgumentError(
            f"--torch_compile_backend: found {backend!r}; expected one of {', '.join(backends)}."
        )
    if (
        training.torch_compile
        and mode is not None
        and mode not in (modes := torch._inductor.list_mode_options())
    ):
        raise ArgumentError(f"--torch_compile_mode: found {mode!r}; expected one of {', '.join(modes)}.")


def _check_optimizer(training: TrainingArguments) -> None:
    """Refuse an optimiser whose library is missing, and arguments that it does not take."""
    try:
        settings = _optimizer_settings(training)
        given = training.optim_args.split(",") if training.optim_args else []
        for place, part in enumerate(given):
            others = copy(training)
            others.optim_args = ",".join(given[:place] + given[place + 1 :])
            # transformers passes over names that an optimiser does not know.
            if _optimizer_settings(others) == settings:
                raise ArgumentError(
                    f"--optim_args: found {part.strip()!r}, which has no effect with --optim "
                    f"{getattr(training.optim, 'value', training.optim)}; expected arguments that it takes. "
                    "Those of AdamW are --weight_decay, --adam_beta1, --adam_beta2 and --adam_epsilon."
                )
    except ArgumentError:
        raise
    except ImportError as error:
        raise ArgumentError(
            f"--optim: found {getattr(training.optim, 'value', training.optim)}, whose library is missing "
            f"({one_line(error).rstrip('.')}); expected adamw_torch or another that is."
        ) from error
    except ValueError:
        # From optimisers that look for layers by name, which this network has not.
        return


def _optimizer_settings(training: TrainingArguments) -> tuple[Any, dict[str, Any]]:
    """The optimiser's class and arguments."""
    kind, settings = Trainer.get_optimizer_cls_and_kwargs(training, cast("Any", torch.nn.Linear(1, 1)))
    return kind, settings


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
