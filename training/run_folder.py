"""The folder of a training run: started, resumed, found finished, or refused."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from euromine.dataset_script.build_record import BUILD_FILE
from euromine.support import files
from euromine.support.errors import ArgumentError, EuroMineError
from euromine.support.interrupts import INTERRUPTED
from euromine.support.locks import lock_folder
from euromine.support.records import Record, as_stored, read_record, write_record
from euromine.support.run_records import RESULTS_FILE, RUN_FILE, RunRecord, RunResults

from . import checkpoints, own_files
from .arguments import ScriptArguments
from .console import log_scores
from .data import Splits, describe
from .hub_push import prepare_repository, publish_finished

logger = logging.getLogger(__name__)

# Arguments that change neither the weights nor the scores.
_WITHOUT_EFFECT = {
    "dataset",  # where the data lie; the digest stands for what they are
    "label_groups",  # likewise
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
    "dataloader_num_workers",
    "dataloader_pin_memory",
    "dataloader_persistent_workers",
    "dataloader_prefetch_factor",
    "dataloader_multiprocessing_context",
    "dataloader_in_order",
}
_WITHOUT_EFFECT_PREFIXES = ("logging_", "log_", "hub_", "trackio_", "ddp_", "include_")
_MOST_DIFFERENCES = 6
_MOVE = "Move it elsewhere, or choose another folder."


@dataclass(frozen=True)
class Run:
    """A run and its progress.

    Attributes:
        script: The script's arguments.
        training: transformers' arguments.
        splits: The data.
        output_dir: The run's folder.
        checkpoint: The checkpoint to resume from; None to start from the first step.
        results: The results of a finished run.
    """

    script: ScriptArguments
    training: TrainingArguments
    splits: Splits
    output_dir: Path
    checkpoint: Path | None
    results: RunResults | None


@contextmanager
def hold_folder(script: ScriptArguments, training: TrainingArguments) -> Iterator[None]:
    """Hold the run's folder for all processes, and add advice on resuming to Ctrl-C.

    Raises:
        BusyError: Another run is at work there.
        ArgumentError: There is a file in the folder's place.
        OSError: The folder cannot be written to.
        KeyboardInterrupt: With the advice as its text.
        SystemExit: In place of these, in all processes but the first.
    """
    output_dir, is_first = Path(training.output_dir or ""), training.process_index == 0
    with ExitStack() as held:
        refused: list[Exception | None] = [None]
        if is_first:
            try:
                held.enter_context(lock_folder(output_dir))
            except (EuroMineError, OSError) as error:
                refused = [error]
        broadcast_object_list(refused)
        if refused[0] is not None:
            raise refused[0] if is_first else SystemExit(1)
        try:
            yield
        except KeyboardInterrupt:
            if not is_first:
                raise SystemExit(INTERRUPTED) from None
            if (output_dir / RUN_FILE).is_file():
                own_files.clean(output_dir)
            raise KeyboardInterrupt(_resume_advice(output_dir, script)) from None


def _resume_advice(output_dir: Path, script: ScriptArguments) -> str:
    checkpoint = checkpoints.last_complete_checkpoint(output_dir)
    if checkpoint is None:
        return "Run the same command again; as there is no checkpoint yet, it starts from the first step."
    without = " without --restart" if script.restart else ""
    return f"Run the same command again{without} to resume from {checkpoint}."


def find_run(script: ScriptArguments, training: TrainingArguments, splits: Splits) -> Run:
    """Find where a run was left, or check that a new one can start; `begin_run` then writes its record.

    Args:
        script: The script's arguments.
        training: transformers' arguments. Without a validation split nothing can be selected, so the
            arguments that ask for it are turned off.
        splits: The data.

    Raises:
        ArgumentError: The folder holds a dataset, files of somebody else, another run, one that `resume` is
            off for, or one that cannot be resumed.
        RecordError: `run.json` or `metrics.json` in the folder is damaged.
        OSError: The folder cannot be written to.
    """
    _select_only_on_validation(training, splits)
    logger.info("%s", describe(splits))
    if training.push_to_hub:
        prepare_repository(script, training, splits.digest)
    output_dir = Path(training.output_dir or "")
    if (output_dir / BUILD_FILE).exists():
        raise ArgumentError(
            f"--output_dir {output_dir}: found a dataset, whose card the model's would replace; expected a "
            "new folder, or that of an earlier run."
        )
    record = make_run_record(script, training, splits)
    before = _read_if_there(RunRecord, output_dir / RUN_FILE, _MOVE)
    own_files.check_foreign(output_dir, before)
    results = None
    if not script.restart:
        if before is not None:
            _check_same_run(output_dir, before, record, script.resume)
        results = _read_if_there(RunResults, output_dir / RESULTS_FILE, "Pass --restart to begin anew.")
    if results is not None:
        logger.info("%s is finished; --restart trains it anew. Its scores:", output_dir)
        log_scores(results)
        if training.push_to_hub:
            publish_finished(output_dir, training)
        return Run(script, training, splits, output_dir, None, results)
    checkpoint = _checkpoint_to_resume(output_dir, script, training)
    if checkpoint is not None:
        logger.info("Resuming from %s.", checkpoint)
    elif before is not None and not script.restart:
        logger.info("%s holds no checkpoint to resume from: the run starts from the first step.", output_dir)
    return Run(script, training, splits, output_dir, checkpoint, None)


def begin_run(run: Run) -> None:
    """Write a run's record to its folder, after all checks that precede training.

    A mistake in the arguments thus leaves nothing behind that the corrected command would stumble over.

    Raises:
        OSError: The folder cannot be written to.
    """
    # Every process has looked before the first one writes.
    PartialState().wait_for_everyone()
    if run.training.process_index == 0:
        before = _read_if_there(RunRecord, run.output_dir / RUN_FILE, _MOVE)
        record = make_run_record(run.script, run.training, run.splits)
        _prepare_folder(run.output_dir, before, record, run.script.restart)
    PartialState().wait_for_everyone()
    if run.training.save_only_model:
        logger.warning(
            "With --save_only_model checkpoints hold no optimiser: an interrupted run cannot be resumed."
        )


def make_run_record(script: ScriptArguments, training: TrainingArguments, splits: Splits) -> RunRecord:
    """The record that two runs share if and only if they train the same network on the same data."""
    arguments = {
        **asdict(script),
        **training.to_dict(),
        "world_size": training.world_size,
        # Of `accelerate launch` too, which the arguments do not name.
        "mixed_precision": training.mixed_precision,
    }
    kept = {
        name: value
        for name, value in arguments.items()
        if name not in _WITHOUT_EFFECT and not name.startswith(_WITHOUT_EFFECT_PREFIXES)
    }
    return as_stored(RunRecord(script.task, splits.digest, kept, splits.level))


def _select_only_on_validation(training: TrainingArguments, splits: Splits) -> None:
    if splits.validation is not None or training.eval_strategy == IntervalStrategy.NO:
        return
    logger.warning(
        "There is no validation split: the last checkpoint is kept and nothing is selected on the test split."
    )
    training.eval_strategy = IntervalStrategy.NO
    training.do_eval = False
    training.load_best_model_at_end = False
    training.metric_for_best_model = None


def _check_same_run(output_dir: Path, before: RunRecord, now: RunRecord, resume: bool) -> None:
    """Refuse to mix two runs in one folder."""
    if not resume:
        raise _another_run_error(output_dir, "a run, with --no_resume", "a folder without one")
    if differences := _differences(before, now):
        raise _another_run_error(
            output_dir, f"a run with {', '.join(differences[:_MOST_DIFFERENCES])}", "the same run"
        )


def _another_run_error(output_dir: Path, found: str, expected: str) -> ArgumentError:
    return ArgumentError(
        f"--output_dir {output_dir}: found {found}; expected {expected}. Pass --restart to begin anew there, "
        "or another --output_dir to keep both."
    )


def _differences(before: RunRecord, now: RunRecord) -> list[str]:
    """The differences from another run, in words."""
    old, new = before.arguments, now.arguments
    differences = [
        f"{name} {old[name]} instead of {new[name]}"
        for name in sorted(set(old) & set(new))
        if old[name] != new[name]
    ]
    if before.task != now.task:
        differences.insert(0, f"task {before.task} instead of {now.task}")
    if before.data != now.data:
        differences.append("other data")
    return differences


def _prepare_folder(output_dir: Path, before: RunRecord | None, record: RunRecord, restart: bool) -> None:
    output_dir.mkdir(parents=True, exist_ok=True)
    listed: list[str] = []
    if before is not None:
        own_files.clean(output_dir)
        listed = before.files
    if restart:
        # The record goes last: without it these would be somebody else's.
        checkpoints.remove(output_dir / RESULTS_FILE)
        for path in checkpoints.all_checkpoints(output_dir):
            checkpoints.remove(path)
    files_of_run = sorted({*own_files.WRITTEN, *listed})
    with files.explain_full_disk(output_dir, RUN_FILE):
        write_record(output_dir / RUN_FILE, replace(record, files=files_of_run))


def _checkpoint_to_resume(
    output_dir: Path, script: ScriptArguments, training: TrainingArguments
) -> Path | None:
    there = [] if script.restart else checkpoints.all_checkpoints(output_dir)
    if not training.resume_from_checkpoint:
        found = checkpoints.last_complete_checkpoint(output_dir) if there else None
        if found is None and training.save_only_model and there:
            raise ArgumentError(
                f"--output_dir {output_dir}: found an unfinished run whose {there[-1].name} has no optimiser "
                "(--save_only_model); expected one to resume from. Pass --restart to begin anew there."
            )
        return found
    checkpoint = Path(training.resume_from_checkpoint)
    if script.restart and checkpoint.resolve().parent == output_dir.resolve():
        raise ArgumentError(
            f"--resume_from_checkpoint: found {checkpoint}, which --restart deletes; expected one in "
            "another folder. Leave out --restart to resume."
        )
    if not checkpoints.is_complete(checkpoint):
        raise ArgumentError(
            f"--resume_from_checkpoint: found no complete checkpoint in {checkpoint}; expected a folder "
            "checkpoint-N that these scripts wrote."
        )
    return checkpoint


def _read_if_there(kind: type[Record], path: Path, advice: str) -> Record | None:
    try:
        return read_record(kind, path, advice=advice)
    except FileNotFoundError:
        return None
