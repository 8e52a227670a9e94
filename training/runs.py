"""A training run and its folder: begun, resumed or found finished; trained, scored once, described."""

import io
import json
import logging
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray
from transformers import PreTrainedModel, TrainingArguments
from transformers.trainer_callback import TrainerState
from transformers.trainer_utils import IntervalStrategy
from transformers.utils import logging as transformers_logging

from euromine.metrics.counts import CountTable
from euromine.modeling.auto import published_weights
from euromine.support import files

from . import checkpoints
from .arguments import ScriptArguments
from .data import Splits, describe, sites_of
from .evaluation import HEADLINES, predict_series
from .hub_push import prepare_repository, publish_finished
from .model_cards import draw_predictions, part_table, score_table, scored_split, write_card
from .series_trainer import SeriesTrainer

logger = logging.getLogger(__name__)

RECORD = "run.json"
RESULTS = "metrics.json"
# The counted pixels of each site that the scores come from: other averages and intervals need no new run.
COUNTS = "counts.npz"
# Sites that an interval of confidence needs to say anything, and how often they are resampled for it.
_SITES_FOR_CONFIDENCE = 5
_RESAMPLES = 1000

# Arguments that change neither the weights nor the scores.
_WITHOUT_EFFECT = {
    "dataset",  # where the data lies; what it is, its digest says
    "resume",
    "restart",
    "resume_from_checkpoint",
    "output_dir",
    "run_name",
    "project",
    "report_to",
    "disable_tqdm",
    "save_total_limit",
    "push_to_hub",
    "per_device_eval_batch_size",
    "skip_memory_metrics",
    "local_rank",
    "debug",
    "use_cpu",
    "do_train",
    "do_eval",
    "do_predict",
}
_WITHOUT_EFFECT_PREFIXES = ("logging_", "log_", "hub_", "trackio_", "ddp_", "include_")
_WITHOUT_EFFECT_LOADING = {
    "dataloader_num_workers",
    "dataloader_pin_memory",
    "dataloader_persistent_workers",
    "dataloader_prefetch_factor",
    "dataloader_multiprocessing_context",
    "dataloader_in_order",
}


@dataclass(frozen=True)
class Run:
    """A run and where it stands.

    Attributes:
        script: The script's arguments.
        training: transformers' arguments.
        splits: The data.
        output_dir: The run's folder.
        checkpoint: From where training goes on; None from the beginning.
        results: What `metrics.json` holds, where the run is finished.
    """

    script: ScriptArguments
    training: TrainingArguments
    splits: Splits
    output_dir: Path
    checkpoint: Path | None
    results: dict[str, Any] | None


def start_run(script: ScriptArguments, training: TrainingArguments, splits: Splits) -> Run:
    """Begin a run, or find where the same run was left.

    Args:
        script: The script's arguments.
        training: transformers' arguments. Without a validation split nothing is selected: what asks for it
            in them is turned off.
        splits: The data.

    Raises:
        ValueError: The folder holds another run, or one that `resume` is off for.
        OSError: The folder cannot be written to.
    """
    _select_only_on_validation(training, splits)
    logger.info("%s", describe(splits))
    if training.push_to_hub:
        prepare_repository(script, training, splits.digest)
    output_dir = Path(training.output_dir or "")
    record = _record(script, training, splits)
    before = _read_json(output_dir / RECORD)
    if not script.restart:
        _check_same_run(output_dir, before, record, script.resume)
    results = None if script.restart else _read_json(output_dir / RESULTS)
    # Every process has looked before the first one writes.
    PartialState().wait_for_everyone()
    if training.process_index == 0:
        output_dir.mkdir(parents=True, exist_ok=True)
        checkpoints.clean(output_dir)
        if script.restart:
            _forget(output_dir)
        with files.told_when_full(output_dir, RECORD):
            files.write_json(output_dir / RECORD, record)
    PartialState().wait_for_everyone()
    if results is not None:
        logger.info("%s is finished; --restart trains it anew. Its scores:", output_dir)
        log_scores(results)
        if training.push_to_hub:
            publish_finished(output_dir, training)
        return Run(script, training, splits, output_dir, None, results)
    if training.resume_from_checkpoint:
        checkpoint: Path | None = Path(training.resume_from_checkpoint)
        if not checkpoints.is_complete(Path(training.resume_from_checkpoint)):
            raise ValueError(
                f"--resume_from_checkpoint {checkpoint}: this is no complete checkpoint of these scripts"
            )
    else:
        checkpoint = checkpoints.last_complete_checkpoint(output_dir)
    if checkpoint is not None:
        logger.info("continuing from %s", checkpoint)
    return Run(script, training, splits, output_dir, checkpoint, None)


