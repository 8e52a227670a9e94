"""The end of a run: train what is left, score the selected network once, and describe it."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.trainer_callback import TrainerState

from euromine.support import files
from euromine.support.records import as_stored, write_record
from euromine.support.run_records import RESULTS_FILE, RunResults

from .console import is_evaluation, is_timing, log_scores
from .data import sites_of
from .evaluation import predict_series
from .figures import draw_predictions
from .hub_push import publish_finished
from .model_cards import write_card
from .own_files import COUNTS_FILE
from .run_folder import Run
from .run_results import make_results, packed_counts
from .series_trainer import SeriesTrainer

logger = logging.getLogger(__name__)

# The fewest sites whose resampling gives a meaningful confidence interval, and the number of resamples.
_SITES_FOR_CONFIDENCE = 5
_RESAMPLES = 1000


def draw_footprints(run: Run, trainer: SeriesTrainer) -> bytes:
    """A picture of a network's footprints or changes, as PNG."""
    return draw_predictions(run.splits.pictured, _predictor(trainer), trainer.scores.task)


def finish_run(
    run: Run, trainer: SeriesTrainer, draw: Callable[[Run, SeriesTrainer], bytes] = draw_footprints
) -> RunResults:
    """Train what is left to train, score the selected network once on the test split, and write everything.

    Args:
        run: The run.
        trainer: Its trainer.
        draw: The picture of the model's card.

    Leaves the model, its image processor, `README.md` with a picture and, at the very end, `metrics.json`.

    Returns:
        The results, the same in every process and equal to those that a later start of the run reads.

    Raises:
        OSError: A file cannot be written, or the Hub cannot be reached.
        EuroMineError: The Hub refuses the model.
    """
    _train(run, trainer)
    scores, details = _score(run, trainer)
    results = make_results(run, trainer, scores, details)
    trainer.save_model(_internal_call=True)
    picture = None
    # A network whose weights are divided among processes predicts in all of them or in none.
    if trainer.is_world_process_zero() or trainer.is_fsdp_enabled:
        picture = draw(run, trainer)
    if trainer.is_world_process_zero():
        _write(run.output_dir, results, picture, trainer)
        log_scores(results)
        logger.info("The model, its card and %s are in %s.", RESULTS_FILE, run.output_dir)
    trainer.accelerator.wait_for_everyone()
    if run.training.push_to_hub:
        publish_finished(run.output_dir, run.training)
    return as_stored(results)


def _train(run: Run, trainer: SeriesTrainer) -> None:
    """Train to the end, or load what a run that was trained to its end has left."""
    if run.checkpoint is None:
        trainer.train()
        return
    state = TrainerState.load_from_json(str(run.checkpoint / "trainer_state.json"))
    if state.global_step < state.max_steps:
        trainer.train(resume_from_checkpoint=str(run.checkpoint))
        return
    # Trainer would go on with the steps that `max_steps` left of an epoch.
    selected = run.checkpoint
    if run.training.load_best_model_at_end and state.best_model_checkpoint:
        selected = run.output_dir / Path(state.best_model_checkpoint).name
    trainer.state = state
    # Without an optimiser FSDP2 divides nothing: each process takes the whole network to score it.
    trainer.is_fsdp_enabled = False
    trainer._load_from_checkpoint(str(selected))


def _score(run: Run, trainer: SeriesTrainer) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, Any]]]:
    """Headline scores and all scores of each metric, by split."""
    splits, scores = run.splits, trainer.scores
    found: dict[str, dict[str, float]] = {}
    details: dict[str, dict[str, Any]] = {}
    if (selection := _validation_scores(trainer.state)) is not None:
        found["validation"] = selection
    last = "test" if splits.test is not None else "validation"
    rows = splits.test if splits.test is not None else splits.validation
    if rows is None:
        logger.warning("There is neither a test nor a validation split, so nothing was scored.")
        return found, details
    scores.bootstrap = _RESAMPLES if len(sites_of(rows)) >= _SITES_FOR_CONFIDENCE else 0
    metrics = trainer.evaluate(rows, metric_key_prefix=last)
    names = [name for headlines in scores.headlines.values() for name in headlines.values()]
    found[last] = {name: metrics[f"{last}_{name}"] for name in names}
    details[last] = scores.details
    return found, details


def _validation_scores(state: TrainerState) -> dict[str, float] | None:
    """The validation scores of the selected checkpoint, or of the last one where nothing was selected."""
    evaluations = [log for log in state.log_history if is_evaluation(log)]
    if not evaluations:
        return None
    selected = [log for log in evaluations if log["step"] == state.best_global_step] or evaluations
    return {
        name.removeprefix("eval_"): value
        for name, value in selected[-1].items()
        if name.startswith("eval_") and not is_timing(name)
    }


def _predictor(trainer: SeriesTrainer) -> Callable[[NDArray[np.int16], list[int]], NDArray[np.uint8]]:
    trainer.network.eval()
    trainer.settle_divided_network()

    def predict(images: NDArray[np.int16], years: list[int]) -> NDArray[np.uint8]:
        with trainer.accelerator.autocast():
            maps = predict_series(
                trainer.network,
                trainer.image_processor,
                images[None],
                task=trainer.scores.task,
                years=torch.tensor([years]),
            )
        return maps[0].cpu().numpy()

    return predict


def _write(output_dir: Path, results: RunResults, picture: bytes | None, trainer: SeriesTrainer) -> None:
    with files.explain_full_disk(output_dir, "the model card"):
        write_card(output_dir, results, picture)
        if trainer.scores.counts:
            files.write_bytes(output_dir / COUNTS_FILE, packed_counts(trainer.scores.counts))
        # Last: a run that has it is finished.
        write_record(output_dir / RESULTS_FILE, results)
