"""Calibration and scores of a checkpoint, from the files beside its weights."""

from __future__ import annotations

import logging
from pathlib import Path

from euromine.modeling.tasks import CHANGE_DETECTION, SEGMENTATION, SERIES
from euromine.monitoring.mapping.checkpoint_files import checkpoint_file
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.support.errors import RecordError
from euromine.support.processing_levels import known_level
from euromine.support.records import read_record
from euromine.support.run_records import RESULTS_FILE, RunResults

from .calibration import CALIBRATION_NAME, Calibration
from .manifest import CHANGES, FOOTPRINTS, FOOTPRINTS_AND_CHANGES, ModelRecord

logger = logging.getLogger(__name__)

_TASKS = {SEGMENTATION: FOOTPRINTS, CHANGE_DETECTION: CHANGES, SERIES: FOOTPRINTS_AND_CHANGES}
# Of footprints, changes and components.
_SHOWN_SCORES = ("of1", "of1_pooled", "gca_tiou", "macro_iou", "pooled_iou", "transformed_area_iou")


def load_calibration(mapper: LoadedModel, digest: str) -> Calibration | None:
    """The calibration beside a footprint mapper; None where there is none for these weights.

    Raises:
        RecordError: The file is damaged.
    """
    path = checkpoint_file(
        mapper.source,
        CALIBRATION_NAME,
        otherwise="switch rates are unknown and areas have no confidence intervals",
    )
    if path is None:
        return None
    calibration = Calibration.load(path)
    if calibration.digest != digest:
        logger.warning(
            "%s was counted with other weights than those of %s, so it is not used. "
            "Run `euromine calibrate %s DATASET` again.",
            path,
            mapper.source,
            mapper.source,
        )
        return None
    if calibration.components and not calibration.component_transitions:
        logger.warning(
            "%s has errors on components and none on their transitions, which will have no intervals. "
            "Earlier versions counted none: run `euromine calibrate %s DATASET` again, with a dataset that "
            "has components of several years.",
            path,
            mapper.source,
        )
    return calibration


def model_record(loaded: LoadedModel, digest: str, calibration: Calibration | None) -> ModelRecord:
    """The manifest's entry of a model.

    Args:
        loaded: The model.
        digest: Its `model_digest`.
        calibration: The footprint mapper's calibration, if it has one.
    """
    task = _TASKS[loaded.task]
    results = _results(loaded)
    protocol = results.protocol if results else None
    split = results.scored_split if results else None
    simulated = protocol.simulated if protocol else None
    if calibration is not None and task != CHANGES:
        simulated = bool(simulated) or calibration.simulated
    scores = results.scores[split] if results and split else {}
    return ModelRecord(
        task=task,
        source=Path(loaded.source).name if Path(loaded.source).is_dir() else loaded.source,
        architecture=results.architecture if results else loaded.model.config.model_type,
        parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
        bands=list(loaded.image_processor.bands),
        digest=digest[:16],
        simulated=simulated,
        dataset=Path(protocol.dataset).name if protocol else None,
        scores={name: scores[name] for name in _SHOWN_SCORES if name in scores},
        scored_split=split,
        scored_sites=len(protocol.sites.get(split, ())) if protocol and split else None,
        level=known_level(loaded.image_processor.level),
    )


def _results(loaded: LoadedModel) -> RunResults | None:
    """The results of the training run, if the checkpoint holds them."""
    path = checkpoint_file(loaded.source, RESULTS_FILE, otherwise="the report shows no scores of this model")
    if path is None:
        return None
    try:
        return read_record(RunResults, path)
    except RecordError as error:
        logger.warning("%s The report shows no scores of this model.", error)
        return None