def finish_run(run: Run, trainer: SeriesTrainer) -> dict[str, Any]:
    """Train what is left to train, score the best network once on the test split, and write it all down.

    Leaves the model, its image processor, `README.md` with a picture, and at the very end `metrics.json`.

    Returns:
        What `metrics.json` holds.
    """
    _train(run, trainer)
    splits, scores = run.splits, trainer.scores
    found: dict[str, dict[str, float]] = {}
    details: dict[str, dict[str, Any]] = {}
    if (selection := _validation_scores(trainer.state)) is not None:
        found["validation"] = selection
    last = "test" if splits.test is not None else "validation"
    if (rows := splits.test if splits.test is not None else splits.validation) is not None:
        scores.bootstrap = _RESAMPLES if len(sites_of(rows)) >= _SITES_FOR_CONFIDENCE else 0
        metrics = trainer.evaluate(rows, metric_key_prefix=last)
        names = [name for headlines in HEADLINES[scores.task].values() for name in headlines.values()]
        found[last] = {name: metrics[f"{last}_{name}"] for name in names}
        details[last] = scores.details
    else:
        logger.warning("there is neither a test nor a validation split: nothing was scored")
    results = _results(run, trainer, found, details)
    trainer.save_model(_internal_call=True)
    picture = None
    # A network whose weights are divided among processes predicts in all of them or in none.
    if trainer.is_world_process_zero() or trainer.is_fsdp_enabled:
        picture = draw_predictions(splits.pictured, _predictor(trainer), scores.task)
    if trainer.is_world_process_zero():
        with files.told_when_full(run.output_dir, "the model card"):
            write_card(run.output_dir, results, picture)
            if scores.counts:
                files.write_bytes(run.output_dir / COUNTS, packed_counts(scores.counts))
            files.write_json(run.output_dir / RESULTS, results)
        log_scores(results)
        logger.info("the model, its card and %s are in %s", RESULTS, run.output_dir)
    trainer.accelerator.wait_for_everyone()
    if run.training.push_to_hub:
        publish_finished(run.output_dir, run.training)
    # The same in every process, and the same as a later start of a finished run returns.
    return _plain(results)


def log_scores(results: Mapping[str, Any]) -> None:
    """Show the scores of a run as a table."""
    if (split := scored_split(results)) is not None:
        text = "\n\n".join(part for part in (score_table(results, split), part_table(results, split)) if part)
        logger.info("\n%s\n", text)


def quiet_logging(training: TrainingArguments) -> None:
    """Let the project speak in short lines on the first process, on others when something is wrong."""
    transformers_logging.disable_progress_bar()
    project = logging.getLogger("euromine")
    if not project.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        project.addHandler(handler)
    project.setLevel(logging.INFO if training.process_index == 0 else logging.ERROR)


@contextmanager
def mistakes_in_a_sentence(program: str) -> Iterator[None]:
    """Answer what a person did wrong in one sentence, without a traceback, and leave with status 1.

    Around everything that comes before training: what fails in training shows where it did.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        logger.debug("what went wrong", exc_info=True)
        sys.stderr.write(f"{program}: {' '.join(str(error).split())}\n")
        raise SystemExit(1) from None


Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def full_disk_in_a_sentence(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """A script's main function, which leaves with a sentence where the disk is full."""

    @wraps(function)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            if not files.says_full(error):
                raise
            sys.stderr.write(f"{Path(sys.argv[0]).name}: {error.strerror or error}\n")
            raise SystemExit(1) from None

    return wrapped


