"""Output of a training run: one short line per log, and a table of scores at the end."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_callback import ProgressCallback, TrainerControl, TrainerState
from transformers.utils import logging as transformers_logging

from euromine.support.run_records import RunResults

from .model_cards import part_table, score_table

logger = logging.getLogger(__name__)

# Each task has one of these scores.
_SCORES = ("_of1_pooled", "_macro_iou")
_TIMING = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")


def is_timing(name: str) -> bool:
    """Whether an entry of a log is a time or a speed, which differ between runs that are otherwise equal."""
    return name.endswith(_TIMING)


def is_evaluation(log: Mapping[str, Any]) -> bool:
    """Whether a log of Trainer holds scores of the validation split."""
    return any(name.startswith("eval_") and not is_timing(name) for name in log)


def configure_logging(training: TrainingArguments) -> None:
    """Print the project's log as plain lines: all of it on the first process, errors alone on the others."""
    transformers_logging.disable_progress_bar()
    project = logging.getLogger("euromine")
    if not project.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        project.addHandler(handler)
    project.setLevel(logging.INFO if training.process_index == 0 else logging.ERROR)


def log_scores(results: RunResults) -> None:
    """Log the scores of a run as tables."""
    if (split := results.scored_split) is not None:
        tables = (score_table(results, split), part_table(results, split))
        logger.info("\n%s\n", "\n\n".join(table for table in tables if table))


def log_line(logs: Mapping[str, Any], step: int, steps: int) -> str:
    """One line for a log of Trainer; empty for a log without losses, scores or timing."""
    if "loss" in logs:
        parts = [f"loss {logs['loss']:.4f}", f"learning rate {logs.get('learning_rate', 0.0):.2g}"]
    elif split := next((name.split("_")[0] for name in logs if name.endswith(_SCORES)), None):
        prefix = f"{split}_"
        scores = {name.removeprefix(prefix): value for name, value in logs.items() if name.startswith(prefix)}
        named = {"eval": "validation"}.get(split, split)
        parts = [named, *(f"{name} {value:.4f}" for name, value in scores.items() if not is_timing(name))]
    elif "train_runtime" in logs:
        parts = [f"trained in {logs['train_runtime']:.0f} s"]
    else:
        return ""
    return "  ".join([f"step {step}/{steps}", f"epoch {logs.get('epoch', 0.0):.2f}", *parts])


class ProgressBars(ProgressCallback):
    """Trainer's progress bars without its log lines."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Any = None,
        **kwargs: Any,
    ) -> None:
        """Print nothing: `LogLines` does."""


class LogLines(TrainerCallback):
    """Print each log as one short line, above the progress bars."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Any = None,
        **kwargs: Any,
    ) -> None:
        """Print the log on the first process."""
        line = log_line(logs or {}, state.global_step, state.max_steps)
        if line and state.is_world_process_zero:
            tqdm.write(line, file=sys.stderr)
