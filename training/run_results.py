"""The results of a finished run: `metrics.json`, and the counted pixels that its scores come from."""

import io
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, TrainingArguments

from euromine.metrics.counts import CountTable
from euromine.modeling.auto import published_weights
from euromine.support.run_records import ModelFacts, Protocol, RunResults, TrainingFacts

from .arguments import ChangeDetectionArguments, ScriptArguments, SegmentationArguments
from .console import is_evaluation, is_timing
from .data import sites_of
from .evaluation import SeriesScores
from .run_folder import Run, make_run_record
from .series_trainer import SeriesTrainer

# What `accelerate launch --mixed_precision` and `--bf16` name, in words; float8 and others keep their name.
_PRECISIONS = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}


def make_results(
    run: Run,
    trainer: SeriesTrainer,
    scores: Mapping[str, Mapping[str, float]],
    details: Mapping[str, Mapping[str, Any]],
) -> RunResults:
    """The results of a run that is trained and scored.

    Args:
        run: The run.
        trainer: Its trainer, at the end of training.
        scores: Headline scores, by split and name.
        details: All scores of each metric, by split and metric.
    """
    script, training = run.script, run.training
    logs = [log for log in trainer.state.log_history if "loss" in log or is_evaluation(log)]
    return RunResults(
        task=script.task,
        architecture=script.architecture,
        model=ModelFacts(
            repository=training.hub_model_id,
            folder=str(run.output_dir),
            class_name=type(trainer.network).__name__,
            parameters=sum(parameter.numel() for parameter in trainer.network.parameters()),
        ),
        scores={split: dict(found) for split, found in scores.items()},
        confidence={split: _confidence(trainer.scores, found) for split, found in details.items()},
        details={split: dict(found) for split, found in details.items()},
        training=_training_facts(run, trainer),
        protocol=_protocol(run, trainer),
        versions={name: version(name) for name in ("euromine", "torch", "transformers", "datasets")},
        hardware=_hardware(training),
        history=[{name: value for name, value in log.items() if not is_timing(name)} for log in logs],
        timing=[
            {name: value for name, value in log.items() if name == "step" or is_timing(name)}
            for log in logs
            if any(is_timing(name) for name in log)
        ],
    )


def packed_counts(counts: Mapping[str, CountTable]) -> bytes:
    """The counts of each metric as an .npz file: {metric}.sites, .years, .by_year and .by_pair."""
    arrays: dict[str, Any] = {}
    for name, table in counts.items():
        arrays[f"{name}.sites"] = np.array([str(site) for site in table.sites])
        arrays[f"{name}.years"] = np.array(table.years)
        arrays |= {f"{name}.by_year": table.by_year, f"{name}.by_pair": table.by_pair}
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    return packed.getvalue()


def _training_facts(run: Run, trainer: SeriesTrainer) -> TrainingFacts:
    training, state, accelerator = run.training, trainer.state, trainer.accelerator
    selects = training.load_best_model_at_end and state.best_global_step is not None
    return TrainingFacts(
        steps=state.global_step,
        epochs=round(float(state.epoch), 4),
        best_step=state.best_global_step if selects else None,
        selected_by=training.metric_for_best_model if selects else None,
        batch_size=_batch_size(trainer),
        precision=_PRECISIONS.get(accelerator.mixed_precision, accelerator.mixed_precision),
        arguments=make_run_record(run.script, training, run.splits).arguments,
    )


def _batch_size(trainer: SeriesTrainer) -> int:
    """Samples of an optimiser step, as trained: `auto_find_batch_size` may have chosen smaller batches."""
    batch = trainer.state.train_batch_size or trainer.args.train_batch_size
    # The accelerator's own number of steps is always 1: Trainer accumulates.
    return int(batch * trainer.args.gradient_accumulation_steps * trainer.accelerator.num_processes)


def _protocol(run: Run, trainer: SeriesTrainer) -> Protocol:
    script, splits = run.script, run.splits
    changes = script if isinstance(script, ChangeDetectionArguments) else None
    rows = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    return Protocol(
        dataset=script.dataset,
        dataset_revision=splits.revision,
        simulated=splits.simulated,
        level=splits.level,
        **_components(script),
        digest=splits.digest,
        sites={split: sites_of(found) for split, found in rows.items()},
        years=script.years,
        bands=list(trainer.image_processor.bands),
        statistics=trainer.image_processor.statistics,
        recipe=script.recipe,
        augmentation=bool(script.augmentation),
        protocol=script.protocol,
        average=script.averaging,
        pretrained=_origin(script, trainer.network),
        training=changes.training if changes else None,
        pairs_per_patch=changes.pairs_per_patch if changes else None,
        interval_sampling=changes.interval_sampling if changes else None,
    )


def _components(script: ScriptArguments) -> dict[str, Any]:
    """The label groups and the facts of sites of a run that maps components."""
    groups = script.groups if isinstance(script, SegmentationArguments) else None
    if not isinstance(script, SegmentationArguments) or groups is None:
        return {}
    where = {name: list(values) for name, values in script.wanted_facts.items()}
    return {
        "label_groups": {name: list(classes) for name, classes in groups.classes.items()},
        "where": where or None,
    }


def _confidence(
    scores: SeriesScores, details: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[float | None]]:
    return {
        headline: list(details[metric]["confidence_intervals"][score])
        for metric, headlines in scores.headlines.items()
        if "confidence_intervals" in details[metric]
        for score, headline in headlines.items()
    }


def _origin(script: ScriptArguments, model: PreTrainedModel) -> str | None:
    """The checkpoints that training started from."""
    source = script.checkpoint_to_start_from
    if source is True:
        return ", ".join(published_weights(script.architecture, model))
    return source or None


def _hardware(training: TrainingArguments) -> str:
    device = training.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"
    return f"{training.world_size} x {name}" if training.world_size > 1 else name