def _select_only_on_validation(training: TrainingArguments, splits: Splits) -> None:
    if splits.validation is not None or training.eval_strategy == IntervalStrategy.NO:
        return
    logger.warning(
        "there is no validation split: the last checkpoint is kept, and nothing is selected on the test split"
    )
    training.eval_strategy = IntervalStrategy.NO
    training.do_eval = False
    training.load_best_model_at_end = False
    training.metric_for_best_model = None


def _train(run: Run, trainer: SeriesTrainer) -> None:
    """Train to the end, or take what a run that was trained to its end has left."""
    if run.checkpoint is None:
        trainer.train()
        return
    state = TrainerState.load_from_json(str(run.checkpoint / "trainer_state.json"))
    if state.global_step < state.max_steps:
        trainer.train(resume_from_checkpoint=str(run.checkpoint))
        return
    # Trainer would go on with the steps that `max_steps` left of an epoch.
    chosen = run.checkpoint
    if run.training.load_best_model_at_end and state.best_model_checkpoint:
        chosen = run.output_dir / Path(state.best_model_checkpoint).name
    trainer.state = state
    # Without an optimiser FSDP2 divides nothing: each process takes the whole network to score it.
    trainer.is_fsdp_enabled = False
    trainer._load_from_checkpoint(str(chosen))


def _validation_scores(state: TrainerState) -> dict[str, float] | None:
    """The scores on the validation split of the checkpoint that was chosen, else of the last one."""
    evaluations = [log for log in state.log_history if "eval_of1_pooled" in log]
    if not evaluations:
        return None
    chosen = [log for log in evaluations if log["step"] == state.best_global_step] or evaluations
    timing = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
    return {
        name.removeprefix("eval_"): value
        for name, value in chosen[-1].items()
        if name.startswith("eval_") and name not in timing and not name.endswith("preparation_time")
    }


def _predictor(trainer: SeriesTrainer) -> Callable[[NDArray[np.int16]], NDArray[np.uint8]]:
    trainer.network.eval()
    trainer.settle_divided_network()

    def predict(images: NDArray[np.int16]) -> NDArray[np.uint8]:
        with trainer.accelerator.autocast():
            maps = predict_series(trainer.network, trainer.image_processor, images[None])
        return maps[0].cpu().numpy()

    return predict


