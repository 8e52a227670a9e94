"""A run of `train_seg.py` that maps components: a network with a head for each group, or one of one group."""

from functools import partial
from typing import Any

from transformers import PreTrainedModel, TrainingArguments, set_seed

from euromine.dataset_script.label_groups import LabelGroups
from euromine.modeling.auto import create_model
from euromine.support.errors import as_user_error
from euromine.support.run_records import RunResults

from .arguments import SegmentationArguments
from .collation import SeriesCollator
from .component_data import read_component_splits
from .component_figures import draw_components
from .component_scores import ComponentScores
from .component_trainer import ComponentTrainer
from .data import make_image_processor, training_sampler
from .finishing import finish_run
from .run_folder import begin_run, find_run
from .series_trainer import data_seed
from .training_checks import check_network


def train_components(
    script: SegmentationArguments, training: TrainingArguments, groups: LabelGroups
) -> RunResults:
    """Train, score and describe a network that maps components.

    Args:
        script: The script's arguments.
        training: transformers' arguments.
        groups: The groups that the network maps.

    Raises:
        EuroMineError: An argument does not fit the dataset, or the dataset is damaged.
        OSError: A file cannot be read or written.
    """
    splits = read_component_splits(script, groups, training.seed)
    run = find_run(script, training, splits)
    if run.results is not None:
        return run.results
    set_seed(training.seed)
    model = make_component_model(script, groups, from_checkpoint=run.checkpoint is not None)
    script.lay_out(model)
    trainer = ComponentTrainer(
        model,
        training,
        image_processor=make_image_processor(script, splits),
        train_dataset=splits.train,
        eval_dataset=splits.validation,
        collator=SeriesCollator(splits.sites, splits.years),
        scores=ComponentScores(groups, splits.sites, script.averaging),
        sampler=training_sampler(script, splits, data_seed(training)),
        augmentation=script.augmentation,
    )
    check_network(model, training)
    begin_run(run)
    return finish_run(run, trainer, partial(draw_components, groups))


def make_component_model(
    script: SegmentationArguments, groups: LabelGroups, from_checkpoint: bool
) -> PreTrainedModel:
    """The network of a run: a component segmenter or, for `--group`, the mapper itself.

    Args:
        script: The script's arguments.
        groups: The groups that the network maps.
        from_checkpoint: Whether a checkpoint of the run will give the weights.

    Raises:
        ArgumentError: The network cannot map the groups, or a field or the weights to start from do not fit.
    """
    classes: dict[str, Any] = {"label_groups": groups.classes}
    if script.group is not None:
        names = ("none", *groups.classes[script.group])
        classes = {
            "id2label": dict(enumerate(names)),
            "label2id": {name: value for value, name in enumerate(names)},
        }
    with as_user_error(script.architecture):
        model = create_model(
            script.architecture,
            bands=script.bands,
            pretrained=False if from_checkpoint else script.checkpoint_to_start_from,
            stem_init=script.stem_init,
            **classes,
            **script.model_config,
        )
    if script.group is not None:
        # Which names of classes alone do not tell: `euromine predict` and `series` name maps by it.
        model.config.label_group = script.group
    return model
