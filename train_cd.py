"""Train a network that finds what changed between any two years, and score it over all pairs of each series.

    accelerate launch train_cd.py --dataset euromine --architecture tinycd --output_dir runs/tinycd

Any of transformers' TrainingArguments can follow, or stand in a JSON or YAML file in the first place.
`--help` lists all; `training/recipes.py` says what holds where nothing is said.
"""

from collections.abc import Sequence
from typing import Any

from transformers import set_seed

from euromine.modeling.auto import create_model
from euromine.training.arguments import ChangeDetectionArguments, parse_arguments
from euromine.training.collation import SeriesCollator
from euromine.training.data import make_image_processor, read_splits, training_dataset, training_sampler
from euromine.training.evaluation import SeriesScores
from euromine.training.runs import (
    finish_run,
    full_disk_in_a_sentence,
    mistakes_in_a_sentence,
    quiet_logging,
    start_run,
)
from euromine.training.series_trainer import SeriesTrainer, data_seed


@full_disk_in_a_sentence
def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, score and describe a change detector.

    Args:
        argv: The command line; default the program's own.

    Returns:
        What `metrics.json` in the output folder holds.
    """
    with mistakes_in_a_sentence("train_cd.py"):
        script, training = parse_arguments(ChangeDetectionArguments, argv)
        quiet_logging(training)
        splits = read_splits(script, training.seed)
        run = start_run(script, training, splits)
        if run.results is not None:
            return run.results
        set_seed(training.seed)
        model = create_model(
            script.architecture,
            bands=script.bands,
            pretrained=False if run.checkpoint else script.checkpoint_to_start_from,
            stem_init=script.stem_init,
            **script.model_config,
        )
        image_processor = make_image_processor(script, splits)
        train_dataset = training_dataset(script, splits, training)
    trainer = SeriesTrainer(
        model,
        training,
        image_processor=image_processor,
        train_dataset=train_dataset,
        eval_dataset=splits.validation,
        collator=SeriesCollator(splits.sites, splits.years, script.counts_whole_patches),
        scores=SeriesScores(script.task, splits.sites, script.averaging),
        sampler=training_sampler(script, splits, data_seed(training)),
        augmentation=script.augmentation,
    )
    return finish_run(run, trainer)


if __name__ == "__main__":
    main()