def _results(
    run: Run,
    trainer: SeriesTrainer,
    scores: Mapping[str, Mapping[str, float]],
    details: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """All that is worth keeping of a finished run."""
    script, training, splits, state = run.script, run.training, run.splits, trainer.state
    model = trainer.network
    selects = training.load_best_model_at_end and state.best_global_step is not None
    record = _record(script, training, splits)
    return {
        "task": script.task,
        "architecture": script.architecture,
        "model": {
            "repository": training.hub_model_id,
            "folder": str(run.output_dir),
            "class": type(model).__name__,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        },
        "scores": {name: dict(split) for name, split in scores.items()},
        "confidence": {name: _confidence(script.task, split) for name, split in details.items()},
        "details": dict(details),
        "training": {
            "steps": state.global_step,
            "epochs": round(float(state.epoch), 4),
            "best_step": state.best_global_step if selects else None,
            "selected_by": training.metric_for_best_model if selects else None,
            "batch_size": training.train_batch_size
            * training.gradient_accumulation_steps
            * training.world_size,
            "precision": "bfloat16" if training.bf16 else "float16" if training.fp16 else "float32",
            "arguments": record["arguments"],
        },
        "protocol": {
            "dataset": script.dataset,
            "dataset_revision": splits.revision,
            "simulated": splits.simulated,
            "digest": splits.digest,
            "sites": {
                name: sites_of(rows)
                for name, rows in (
                    ("train", splits.train),
                    ("validation", splits.validation),
                    ("test", splits.test),
                )
            },
            "years": script.years,
            "bands": list(trainer.image_processor.bands),
            "statistics": trainer.image_processor.statistics,
            "recipe": script.recipe,
            "augmentation": script.augmentation,
            "protocol": script.protocol,
            "average": script.averaging,
            "pretrained": _origin(script, model),
            "training": getattr(script, "training", None),
            "pairs_per_patch": getattr(script, "pairs_per_patch", None),
            "interval_sampling": getattr(script, "interval_sampling", None),
        },
        "versions": {name: version(name) for name in ("euromine", "torch", "transformers", "datasets")},
        "hardware": _hardware(training),
        "history": [log for log in state.log_history if "loss" in log or "eval_of1_pooled" in log],
    }


def packed_counts(counts: Mapping[str, CountTable]) -> bytes:
    """The counts of each metric as an .npz file: {metric}.sites, .years, .by_year and .by_pair."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, table in counts.items():
        arrays[f"{name}.sites"] = np.array([str(site) for site in table.sites])
        arrays[f"{name}.years"] = np.array(table.years)
        arrays |= {f"{name}.by_year": table.by_year, f"{name}.by_pair": table.by_pair}
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    return packed.getvalue()


def _confidence(task: str, details: Mapping[str, Mapping[str, Any]]) -> dict[str, list[float]]:
    return {
        headline: details[metric]["confidence_intervals"][score]
        for metric, headlines in HEADLINES[task].items()
        if "confidence_intervals" in details[metric]
        for score, headline in headlines.items()
    }


def _origin(script: ScriptArguments, model: PreTrainedModel) -> str | None:
    """What training began from."""
    source = script.checkpoint_to_start_from
    if source is True:
        return ", ".join(published_weights(script.architecture, model))
    return source or None


def _hardware(training: TrainingArguments) -> str:
    device = training.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"
    return f"{training.world_size} x {name}" if training.world_size > 1 else name


def _record(script: ScriptArguments, training: TrainingArguments, splits: Splits) -> dict[str, Any]:
    """What makes a run this run."""
    arguments = {**asdict(script), **training.to_dict(), "world_size": training.world_size}
    kept = {
        name: value
        for name, value in arguments.items()
        if name not in _WITHOUT_EFFECT | _WITHOUT_EFFECT_LOADING
        and not name.startswith(_WITHOUT_EFFECT_PREFIXES)
    }
    return _plain({"task": script.task, "data": splits.digest, "arguments": kept})


def _check_same_run(
    output_dir: Path, before: Mapping[str, Any] | None, now: Mapping[str, Any], resume: bool
) -> None:
    """Refuse to mix two runs in one folder."""
    way_out = "--restart begins anew there, another --output_dir keeps both"
    if before is None:
        if checkpoints.all_checkpoints(output_dir):
            raise ValueError(f"{output_dir} holds checkpoints of another program: {way_out}")
        return
    if not resume:
        raise ValueError(f"{output_dir} holds a run already, which --no_resume does not continue: {way_out}")
    old, new = before["arguments"], now["arguments"]
    changed = [
        f"{name} {old[name]} instead of {new[name]}"
        for name in sorted(set(old) & set(new))
        if old[name] != new[name]
    ]
    if before["task"] != now["task"]:
        changed.insert(0, f"task {before['task']} instead of {now['task']}")
    if before["data"] != now["data"]:
        changed.append("other data")
    if changed:
        raise ValueError(f"{output_dir} holds a run with {', '.join(changed[:6])}: {way_out}")


def _forget(output_dir: Path) -> None:
    """Delete what a run has left, and nothing else."""
    for path in [output_dir / RESULTS, output_dir / RECORD, *checkpoints.all_checkpoints(output_dir)]:
        checkpoints.remove(path)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); --restart begins anew") from None
    return found


def _plain(values: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(files.without_nan(values), default=str))
