"""Training recipes, our own and the paper's: defaults for transformers' `TrainingArguments`."""

from typing import Any

from euromine.modeling.tasks import CHANGE_DETECTION
from euromine.support.errors import ArgumentError

# Shared by both recipes and both tasks.
COMMON: dict[str, Any] = {
    "per_device_eval_batch_size": 4,
    "save_total_limit": 2,
    "logging_steps": 20,
    "report_to": "none",
    # Our own collator takes all columns, and scores are counted batch by batch.
    "remove_unused_columns": False,
    "batch_eval_metrics": True,
    "greater_is_better": True,
    # With --push_to_hub the finished model is published, not every checkpoint.
    "hub_strategy": "end",
}

# The validation score that selects the best epoch.
BEST_METRIC = {"segmentation": "of1", CHANGE_DETECTION: "of1_pooled"}

BEST_COMPONENT_METRIC = "macro_iou"

# Networks whose published configuration departs from Adam at 1e-4 without weight decay.
PUBLISHED: dict[str, dict[str, Any]] = {
    "hanet": {"weight_decay": 0.0005},
    "tinycd": {"learning_rate": 0.00356799066427741, "weight_decay": 0.009449677083344786},
}
# Epochs over all pairs of years in the published configurations of the change detectors. None is published
# for the footprint mappers; we chose a number that gives about as many steps.
PUBLISHED_EPOCHS = {CHANGE_DETECTION: 10, "segmentation": 50}
PUBLISHED_BATCH_SIZE = 32
# Years of a patch in the published dataset.
_SERIES_YEARS = 10


def recipe_defaults(
    recipe: str, task: str, architecture: str, *, pretrained: bool, bf16: bool, processes: int = 1
) -> dict[str, Any]:
    """The training arguments of a recipe.

    Args:
        recipe: "default": AdamW with a short warm-up and a cosine schedule, in bfloat16 where the device
            supports it. "paper": Adam at 1e-4 (AdamW without weight decay), batches of 32, one cosine down to
            1e-7 over the whole training, float32, no clipping; TinyCD and HANet with the optimiser of their
            published configurations.
        task: "segmentation" or "change-detection".
        architecture: Name of the network.
        pretrained: Whether training starts from a checkpoint, which lowers the default learning rate.
        bf16: Whether the device supports bfloat16.
        processes: Number of processes that share the paper's batch of 32.

    Raises:
        ArgumentError: There is no such recipe, or the paper's batch cannot be divided.
    """
    if recipe == "paper":
        return {**_paper(task, processes), **PUBLISHED.get(architecture, {})}
    if recipe != "default":
        raise ArgumentError(f"--recipe: found {recipe!r}; expected default or paper.")
    return {
        "optim": "adamw_torch",
        "learning_rate": 1e-4 if pretrained else 1e-3,
        "weight_decay": 0.01,
        "warmup_steps": 0.05,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr_rate": 0.01},
        "per_device_train_batch_size": 16,
        "num_train_epochs": 10.0 if task == CHANGE_DETECTION else 50.0,
        "max_grad_norm": 1.0,
        "bf16": bf16,
    }


def series_recipe(images: int) -> dict[str, Any]:
    """Training arguments of a network for series, whose samples are patches, in place of a recipe's.

    Args:
        images: Images, or pairs of them, in a batch of the recipe.

    Returns:
        As many patches as hold about that number of images, each with ten years; and the epochs of a
        footprint mapper, as an epoch is all patches once for either task.
    """
    return {
        "per_device_train_batch_size": max(1, round(images / _SERIES_YEARS)),
        "num_train_epochs": float(PUBLISHED_EPOCHS["segmentation"]),
    }


def _paper(task: str, processes: int) -> dict[str, Any]:
    if PUBLISHED_BATCH_SIZE % processes:
        raise ArgumentError(
            f"--recipe paper: found {processes} processes; expected a number that divides its batch of "
            f"{PUBLISHED_BATCH_SIZE}. Set --per_device_train_batch_size, or change the number of processes."
        )
    return {
        "optim": "adamw_torch",
        "learning_rate": 1e-4,
        "weight_decay": 0.0,
        "warmup_steps": 0,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr": 1e-7},
        "per_device_train_batch_size": PUBLISHED_BATCH_SIZE // processes,
        "num_train_epochs": float(PUBLISHED_EPOCHS[task]),
        "max_grad_norm": 0.0,
        "bf16": False,
    }
